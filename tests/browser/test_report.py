"""The report in a real browser, with the network shut: it draws, answers to mouse and keyboard, fits, and saves."""

from __future__ import annotations

import csv
import io
import math
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from shoal.core import events as ev
from shoal.report import render
from tests.report import streams

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[..., "Seen"]


@dataclass
class Seen:
    """An open page, and everything that it complained of or asked the network for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium on the PATH")
    with sync_api.sync_playwright() as play:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = play.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("reports")

    def write(name: str) -> Path:
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(render(streams.EVERY[name]()), encoding="utf-8")
        return path

    return write


@pytest.fixture
def visit(chromium: Any, written: Callable[[str], Path]) -> Iterator[Open]:
    contexts = []

    def go(name: str, width: int = 1200, **options: Any) -> Seen:
        context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True, **options)
        contexts.append(context)
        seen = Seen(context.new_page())
        seen.page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
        seen.page.on("pageerror", lambda e: seen.errors.append(str(e)))
        seen.page.on("request", lambda r: seen.requests.append(r.url))
        seen.page.goto(written(name).as_uri())
        seen.page.wait_for_selector("html[data-drawn]", state="attached")
        return seen

    yield go
    for context in contexts:
        context.close()


def open_all(page: Any) -> None:
    page.evaluate("for (const d of document.querySelectorAll('.step > details')) d.open = true")
    page.wait_for_timeout(100)


LIT = """[...document.querySelectorAll("[data-plot]")]
  .filter((host) => host.querySelector(".ring, .line.lit")).map((host) => host.dataset.plot)"""
INKED = """(canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let n = 0;
  for (let k = 3; k < data.length; k += 4) if (data[k]) n++;
  return n / (data.length / 4);
}"""


@pytest.mark.parametrize("name", list(streams.EVERY))
def test_opens_without_a_network_an_error_or_a_request(visit: Open, name: str) -> None:
    seen = visit(name)
    open_all(seen.page)
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert seen.page.evaluate("window.hacked") is None
    hosts = seen.page.locator("[data-plot]")
    marks = seen.page.evaluate(
        """[...document.querySelectorAll("[data-plot]")]
             .map((h) => [h.dataset.plot, h.querySelectorAll("circle, path, rect").length])"""
    )
    assert hosts.count() == len(marks) > 2
    assert [plot for plot, drawn in marks if drawn < 3] == []


def test_the_curves_are_painted_and_the_diverged_leave_no_infinite_mark(visit: Open) -> None:
    seen = visit("classification")
    open_all(seen.page)
    shares = [canvas.evaluate(INKED) for canvas in seen.page.locator("canvas").element_handles()]
    assert len(shares) == 5  # two in the chapter, two of step 6, one of step 2
    assert all(share > 0.005 for share in shares)
    paths = seen.page.evaluate("[...document.querySelectorAll('path, circle, rect')].map(n => n.outerHTML).join(' ')")
    assert not re.search(r"NaN|Infinity|undefined|null", paths)
    thumbs = seen.page.evaluate(
        "[...document.querySelectorAll('[data-thumb]')].map(n => n.querySelectorAll('path, circle, rect').length)"
    )
    assert len(thumbs) == 7
    assert min(thumbs) >= 3


def test_pointing_at_a_network_lights_it_in_every_picture(visit: Open) -> None:
    page = visit("classification").page
    open_all(page)
    best = page.evaluate("JSON.parse(document.getElementById('shoal-data').textContent).figures['search-all'].best")
    dot = page.locator("#figure-search-all .stack").first
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    at = page.evaluate(
        """() => { const svg = document.querySelector("#figure-search-all .stack svg");
             const rings = [...svg.querySelectorAll("circle.chosen")];
             return rings.map(c => [+c.getAttribute("cx"), +c.getAttribute("cy")]); }"""
    )
    lit: set[int] = set()
    for x, y in at:
        page.mouse.move(box["x"] + x, box["y"] + y)
        said = page.locator("#figure-search-all .readout").inner_text()
        lit.add(int(re.match(r"Network (\d+)", said).group(1)))  # type: ignore[union-attr]
        pictures = set(page.evaluate(LIT))
        assert {"shoal-score", "shoal-loss", "search-all", "agreement"} <= pictures
        assert page.locator("#figure-shoal-score .readout").inner_text() == said
        assert page.locator("#figure-shoal-score .line.lit").count() == 2  # validation and training
    assert best in lit
    page.mouse.move(2, 2)
    assert page.locator(".ring, .line.lit").count() == 0


def test_a_line_can_be_pointed_at(visit: Open) -> None:
    page = visit("classification").page
    stack = page.locator("#figure-shoal-score .stack")
    stack.scroll_into_view_if_needed()
    box = stack.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.3)
    assert page.locator("#figure-shoal-score .readout.on").count() == 1
    assert page.locator("#figure-shoal-loss .line.lit").count() >= 1


def test_arrow_keys_walk_through_the_networks_from_the_best_down(visit: Open) -> None:
    page = visit("classification").page
    page.locator("[data-plot=shoal-score]").focus()
    page.keyboard.press("Home")
    first = page.locator("#figure-shoal-score .readout").inner_text()
    page.keyboard.press("ArrowRight")
    second = page.locator("#figure-shoal-score .readout").inner_text()
    assert first != second
    scores = [float(re.search(r"([\d.]+) % on validation", said).group(1)) for said in (first, second)]  # type: ignore[union-attr]
    assert scores[0] >= scores[1]
    assert page.locator("#announce").inner_text() == second
    page.keyboard.press("Escape")
    assert page.locator(".ring, .line.lit").count() == 0


def test_steps_unfold_by_keyboard_and_their_pictures_are_drawn(visit: Open) -> None:
    page = visit("classification").page
    steps = page.locator(".step > details")
    assert steps.count() == 7
    for k in range(7):
        page.locator(".step > details > summary").nth(k).focus()
        assert not steps.nth(k).evaluate("d => d.open")
        page.keyboard.press("Enter")
        page.wait_for_timeout(50)
        assert steps.nth(k).evaluate("d => d.open")
        hosts = steps.nth(k).locator("[data-plot]")
        assert hosts.count() >= 1
        for j in range(hosts.count()):
            assert hosts.nth(j).locator("svg.chart").count() >= 1


@pytest.mark.parametrize("name", list(streams.EVERY))
def test_narrow_screens_never_scroll_sideways(visit: Open, name: str) -> None:
    page = visit(name, width=375).page
    open_all(page)
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    small = page.evaluate(
        """[...document.querySelectorAll(".stack > svg")].filter((s) => s.getBoundingClientRect().right > 376).length"""
    )
    assert small == 0


@pytest.mark.parametrize("name", ["income", "classification"])
def test_narrow_screens_keep_words_whole_and_rows_low(visit: Open, name: str) -> None:
    page = visit(name, width=375).page
    open_all(page)
    high = """(s) => [...document.querySelectorAll(s)].map((e) => {
      const words = document.createRange();
      words.selectNodeContents(e);
      return [e.textContent, words.getBoundingClientRect().height];
    })"""
    keys = [(text, h) for text, h in page.evaluate(high, ".evidence dt") if h]
    assert "best" in [text for text, _ in keys]
    assert not [(text, h) for text, h in keys if len(text) < 12 and h > 30]
    assert not [(text, h) for text, h in page.evaluate(high, "#columns tbody tr") if h > 60]


CONTRAST = """() => {
  const parse = (c) => {
    const p = c.match(/[\\d.]+/g).map(Number);
    return c.startsWith("color(srgb") ? p.map((v, k) => (k < 3 ? 255 * v : v)) : p;
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let n = node; n; n = n.parentElement) {
      const c = parse(getComputedStyle(n).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    if (!node.checkVisibility() || node.closest(".unseen, .skip")) continue;
    if (![...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim())) continue;
    const style = getComputedStyle(node), drawn = node.namespaceURI.endsWith("svg");
    const a = light(parse(drawn ? style.fill : style.color)), b = light(ground(node.closest("svg") ?? node));
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.outerHTML.slice(0, 90)]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["classification", "interrupted", "large"])
def test_every_text_has_enough_contrast(visit: Open, name: str, scheme: str) -> None:
    page = visit(name, color_scheme=scheme).page
    open_all(page)
    found = page.evaluate(CONTRAST)
    assert len(found) > 300
    assert [entry for entry in found if entry[0] < 4.5] == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(20, 23, 26)" if scheme == "dark" else "rgb(253, 253, 252)")


def test_the_csv_button_gives_the_numbers_of_the_events(visit: Open) -> None:
    page = visit("classification").page
    with page.expect_download() as started:
        page.locator("#figure-shoal-loss [data-save=csv]").click()
    assert started.value.suggested_filename == "shoal-loss.csv"
    rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text())))
    saved = {(r["population"], int(r["network"]), int(r["epoch"])): r for r in rows}
    expected = 0
    for event in streams.classification():
        if isinstance(event, ev.EpochFinished):
            for k, member in enumerate(event.members):
                true = (event.train_loss[k], event.train_score[k], event.validation_loss[k], event.validation_score[k])
                if not any(map(math.isfinite, true)):
                    continue
                row = saved[event.population, member, event.epoch]
                expected += 1
                columns = ("training loss", "training score", "validation loss", "validation score")
                for column, value in zip(columns, true, strict=True):
                    assert float(row[column]) == pytest.approx(value, rel=1e-5)
    assert len(rows) == expected > 1000


