"""What every runner must keep, as checks that can be run on any: a runner of one's own is tested with the same ones.

    @pytest.mark.parametrize("check", CONTRACT)
    def test_my_runner(check, tmp_path):
        check(MyRunner(), tmp_path)

Each raises AssertionError where the contract is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from shoal import losses
from shoal.core.errors import InputError
from shoal.experiment.architecture import BuiltIn
from shoal.experiment.cache import Arrays, Kept, Networks, NoCache
from shoal.experiment.job import Job
from shoal.experiment.run import Training, run
from shoal.experiment.runner import Runner, Threads
from shoal.experiment.trained import Trained
from shoal.nn.networks import Mlp
from shoal.population import EpochRecord, Member
from shoal.task import Part, Split

Check = Callable[[Runner, Path], None]

EPOCHS = 4
CLOSE = 1e-10  # float64
_SCORES = ("loss", "score", "validation_loss", "validation_score", "best_score", "best_loss", "lr")


def alone_or_together(runner: Runner, _: Path) -> None:
    """Law 2: every member is what it is in this process, and what it is alone, on one fold and on several."""
    for job in (a_job(), a_job(folds=(0, 1, 2, 0, 1))):
        here, there = run(job, three_folds()), run(job, three_folds(), runner)
        assert_equal(here, there, CLOSE)
    for row in (0, 4):
        job = a_job()
        alone = run(replace(job, members=job.members[row : row + 1]), three_folds(), runner)
        together = run(job, three_folds(), runner)
        assert torch.allclose(together.population.theta[row], alone.population.theta[0], atol=CLOSE, rtol=0)


def twice_is_the_same(runner: Runner, _: Path) -> None:
    """The same job gives the same bits."""
    assert_equal(run(a_job(), three_folds(), runner), run(a_job(), three_folds(), runner), 0)


def rows_that_end_move_no_others(runner: Runner, _: Path) -> None:
    """Pruned rows train no further, and the others are what they would have been, kept all or only the best."""
    whole = run(a_job(), three_folds(), runner)
    pruned = _pruned(a_job(), runner, NoCache(), {1: (1, 3)})
    assert pruned.last.status == ("ok", "pruned", "ok", "pruned", "ok"), pruned.last.status
    assert [len(record.trained) for record in pruned.records] == [5, 3, 3, 3]
    assert torch.equal(pruned.population.theta[[0, 2, 4]], whole.population.theta[[0, 2, 4]])
    job, worse = a_job(keep=3), {2: (0, 2)}
    assert_equal(_pruned(job, Threads(), NoCache(), worse), _pruned(job, runner, NoCache(), worse), CLOSE)


def resumed_is_uninterrupted(runner: Runner, folder: Path) -> None:
    """Law 8: left after any epoch and taken up again, here or by another runner, it ends the same."""
    for job in (a_job(), a_job(folds=(0, 1, 2, 0, 1))):
        whole = run(job, three_folds(), runner)
        for epochs in range(1, EPOCHS + 1):
            begun = _left(job, runner, folder, epochs)
            assert_equal(run(job, three_folds(), runner, begun), whole, 0)
            assert_equal(run(job, three_folds(), Threads(), _left(job, runner, folder, epochs)), whole, CLOSE)
            assert_equal(run(job, three_folds(), runner, _left(job, Threads(), folder, epochs)), whole, CLOSE)


def rows_that_ended_stay_so(runner: Runner, folder: Path) -> None:
    """Taken up again after rows were pruned, among them all that one worker may have had, it ends the same."""
    rows = {1: (2, 3, 4)}
    whole = _pruned(a_job(), runner, NoCache(), rows)
    shelf = Shelf(folder)
    _pruned(a_job(), runner, shelf, rows, 3)
    assert_equal(run(a_job(), three_folds(), runner, shelf), whole, 0)


def left_is_free_again(runner: Runner, _: Path) -> None:
    """A training that is dropped in the middle of its work leaves the runner ready for the next one."""
    with Training(a_job(), three_folds(), runner) as training:
        next(iter(training))
    assert_equal(run(a_job(), three_folds(), runner), run(a_job(), three_folds()), CLOSE)


def what_cannot_be_is_said(runner: Runner, _: Path) -> None:
    """A network that cannot take the rows is an InputError with its sentence, and the next job is carried out."""
    narrow = a_job(architecture=BuiltIn(Mlp(inputs=9, outputs=2, width=4, depth=1)))
    try:
        run(narrow, three_folds(), runner)
    except InputError as error:
        assert str(error).strip(), "the sentence is empty"
    else:
        raise AssertionError("a network for 9 inputs took rows of 6")
    run(a_job(), three_folds(), runner)


CONTRACT: Sequence[Check] = (
    alone_or_together,
    twice_is_the_same,
    rows_that_end_move_no_others,
    resumed_is_uninterrupted,
    rows_that_ended_stay_so,
    left_is_free_again,
    what_cannot_be_is_said,
)


class Shelf(NoCache):
    """A cache in a folder: it keeps what it is given, whenever it is asked.

    Args:
        folder: where the networks are written.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.count = folder, 0
        self.pieces: dict[tuple[str, str], Kept] = {}

    def recall(self, piece: str, key: str) -> Kept | None:
        """What was kept last."""
        return self.pieces.get((piece, key))

    def due(self) -> bool:
        """After every epoch."""
        return True

    def keep(
        self,
        piece: str,
        key: str,
        arrays: Arrays,
        document: object = None,
        population: Networks | None = None,
        *,
        done: bool = True,
    ) -> None:
        """Keep it."""
        self.count += 1
        path = None
        if population is not None:
            path = self.folder / f"{id(self)}-{self.count}.safetensors"
            population.save(path)
        self.pieces[piece, key] = Kept(arrays, dict(document or {}), path, done)  # type: ignore[call-overload]


