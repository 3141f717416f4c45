"""A raw table to a `Dataset`: its target and its columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.reading import Reading
from shoal.core.wording import listing
from shoal.data import absence
from shoal.data.answers import without_unanswered
from shoal.data.dataset import Dataset, fingerprint
from shoal.data.frames import RawTable
from shoal.data.number_style import Signs
from shoal.data.schema import Column, Schema
from shoal.data.survey import check_columns, survey
from shoal.data.targets import Target, table_target


def table_dataset(
    raw: RawTable,
    *,
    name: str,
    reading: Reading,
    given: Target | None = None,
    given_split: NDArray[np.int8] | None = None,
) -> Dataset:
    """A data set from a table.

    Args:
        raw: the columns as they came.
        name: what to call the data.
        reading: target, time, group, columns to leave out, roles, task.
        given: the target where it did not come as a column.
        given_split: the parts where the source itself splits.

    Raises:
        InputError: a column that is not there, a target that cannot be learned, no feature left.
    """
    if reading.target is None and given is None:
        columns = listing(raw.frame.columns, 20)
        raise InputError(f"{raw.source}: no target given; say which column to predict (option `target`): {columns}.")
    check_columns(raw, reading)
    words = absence.words_of(raw, reading.missing)
    answer, said = given, list[Finding]()
    if answer is None:
        target, signs = reading.target or "", Signs.of(raw, reading.decimal)
        said, exact = absence.unused(raw.frame, reading.missing), reading.roles.get(target) == "exact"
        raw, kept = (raw, []) if exact else absence.for_target(raw, target, words, reading.task)
        raw, unanswered = without_unanswered(raw, target)
        said += [*kept, *unanswered]
        given_split = given_split if given_split is None or raw.numbers is None else given_split[raw.numbers]
        answer = table_target(raw, target, reading.task, signs, exact=exact)
    found = survey(raw, reading, answer)
    if found.features.frame.width == 0:
        raise InputError(f"{raw.source}: no column is left to learn from ({_why(found.columns)}).")
    facts: dict[str, object] = {
        "target": reading.target,
        "time": reading.time,
        "group": reading.group,
        "classes": answer.classes,
        "class_type": answer.class_type,
        "target_exact": reading.target is not None and reading.roles.get(reading.target) == "exact",
        "missing": words,
    }
    facts |= {"task": answer.task, "target_numbers": answer.style}
    schema = Schema.model_validate({"kind": "table", "columns": found.columns, **facts})
    return Dataset(
        name=name,
        source=raw.source,
        kind="table",
        task=answer.task,
        features=found.features,
        target=answer.values,
        classes=answer.classes,
        target_name=reading.target or "target",
        schema=schema,
        findings=(*raw.findings, *said, *answer.findings, *found.findings),
        given_split=given_split,
        time=found.moments,
        group=found.groups,
        content_hash=fingerprint(found.features, answer.values, given_split, found.moments, found.groups),
        row_keys=found.row_keys,
        numbers=raw.numbers,
    )


def _why(columns: Sequence[Column]) -> str:
    return (
        listing((f"{c.name}: {c.role}" for c in columns if not c.feature and c.role != "target"), 6)
        or "the target is all there is"
    )