def test_a_csv_of_hostile_names_runs_nothing_in_a_spreadsheet(visit: Open) -> None:
    page = visit("hostile").page
    with page.expect_download() as started:
        page.locator("#figure-search-all [data-save=csv]").click()
    rows = list(csv.reader(io.StringIO(Path(started.value.path()).read_text())))
    assert len({len(row) for row in rows}) == 1
    cells = [cell for row in rows for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in "=+@" and cell]


def test_the_svg_button_gives_a_file_that_stands_alone(visit: Open) -> None:
    page = visit("classification", color_scheme="dark").page
    with page.expect_download() as started:
        page.locator("#figure-shoal-score [data-save=svg]").click()
    text = Path(started.value.path()).read_text()
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "var(" not in text and "class=" not in text.replace('class="chart"', "")
    lines = [n for n in root.iter() if n.tag.endswith("path") and n.get("fill") == "none" and len(n.get("d", "")) > 30]
    assert len(lines) > 150  # every network
    assert any("".join(n.itertext()).startswith("Of 152 networks") for n in root.iter() if n.tag.endswith("text"))
    inks = {n.get("fill") for n in root.iter() if n.tag.endswith("text")}
    assert inks <= {"rgb(28, 31, 35)", "rgb(102, 112, 120)"}  # the light palette, whatever the page shows


