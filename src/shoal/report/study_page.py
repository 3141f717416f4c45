"""A study as one HTML file: the run report's look, style sheet and charts, and a template of its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from shoal.report import page, pictures
from shoal.report.pictures import Chart

CHARTS = "charts_studies.js"


def render_study(document: Mapping[str, Any]) -> str:
    """A study's document as one self-contained HTML page.

    Args:
        document: what `study.json` holds: the `Study` of `shoal.studies.record` as JSON, and how to repeat it.

    Returns:
        The whole page. It loads nothing from anywhere, and shows every text of the study as text.
    """
    sections = []
    drawn: list[Chart] = []
    for section in document["sections"]:
        shown = [
            Chart(f"p{len(drawn) + k}", p["kind"], p["title"], p["caption"], p["data"])
            for k, p in enumerate(section["pictures"])
        ]
        drawn += shown
        sections.append({**section, "pictures": shown})
    scripts = [*page.SCRIPTS[:-2], CHARTS, *page.SCRIPTS[-2:]]  # charts are known before the page draws them
    script = "\n".join(
        [page.asset("vendor", "uPlot.iife.min.js"), *(page.asset("static", name) for name in scripts)]
    ).replace("</script", "<\\/script")
    data = {
        "metric": {"name": "", "word": "score", "share": False},
        "members": [],
        "chosen": [],
        "ensemble": False,
        "populations": [],
        "figures": {picture.id: {"kind": picture.kind, **picture.data} for picture in drawn},
    }
    urgent = [f for f in (*document["findings"], *document["decisions"]) if f["level"] in ("warning", "problem")]
    view: dict[str, Any] = {
        "study": document,
        "sections": sections,
        "urgent": urgent,
        "data": pictures.to_script(data),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": "\n".join(
            (
                page.asset("vendor", "uPlot.min.css"),
                page.asset("static", "report.css"),
                page.asset("static", "study.css"),
            )
        ),
        "level_words": page.LEVEL_WORDS,
    }
    return page.environment().get_template("study.html.j2").render(view)
