"""The benches by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec

from shoal.bench.case import Case
from shoal.core.errors import InputError
from shoal.core.names import did_you_mean

BENCHES: Mapping[str, str] = {
    "optim": "optimizer rules against the best mode of torch.optim and a triad's bandwidth",
    "population": "many networks trained as one against a loop, processes and JAX",
    "scale": "seconds and memory by member as the population grows",
    "startup": "the command line and the import against Python and torch",
    "conv": "convolution and its gradients against torch.nn.functional",
    "augment": "augmentation with settings by sample against kornia and torchvision",
    "search": "a whole search against Optuna driving a PyTorch loop",
    "gpu": "populations and optimizers on a GPU against a loop and a triad",
}
"""Each is the file of that name in this room; one whose file is not there is not offered."""


def available() -> dict[str, str]:
    """The benches that can be run, with a phrase for each."""
    return {name: phrase for name, phrase in BENCHES.items() if find_spec(f"shoal.bench.{name}") is not None}


def bench(name: str) -> Callable[[bool], Iterator[Case]]:
    """The function of a bench: `quick` to its cases, one by one.

    Raises:
        InputError: there is no such bench; the message has the closest names.
    """
    if name not in available():
        raise InputError(f"there is no bench `{name}`{did_you_mean(name, available())}")
    cases: Callable[[bool], Iterator[Case]] = import_module(f"shoal.bench.{name}").cases
    return cases