def test_the_table_behind_a_picture_opens_with_its_numbers(visit: Open) -> None:
    page = visit("classification").page
    page.locator("#figure-importance .behind summary").click()
    cells = page.locator("#figure-importance table td").all_inner_texts()
    assert cells == ["learning rate", "0.62", "optimizer", "0.17", "dropout", "0.12", "weight decay", "0.03"]


def test_the_decision_log_filters_by_step_and_word(visit: Open) -> None:
    page = visit("classification").page
    entries = page.locator(".log > li:visible")
    everything = entries.count()
    page.locator("#filter-step").select_option("6")
    assert 0 < entries.count() < everything
    page.locator("#filter-text").fill("levelled off")
    assert entries.count() == 1
    assert page.locator("#filter-count").inner_text() == f"1 of {everything}"


def test_print_opens_the_steps_draws_vectors_and_leaves_the_page_as_it_was(visit: Open, tmp_path: Path) -> None:
    page = visit("classification").page
    state = """[".step > details[open]", ".stack svg svg path"].map((s) => document.querySelectorAll(s).length)"""
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    opened, lines = page.evaluate(state)
    assert opened == 7
    assert lines > 300
    page.emulate_media(media="print")
    assert page.locator(".contents:visible, .tools:visible, .uplot:visible").count() == 0
    assert page.locator(".step-body:visible").count() == 7
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(state)[0] == 0
    pdf = page.pdf(path=str(tmp_path / "report.pdf"))
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type/Page") > 4


def test_the_words_are_there_before_the_pictures_even_for_three_hundred_networks(visit: Open) -> None:
    page = visit("large").page
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert paint < 1500  # milliseconds, on two busy cores; measured near 300
    moved = page.evaluate(
        """() => new Promise((done) => { const t = performance.now(); Shoal.selection.move(5);
             requestAnimationFrame(() => { Shoal.selection.move(null); done(performance.now() - t); }); })"""
    )
    assert moved < 300  # lighting one network does not paint the others again


LYING = """(ids) => ids.flatMap((id) => [...document.querySelectorAll(`#figure-${id} svg.chart`)].flatMap((svg) => {
  const box = (node) => node.getBoundingClientRect();
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const words = [...svg.querySelectorAll("text.say")], dots = [...svg.querySelectorAll("circle")];
  return words.flatMap((word, k) => [...words.slice(k + 1), ...dots].filter((other) => meet(box(word), box(other)))
    .map((other) => `${id}: ${word.textContent} on ${other.textContent || "a dot"}`));
}))"""


def crowded() -> list[ev.Event]:
    """A run whose dots lie on its dashed lines, and whose bounds moved by little in two rounds."""
    out: list[ev.Event] = []
    for e in streams.income():
        if isinstance(e, ev.EnsembleChosen):
            e = e.model_copy(update={"path": [e.single + 0.001, e.single, e.single, e.single, e.single, e.single]})
        if isinstance(e, ev.InitialLosses):
            e = e.model_copy(update={"loss": [e.expected + 0.0001 * k for k in range(len(e.loss))]})
        if isinstance(e, ev.SearchRound) and e.step == 5:
            was = (2e-3 * (1 + 0.01 * e.round), 10**-1.9)
            moved = ev.Range(low=6e-4, high=4e-2, was=was, moved_in_round=e.round)
            e = e.model_copy(update={"ranges": {**e.ranges, "lr": moved}})
        out.append(e)
    return out


@pytest.mark.parametrize("width", [375, 1200])
def test_words_lie_on_no_dot_and_on_no_other_word(visit: Open, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setitem(streams.EVERY, "crowded", crowded)
    page = visit("crowded", width=width).page
    open_all(page)
    page.wait_for_timeout(100)
    assert page.locator("#figure-search-all text", has_text="round").count() >= 2
    assert page.evaluate(LYING, ["search-all", "step5-2-1", "step5-3-1", "step1-1-1", "path"]) == []
