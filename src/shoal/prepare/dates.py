"""A date column to inputs: the point in time, and its phase in the year, the week and the day."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.events import Record
from shoal.prepare.numbers import NumberColumn, fit_number

CYCLES = {"month": 12.0, "weekday": 7.0, "hour": 24.0}
GROWING = ("days", "year", "day")


class DateColumn(Record):
    """Days since 1970, year and day of the month as numbers; month, weekday and hour as a sine and a cosine each.

    Parts that do not vary over the training rows are left out. For a missing date the numbers are their medians and
    the cycles 0.
    """

    kind: Literal["date"] = "date"
    name: str
    numbers: tuple[NumberColumn, ...]
    cycles: tuple[Literal["month", "weekday", "hour"], ...]

    def names(self) -> list[str]:
        """Names of the inputs that it makes."""
        straight = [name for part in self.numbers for name in part.names()]
        return straight + [f"{self.name} {part} {wave}" for part in self.cycles for wave in ("sin", "cos")]

    def transform(self, moments: pl.Series) -> NDArray[np.float32]:
        """[N] dates to [N, inputs]."""
        columns = [part.transform(date_part(moments, part.name.removeprefix(f"{self.name} "))) for part in self.numbers]
        for part in self.cycles:
            angle = 2 * np.pi * np.nan_to_num(date_part(moments, part)) / CYCLES[part]
            known = ~moments.is_null().to_numpy()
            columns.append(np.stack([np.sin(angle) * known, np.cos(angle) * known], axis=1).astype(np.float32))
        return np.concatenate(columns, axis=1) if columns else np.zeros((moments.len(), 0), dtype=np.float32)


def fit_date(name: str, moments: pl.Series, parts: Literal["all", "cycles"]) -> DateColumn:
    """The parts that vary, and their statistics."""
    numbers = []
    for part in GROWING if parts == "all" else ():
        values = date_part(moments, part)
        if _varies(values):
            fitted = fit_number(f"{name} {part}", values)
            numbers.append(fitted if part == "days" else fitted.model_copy(update={"indicator": False}))
    cycles = [part for part in CYCLES if _varies(date_part(moments, part))]
    return DateColumn.model_validate({"name": name, "numbers": tuple(numbers), "cycles": tuple(cycles)})


def date_part(moments: pl.Series, part: str) -> NDArray[np.float64]:
    """One part of the dates, NaN where missing."""
    if part == "days":
        return moments.dt.epoch("us").cast(pl.Float64).to_numpy() / 86_400e6
    if part == "hour":
        return (moments.dt.hour().cast(pl.Float64) + moments.dt.minute().cast(pl.Float64) / 60).to_numpy()
    read = {"year": moments.dt.year, "day": moments.dt.day, "month": moments.dt.month, "weekday": moments.dt.weekday}[
        part
    ]
    return read().cast(pl.Float64).to_numpy()


def _varies(values: NDArray[np.float64]) -> bool:
    present = values[~np.isnan(values)]
    return len(present) > 1 and bool((present != present[0]).any())
