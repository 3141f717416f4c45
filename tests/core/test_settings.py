from __future__ import annotations

import pytest

from shoal.core.budget import parse_budget
from shoal.core.errors import InputError
from shoal.core.names import closest
from shoal.core.reading import Reading
from shoal.core.settings import FitSettings, parse_range


@pytest.mark.parametrize(
    ("text", "seconds", "trials"),
    [("60s", 60.0, None), ("10m", 600.0, None), ("1.5h", 5400.0, None), (" Trials = 7 ", None, 7), ("0.5S", 0.5, None)],
)
def test_a_budget_is_a_time_or_a_number_of_trainings(text: str, seconds: float | None, trials: int | None) -> None:
    budget = parse_budget(text)
    assert (budget.seconds, budget.trials) == (seconds, trials)


@pytest.mark.parametrize("text", ["5x", "", "60", "0s", "-1m", "trials=0", "trials=1.5", "trials", "1e3s", "infs", "m"])
def test_another_budget_is_refused_and_the_allowed_ones_are_named(text: str) -> None:
    with pytest.raises(InputError, match=r"60s.*10m.*trials=200") as raised:
        parse_budget(text)
    assert f"`{text}`" in str(raised.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seed": -1}, "`seed`"),
        ({"kind": "picture"}, "`table`, `image`, `signal` or `volume`"),
        ({"budget": "5x"}, "`5x`"),
        ({"model": "resnet 50"}, "package.module:make_net"),
        ({"device": "gpu"}, "`auto`, `cpu` or `cuda`"),
        ({"epochs": 0}, "`epochs`"),
        ({"ignore": "101"}, "SHL101"),
        ({"targt": "y"}, "did you mean `target`"),
        ({"ranges": {"drop_out": (0.0, 0.5)}}, "did you mean `dropout`"),
        ({"ranges": {"lr": (1e-1, 1e-4)}}, "lower bound"),
        ({"ranges": {"lr": (0.0, 1e-1)}}, "above 0"),
        ({"ranges": {"dropout": (0.0, 1.5)}}, "both from 0 to less than 1"),
        ({"ranges": {"dropout": (0.5, 1.0)}}, "both from 0 to less than 1"),
        ({"ranges": {"dropout": (-0.1, 0.5)}}, "both from 0 to less than 1"),
        ({"ranges": {"label_smoothing": (0.5, 1.0)}}, "both from 0 to less than 1"),
        ({"ranges": {"momentum": (0.5, 1.0)}}, "both from 0 to less than 1"),
        ({"ranges": {"augment": (0.0, 1.1)}}, "both from 0 to 1"),
        ({"ranges": {"lr": (1e-4, float("nan"))}}, "lr"),
        ({"ranges": {"lr": (1e-4, float("inf"))}}, "lr"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_in_one_sentence(values: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as raised:
        FitSettings(data="iris", **values)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_settings_survive_json() -> None:
    settings = FitSettings(data="a.csv", drop="split", ranges={"lr": (1e-4, 1e-1), "dropout": (0.0, 0.5)}, seed=3)
    assert settings.drop == ("split",)
    assert FitSettings.model_validate_json(settings.model_dump_json()) == settings


def test_a_range_is_read_as_written() -> None:
    assert parse_range("weight_decay=1e-6:1e-2") == ("weight_decay", (1e-6, 1e-2))


@pytest.mark.parametrize("text", ["lr", "lr=1", "lr=a:b", "=1:2", "lr=1:2:3", "lr:1=2"])
def test_another_range_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_range(text)


def test_the_closest_names_come_first_whatever_their_case() -> None:
    assert closest("INCOM", ["outcome", "income", "age"])[0] == "income"
    assert closest("zzz", ["income", "age"]) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"targt": "y"}, "did you mean `target`"),
        ({"task": "ranking"}, "`classification` or `regression`"),
        ({"decimal": ";"}, "`.` or `,`"),
        ({"axes": "NLB"}, "`NCL`"),
        ({"axes": "NCL", "kind": "image"}, "signal"),
        ({"missing": True}, "`missing`"),
    ],
)
def test_a_way_of_reading_that_cannot_work_is_refused_in_one_sentence(values: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as raised:
        Reading(**values)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_part_that_speaks_of_reading_is_the_same_record_everywhere() -> None:
    settings = FitSettings(data="a.csv", drop="split", axes="nchw", missing="NA, ?", seed=3)
    assert settings.part() == Reading(drop=("split",), axes="NCHW", kind="image", missing=("NA", "?"))


WRONG = (-1, 1e300, "x\ny", [], [1], {"a": 1}, True, None, [[]], {"a": [1]}, {"a": {"b": 1}}, [None], float("nan"), "")


@pytest.mark.parametrize("name", FitSettings.model_fields)
def test_any_wrong_value_is_a_setting_or_one_sentence(name: str) -> None:
    for wrong in WRONG:
        try:
            FitSettings(**{"data": "iris", name: wrong})
        except InputError as error:
            assert str(error).isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("width=32.5:64", "its bounds are whole numbers"),
        ("depth=0:3", "both from 1 to 64"),
        ("batch_size=16:1e9", "both from 1 to 65536"),
        ("optimizer=1:2", "`optimizer` has no range: its values are names"),
    ],
)
def test_ranges_of_whole_numbers_and_of_names(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_range(text)


def test_a_batch_size_and_a_range_of_it_are_one_too_many() -> None:
    with pytest.raises(InputError, match="leave one of them out"):
        FitSettings(data="iris", batch_size=16, ranges={"batch_size": (16, 32)})
