"""The matrix `theta[K, P]`, how it is computed, and the lock-step training loop."""

from shoal.population.member import Member
from shoal.population.population import Population
from shoal.population.record import EpochRecord

__all__ = ["EpochRecord", "Member", "Population"]
