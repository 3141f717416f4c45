"""The clock, the record and the table of benches; what a bench measures is not tested, how it measures is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from time import sleep

import pytest

from shoal.bench import catalogue, record, timing
from shoal.bench.case import Case
from shoal.cli.bench import _show
from shoal.core.errors import InputError
from tests.cli.test_usage import shoal


def test_sides_take_turns_after_the_warm_up() -> None:
    calls: list[str] = []

    def side(name: str, taken: float) -> timing.Side:
        def once() -> float:
            calls.append(name)
            return taken * len(calls)

        return once

    seconds = timing.in_turns({"a": side("a", 1.0), "b": side("b", 1.0)}, repeats=3, warmup=2)
    assert calls == [*"ab", *"ba"] * 2 + [*"ab"]  # nobody is always the first, who finds the caches empty
    assert seconds == {"a": [5.0, 8.0, 9.0], "b": [6.0, 7.0, 10.0]}  # the first two turns are not among them
    with pytest.raises(InputError, match="at least one repeat, not 0"):
        timing.in_turns({}, repeats=0)


def test_the_clock_holds_the_work_and_the_wait_but_not_what_prepares() -> None:
    side = timing.clocked(lambda: sleep(0.02), prepare=lambda: sleep(0.2), finish=lambda: sleep(0.02), calls=2)
    assert 0.03 <= side() < 0.1  # (2 x 0.02 + 0.02) / 2


def test_a_case_has_medians_their_ratio_and_the_spread_of_paired_ratios() -> None:
    ours, theirs = iter([9.0, 1.0, 2.0, 4.0]), iter([9.0, 6.0, 6.0, 4.0])
    (case,) = timing.against("sum", lambda: next(ours), {"loop": lambda: next(theirs)}, 3, targets={"loop": 2.5})
    assert case == Case("sum", 2.0, "loop", 6.0, 3.0, 2.5, 3, (1.0, 6.0))
    assert case.verdict == "met"
    assert dataclasses.replace(case, target=3.5).verdict == "missed"
    assert dataclasses.replace(case, target=None).verdict == "no target"
    assert Case.missing("sum", "jax", "jax is not installed", 1.0).verdict == "not measured"
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.ratio = 1.0  # type: ignore[misc]


def test_json_has_the_fields_that_other_programs_read() -> None:
    assert {"case", "shoal_s", "peer", "peer_s", "ratio", "target"} <= set(Case("a", 1.0, "b", 2.0, 2.0).as_json())


def test_every_bench_that_is_offered_has_its_function() -> None:
    assert {"optim", "startup"} <= set(catalogue.available()) <= set(catalogue.BENCHES)
    for name in catalogue.available():
        assert callable(catalogue.bench(name))
    with pytest.raises(InputError, match=r"no bench `optimm`.*`optim`"):
        catalogue.bench("optimm")


def test_a_record_says_where_when_and_with_what(tmp_path: Path) -> None:
    found = record.document("optim", [Case.measured("a", [1.0], "b", [2.0])], quick=True)
    assert found["machine"]["cores"] >= 1 and found["machine"]["cpu"]
    assert {"torch", "shoal", "python"} <= set(found["versions"])
    assert found["n"] == 1 and found["quick"] is True and found["cases"][0]["ratio"] == 2.0
    assert record.path_for(found, str(tmp_path / "own.json")) == tmp_path / "own.json"
    assert record.path_for(found, str(tmp_path)).name.startswith(f"optim-{found['date']}-")


def test_the_table_names_met_and_missed_targets_and_missing_peers(tmp_path: Path) -> None:
    cases = [
        Case.measured("adam", [1.0, 2.0, 3.0], "torch", [2.0, 4.0, 6.0], target=1.5, note="20 M weights"),
        Case.measured("adam", [1.0], "triad", [0.5], target=0.9),
        Case.missing("adam", "jax", "jax is not installed"),
    ]
    with open(tmp_path / "table", "w") as file:
        _show(cases, file)
    lines = (tmp_path / "table").read_text().splitlines()
    assert "2.00x" in lines[1] and lines[1].rstrip().endswith("met")
    assert "0.50x" in lines[2] and lines[2].rstrip().endswith("missed")
    assert "adam: 20 M weights" in lines
    assert "adam: jax is not compared: jax is not installed" in lines
    assert lines[-1].startswith("1 of 2 targets met.")


def test_the_program_prints_one_document_keeps_a_record_and_ends_with_0(tmp_path: Path) -> None:
    ended = shoal("bench", "startup", "--quick", "--json", "--record", "records", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    cases = json.loads(ended.stdout)
    assert {case["case"] for case in cases} == {"shoal --help", "import shoal"}
    assert all(case["ratio"] == pytest.approx(case["peer_s"] / case["shoal_s"]) for case in cases)
    (kept,) = (tmp_path / "records").glob("startup-*.json")
    assert json.loads(kept.read_text())["cases"] == cases


def test_without_a_name_the_benches_are_listed_and_a_wrong_one_is_bad_usage() -> None:
    ended = shoal("bench")
    assert ended.returncode == 0 and "shoal bench startup" in ended.stdout
    ended = shoal("bench", "startupp")
    assert ended.returncode == 2 and "`startup`" in ended.stderr and ended.stdout == ""