def _left(job: Job, runner: Runner, folder: Path, epochs: int) -> Shelf:
    """A cache of a job that was dropped when it had told so many epochs; the last of them was not kept."""
    shelf = Shelf(folder)
    with Training(job, three_folds(), runner, shelf) as training:
        told = iter(training)
        for _ in range(epochs):
            next(told)
    return shelf


def _pruned(
    job: Job, runner: Runner, cache: NoCache, rows: Mapping[int, Sequence[int]], epochs: int | None = None
) -> Trained:
    """Prune rows after some of the epochs, by number; paused after so many epochs, or carried out to its end."""
    with Training(job, three_folds(), runner, cache) as training:
        for record in training:
            training.prune(rows.get(record.epoch, ()))
            if record.epoch == epochs:
                training.pause()
    return training.trained


def a_job(**settings: object) -> Job:
    """Five members that differ in what members differ in; `settings` replace those of the job."""
    members = tuple(
        Member(
            seed=k, optimizer=("adam", "momentum")[k % 2], lr=0.01 * (k + 1), schedule="cosine", dropout=0.1 * (k % 3)
        )
        for k in range(5)
    )
    given: dict[str, object] = {
        "architecture": BuiltIn(Mlp(inputs=6, outputs=2, width=8, depth=1)),
        "members": members,
        "loss": losses.find("cross_entropy"),
        "epochs": EPOCHS,
        "batch_size": 16,
        "patience": EPOCHS,
        "precision": "float64",
    }
    return Job(**{**given, **settings})  # type: ignore[arg-type]


def three_folds() -> list[Split]:
    """Of different lengths, each with rows of its own."""
    return [Split(train=_part(50 + 3 * k, k), validation=_part(30 + k, 10 + k)) for k in range(3)]


def _part(rows: int, seed: int) -> Part:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 6))
    return Part(torch.from_numpy(x), torch.from_numpy((x[:, 0] + random.normal(size=rows) > 0).astype(np.int64)))


def assert_equal(one: Trained, other: Trained, within: float) -> None:
    """Check that records and weights are."""
    assert one.rows == other.rows, (one.rows, other.rows)
    assert torch.allclose(one.population.theta, other.population.theta, atol=within, rtol=0)
    assert len(one.records) == len(other.records), (len(one.records), len(other.records))
    for mine, theirs in zip(one.records, other.records, strict=True):
        _assert_records(mine, theirs, within)


def _assert_records(one: EpochRecord, other: EpochRecord, within: float) -> None:
    assert (one.epoch, one.status) == (other.epoch, other.status)
    assert one.epochs.tolist() == other.epochs.tolist() and one.best_epoch.tolist() == other.best_epoch.tolist()
    for name in _SCORES:
        mine, theirs = getattr(one, name), getattr(other, name)
        assert np.allclose(mine, theirs, atol=within, rtol=0, equal_nan=True), (name, mine, theirs)
