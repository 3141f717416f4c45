"""Features to the numbers that a network sees: fitted on training rows, kept with the model as JSON and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, JsonValue
from torch import Tensor

from shoal.core.errors import InputError
from shoal.core.events import Finding, Record
from shoal.core.wording import count, listing
from shoal.data import ArrayFeatures, Dataset, Features, TableFeatures, codes
from shoal.prepare.block import NumberBlock, Source, fit_block
from shoal.prepare.categories import CategoryColumn, fit_category
from shoal.prepare.chain import names_of
from shoal.prepare.channels import LARGEST, ArrayRows, fit_arrays
from shoal.prepare.dates import DateColumn, fit_date
from shoal.prepare.fitted import Floats
from shoal.prepare.numbers import NumberColumn, fit_number
from shoal.prepare.rotation import EPS_FRAC

ARRAY_EPS_FRAC = 0.01  # of the mean variance, where arrays are whitened: their last axes are noise
PreparedColumn = Annotated[NumberColumn | CategoryColumn | DateColumn, Field(discriminator="kind")]


@dataclass(frozen=True)
class Prepared:
    """A network's inputs, and warnings about cells that had to be replaced."""

    x: NDArray[np.float32]  # [N, D] of tables, [N, C, L], [N, C, H, W] or [N, 1, D, H, W]
    warnings: tuple[Finding, ...]


class Preparation(Record):
    """The fitted preparation: of a table's columns, alone or its numbers together; or of the rows of an array."""

    how: str = "auto"
    columns: tuple[PreparedColumn, ...] = ()
    seen: dict[str, tuple[str, ...]] = {}  # rare categories of the training rows, which cause no warning
    numbers: NumberBlock | None = None  # where `how` names the steps for numbers
    arrays: ArrayRows | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared row."""
        return self.arrays.shape if self.arrays else (len(self.feature_names),)

    @property
    def feature_names(self) -> list[str]:
        """One name for each input of a table; none for anything else."""
        together = self.numbers.names() if self.numbers else []
        return together + [name for column in self.columns for name in column.names()]

    def transform(self, features: Features) -> Prepared:
        """Prepare any rows, by the statistics of the training rows.

        Args:
            features: as the reader gives them, new rows or old.

        Returns:
            float32 [N, ...] without NaN or infinity; warnings count unseen categories and filled cells.

        Raises:
            InputError: features of another shape or kind.
        """
        if self.arrays is not None:
            if not isinstance(features, ArrayFeatures):
                raise InputError("a table was given where the model was trained on arrays.")
            return Prepared(self.arrays.transform(features.array), ())
        if not isinstance(features, TableFeatures):
            raise InputError("an array was given where the model was trained on a table.")
        frame = features.frame
        together = [source.column for source in self.numbers.sources] if self.numbers else []
        needed = dict.fromkeys([*together, *(column.name for column in self.columns)])
        absent = [name for name in needed if name not in frame.columns]
        if absent:
            raise InputError(f"the columns {listing(absent)}, which the model needs, are missing.")
        blocks: list[NDArray[np.float32]] = []
        warnings: list[Finding] = []
        if self.numbers is not None:
            blocks.append(np.clip(self.numbers.transform(frame), -LARGEST, LARGEST).astype(np.float32))
            for source, flagged in zip(self.numbers.sources, self.numbers.impute.indicator, strict=True):
                warnings += [] if flagged or source.part else _filled(source.column, "number", frame)
        for column in self.columns:
            series = frame.get_column(column.name)
            if isinstance(column, CategoryColumn):
                block, foreign = column.transform(series)
                warnings += self._unseen(column, series, foreign)
                expected = column.missing
            elif isinstance(column, DateColumn):
                block = column.transform(series)
                expected = any(part.indicator for part in column.numbers) or self._flags_date(column.name)
            else:
                block = column.transform(series.to_numpy())
                expected = column.indicator
            warnings += [] if expected else _filled(column.name, column.kind, frame)
            blocks.append(block)
        return Prepared(np.concatenate(blocks, axis=1), tuple(warnings))

    def invert(self, x: NDArray[np.floating]) -> Floats:
        """Undo the preparation, as far as the steps and float32 allow.

        Args:
            x: prepared rows [N, ...], as `transform` gives them.

        Returns:
            Arrays: rows as stored, float64 [N, ...]. Tables: their numbers [N, sources], NaN where a cell was missing.

        Raises:
            InputError: another shape; or a table without a chain of steps (`how` is auto), whose inputs are not undone.
        """
        if self.arrays is not None:
            return self.arrays.invert(x)
        if self.numbers is None:
            raise InputError("this preparation cannot be undone: only numbers that went through named steps can.")
        if x.ndim != 2 or x.shape[1] != len(self.feature_names):
            raise InputError(f"rows of shape {list(x.shape[1:])}; prepared rows have {list(self.shape)}.")
        return self.numbers.invert(x[:, : len(self.numbers.names())].astype(np.float64))

    def parts(self) -> tuple[dict[str, JsonValue], dict[str, Tensor]]:
        """The preparation as a saved model keeps it: plain JSON, and the matrices that it names."""
        tensors: dict[str, Tensor] = {}
        return self.model_dump(mode="json", context={"tensors": tensors}), tensors

    @classmethod
    def of(cls, document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Preparation:
        """The preparation from what `parts` gave.

        Raises:
            ValueError, KeyError: the parts do not make one.
        """
        return cls.model_validate(document, context={"tensors": tensors})

    def to_json(self) -> str:
        """The whole preparation as text; numbers come back bit for bit."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Preparation:
        """The preparation that `to_json` wrote."""
        return cls.model_validate_json(text)

    def _flags_date(self, name: str) -> bool:
        """Whether dates of a column were missing in training, so that there is an input for that."""
        if self.numbers is None:
            return False
        flags = zip(self.numbers.sources, self.numbers.impute.indicator, strict=True)
        return any(flag for source, flag in flags if source.column == name)

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


