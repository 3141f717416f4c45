from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shoal.core.atomic import write_atomically
from shoal.core.errors import InputError, ShoalError


def test_text_and_bytes_are_written_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "größe\n")
    write_atomically(tmp_path / "b.bin", b"\x00\xff")
    assert (tmp_path / "a.json").read_bytes() == "größe\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "b.bin"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "words", "exit_code"),
    [(errno.ENOSPC, "disk is full", 1), (errno.EROFS, "may not be written", 2), (errno.EIO, "cannot", 1)],
)
def test_a_failed_write_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, words: str, exit_code: int
) -> None:
    path = tmp_path / "summary.json"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(ShoalError, match=words) as raised:
        write_atomically(path, "after" * 1000)
    assert str(path) in str(raised.value) and raised.value.exit_code == exit_code
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["summary.json"]


def test_a_missing_folder_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_atomically(tmp_path / "no" / "a.txt", "x")


def test_a_new_file_has_the_usual_rights(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.txt", "x")
    (tmp_path / "plain.txt").write_text("x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain.txt").stat().st_mode
