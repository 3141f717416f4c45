"""`shoal.compare`: settings against each other; a planted difference is found, and chance is called chance."""

from __future__ import annotations

import json
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import shoal
from shoal.cli.compare import read_varied
from shoal.core.errors import InputError
from shoal.population import Member, Population

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 3))
    return x, np.where(x[:, 0] + 0.5 * rng.normal(size=400) > 0, "up", "down")


def linear() -> nn.Module:
    return nn.Linear(3, 2)


def test_a_learning_rate_that_teaches_nothing_is_clearly_worse_and_a_twin_is_chance() -> None:
    vary = {"lr": [0.01, 0.0100001, 1e-7]}
    found = shoal.compare(rows(), vary=vary, model=linear, replicates=6, epochs=4)
    codes = {decision.evidence["setting"]["lr"]: decision.code for decision in found.study.decisions}  # type: ignore[index,call-overload]
    assert codes == {0.0100001: "SHL462", 1e-7: "SHL461"}
    assert "lr 1e-07 is worse than lr 0.01" in found.study.answer and found.study.networks_trained == 18
    gains = [decision.evidence["interval"] for decision in found.study.decisions]
    assert all(-1 <= low < high <= 1 for low, high in gains)  # type: ignore[misc]
    assert found.folder is None


def test_a_setting_scores_what_its_networks_score_alone() -> None:
    """Against a loop over separate trainings, with the network's size and the batch size varied too."""
    vary = {"width": [4, 8], "batch_size": [16, 32], "optimizer": ["adam", "momentum"]}
    found = shoal.compare(rows(), vary=vary, replicates=2, epochs=2, seed=5)
    assert found.study.networks_trained == 16
    table = {str(row[0]): str(row[1]) for row in found.study.sections[0].tables[0].rows}
    from shoal.studies.subject import Subject

    fold = Subject.read(rows(), seed=5).fold
    for width, batch_size, optimizer in ((4, 16, "adam"), (8, 32, "momentum")):
        scores = []
        for seed in (5, 6):

            def net(width: int = width) -> nn.Module:
                return shoal.nn.Mlp(inputs=fold.inputs, outputs=2, width=width, depth=2).build()

            population = Population(net, [Member(seed=seed, optimizer=optimizer)])
            for record in population.train(
                fold.train.x,
                fold.train.y,
                epochs=2,
                batch_size=batch_size,
                order_seed=5,
                validation=(fold.validation.x, fold.validation.y),
            ):
                last = record.validation_score
            scores.append(float(last[0]))
        said = table[f"width {width}, batch_size {batch_size}, optimizer {optimizer}"]
        assert said == f"{100 * np.mean(scores):.1f} %"


