"""`shoal data describe` through the real program."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest


def shoal(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from shoal.cli import main; main()", "data", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, timeout=100, cwd=cwd)


def described(*arguments: object) -> dict:
    ended = shoal("describe", *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert {"rows", "kind", "target", "columns", "findings"} <= set(document)
    assert all({"name", "role", "missing", "unique", "note"} <= set(each) for each in document["columns"])
    assert all({"code", "sentence", "evidence"} <= set(each) for each in document["findings"])
    return document


def roles(document: dict) -> dict[str, str]:
    return {each["name"]: each["role"] for each in document["columns"]}


def test_titanic(shared_data: Path) -> None:
    document = described(shared_data / "titanic.csv.gz", "--target", "Survived")
    assert (document["rows"], document["kind"], document["target"]) == (891, "table", "Survived")
    assert roles(document) == {
        "PassengerId": "identifier", "Survived": "target", "Pclass": "numeric", "Name": "free text", "Sex": "category",
        "Age": "numeric", "SibSp": "numeric", "Parch": "numeric", "Ticket": "identifier", "Fare": "numeric",
        "Cabin": "category", "Embarked": "category",
    }  # fmt: skip
    assert sum(each["missing"] for each in document["columns"]) == 866
    assert [each["code"] for each in document["findings"]] == ["SHL201", "SHL202", "SHL208"]
    assert "Cabin in 687 of 891 rows (77 %)" in document["findings"][2]["sentence"]


def test_adult(shared_data: Path) -> None:
    found = roles(described(shared_data / "adult.csv.gz", "--target", "income", "--drop", "split"))
    assert list(found.values()).count("category") == 8
    assert list(found.values()).count("numeric") == 6


def test_covertype_has_nothing_wrong(shared_data: Path) -> None:
    document = described(shared_data / "covertype_15k.csv.gz", "--target", "Cover_Type")
    assert (len(document["columns"]), len(document["classes"]), document["findings"]) == (53, 7, [])


def test_the_time_of_etth1_is_found(shared_data: Path) -> None:
    document = described(shared_data / "ETTh1.csv.gz", "--target", "OT")
    assert roles(document)["date"] == "date"
    assert [each["evidence"]["column"] for each in document["findings"] if each["code"] == "SHL258"] == ["date"]
    timed = described(shared_data / "ETTh1.csv.gz", "--target", "OT", "--time", "date", "--ignore", "SHL256")
    assert roles(timed)["date"] == "time" and timed["findings"] == []


def test_a_folder_of_pictures(shared_data: Path, tmp_path: Path) -> None:
    with tarfile.open(shared_data / "fashion_folder.tar.gz") as archive:
        wanted = [each for each in archive.getmembers() if each.isdir() or each.name.endswith(("0.png", "5.png"))]
        archive.extractall(tmp_path, wanted, filter="data")
    document = described(tmp_path / "fashion_folder")
    assert (document["kind"], document["shape"], len(document["classes"])) == ("image", [28, 28], 10)
    assert document["columns"] == [] and document["findings"] == []
    assert document["split"]["test"] > 0


def test_without_a_target_and_as_a_page(shared_data: Path) -> None:
    assert described(shared_data / "titanic.csv.gz")["target"] is None
    page = shoal("describe", shared_data / "titanic.csv.gz", "--target", "Survived").stdout
    lines = page.splitlines()
    assert "891 rows of 12 columns, 8 to learn from" in lines[0]
    assert "0: 62 %" in lines[1] and lines[2].startswith("A run would train on 623 rows")
    cabin = next(line for line in lines if line.startswith("Cabin"))
    assert cabin.split()[:4] == ["Cabin", "category", "77", "%"]
    assert "\x1b" not in page and all(line == line.rstrip() for line in lines)


def test_a_page_that_shows_names_as_text_and_loads_nothing(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    rows = "".join(f"{i * 0.37:.2f},<b>{'xyz'[i % 3]}</b>,{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text(f"{hostile},{hostile[:-1]}\x1b[2J,y\n{rows}")
    ended = shoal("describe", "rows.csv", "--target", "y", "--report", "page.html", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "the page is page.html\n")
    assert "\x1b" not in ended.stdout
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>" not in page
    assert "60 rows of 3 columns" in page and "http" not in page.replace("http-equiv", "")


def test_given_roles_are_taken(tmp_path: Path) -> None:
    rows = "".join(f"{2100 + i % 7:05d},{'SML'[i % 3]},{i * 0.37:.2f},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text("zip,size,x,y\n" + rows)
    document = described(tmp_path / "rows.csv", "--target", "y", "--roles", "zip=numeric,size=ordered:L<M<S")
    assert roles(document) == {"zip": "numeric", "size": "ordered", "x": "numeric", "y": "target"}
    assert "L < M < S" in document["columns"][1]["note"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["descrbe"], "did you mean `describe`"),
        (["describe"], "DATA"),
        (["describe", "digts"], "did you mean digits"),
        (["describe", "rows.csv", "--roles", "x=colour"], "`colour`"),
        (["describe", "rows.csv", "--target", "yy"], "did you mean y?"),
        (["describe", "rows.csv", "--report", "rows.csv"], "the result would replace it"),
    ],
)
def test_bad_usage_is_one_sentence_and_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "rows.csv").write_text("x,y\n1,2\n3,4\n")
    ended = shoal(*arguments, cwd=tmp_path)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert words in ended.stderr
    assert (tmp_path / "rows.csv").read_text() == "x,y\n1,2\n3,4\n"
