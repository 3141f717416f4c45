"""The studies of normalization and of convolution on real data, with planted counterparts."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import signal

from shoal.core.errors import InputError
from shoal.core.returning import result_of
from shoal.studies import convolution, kernels, normalization, pictures
from shoal.studies.record import StudyOptions
from shoal.studies.subject import Subject

pytestmark = pytest.mark.usefixtures("one_thread")


def test_normalization_is_compared_by_depth_and_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(normalization.DEPTHS, "table", (2, 8))
    study = result_of(
        normalization.run(Subject.read("breast_cancer", most_rows=200), StudyOptions(replicates=3, epochs=1))
    )
    assert study.networks_trained == 2 * 4 * 6 * 3
    first, last = study.decisions
    assert set(first.evidence["difference"]) == {"batch", "layer", "group"}  # a table has no positions
    for name, value in last.evidence["difference"].items():
        low, high = last.evidence["interval_95"][name]
        assert low <= value <= high
    better = [name for name, (low, _) in last.evidence["interval_95"].items() if low > 0]
    assert last.code == ("SHL420" if better else "SHL421")
    assert all(name in last.sentence for name in better)
    assert [len(panel["series"]) for panel in study.sections[0].pictures[0].data["panels"]] == [4, 4]


def result(none: list[float], batch: list[float]) -> normalization.DepthScores:
    """Scores of three seeds at six learning rates, the best at the second one."""
    rates = len(normalization.LRS)
    scores = {name: np.full((rates, 3), 0.1) for name in ("none", "batch")}
    scores["none"][1], scores["batch"][1] = none, batch
    return normalization.DepthScores(6, scores, {name: np.zeros(rates) for name in scores})


def test_only_an_interval_above_zero_speaks_for_a_normalization() -> None:
    clear = normalization._decision(result([0.5, 0.6, 0.4], [0.7, 0.8, 0.61]), ["none", "batch"], "accuracy", 3)
    assert clear.code == "SHL420" and "batch" in clear.fix
    vague = normalization._decision(result([0.5, 0.6, 0.4], [0.4, 0.9, 0.41]), ["none", "batch"], "accuracy", 3)
    assert vague.code == "SHL421" and "chance" in vague.sentence and not vague.fix


def test_convolution_is_linear_and_shifts_commute_and_a_wrong_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    x = Subject.read("digits").fold.train.x[:8]
    found = {check.name: check for check in kernels.checks(x, seed=0)}
    for name in ("linear", "shift by 1", "shift by 2", "shift by 3", "flip"):
        assert found[name].holds, name
    assert not found["linear, with a ReLU"].holds
    assert found["linear"].dense < kernels.EXACT and found["shift by 1"].dense > 0.1
    real = kernels.conv
    monkeypatch.setattr(kernels, "conv", lambda x, w, **how: real(x, w, **how) + torch.arange(6.0).double())
    broken = {check.name: check for check in kernels.checks(x, seed=0)}
    assert not broken["shift by 1"].holds and not broken["linear"].holds


def test_weights_are_counted_as_torch_counts_them() -> None:
    for shape in ((1, 28, 28), (3, 32, 32), (2, 100), (1, 12, 12, 12)):
        counts = kernels.counts(shape)
        assert counts, shape
        for count in counts:
            rank = len(shape) - 1
            layer = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)[rank - 1](shape[0], 16, count.kernel)
            assert count.convolution == sum(p.numel() for p in layer.parameters())
            outputs = layer(torch.zeros(1, *shape))
            assert count.outputs == tuple(outputs.shape[1:])
            assert count.dense == outputs.numel() * (int(np.prod(shape)) + 1)


def test_filters_are_scipys() -> None:
    image = np.random.default_rng(0).normal(size=(12, 9))
    for kernel in kernels.KERNELS.values():
        padded = np.pad(image, [(n // 2, n // 2) for n in kernel.shape], mode="edge")
        wanted = signal.correlate2d(padded, kernel, mode="valid")
        np.testing.assert_allclose(kernels.filtered(image, kernel), wanted, atol=1e-12)


def decoded(uri: object) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(str(uri).partition(",")[2]))))


def test_the_convolution_study_shows_the_users_picture_and_the_kernels(tmp_path: Path) -> None:
    picture = np.zeros((300, 400), dtype=np.uint8)
    picture[:, 200:] = 255
    Image.fromarray(picture).save(tmp_path / "half.png")
    options = StudyOptions(replicates=2, epochs=2, image=str(tmp_path / "half.png"))
    study = result_of(convolution.run(Subject.read("digits"), options))
    assert study.decisions[0].code == "SHL430"
    shown = {image["say"]: decoded(image["uri"]) for image in study.sections[2].pictures[0].data["images"]}
    assert shown["the picture"].shape == (144, 192)
    upright, level = shown["upright edges (Sobel)"], shown["level edges (Sobel)"]
    assert (
        upright[70, 96] > 200 and abs(int(upright[70, 20]) - 127) <= 1
    )  # the edge alone answers, the middle grey is 0
    assert np.ptp(level[10:-10].astype(int)) == 0
    before, after = (p.data["images"] for p in study.sections[3].pictures)
    assert len(before) == len(after) == convolution.CHANNELS and before != after
    change = study.decisions[1].evidence["change"]
    assert 0.01 < change < 3 and study.decisions[1].code == ("SHL432" if change > convolution.LEARNED else "SHL433")


def test_signals_are_drawn_as_curves() -> None:
    generator = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = np.sin(np.linspace(0, 6, 40) * (1 + y[:, None])) + 0.1 * generator.normal(size=(80, 40))
    study = result_of(convolution.run(Subject.read((x, y), kind="signal"), StudyOptions(replicates=2, epochs=1)))
    assert study.sections[2].pictures[0].kind == "curves"
    assert len(study.sections[3].pictures[1].data["panels"][0]["series"]) == convolution.CHANNELS


def test_a_table_has_no_neighbours_and_a_bad_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no neighbours"):
        result_of(convolution.run(Subject.read("iris"), StudyOptions()))
    (tmp_path / "no.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"no\.png cannot be read"):
        result_of(convolution.run(Subject.read("digits"), StudyOptions(image=str(tmp_path / "no.png"))))


def test_pictures_keep_their_numbers() -> None:
    signed = pictures.signed(np.array([[-1.0, 0.0, 0.5]]))
    assert signed[0, 1].tolist() == [255, 255, 255] and signed[0, 0].tolist() == [0, 114, 178]
    line = pictures.series("a", [1.0], np.array([[0.9], [1.0], [1.1]]), within=(0.0, 1.0))
    assert line["band"][0][2] == 1.0  # type: ignore[index]


def test_the_subject_never_holds_test_rows() -> None:
    subject = Subject.read("digits", most_rows=300)
    assert len(subject.fold.train) == 300 and len(subject.fold.validation) == 150
    rows = {row.numpy().tobytes() for row in (*subject.fold.train.x, *subject.fold.validation.x)}
    test = subject.task.test.open().x.numpy()
    assert sum(row.tobytes() in rows for row in test) <= 1  # but for equal pictures
