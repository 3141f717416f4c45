"""One split into training, validation and test rows, by the rule that the data ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.data import Dataset
from shoal.resample.plan import SplitIndices

Rows = NDArray[np.int64]
FEWEST_ROWS = 6
GROUP_DRAWS = 20  # tries to find whole groups that leave every class in the training part


def hold_out(dataset: Dataset, *, seed: int, validation_frac: float = 0.15, test_frac: float = 0.15) -> SplitIndices:
    """Training, validation and test rows.

    In order where the data have a time (the latest rows test), by whole groups where they have groups, else stratified
    by class, else shuffled. Where the source splits itself, its parts are kept, and only what is missing is taken off
    its training part.

    Args:
        dataset: rows with a target.
        seed: of the shuffle; equal seeds give equal plans.
        validation_frac: share of all rows (of the training part, where the source splits itself), above 0 and below 1.
        test_frac: likewise; together below 1.

    Returns:
        Disjoint ascending indices that together are all rows, or all of the source's parts.

    Raises:
        InputError: too few rows or groups, time and groups together, or a class that would not be in the training part.
    """
    if not (0 < validation_frac < 1 and 0 < test_frac < 1 and validation_frac + test_frac < 1):
        raise InputError(
            f"shares of {validation_frac} for validation and {test_frac} for test leave nothing to train on."
        )
    if dataset.time is not None and dataset.group is not None:
        raise InputError(f"{dataset.source}: time and groups cannot both decide the split; give one of them.")
    given, everything = dataset.given_split, np.arange(dataset.rows, dtype=np.int64)
    if given is not None and not given.any():
        given = None
    parts = {part: everything[given == part] if given is not None else everything[:0] for part in (1, 2)}
    train = everything if given is None else everything[given == 0]
    shares = {2: test_frac, 1: validation_frac}
    if given is not None:
        kept = " and ".join(word for part, word in ((1, "validation"), (2, "test")) if len(parts[part]))
        phrase = f"{kept} rows as the source gives them"
    else:
        phrase = ""
    if not len(train):
        raise InputError(f"{dataset.source}: the training part holds no row with an answer; give some to learn from.")
    total = len(train)
    for part in (2, 1):
        if len(parts[part]):
            continue
        train, parts[part], how = _take(dataset, train, shares[part] * total / len(train), seed, part)
        phrase = phrase if how in phrase else f"{phrase}; the rest {how}" if phrase else how
    _check_classes(dataset, train)
    return SplitIndices(train, parts[1], parts[2], phrase)


def _take(dataset: Dataset, rows: Rows, share: float, seed: int, part: int) -> tuple[Rows, Rows, str]:
    """Take a share of the rows: those that stay, those that were taken, and the method in words."""
    if len(rows) < FEWEST_ROWS:
        raise InputError(f"{dataset.source}: {_too_few(dataset, len(rows), part)}")
    state = int(np.random.SeedSequence([seed, part]).generate_state(1)[0])
    if dataset.time is not None:
        kept, taken = _latest(dataset, rows, share)
        return kept, taken, "in order of time, the latest rows last"
    if dataset.group is not None:
        kept, taken = _whole_groups(dataset, rows, dataset.group[rows], share, state)
        return kept, taken, "by whole groups"
    if dataset.task == "classification":
        kept, taken = _stratified(rows, dataset.target[rows].astype(np.int64), share, state)
        return kept, taken, "stratified by class"
    kept, taken = _shuffled(rows, share, state)
    return kept, taken, "at random"


def _too_few(dataset: Dataset, left: int, part: int) -> str:
    """Why no rows can be held out of those that are left, and what to do."""
    needed = f"at least {FEWEST_ROWS} are needed"
    if part == 1 and dataset.given_split is None and dataset.time is not None:
        return (
            f"rows of one time stay on one side, so only {left} of {dataset.rows} rows are earlier than the test rows, "
            f"and {needed} to train and to validate; give finer times, or leave `time` out."
        )
    if part == 1 and dataset.given_split is None and dataset.group is not None:
        return (
            f"whole groups stay on one side, so only {left} of {dataset.rows} rows are left beside the test rows, "
            f"and {needed} to train and to validate; give smaller groups, or leave `group` out."
        )
    return f"{left} rows are too few to hold some out; {needed}."


def _latest(dataset: Dataset, rows: Rows, share: float) -> tuple[Rows, Rows]:
    """The latest rows; rows of one moment stay together."""
    moments = np.zeros(0) if dataset.time is None else dataset.time[rows]
    ordered = np.sort(moments)
    boundary = ordered[len(rows) - max(1, round(share * len(rows)))]
    if boundary == ordered[0]:
        later = ordered[ordered > boundary]
        if not len(later):
            which = "all rows" if len(rows) == dataset.rows else f"all {len(rows)} rows that are left to divide"
            raise InputError(f"{dataset.source}: {which} have the same time, so they have no order to split by.")
        boundary = later[0]
    return rows[moments < boundary], rows[moments >= boundary]


def _whole_groups(
    dataset: Dataset, rows: Rows, groups: NDArray[np.int64], share: float, state: int
) -> tuple[Rows, Rows]:
    """Whole groups of about a share of the rows, classes balanced as far as groups allow."""
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    number = len(np.unique(groups))
    if number < 2:
        raise InputError(f"{dataset.source}: too few groups to hold whole ones out; at least three are needed.")
    folds = min(number, max(2, round(1 / share)))
    classes = dataset.target[rows].astype(np.int64) if dataset.task == "classification" else None
    everywhere = set(np.unique(classes)) if classes is not None else set()
    best: tuple[float, Rows, Rows] | None = None
    for draw in range(GROUP_DRAWS):
        splitter: Any = StratifiedGroupKFold if classes is not None else GroupKFold
        split = splitter(folds, shuffle=True, random_state=(state + draw) % 2**32)
        for kept, taken in split.split(rows, classes, groups):
            if classes is not None and set(np.unique(classes[kept])) != everywhere:
                continue
            miss = abs(len(taken) / len(rows) - share)
            if len(taken) and (best is None or miss < best[0]):
                best = (miss, rows[kept], rows[taken])
        if best is not None:
            return best[1], best[2]
    raise InputError(
        f"{dataset.source}: no whole groups can be held out so that every class stays in the training part; "
        "leave out the class that only one group has, or the groups."
    )


def _stratified(rows: Rows, classes: NDArray[np.int64], share: float, state: int) -> tuple[Rows, Rows]:
    """Each class by its share; one row of every class stays, however few there are."""
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    _, counts = np.unique(classes, return_counts=True)
    taken_rows = max(1, round(share * len(rows)))
    if counts.min() >= 2 and taken_rows >= len(counts) and len(rows) - taken_rows >= len(counts):
        split = StratifiedShuffleSplit(1, test_size=taken_rows, random_state=state)
        kept, taken = next(split.split(rows, classes))
    else:
        order = np.random.default_rng(state).permutation(len(rows))
        first = order[np.unique(classes[order], return_index=True)[1]]  # one row of each class, at random
        free = np.setdiff1d(np.arange(len(rows)), first)
        if not len(free):
            return np.sort(rows), rows[:0]
        chosen = (
            ShuffleSplit(1, test_size=min(taken_rows, len(free) - 1) or 1, random_state=state)
            if len(free) > 1
            else None
        )
        taken = free[next(chosen.split(free))[1]] if chosen else free
        kept = np.setdiff1d(np.arange(len(rows)), taken)
    return np.sort(rows[kept]), np.sort(rows[taken])


def _shuffled(rows: Rows, share: float, state: int) -> tuple[Rows, Rows]:
    from sklearn.model_selection import ShuffleSplit

    kept, taken = next(ShuffleSplit(1, test_size=max(1, round(share * len(rows))), random_state=state).split(rows))
    return np.sort(rows[kept]), np.sort(rows[taken])


def _check_classes(dataset: Dataset, train: Rows) -> None:
    if dataset.classes is None:
        return
    present = set(np.unique(dataset.target[train]).astype(int).tolist())
    absent = [name for code, name in enumerate(dataset.classes) if code not in present]
    if absent:
        raise InputError(
            f"{dataset.source}: the class {absent[0]!r} would not be in the training rows; "
            "give more rows of it, or leave it out."
        )