@pytest.mark.parametrize(
    ("vary", "said"),
    [
        ({"optimizr": ["sgd", "adam"]}, "`optimizr` cannot be varied; did you mean `optimizer`"),
        ({"color": ["red", "blue"]}, "`color` cannot be varied; what can: optimizer, lr"),
        ({"lr": [0.1]}, "vary needs two values at least"),
        ({"lr": [0.1, 0.1]}, "lr 0.1 stands twice"),
        ({"lr": [0.1, "0.1"]}, "lr 0.1 stands twice"),
        ({"width": [32, np.int64(32)]}, "width 32 stands twice"),
        ({"width": [True, 32]}, "width cannot be True"),
        ({"width": [float("inf"), 32]}, "width cannot be inf"),
        ({"width": [32, 65536]}, "8 networks of width 65536 need about .* GiB"),
        ({"lr": [0.1, ""]}, "lr has an empty value"),
        ({"seed": [1, 2]}, "`seed` cannot be varied; replicates, or --replicates, are seeds"),
        ({"model": ["mlp", "cnn"]}, "give it as model=, or --model"),
        ({"depth": [1, 2], "init": ["nope"]}, "init"),
        ({1: [1, 2]}, "vary needs a dict"),
        ([("lr", [1, 2])], "vary needs a dict"),
        ({"lr": 0.1}, "needs the values of `lr` as a list"),
        ({"lr": []}, "needs the values of `lr` as a list"),
        ({"optimizer": "adam"}, "needs the values of `optimizer` as a list"),
        ({"momentum": [0.5, 0.9]}, "has no momentum: leave it out. Or say which optimizer"),
        ({"width": [8.5, 16]}, "width cannot be 8.5: it is a whole number from 1 to 65536"),
        ({"width": [8, "wide"]}, "width cannot be 'wide'"),
        ({"lr": [0.001 * k for k in range(1, 300)]}, "2392 networks: compare 2000 at most"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(vary: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        shoal.compare(rows(), vary=vary)


def test_the_size_of_ones_own_network_is_its_authors() -> None:
    with pytest.raises(InputError, match="no width that can be set; what it has: no size"):
        shoal.compare(rows(), vary={"width": [8, 16]}, model=linear)


def test_the_command_that_is_kept_repeats_the_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shoal.cli import run

    line = ["iris", "--vary", "optimizer=sgd,adam", "--replicates", "2", "--epochs", "2", "--seed", "3", "--json"]
    assert run(["compare", *line, "--out", str(tmp_path / "one")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["study"] == "settings" and (tmp_path / "one/report.html").exists()
    words = document["command"].split()
    assert words[:3] == ["shoal", "compare", "iris"] and "optimizer=sgd,adam" in words
    assert run([*words[1:], "--json", "--out", str(tmp_path / "two")]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["decisions"] == document["decisions"] and again["sections"] == document["sections"]
    for verb in (["resume"], ["report"], ["predict"], ["evaluate"]):
        assert run([*verb, str(tmp_path / "one"), *(["iris"] if verb[0] in ("predict", "evaluate") else [])]) == 2
        assert "holds a study or a comparison, and no run" in capsys.readouterr().err
    assert run(["fit", "iris", "--range", "width=8:65536", "--out", str(tmp_path / "wide")]) == 2
    assert "4 networks of width 65536 need about" in capsys.readouterr().err and not (tmp_path / "wide").exists()
    assert run(["fit", "iris", "--range", "width=8:16", "--range", "width=4:8"]) == 2
    assert "--range names width twice" in capsys.readouterr().err
    assert run(["compare", "iris"]) == 2
    assert "say what differs, such as --vary optimizer=sgd,adam" in capsys.readouterr().err


def test_values_are_read_as_what_they_are() -> None:
    assert read_varied(["lr=1e-3,0.1", "optimizer=sgd, adam", "decoupled_weight_decay=true,none"]) == {
        "lr": [0.001, 0.1],
        "optimizer": ["sgd", "adam"],
        "decoupled_weight_decay": [True, None],
    }
    for text, said in (("lr", "cannot be read"), ("lr=", "cannot be read"), ("=1", "cannot be read")):
        with pytest.raises(InputError, match=said):
            read_varied([text])
    with pytest.raises(InputError, match="names lr twice"):
        read_varied(["lr=1,2", "lr=3,4"])


def test_what_diverges_is_said_of_whom_it_is_true() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    numbers = (x, x @ [1.0, 2.0, 3.0])
    given = {"replicates": 2, "epochs": 2}
    high = shoal.compare(numbers, vary={"lr": [0.01, 1e30], "optimizer": ["sgd"]}, **given).study
    assert [(d.code, d.sentence) for d in high.decisions] == [("SHL461", "lr 1e+30: every training diverged.")]
    assert "Trainings of 1 setting diverged" in high.answer
    first = shoal.compare(numbers, vary={"lr": [1e30, 0.01], "optimizer": ["sgd"]}, **given).study
    (decision,) = first.decisions
    assert decision.code == "SHL463" and "0 of 2 trainings diverged, and 2 with lr 1e+30" in decision.sentence
    assert "trainings with lr 1e+30 diverged, so that nothing can be compared" in first.answer


def test_what_changes_nothing_is_called_so() -> None:
    found = shoal.compare(rows(), vary={"dropout": [0.0, 0.5]}, model=linear, replicates=2, epochs=1).study
    assert [d.code for d in found.decisions] == ["SHL462"]
    assert "makes no difference here" in found.decisions[0].sentence


def test_one_row_of_difference_is_no_finding() -> None:
    """Two seeds with the same small difference have no spread, which says nothing."""
    from shoal.comparison import Compared, Design, Level
    from shoal.losses import find
    from shoal.studies.settings import _against

    levels = {(("lr", each),): Level(Member(), lambda split: None, [None]) for each in (0.1, 0.2)}  # type: ignore
    compared = Compared(Design(levels, (0, 1), find("cross_entropy"), 1, 8))
    for level, score in zip(levels, (0.90, 0.95), strict=True):
        compared.score[level], compared.loss[level] = np.full((2, 1), score), np.array([[score], [0.1]])
    first, other = levels
    assert _against(compared, other, first, 0.95, "accuracy", 20).verdict == "chance"
    assert _against(compared, other, first, 0.95, "accuracy", 2000).verdict == "better"


def test_values_that_hold_commas_are_repeated_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    vary = {"betas": [(0.9, 0.99), [0.8, 0.9]], "decoupled_weight_decay": [None, True], "lr": [np.float32(0.5)]}
    found = shoal.compare("iris", vary=vary, replicates=2, epochs=1)
    words = shlex.split(found.document["command"])
    written = [word for before, word in pairwise(words) if before == "--vary"]
    assert written == ["betas=0.9,0.99;0.8,0.9", "decoupled_weight_decay=none,true", "lr=0.5"]
    assert read_varied(written) == {**vary, "betas": [(0.9, 0.99), (0.8, 0.9)], "lr": [0.5]}
    assert "lr" not in found.study.answer  # all have it
    with pytest.raises(InputError, match="takes no augment"):
        shoal.compare("iris", vary={"lr": [0.1, 0.2]}, augment="hflip")


def test_augmentation_knows_black_and_white(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.studies import settings

    seen = []

    def run(design: Any, runner: Any) -> Any:
        seen.extend(fold.pixels for level in design.levels.values() for fold in level.folds)
        raise InputError("enough")

    monkeypatch.setattr(settings, "compare", run)
    for vary, known in (({"augment": ["none", "brightness=0.2"]}, True), ({"lr": [0.1, 0.2]}, False)):
        with pytest.raises(InputError, match="enough"):
            shoal.compare("digits", vary=vary)
        assert [pixels is not None for pixels in seen] == [known] * 2
        seen.clear()
