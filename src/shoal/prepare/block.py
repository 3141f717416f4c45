"""The number columns of a table as one matrix: filled, flagged, and transformed together by a chain of steps."""

from __future__ import annotations

import numpy as np
import polars as pl

from shoal.core.events import Record
from shoal.prepare.chain import FittedStep, fit_chain
from shoal.prepare.dates import date_part
from shoal.prepare.fitted import Floats
from shoal.prepare.impute import Impute, fit_impute
from shoal.prepare.streaming import chunked


class Source(Record):
    """The source of one number: a column, or a part of a date."""

    column: str
    part: str = ""

    @property
    def name(self) -> str:
        """The name of its input."""
        return f"{self.column} {self.part}".rstrip()


class NumberBlock(Record):
    """Numbers of a table, filled with training medians and transformed by a chain; then flags of missing cells."""

    sources: tuple[Source, ...]
    impute: Impute
    steps: tuple[FittedStep, ...]

    def names(self) -> list[str]:
        """Names of the inputs that it makes."""
        given = [source.name for source in self.sources]
        flags = self.impute.names(given)[len(given) :]
        for step in self.steps:
            given = step.names(given)
        return given + flags

    def transform(self, frame: pl.DataFrame) -> Floats:
        """The frame's numbers to [N, inputs]."""
        cells = cells_of(frame, self.sources)
        values = self.impute.filled(cells)
        for step in self.steps:
            values = step.apply(values)
        return np.concatenate([values, self.impute.flags(cells)], axis=1)

    def invert(self, inputs: Floats) -> Floats:
        """[N, inputs] back to the numbers [N, sources], NaN where a flag says that the cell was missing."""
        flags = sum(self.impute.indicator)
        values, said = inputs[:, : inputs.shape[1] - flags], inputs[:, inputs.shape[1] - flags :]
        for step in reversed(self.steps):
            values = step.invert(values)
        return self.impute.invert(np.concatenate([values, said], axis=1))


def fit_block(frame: pl.DataFrame, sources: tuple[Source, ...], how: str, eps_frac: float) -> NumberBlock:
    """Fit medians and chain on the rows of the frame.

    Args:
        frame: the training rows.
        sources: its numbers; at least one.
        how: names of steps, joined by `+`.
        eps_frac: of whitening, as a share of the mean variance.
    """
    cells = cells_of(frame, sources)
    impute = fit_impute(chunked(cells))
    return NumberBlock(sources=sources, impute=impute, steps=fit_chain(how, chunked(impute.filled(cells)), eps_frac))


def cells_of(frame: pl.DataFrame, sources: tuple[Source, ...]) -> Floats:
    """The numbers as [N, sources], NaN for missing cells."""
    columns = []
    for source in sources:
        series = frame.get_column(source.column)
        columns.append(date_part(series, source.part) if source.part else series.cast(pl.Float64).to_numpy())
    return np.stack(columns, axis=1).astype(np.float64)
