"""`compare`: any settings of the training against each other, on one's own data."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shoal.api.studying import Studied, asked, kept
from shoal.api.work import network_of
from shoal.core.errors import InputError
from shoal.core.returning import result_of
from shoal.studies import settings
from shoal.studies.record import Progress

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet


def compare(
    data: Any,
    *,
    vary: Mapping[str, Sequence[Any]],
    model: str | MakeNet = "auto",
    out: str | os.PathLike[str] | None = None,
    **given: Any,
) -> Studied:
    """Settings against each other: every combination with every seed, on the same batches, paired.

    >>> found = shoal.compare("digits", vary={"optimizer": ["sgd", "adam"]}, replicates=16)  # doctest: +SKIP

    Args:
        data: a path, a frame, a pair (X, y), or a name such as `digits`.
        vary: the values by name: of `shoal.Member`, or `width`, `depth`, `batch_size`. The first of each are what the
            others are compared with.
        model: as `fit` takes it.
        out: a folder for `study.json` and the report; without it nothing is written.
        given: `seed`, `replicates` (8), `epochs` (10), `device`, and how the data are read: target, time, group, ...

    Raises:
        InputError: there is nothing to compare, or a value, the data or an option cannot be used.
    """
    folder = None if out is None else os.fspath(out)
    return result_of(compare_steps(data, vary, model=model, out=folder, keep=out is not None, **given))


def compare_steps(
    data: Any,
    vary: Mapping[str, Sequence[Any]],
    *,
    model: str | MakeNet = "auto",
    out: str | None = None,
    keep: bool = True,
    **given: Any,
) -> Generator[Progress, None, Studied]:
    """A comparison, step by step; see `compare`.

    Args:
        data: anything that can be read.
        vary: the values by name.
        model: as `fit` takes it.
        out: the folder; by default runs/compare-DATA.
        keep: write `study.json`, `run.toml` and the report.
        given: options of the study, and of reading.

    Yields:
        How far it is.

    Returns:
        What it found.
    """
    vary = settings.plain(vary)
    for option in ("image", "augment"):
        if option in given:
            raise InputError(f"A comparison takes no {option}: name what differs in vary, such as augment=[..., ...].")
    name, make_net = (model, None) if isinstance(model, str) else ("auto", model)
    options, subject = asked(data, make_net, name, given)
    architecture = network_of(subject.task, name, make_net)
    told: dict[str, Any] = {"vary": vary}
    told |= {key: value for key, value in given.items() if key != "device"}
    told |= {"model": name} if name != "auto" else {}
    steps = settings.run(subject, options, architecture, vary)
    return (yield from kept(steps, subject, "compare", "compare", data, told, out, keep=keep))
