"""`study`: one question about training, answered on one's own data."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
import torch

import shoal
from shoal import studies
from shoal.core.atomic import write_atomically
from shoal.core.command import command
from shoal.core.json_text import finite
from shoal.core.returning import result_of
from shoal.nn.own_network import find_factory
from shoal.report.study_page import render_study
from shoal.store.run_folder import RunFolder, name_of
from shoal.studies.record import Progress, Study, StudyOptions
from shoal.studies.subject import Subject

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet

MOST_ROWS = 6000  # training rows: a study asks how settings differ, not how good the best can be


@dataclass(frozen=True)
class Studied:
    """What a study found."""

    study: Study
    document: Mapping[str, Any]  # what `study.json` holds, and `--json` prints
    folder: Path | None  # where it and the report lie; None where nothing was written


def study(
    name: str, data: Any, *, model: str | MakeNet = "", out: str | os.PathLike[str] | None = None, **given: Any
) -> Studied:
    """One question about training, answered by a controlled experiment.

    Args:
        name: of the study: initialization, normalization, convolution, preparation, augmentation.
        data: a path, a frame, a pair (X, y), or a name such as `digits`.
        model: a network of one's own, where the study takes one: `package.module:make_net`, or a zero-argument function
            that returns a module.
        out: a folder for `study.json` and the report; without it nothing is written.
        given: `seed`, `replicates`, `epochs`, `image`, `augment`, `device`, and how the data are read: target, time,
            group, drop, kind, ...

    Raises:
        InputError: there is no such study, or the data or an option cannot be used.
    """
    folder = None if out is None else os.fspath(out)
    return result_of(study_steps(name, data, model=model, out=folder, keep=out is not None, **given))


def study_steps(
    name: str, data: Any, *, model: str | MakeNet = "", out: str | None = None, keep: bool = True, **given: Any
) -> Generator[Progress, None, Studied]:
    """A study, step by step; see `study`.

    Args:
        name: of the study.
        data: anything that can be read.
        model: a network of one's own.
        out: the folder; by default runs/NAME-DATA.
        keep: write `study.json`, `run.toml` and the report.
        given: options of the study, and of reading.

    Yields:
        How far it is.

    Returns:
        What it found.

    Raises:
        InputError: there is no such study, or the data or an option cannot be used.
    """
    run = studies.find(name)
    own = (find_factory(model) if model else None) if isinstance(model, str) else model
    options, subject = asked(data, own, model if isinstance(model, str) else "the given model", given)
    told = {key: value for key, value in given.items() if key != "device"}  # no option of the command
    told |= {"model": model} if isinstance(model, str) and model else {}
    return (yield from kept(run(subject, options), subject, f"study {name}", name, data, told, out, keep=keep))


def asked(data: Any, make_net: MakeNet | None, model: str, given: Mapping[str, Any]) -> tuple[StudyOptions, Subject]:
    """The options of a study, and the rows that it works on.

    Args:
        data: anything that can be read.
        make_net: a network of the user's own.
        model: its name.
        given: options of the study, and of reading.

    Raises:
        InputError: the data or an option cannot be used.
    """
    options = StudyOptions(**{key: value for key, value in given.items() if key in StudyOptions.model_fields})
    reading = {key: value for key, value in given.items() if key not in StudyOptions.model_fields}
    subject = Subject.read(data, seed=options.seed, most_rows=MOST_ROWS, make_net=make_net, model=model, **reading)
    return options, subject


def kept(
    steps: Generator[Progress, None, Study],
    subject: Subject,
    verb: str,
    name: str,
    data: Any,
    told: Mapping[str, Any],
    out: str | None,
    *,
    keep: bool,
) -> Generator[Progress, None, Studied]:
    """Carry a study out, and keep what it found.

    Args:
        steps: the study.
        subject: what it works on.
        verb: of the command that repeats it.
        name: of the folder, before the name of the data.
        data: as they were given.
        told: options of that command.
        out: the folder; by default runs/NAME-DATA.
        keep: write `study.json`, `run.toml` and the report.
    """
    started = time.monotonic()
    shown = os.fspath(data) if isinstance(data, str | os.PathLike) else "data"
    folder = RunFolder.create(out, f"{name}-{name_of(shown)}") if keep else None
    try:
        found = yield from steps
        about = _about(command(verb, shown, told), subject, time.monotonic() - started)
        document: dict[str, Any] = finite(
            {"study": found.name, "run": folder.name if folder else "", **found.model_dump(exclude={"name"}), **about}
        )
        if folder is not None:
            _write(folder, found, document)
    except BaseException:  # a study is short and keeps no half of itself
        if folder is not None:
            folder.release()
        raise
    return Studied(found, document, None if folder is None else folder.path)


def _about(command_line: str, subject: Subject, seconds: float) -> dict[str, Any]:
    """What a reader needs to repeat it."""
    return {
        "command": command_line,
        "rows": {"train": len(subject.fold.train), "validation": len(subject.fold.validation), "test": 0},
        "data_hash": subject.task.dataset.content_hash,
        "findings": [finding.model_dump(mode="json") for finding in subject.task.dataset.findings],
        "seconds": round(seconds, 1),
        "versions": {"shoal": shoal.__version__, "python": platform.python_version(), "torch": torch.__version__},
    }


def _write(folder: RunFolder, found: Study, document: dict[str, Any]) -> None:
    """`study.json`, `run.toml` and the report."""
    document["report"] = str(folder.report_html)
    write_atomically(folder.path / "study.json", json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    write_atomically(folder.report_html, render_study(document))
    toml = tomlkit.document()
    toml.add(tomlkit.comment("A study: study.json holds what it found; the command repeats it."))
    toml["study"] = {
        "name": found.name,
        "command": document["command"],
        "seed": found.seed,
        **document["versions"],
    }
    write_atomically(Path(folder.run_toml), tomlkit.dumps(toml))
