"""`shoal study` through the real program, and its page: one document, one folder, one offline file."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shoal.report.study_page import render_study

PROGRAM = [sys.executable, "-c", "from shoal.cli import main; main()"]


def shoal(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, timeout=115, cwd=cwd, env=quiet)


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("work")
    ended = shoal("study", "convolution", "digits", "--replicates", "2", "--epochs", "1", "--json", cwd=folder)
    return folder, ended


def test_json_is_one_document_and_the_folder_holds_it(studied: tuple[Path, Any]) -> None:
    folder, ended = studied
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    run = folder / "runs/convolution-digits"
    assert document == json.loads((run / "study.json").read_text())
    assert document["study"] == "convolution" and document["rows"]["test"] == 0
    assert document["command"] == "shoal study convolution digits --replicates 2 --epochs 1"
    assert all({"code", "sentence", "evidence", "level", "fix"} <= set(d) for d in document["decisions"])
    assert sorted(path.name for path in run.iterdir()) == ["report.html", "run.toml", "study.json"]
    assert "linear and shifts commute" in ended.stderr  # what a person reads is there too


def test_the_page_is_one_offline_file(studied: tuple[Path, Any]) -> None:
    page = (studied[0] / "runs/convolution-digits/report.html").read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["']?https?:""", page)
    assert "What do its kernels learn?" in page and "SHL430" in page


def test_a_second_study_takes_a_folder_of_its_own_and_a_taken_one_is_refused(studied: tuple[Path, Any]) -> None:
    folder, _ = studied
    ended = shoal("study", "convolution", "digits", "--out", "runs/convolution-digits", cwd=folder)
    assert ended.returncode == 2 and "already holds a run" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convolutoin", "digits"], "did you mean `convolution`"),
        (["convolution", "iris"], "no neighbours"),
        (["convolution", "none.npz"], "none.npz"),
        (["convolution", "digits", "--replicates", "1"], "replicates cannot be 1: it should be"),
        (["convolution", "digits", "--image", "none.png"], "none.png"),
        (["initialization", "digits", "--model", "nowhere:net"], "nowhere"),
    ],
)
def test_bad_usage_is_one_sentence_2_and_no_folder(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = shoal("study", *arguments, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    said = [line for line in ended.stderr.splitlines() if line.startswith("shoal: ")]
    assert len(said) == 1 and words in said[0]
    assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def document(text: str = "plain") -> dict[str, Any]:
    """A study whose every text is `text`, with each kind of chart."""
    curve = {
        "name": text,
        "points": [[1.0, 0.5], [2.0, None]],
        "band": [[1.0, 0.4, 0.6], [2.0, 0.1, 0.2]],
        "published": [[1.0, 0.5]],
    }
    edges = [0.0, 0.5, 1.0]
    histogram = {"title": text, "edges": edges, "rows": [{"name": "1", "shares": [0.4, 0.6], "ends": [0], "say": text}]}
    image = {"uri": "data:image/png;base64,iVBORw0KGgo=", "width": 4, "height": 4, "say": text}
    charts: dict[str, dict[str, Any]] = {
        "curves": {
            "panels": [{"title": text, "series": [curve]}],
            "x": {"label": "x", "log": True},
            "y": {"label": text},
        },
        "histograms": {"panels": [histogram], "x": {"label": text}, "ends": text},
        "images": {"images": [image], "size": 64},
        "clouds": {
            "panels": [{"title": text, "x": "x", "y": "y", "points": [[0.1, 0.2, 0], [0.3, 0.1, 0]]}],
            "groups": [text],
        },
        "differences": {
            "rows": [{"name": text, "value": 0.1, "low": -0.1, "high": 0.3}],
            "label": text,
            "percent": True,
        },
    }
    pictures = [{"kind": kind, "title": text, "caption": text, "data": data} for kind, data in charts.items()]
    table = {"title": text, "columns": [text, "n"], "rows": [[text, 1.5], [text, None]], "caption": text}
    finding = {"code": "SHL400", "level": "warning", "sentence": text, "evidence": {text: 1.0}, "fix": text}
    return {
        "title": text, "source": text, "answer": text, "numbers": [{"label": text, "value": "1", "note": text}],
        "decisions": [finding], "findings": [], "seed": 0, "networks_trained": 3, "seconds": 1.0, "data_hash": "0",
        "command": text, "rows": {"train": 1, "validation": 1, "test": 0}, "versions": {"shoal": "0"},
        "sections": [{"question": text, "answer": text, "tables": [table], "pictures": pictures}],
    }  # fmt: skip


def test_hostile_text_stays_text() -> None:
    page = render_study(document('</script><img src=x onerror="alert(1)">'))
    assert "<img src=x" not in page and "</script><img" not in page


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_each_chart_draws_in_a_browser_and_nothing_overflows(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium on the PATH")
    (tmp_path / "study.html").write_text(render_study(document("a text")), encoding="utf-8")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for width in (1280, 375):
            page = browser.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
            errors: list[str] = []
            page.on("console", lambda message, kept=errors: kept.append(message.text))
            page.on("pageerror", lambda error, kept=errors: kept.append(str(error)))
            page.goto((tmp_path / "study.html").as_uri())
            page.wait_for_selector("html[data-drawn]", state="attached")
            assert [e for e in errors if "image/png" not in e] == []
            assert page.locator("[data-plot] svg.chart").count() >= 5
            assert page.evaluate("document.documentElement.scrollWidth") == width
            page.locator("details.behind").first.evaluate("node => node.open = true")
            assert page.locator("[data-table] td").count() > 0
        browser.close()
