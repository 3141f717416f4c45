"""The study of augmentation: planted marks that need moving, digits that must not be turned over, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from shoal.augment import Augment, parse
from shoal.core.errors import InputError
from shoal.core.returning import result_of
from shoal.diagnose.label_preservation import Effort
from shoal.nn import Mlp
from shoal.studies import STUDIES, augmentation, find
from shoal.studies.record import Study, StudyOptions
from shoal.studies.subject import Subject
from shoal.task import Fold, Task
from tests.recipe.test_augmenting import SIDE, marks, places

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmentation, "EFFORT", Effort(rows=60, probes=1, steps=60))


def studied(data: tuple[torch.Tensor, torch.Tensor], rows: int = 1000, **options: object) -> Study:
    """With so many of the training rows."""
    x, y = data
    outputs = 1 if y.is_floating_point() else 2
    dense = Mlp(inputs=SIDE * SIDE, outputs=outputs, width=64, depth=1)
    subject = Subject.read((x[:, 0].numpy(), y.numpy().ravel()), kind="image", make_net=dense.build)

    class Few(Task):
        def fold(self, number: int = 0) -> Fold:
            whole = super().fold(number)
            return replace(whole, train=whole.train.take(torch.arange(min(rows, len(whole.train)))))

    few = replace(subject, task=Few(subject.task.dataset, subject.task.plans))
    return result_of(augmentation.run(few, StudyOptions(**options)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def of_marks() -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "EFFORT", Effort(rows=60, probes=1, steps=60))
        patch.setattr(augmentation, "BATCH", 16)
        patch.setattr(augmentation, "LR", 1e-2)
        return studied(marks(1500, 0), 120, augment="translate=0.2,brightness=0.01", replicates=8, epochs=30)


def test_every_operation_alone_and_together_is_compared_with_none(of_marks: Study) -> None:
    first, table = of_marks.decisions[0], of_marks.sections[0].tables[0]
    names = [row[0] for row in table.rows]
    assert names[:4] == ["none", "translate", "brightness", "together"]
    weakened = of_marks.sections[1].tables[0].rows[0][2] != "keep"  # by probes that learned little
    assert names[4:] == (["together, as allowed"] if weakened else [])
    assert set(first.evidence["difference"]) == set(names[1:])  # type: ignore[arg-type]
    assert of_marks.networks_trained == 8 * len(names)
    for name, strength, score, difference, _ in table.rows[1:]:
        value = first.evidence["difference"][name]  # type: ignore[index, call-overload]
        assert str(strength).startswith(str(name).partition(",")[0]) or "together" in str(name)
        assert f"{100 * value:+.1f} points" in str(difference)
        assert score == pytest.approx(table.rows[0][2] + value, abs=2e-4)  # type: ignore[operator]
    shown = of_marks.sections[2].pictures[0].data["images"]
    assert isinstance(shown, list) and len(shown) == len(names)


def test_planted_marks_are_known_by_moving_them_and_not_by_next_to_nothing(of_marks: Study) -> None:
    first = of_marks.decisions[0]
    within = first.evidence["interval_95"]
    assert isinstance(within, dict)
    assert within["translate"][0] > 0 and first.code == "SHL450"  # type: ignore[index]
    assert within["brightness"][0] <= 0 <= within["brightness"][1]  # type: ignore[index]
    assert (
        "translate" in first.sentence and "brightness +" not in first.sentence and "brightness -" not in first.sentence
    )


def test_seeds_are_paired() -> None:
    """What changes nothing scores as none does, seed by seed and to the last bit."""
    study = studied(marks(120, 0), augment="rotate=1e-9,brightness=1e-9", replicates=2, epochs=2)
    within = study.decisions[0].evidence["difference"]
    assert isinstance(within, dict) and abs(float(within["rotate"])) < 1e-6  # type: ignore[arg-type]


def test_a_number_is_studied_without_a_question_about_classes() -> None:
    study = studied(places(800, 0), 300, augment="translate=0.3", replicates=3, epochs=20)
    assert [each.code for each in study.decisions] == ["SHL451", "SHL452"]  # to move the spot is to change the answer
    assert "the target is a number" in study.sections[1].answer


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_changes_the_labels_of_digits_is_in_the_table_and_left_out_of_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(augmentation, "EFFORT", Effort(rows=250, probes=1, steps=250))
    study = result_of(
        augmentation.run(Subject.read("digits"), StudyOptions(augment="vflip,rotate=10", replicates=2, epochs=1))
    )
    verdicts = {str(row[0]): row[2] for row in study.sections[1].tables[0].rows}
    assert verdicts == {"vflip": "exclude", "rotate": "keep"}
    assert augmentation.KEPT in study.decisions[0].evidence["difference"]  # type: ignore[operator]
    assert [each.code for each in study.decisions if each.code.startswith("SHL40")] == ["SHL403", "SHL401"]


def test_the_settings_are_what_is_asked_and_what_is_left() -> None:
    asked = parse("hflip,rotate=10,padding=border")
    settings = augmentation._settings(asked, [])
    assert settings == {
        "none": Augment(),
        "hflip": Augment(hflip=0.5, padding="border"),
        "rotate": Augment(rotate=10, padding="border"),
        "together": asked,
    }
    assert list(augmentation._settings(parse("hflip"), [])) == ["none", "hflip"]


def test_what_cannot_be_studied_is_refused_in_one_sentence() -> None:
    assert "augmentation" in STUDIES and find("augmentation") is augmentation.run
    with pytest.raises(InputError, match="whose columns have no neighbours"):
        result_of(augmentation.run(Subject.read("iris"), StudyOptions()))
    digits = Subject.read("digits", most_rows=100)
    for text, words in (("hue", "3 channels"), ("none", "nothing to study"), ("rotat", "did you mean `rotate`")):
        with pytest.raises(InputError, match=words):
            result_of(augmentation.run(digits, StudyOptions(augment=text)))


def test_a_signal_is_drawn_as_curves() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.normal(size=(60, 32)) + np.sin(np.arange(32) / (2 + 2 * y[:, None]))
    subject = Subject.read((x, y), kind="signal")
    study = result_of(augmentation.run(subject, StudyOptions(augment="gain,translate", replicates=2, epochs=1)))
    picture = study.sections[2].pictures[0]
    assert picture.kind == "curves"
    lines = picture.data["panels"][0]["series"]  # type: ignore[index, call-overload]
    names = [line["name"] for line in lines]
    assert names[0] == "as they are" and "translate: translate=0.1" in names and "gain: gain=0.1" in names
    assert all(len(line["points"]) == 32 for line in lines)
    one, other = (np.array(lines[names.index(name)]["points"])[:, 1] for name in ("as they are", "gain: gain=0.1"))
    assert np.ptp(other / one) < 1e-3 and 0.9 <= (other / one).mean() <= 1.1
