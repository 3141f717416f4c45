"""Checks of the data and their split: the same rows on both sides, drift between them, labels that cannot be right.

No choice depends on the results. Of test rows only the inputs are read, never the targets (a copy is a copy whatever
its label), and labels are checked in training rows alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.core import process
from shoal.core.events import Finding
from shoal.core.wording import count, listing, percent
from shoal.data import ArrayFeatures, Dataset, TableFeatures, codes
from shoal.diagnose.neighbour_rows import nearest, vectors
from shoal.resample import SplitIndices

Rows = NDArray[np.int64]

NEAR = 0.02  # of the median distance to the nearest training row: below, a row is nearly a copy
NEAR_SHARE = 0.01  # of the test rows
MANY_SHARE, MANY_VALUES, MANY_COLUMNS = 0.2, 1000, 3  # distinct values of a column, and how many such columns
WARN_SHARE = 0.01
QUERIES, BASE = 1000, 20_000  # rows that are compared at most
DRIFT_ROWS = 1000  # of each side
DRIFT_AUC, DRIFT_Z = 0.6, 5.0
LABEL_ROWS = 2500
FEWEST_ROWS = 100
CONFIDENT = 0.6  # by how much another class must be more probable than the given one
SUSPECT_SHARE = 0.01  # of the rows
SUSPECT_OF_TWO, SUSPECT_OF_MANY = 0.35, 0.25  # of the rows that are told wrongly, by the number of classes
WEAK = 0.35  # share that is told wrongly: above, the model is too weak to doubt a label
TREES = 60
SHOWN = 20


def of_split(dataset: Dataset, plan: SplitIndices, *, thorough: bool = True) -> list[Finding]:
    """What is wrong with a split.

    Args:
        dataset: the rows.
        plan: the training, validation and test rows.
        thorough: also what needs a classifier of its own: drift and label noise (a few seconds at most).
    """
    found = [*_one_target(dataset, plan), *_copies(dataset, plan), *_near_copies(dataset, plan)]
    return [*found, *drift(dataset, plan), *label_suspects(dataset, plan.train)] if thorough else found


def _one_target(dataset: Dataset, plan: SplitIndices) -> Iterator[Finding]:
    """Validation rows of a regression that all have the same answer: R2 cannot be had from them."""
    values = dataset.target[plan.validation]
    if dataset.task != "regression" or not len(values) or (values != values[0]).any():
        return
    yield Finding(
        code=codes.ONE_TARGET,
        level="warning",
        sentence=f"{count(len(values), 'validation row')} with one target value, {values[0]:.6g}: R2 cannot be had "
        "from them. Networks are chosen by 1 - (mean squared error) / (variance of the training targets) instead.",
        evidence={"rows": len(values), "value": float(values[0])},
        fix="give more rows, or a split whose validation rows differ",
    )


def _keys(dataset: Dataset) -> NDArray[np.uint64] | NDArray[np.bytes_]:
    """A key for each row, equal for equal rows."""
    if dataset.row_keys is not None or not isinstance(dataset.features, ArrayFeatures):
        return dataset.row_keys if dataset.row_keys is not None else np.arange(dataset.rows, dtype=np.uint64)
    from hashlib import blake2b

    array = dataset.features.array
    digests = [blake2b(np.ascontiguousarray(row).data, digest_size=8).digest() for row in array]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)


def _copies(dataset: Dataset, plan: SplitIndices) -> Iterator[Finding]:
    keys = _keys(dataset)
    train = np.unique(keys[plan.train])
    both = {
        part: rows[np.isin(keys[rows], train)] for part, rows in (("validation", plan.validation), ("test", plan.test))
    }
    number = sum(len(rows) for rows in both.values())
    if not number:
        return
    share = {part: len(both[part]) / max(1, len(getattr(plan, part))) for part in both}
    parts = " and ".join(
        f"{count(len(rows), f'{part} row')} ({percent(share[part])})" for part, rows in both.items() if len(rows)
    )
    yield Finding(
        code=codes.ACROSS_SPLIT,
        level="warning" if max(share.values()) > WARN_SHARE else "note",
        sentence=f"{parts} {'is' if number == 1 else 'are'} also among the training rows, so the score says "
        "partly what was learned by heart.",
        evidence={
            "rows": {part: len(rows) for part, rows in both.items()},
            "first": {part: [dataset.number(row) for row in rows[:SHOWN]] for part, rows in both.items()},
        },
        fix="drop the copies, or keep them together by a column that they share (option group)",
    )


def _near_copies(dataset: Dataset, plan: SplitIndices) -> Iterator[Finding]:
    """Test rows far closer to a training row than the median test row, without being equal to it."""
    train, test = _some(plan.train, BASE), _some(plan.test, QUERIES)
    if len(test) < 20 or len(train) < 20 or not _tells_rows_apart(dataset):
        return
    distance, index = nearest(vectors(dataset, test, train), vectors(dataset, train, train))
    median = float(np.median(distance))
    keys = _keys(dataset)
    tables = not isinstance(dataset.features, ArrayFeatures)
    equal = distance == 0 if tables else keys[test] == keys[train[index]]  # equal features: few values, not copies
    near = (distance <= NEAR * median) & ~equal
    if median == 0 or near.mean() <= NEAR_SHARE:
        return
    near_rows = np.flatnonzero(near)[:SHOWN]
    pairs = [[dataset.number(int(test[row])), dataset.number(int(train[index[row]]))] for row in near_rows]
    of = "" if len(test) == len(plan.test) else f" of {len(test)} that were compared"
    yield Finding(
        code=codes.NEARLY_ACROSS_SPLIT,
        level="warning",
        sentence=f"{count(int(near.sum()), 'test row')}{of} ({percent(float(near.mean()))}) "
        f"nearly {'repeats' if near.sum() == 1 else 'repeat'} a training row: far closer than test rows usually "
        f"come, such as row {pairs[0][0]} to row {pairs[0][1]}.",
        evidence={"rows": int(near.sum()), "compared": len(test), "pairs": [list(pair) for pair in pairs]},
        fix="keep what belongs together on one side, by a column that says so (option group)",
    )


def _tells_rows_apart(dataset: Dataset) -> bool:
    """Whether equal rows are hardly equal by chance: a table needs several columns of many values for that."""
    if isinstance(dataset.features, ArrayFeatures):
        return True
    many = min(MANY_SHARE * dataset.rows, MANY_VALUES)
    rich = [c for c in dataset.schema.columns if c.feature and c.role == "numeric" and c.unique >= many]
    return len(rich) >= MANY_COLUMNS


def drift(dataset: Dataset, plan: SplitIndices) -> Iterator[Finding]:
    """A two-sample test by a classifier: can test rows be told from training rows by their features?

    Asked only where the split was not drawn at random. Out-of-bag votes of randomised trees stand for rows that
    they have not seen. Under no drift AUC is 1/2 with variance (n + m + 1) / (12 n m).

    Source: Lopez-Paz & Oquab 2017, there with a held-out half instead of votes out of bag.
    """
    drawn = dataset.time is None and dataset.group is None and dataset.given_split is None
    train, test = _some(plan.train, DRIFT_ROWS), _some(plan.test, DRIFT_ROWS)
    if drawn or min(len(train), len(test)) < FEWEST_ROWS // 2:
        return
    both = np.concatenate([train, test])
    side = np.repeat([0, 1], [len(train), len(test)])
    x = vectors(_untimed(dataset), both, train)
    auc = _auc(_out_of_bag(x, side)[:, 1], side)
    noise = np.sqrt((len(both) + 1) / (12 * len(train) * len(test)))
    if auc < DRIFT_AUC or (auc - 0.5) / noise < DRIFT_Z:
        return
    moved = _moved(_untimed(dataset), train, test)
    where = f"; most in {listing(name for name, _ in moved)}" if moved else ""
    expected = dataset.time is not None
    if expected:
        why = "later rows are not like earlier ones"
    else:
        why = "they come from other groups" if dataset.group is not None else "the parts were not drawn alike"
    yield Finding(
        code=codes.DRIFT,
        level="note" if expected else "warning",
        sentence=f"Test rows can be told from training rows (AUC {auc:.2f}, where chance is 0.50){where}: {why}, so "
        "validation may promise more than the test keeps.",
        evidence={"auc": auc, "chance_std": float(noise), "columns": {name: value for name, value in moved}},
        fix="ask what differs between the parts; where new rows will be like the test rows, choose by rows like them",
    )


def _untimed(dataset: Dataset) -> Dataset:
    """The data without the column that orders the rows, which tells the parts apart by design."""
    time = dataset.schema.time
    if not isinstance(dataset.features, TableFeatures) or time not in dataset.features.frame.columns:
        return dataset
    if dataset.features.frame.width == 1:
        return dataset
    return replace(dataset, features=TableFeatures(dataset.features.frame.drop(time)))


def _moved(dataset: Dataset, train: Rows, test: Rows) -> list[tuple[str, float]]:
    """Columns that alone tell the parts apart, by AUC, the strongest first."""
    if isinstance(dataset.features, ArrayFeatures):
        return []
    found: list[tuple[str, float]] = []
    side = np.repeat([0, 1], [len(train), len(test)])
    frame = dataset.features.take(np.concatenate([train, test])).frame
    for name in frame.columns:
        ranks = frame.get_column(name).rank("average").fill_null(0).to_numpy()
        alone = _auc(ranks, side)
        if max(alone, 1 - alone) >= DRIFT_AUC:
            found.append((name, max(alone, 1 - alone)))
    return sorted(found, key=lambda pair: -pair[1])[:5]


def label_suspects(dataset: Dataset, rows: Rows) -> Iterator[Finding]:
    """Labels that the out-of-bag votes of randomised trees contradict with confidence.

    Where classes overlap, votes are divided; where labels were mixed up, trees agree on another class. So the alarm is
    raised when much of what is told wrongly is told so with confidence, and not when the task is merely hard. On ten
    real data sets that share was 0.16 to 0.29 with two classes and 0 to 0.11 with more; with 3 to 15 % of the labels
    changed it was 0.39 to 0.50 on breast_cancer and 0.30 to 0.64 on digits, wine and heartbeats. The limits were set
    after these figures were seen; how often the alarm errs on other data is not known. Where a simple model is weak
    (pictures of clothes, objects or glands, incomes, forests, passengers) changed labels were not found.
    """
    if dataset.classes is None or len(rows) < FEWEST_ROWS:
        return
    chosen = _some(rows, LABEL_ROWS)
    labels = dataset.target[chosen].astype(np.int64)
    present = np.unique(labels)
    if len(present) < 2:
        return
    votes = _out_of_bag(vectors(dataset, chosen, chosen), np.searchsorted(present, labels))
    given = votes[np.arange(len(chosen)), np.searchsorted(present, labels)]
    best = votes.argmax(axis=1)
    wrong = present[best] != labels
    suspects = wrong & (votes.max(axis=1) - given >= CONFIDENT)
    enough = SUSPECT_OF_TWO if len(present) == 2 else SUSPECT_OF_MANY
    if suspects.mean() < SUSPECT_SHARE or suspects.sum() < enough * wrong.sum() or wrong.mean() > WEAK:
        return
    order = np.flatnonzero(suspects)[np.argsort(given[suspects] - votes.max(axis=1)[suspects], kind="stable")]
    listed = [
        {
            "row": dataset.number(int(chosen[i])),
            "label": dataset.classes[labels[i]],
            "rather": dataset.classes[present[best[i]]],
        }
        for i in order[:SHOWN]
    ]
    first = listed[0]
    of = "" if len(chosen) == len(rows) else f" of {len(chosen)} that were looked at"
    yield Finding(
        code=codes.LABEL_SUSPECTS,
        level="warning",
        sentence=f"{count(int(suspects.sum()), 'training label')}{of} ({percent(float(suspects.mean()))}) may be "
        f"wrong: a model that never saw them is sure of another class, such as row {first['row']}, given as "
        f"{first['label']!r} and taken for {first['rather']!r}.",
        evidence={"rows": int(suspects.sum()), "looked_at": len(chosen), "suspects": [dict(each) for each in listed]},
        fix="look at the rows that are listed; mend or delete what is wrong",
    )


def _out_of_bag(x: NDArray[np.float32], y: Rows) -> NDArray[np.float64]:
    """Mean votes [N, C] of the trees that did not see the row."""
    import warnings

    from sklearn.ensemble import ExtraTreesClassifier

    forest: Any = ExtraTreesClassifier(
        TREES, bootstrap=True, oob_score=True, min_samples_leaf=2, random_state=0, n_jobs=1
    )
    with process.warning_filters():
        warnings.simplefilter("ignore")  # a row that every tree was fitted on has no votes: NaN
        forest.fit(x, y)
    votes: NDArray[np.float64] = np.nan_to_num(forest.oob_decision_function_, nan=1 / (int(y.max()) + 1))
    return votes


def _auc(score: NDArray[np.float64], side: Rows) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(side, score))


def _some(rows: Rows, most: int) -> Rows:
    """The rows, or a fixed sample of them where there are too many."""
    if len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