def fit(dataset: Dataset, rows: NDArray[np.int64], how: str = "auto") -> Preparation:
    """The preparation of a data set, from the given rows alone.

    `auto`: numbers are filled with their median, standardised and softly clipped, many-valued ones also ranked;
    categories become one-hot; dates become their parts; channels of images, signals and volumes are standardised.
    Otherwise the named steps, and nothing else, transform the numbers of a table or the values of an array; categories
    and cycles of dates are prepared as in `auto`.

    Args:
        dataset: what to prepare.
        rows: training rows; no other row changes any statistic.
        how: `auto`, `none`, or steps joined by `+`: center, standardize, minmax, robust, robust-clip, quantile,
            quantile-uniform, pca, whiten, zca. Of arrays, the first seven look at each channel, the last three at whole
            rows of at most 4096 values.

    Raises:
        InputError: no rows, an unknown step, or a step that cannot work on these data.
    """
    if not len(rows):
        raise InputError("no training rows to fit the preparation on.")
    if how != "auto":
        names_of(how)
    if isinstance(dataset.features, ArrayFeatures):
        steps = "standardize" if how == "auto" else how
        array = dataset.features.array
        return Preparation(how=how, arrays=fit_arrays(dataset.kind, array, np.asarray(rows), steps, ARRAY_EPS_FRAC))
    frame = dataset.features.take(rows).frame
    columns: list[NumberColumn | CategoryColumn | DateColumn] = []
    sources: list[Source] = []
    seen: dict[str, tuple[str, ...]] = {}
    for column in dataset.schema.features():
        series = frame.get_column(column.name)
        if column.cells == "category":
            fitted, values = fit_category(column.name, series)
            seen[column.name] = tuple(sorted(values - set(fitted.values)))
            columns.append(fitted)
        elif column.cells == "date":
            date = fit_date(column.name, series, column.date_parts)
            if how != "auto":
                sources += [
                    Source(column=column.name, part=number.name.removeprefix(f"{column.name} "))
                    for number in date.numbers
                ]
                date = date.model_copy(update={"numbers": ()})
            columns.append(date)
        elif how == "auto" or column.cells == "boolean":
            columns.append(fit_number(column.name, series.to_numpy()))
        else:
            sources.append(Source(column=column.name))
    numbers = fit_block(frame, tuple(sources), how, EPS_FRAC) if sources else None
    return Preparation(how=how, columns=tuple(columns), seen=seen, numbers=numbers)


def _filled(name: str, kind: str, frame: pl.DataFrame) -> list[Finding]:
    """Warn of missing cells in a column that had none in training."""
    empty = frame.get_column(name).null_count()
    if not empty:
        return []
    how = "given no weight" if kind == "category" else "filled with the training median"
    return [
        Finding(
            code=codes.NEW_MISSING,
            level="warning",
            sentence=f"{name}: {count(empty, 'missing cell')}, where training had none, {how}.",
            evidence={"column": name, "rows": empty},
        )
    ]
