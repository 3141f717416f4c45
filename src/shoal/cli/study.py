"""`shoal study NAME DATA`: one question about training, answered on one's own data."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.cli.options import DEBUG, JSON, READING, Argument, Option, given_only, takes
from shoal.cli.output import reserved_stdout, write_json
from shoal.studies import STUDIES

if TYPE_CHECKING:
    from shoal.store.run_folder import RunFolder
    from shoal.studies.record import Options, Study
    from shoal.studies.subject import Subject

READ = tuple(option.name for option in READING)  # what goes to the reader
FIXED = ("seed", "replicates", "epochs", "image", "augment")  # what goes to the study
MOST_ROWS = 6000  # training rows: a study asks how settings differ, not how good the best can be


@takes(
    Argument("name", f"What to study: {', '.join(STUDIES)}."),
    Argument("data", "In any form that `shoal fit` reads, such as digits."),
    *READING,
    Option("model", "Study your own network too, where the study takes one.", "pkg.mod:make_net"),
    Option("image", "A picture of your own, where the study shows one.", "FILE"),
    Option("augment", "The operations to study, where the study takes them.", "hflip,rotate=15,..."),
    Option("replicates", "Seeds of each setting that is compared.", "NUMBER", "number"),
    Option("epochs", "Passes over the data of each training.", "NUMBER", "number"),
    Option("seed", "Where all randomness starts. Default: 0.", "NUMBER", "number"),
    Option("out", "The folder of the study; must not hold a run yet. Default: runs/NAME-DATA.", "FOLDER"),
    JSON,
    DEBUG,
)
def study(**given: Any) -> int:
    """One question about training, answered by a controlled experiment on your data."""
    from shoal.cli import study_view

    with reserved_stdout() as answer:
        document = _carry_out(given)
        said = sys.stderr if given["json"] else answer
        study_view.show(document, said)
        if given["json"]:
            write_json(document, answer)
    return 0


def _carry_out(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read, work, keep; the document that `--json` prints."""
    from shoal import studies
    from shoal.cli import study_view
    from shoal.store.run_folder import RunFolder, name_of

    started = time.monotonic()
    options = _options(given)  # before anything heavy is loaded
    run = studies.find(given["name"])
    subject = _subject(given)
    folder = RunFolder.create(given.get("out"), f"{given['name']}-{name_of(given['data'])}")
    try:
        found = study_view.watched(run(subject, options), sys.stderr)
        return _keep(folder, found, _about(given, subject, time.monotonic() - started))
    except BaseException:  # a study is short and keeps no half of itself
        folder.release()
        raise


def _options(given: Mapping[str, Any]) -> Options:
    from pydantic import ValidationError

    from shoal.core.errors import InputError
    from shoal.studies.record import Options

    try:
        return Options(**given_only({name: given[name] for name in FIXED}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        wanted = first["msg"].removeprefix("Input ")
        raise InputError(f"--{first['loc'][0]} cannot be {first['input']!r}: it {wanted}") from None


def _subject(given: Mapping[str, Any]) -> Subject:
    from shoal.nn.own_network import find_factory
    from shoal.studies.subject import Subject

    model = given.get("model") or ""
    return Subject.read(
        given["data"],
        seed=given.get("seed") or 0,
        most_rows=MOST_ROWS,
        make_net=find_factory(model) if model else None,
        model=model,
        **given_only({name: given[name] for name in READ}),
    )


def _about(given: Mapping[str, Any], subject: Subject, seconds: float) -> dict[str, Any]:
    """What a reader needs to repeat it."""
    import platform

    import torch

    import shoal
    from shoal.core.command import command

    options = given_only({name: given[name] for name in (*READ, "model", *FIXED)})
    return {
        "command": command(f"study {given['name']}", given["data"], options),
        "rows": {"train": len(subject.fold.train), "validation": len(subject.fold.validation), "test": 0},
        "data_hash": subject.task.dataset.content_hash,
        "findings": [finding.model_dump(mode="json") for finding in subject.task.dataset.findings],
        "seconds": round(seconds, 1),
        "versions": {"shoal": shoal.__version__, "python": platform.python_version(), "torch": torch.__version__},
    }


def _keep(folder: RunFolder, found: Study, about: dict[str, Any]) -> dict[str, Any]:
    """Write `study.json`, `run.toml` and the report; the document is what `study.json` holds."""
    import tomlkit

    from shoal.core.atomic import write_atomically
    from shoal.core.json_text import finite
    from shoal.report.study_page import render_study

    document: dict[str, Any] = finite(
        {"study": found.name, "run": folder.name, **found.model_dump(exclude={"name"}), **about}
    )
    document["report"] = str(folder.report_html)
    write_atomically(folder.path / "study.json", json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    write_atomically(folder.report_html, render_study(document))
    toml = tomlkit.document()
    toml.add(tomlkit.comment("A study: study.json holds what it found; the command repeats it."))
    toml["study"] = {"name": found.name, "command": about["command"], "seed": found.seed, **about["versions"]}
    write_atomically(Path(folder.run_toml), tomlkit.dumps(toml))
    return document
