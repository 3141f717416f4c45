"""Features to the numbers that a network sees: fitted on training rows, kept with the model as plain JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from shoal.core.errors import InputError
from shoal.core.events import Finding, Record
from shoal.data import ArrayFeatures, Dataset, Features, TableFeatures, codes
from shoal.data.wording import count, listing
from shoal.prepare.categories import CategoryColumn, fit_category
from shoal.prepare.channels import ChannelScaling, fit_channels
from shoal.prepare.dates import DateColumn, fit_date
from shoal.prepare.numbers import NumberColumn, fit_number

PreparedColumn = Annotated[NumberColumn | CategoryColumn | DateColumn, Field(discriminator="kind")]


@dataclass(frozen=True)
class Prepared:
    """What a network sees, and what had to be bent to get there."""

    x: NDArray[np.float32]  # [N, D] of tables, [N, C, L], [N, C, H, W] or [N, 1, D, H, W]
    warnings: tuple[Finding, ...]


class Preparation(Record):
    """The fitted preparation: columns of a table, or the channels of anything else."""

    columns: tuple[PreparedColumn, ...] = ()
    seen: dict[str, tuple[str, ...]] = {}  # rare categories of the training rows, which are not news
    channels: ChannelScaling | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared row."""
        return self.channels.shape() if self.channels else (len(self.feature_names),)

    @property
    def feature_names(self) -> list[str]:
        """One name for each input of a table; none for anything else."""
        return [name for column in self.columns for name in column.names()]

    def transform(self, features: Features) -> Prepared:
        """Any rows by the training rows' statistics.

        Args:
            features: as the reader gives them, new rows or old.

        Returns:
            float32 [N, ...] without NaN or infinity; warnings count unseen categories and filled cells.

        Raises:
            InputError: features of another shape or kind.
        """
        if self.channels is not None:
            if not isinstance(features, ArrayFeatures):
                raise InputError("a table was given where the model was trained on arrays.")
            return Prepared(self.channels.transform(features.array), ())
        if not isinstance(features, TableFeatures):
            raise InputError("an array was given where the model was trained on a table.")
        absent = [column.name for column in self.columns if column.name not in features.frame.columns]
        if absent:
            raise InputError(f"the columns {listing(absent)}, which the model needs, are missing.")
        blocks: list[NDArray[np.float32]] = []
        warnings: list[Finding] = []
        for column in self.columns:
            series = features.frame.get_column(column.name)
            if isinstance(column, CategoryColumn):
                block, foreign = column.transform(series)
                warnings += self._unseen(column, series, foreign)
            elif isinstance(column, DateColumn):
                block = column.transform(series)
            else:
                block = column.transform(series.to_numpy())
            warnings += _filled(column, series)
            blocks.append(block)
        return Prepared(np.concatenate(blocks, axis=1), tuple(warnings))

    def to_json(self) -> str:
        """The whole preparation as text; numbers come back bit for bit."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Preparation:
        """The preparation that `to_json` wrote."""
        return cls.model_validate_json(text)

    def _unseen(self, column: CategoryColumn, series: pl.Series, foreign: NDArray[np.bool_]) -> list[Finding]:
        if not foreign.any():
            return []
        values = series.filter(pl.Series(foreign))
        news = values.filter(~values.is_in(self.seen.get(column.name, ())))
        if not news.len():
            return []
        shown = news.unique(maintain_order=True)
        treated = 'counted as "other"' if column.other else "given no weight"
        return [
            Finding(
                code=codes.UNSEEN_CATEGORIES,
                level="warning",
                sentence=f"{column.name}: {count(news.len(), 'row')} with values that training did not hold "
                f"({listing(shown, 5)}), {treated}.",
                evidence={"column": column.name, "rows": news.len(), "values": shown.head(20).to_list()},
            )
        ]


def fit(dataset: Dataset, rows: NDArray[np.int64]) -> Preparation:
    """The preparation of a data set, from the given rows alone.

    Numbers are filled with their median, standardised and softly clipped; categories become one-hot; dates become their
    parts; channels of images, signals and volumes are standardised.

    Args:
        dataset: what to prepare.
        rows: training rows; no other row changes any statistic.

    Raises:
        InputError: no rows.
    """
    if not len(rows):
        raise InputError("no training rows to fit the preparation on.")
    if isinstance(dataset.features, ArrayFeatures):
        return Preparation(channels=fit_channels(dataset.kind, dataset.features.array, np.asarray(rows)))
    frame = dataset.features.take(rows).frame
    columns: list[NumberColumn | CategoryColumn | DateColumn] = []
    seen: dict[str, tuple[str, ...]] = {}
    for column in dataset.schema.features():
        series = frame.get_column(column.name)
        if column.cells == "category":
            fitted, values = fit_category(column.name, series)
            seen[column.name] = tuple(sorted(values - set(fitted.values)))
            columns.append(fitted)
        elif column.cells == "date":
            columns.append(fit_date(column.name, series, column.date_parts))
        else:
            columns.append(fit_number(column.name, series.to_numpy()))
    return Preparation(columns=tuple(columns), seen=seen)


def _filled(column: NumberColumn | CategoryColumn | DateColumn, series: pl.Series) -> list[Finding]:
    """Missing cells in a column that had none in training."""
    empty = series.null_count()
    expected = {"number": "indicator", "category": "missing"}.get(column.kind)
    if not empty or (expected and getattr(column, expected)):
        return []
    if isinstance(column, DateColumn) and any(part.indicator for part in column.numbers):
        return []
    how = "given no weight" if isinstance(column, CategoryColumn) else "filled with the training median"
    return [
        Finding(
            code=codes.NEW_MISSING,
            level="warning",
            sentence=f"{column.name}: {count(empty, 'missing cell')}, where training had none, {how}.",
            evidence={"column": column.name, "rows": empty},
        )
    ]
