"""The one way to train: a `Job` says what, a `Runner` says where, `run` yields records and returns what was trained."""

from shoal.experiment.architecture import Architecture, BuiltIn, Given, parameters
from shoal.experiment.cache import NoCache, TaskCache
from shoal.experiment.job import Halving, Job
from shoal.experiment.processes import Processes
from shoal.experiment.run import Answer, finish, run
from shoal.experiment.runner import Runner, Threads
from shoal.experiment.trained import Trained, ranking

__all__ = [
    "Answer",
    "Architecture",
    "BuiltIn",
    "Given",
    "Halving",
    "Job",
    "NoCache",
    "Processes",
    "Runner",
    "TaskCache",
    "Threads",
    "Trained",
    "finish",
    "parameters",
    "ranking",
    "run",
]
