"""`shoal report` on a stored run, through the real program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shoal.core.events import Event
from shoal.core.settings import FitSettings
from shoal.store.run_folder import RunFolder
from tests.cli.synthetic import finished_run, interrupted_run
from tests.cli.test_usage import shoal


def stored(folder: Path, events: list[Event]) -> RunFolder:
    settings = FitSettings(data="flowers.csv")
    run = RunFolder.create(folder, "flowers")
    key = run.write_settings(settings, {})
    with run.open_store(settings) as store:
        for each in events:
            store.append(key, each)
    return run


@pytest.mark.parametrize("events", [finished_run(), interrupted_run()], ids=["finished", "interrupted"])
def test_the_report_is_drawn_from_the_stored_events_alone(tmp_path: Path, events: list[Event]) -> None:
    run = stored(tmp_path / "runs" / "flowers", events)
    ended = shoal("report", "runs/flowers", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "runs/flowers/report.html\n"
    page = run.report_html.read_text(encoding="utf-8")
    assert "species" in page and "</html>" in page
    ended = shoal("report", "runs/flowers", "--json", cwd=tmp_path)
    document = json.loads(ended.stdout)
    assert document["report"] == "runs/flowers/report.html"
    assert document["events"] == len(run.read_events())


def test_a_folder_without_events_is_refused(tmp_path: Path) -> None:
    RunFolder.create(tmp_path / "empty", "empty")
    ended = shoal("report", str(tmp_path / "empty"))
    assert ended.returncode == 2
    assert "store.db is missing" in ended.stderr and not (tmp_path / "empty" / "report.html").exists()
