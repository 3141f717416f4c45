"""Shoal trains many neural networks as one, and chooses with evidence how a network should be trained.

Names are loaded on first use: `import shoal` alone loads neither torch nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal import nn, optim
    from shoal.api import compare, doctor, fit, load, resume, study
    from shoal.diagnose.description import describe
    from shoal.population.member import Member
    from shoal.population.population import Population

__version__ = "0.1.0"
__all__ = [
    "Member",
    "Population",
    "__version__",
    "compare",
    "describe",
    "doctor",
    "fit",
    "load",
    "nn",
    "optim",
    "resume",
    "study",
]

_HOMES = {
    "Member": "shoal.population.member",
    "Population": "shoal.population.population",
    "compare": "shoal.api",
    "describe": "shoal.diagnose.description",
    "doctor": "shoal.api",
    "fit": "shoal.api",
    "load": "shoal.api",
    "resume": "shoal.api",
    "study": "shoal.api",
}
_ROOMS = ("nn", "optim")


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _ROOMS:
        value = import_module(f"shoal.{name}")
    else:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*__all__, *globals()})
