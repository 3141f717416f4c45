"""The one way to train: a `Job` says what, a `Runner` says where, a `Training` is the loop over its epochs."""

from shoal.experiment.architecture import Architecture, BuiltIn, Given, check_memory, parameters
from shoal.experiment.cache import NoCache, TaskCache
from shoal.experiment.job import Job
from shoal.experiment.processes import Processes
from shoal.experiment.run import Training, run
from shoal.experiment.runner import Runner, Threads
from shoal.experiment.trained import Trained, ranked, ranking

__all__ = [
    "Architecture",
    "BuiltIn",
    "Given",
    "Job",
    "NoCache",
    "Processes",
    "Runner",
    "TaskCache",
    "Threads",
    "Trained",
    "Training",
    "check_memory",
    "parameters",
    "ranked",
    "ranking",
    "run",
]
