"""Paths from outside: one sentence for each thing that can be wrong with one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shoal.core import paths
from shoal.core.atomic import write_atomically
from shoal.core.errors import InputError


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "empty path"),
        ("a\0b.csv", r"'a\\x00b.csv' is no path"),
        ("caf\udce9.csv", "not UTF-8; rename it"),
        (b"caf\xe9.csv", "not UTF-8; rename it"),
        ("~nobody-of-that-name/x.csv", r"no such user; write \./~nobody"),
        (5, "5 is no path"),
        (None, "None is no path"),
    ],
)
def test_what_no_path_can_be_is_refused(path: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        paths.given(path)


def test_a_path_is_taken_in_every_form_and_the_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert paths.given("~/x.csv") == Path("/home/ada/x.csv")
    assert paths.given(Path("a/x.csv")) == paths.given(b"a/x.csv") == Path("a/x.csv")


def test_whether_something_is_there_is_told_or_why_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("gone.csv")
    (tmp_path / "loop").symlink_to("loop")
    assert paths.there(tmp_path) and paths.there(tmp_path / "file") and paths.there(tmp_path / "link")
    assert not paths.there(tmp_path / "other")
    for name, words in (
        ("dangling", "is a link to gone.csv, which does not exist"),
        ("loop", "leads back to itself"),
        ("x" * 300, "longer than this system allows"),
        ("file/below", "a part of the path is a file"),
    ):
        with pytest.raises(InputError, match=words):
            paths.there(tmp_path / name)


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EIO, "the disk reports an error"), (errno.EACCES, "permission denied"), (errno.EISDIR, "is a folder"),
     (errno.ESTALE, "cannot be read: ")],
)  # fmt: skip
def test_what_the_system_reports_becomes_a_sentence(number: int, words: str) -> None:
    error = paths.read_error(Path("x.csv"), OSError(number, os.strerror(number)))
    assert words in str(error) and str(error).startswith("x.csv ") and str(error).endswith(".")


def test_a_file_is_written_through_a_link_and_never_over_a_device(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("pipe", "no ordinary file"), (".", "a folder")):
        with pytest.raises(InputError, match=words):
            write_atomically(tmp_path / name, "x")
    assert (tmp_path / "pipe").is_fifo()
    longest = "n" * 251 + ".csv"
    write_atomically(tmp_path / longest, "x")
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(["link", longest, "pipe", "real"])


def test_a_file_is_looked_at_before_the_work_whose_result_it_holds(tmp_path: Path) -> None:
    data, run = tmp_path / "data.csv", tmp_path / "run"
    data.write_text("x\n1\n")
    run.mkdir()
    (tmp_path / "other-name.csv").symlink_to("data.csv")
    (tmp_path / "hard.csv").hardlink_to(data)
    (tmp_path / "way-in").symlink_to("run")
    photos = tmp_path / "photos"
    (photos / "cats").mkdir(parents=True)
    (photos / "cats/1.png").touch()
    (photos / "linked.png").symlink_to(tmp_path / "new.png")
    (tmp_path / "new.png").touch()
    (tmp_path / "album").symlink_to("photos")
    refused = {
        data: "is what is read here",
        tmp_path / "run/../data.csv": "is what is read here",
        tmp_path / "other-name.csv": "is what is read here",
        tmp_path / "hard.csv": "is what is read here",
        photos / "cats/1.png": "is what is read here",
        photos / "linked.png": "is what is read here",
        tmp_path / "album/cats/1.png": "is what is read here",
        run / "summary.json": "lies in the run's folder",
        tmp_path / "way-in/new.csv": "lies in the run's folder",
        run: "is a folder",
        tmp_path / "none/new.csv": "there is no folder",
        tmp_path / ("a" * 300 + ".csv"): "longer than this system allows",
    }
    for path, words in refused.items():
        with pytest.raises(InputError, match=words):
            paths.to_write(path, beside=[data, "digits", tmp_path / "not-there", photos], outside=str(run))
    assert data.read_text() == "x\n1\n"
    assert paths.to_write(tmp_path / "new.csv", beside=[data], outside=str(run)) == tmp_path / "new.csv"
    assert paths.to_write("new.csv", beside=[data]) == Path("new.csv")
    assert paths.to_write(photos / "new.csv", beside=[photos]) == photos / "new.csv"
