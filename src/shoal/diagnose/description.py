"""Data described before anything is trained on them: what each column holds, and what is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from pydantic import JsonValue

from shoal.core import paths
from shoal.core.errors import InputError
from shoal.core.events import Finding, Kind, Record, TaskType
from shoal.core.reading import Reading
from shoal.data import Dataset, absence, codes, read
from shoal.data.frames import from_frame, is_frame
from shoal.data.reading import existing, open_table
from shoal.data.schema import Column
from shoal.data.survey import survey
from shoal.diagnose.split_checks import of_split
from shoal.resample import hold_out

LEVELS = ("problem", "warning", "note", "fine")


class Description(Record):
    """What is known of data before training. Without a target nothing is said of leaks, splits and labels."""

    source: str
    kind: Kind
    rows: int
    target: str | None = None
    task: TaskType | None = None
    classes: dict[str, int] | None = None  # rows of each
    shape: tuple[int, ...] | None = None  # of one row of an array
    values: tuple[float, float, float] | None = None  # of an array: least, mean, greatest
    split: dict[str, int] | None = None  # rows of each part, as a run would split
    columns: tuple[Column, ...] = ()
    findings: tuple[Finding, ...] = ()

    def document(self) -> dict[str, JsonValue]:
        """What `--json` prints."""
        kept = self.model_dump(mode="json", exclude={"columns"}, exclude_none=True)
        columns: list[JsonValue] = [
            {
                "name": c.name,
                "role": c.role,
                "missing": c.missing,
                "unique": c.unique,
                "note": c.note,
                "used": c.feature,
            }
            for c in self.columns
        ]
        return {**kept, "target": self.target, "columns": columns}


def describe(data: Any, *, ignore: Iterable[str] = (), **reading: Any) -> Description:
    """Look at data without training on them.

    Args:
        data: what `fit` reads.
        ignore: codes of findings that are not to be raised.
        reading: target, time, group, drop, roles, kind, task, decimal, missing, axes: how the data are to be read. A
            table can be described without a target.

    Returns:
        Columns with their roles, and findings, the gravest first.

    Raises:
        InputError: the data cannot be read.

    Costs reading the data and, where there is a target, a few seconds for the split that seed 0 would give.

    >>> describe("iris").rows, [column.role for column in describe("iris").columns]
    (150, ['numeric', 'numeric', 'numeric', 'numeric'])
    """
    asked = Reading(**reading)
    silenced = {ignore} if isinstance(ignore, str) else set(ignore)
    described = _without_target(data, asked) if asked.target is None else None
    if described is None:
        described = _of_dataset(read(data, asked))
    kept = [finding for finding in described.findings if finding.code not in silenced]
    return described.model_copy(update={"findings": tuple(sorted(kept, key=lambda each: LEVELS.index(each.level)))})


def _without_target(data: Any, asked: Reading) -> Description | None:
    """A table of which only the columns are known, or None where the data are no such table."""
    unwanted = asked.drop.__contains__
    if isinstance(data, str | os.PathLike):
        path = paths.given(data)
        try:
            raw = open_table(existing(path), unwanted) if paths.there(path) and path.is_file() else None
        except OSError as error:
            raise paths.read_error(path, error) from error
    else:
        raw = from_frame(data, unwanted=unwanted) if is_frame(data) else None
    if raw is None:
        return None
    found = survey(raw, asked, None)
    idle = absence.unused(raw.frame, asked.missing)
    return Description(
        source=raw.source,
        kind="table",
        rows=raw.frame.height,
        columns=found.columns,
        findings=(*raw.findings, *idle, *found.findings),
    )


def _of_dataset(dataset: Dataset) -> Description:
    findings = list(dataset.findings)
    split: dict[str, int] | None = None
    try:
        plan = hold_out(dataset, seed=0)
    except InputError as error:
        findings.append(Finding(code=codes.NO_SPLIT, level="problem", sentence=f"The rows cannot be split: {error}"))
    else:
        split = plan.sizes()
        findings += of_split(dataset, plan)
    facts: dict[str, Any] = {}
    if dataset.classes is not None:
        counts = np.bincount(dataset.target.astype(np.int64), minlength=len(dataset.classes))
        facts["classes"] = {name: int(rows) for name, rows in zip(dataset.classes, counts, strict=True)}
    if dataset.kind != "table":
        array = dataset.features.array  # type: ignore[union-attr]
        facts["shape"] = tuple(array.shape[1:])
        facts["values"] = (float(array.min()), float(array.mean(dtype=np.float64)), float(array.max()))
    return Description(
        source=dataset.source,
        kind=dataset.kind,
        rows=dataset.rows,
        target=dataset.target_name,
        task=dataset.task,
        split=split,
        columns=dataset.schema.columns,
        findings=tuple(findings),
        **facts,
    )
