"""A description of data as one HTML file: what they are, what is wrong, what each column holds. No scripts."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from shoal.core.wording import percent
from shoal.data.schema import Column
from shoal.diagnose.description import Description
from shoal.report import formats, page

MOST_CLASSES = 6  # named in a sentence


def headline(description: Description) -> list[str]:
    """What the data are, in one sentence, and how they would be split."""
    name = PurePath(description.source).name or description.source
    kinds = {"table": "table", "image": "images", "signal": "signals", "volume": "volumes"}
    if description.kind == "table":
        used = sum(column.feature for column in description.columns)
        what = f"{formats.count(description.rows, 'row')} of {formats.count(len(description.columns), 'column')}"
        what += f", {used} to learn from" if description.target is not None else ""
    else:
        shape = " × ".join(str(side) for side in description.shape or ())
        what = f"{description.rows:,} {kinds[description.kind]} of {shape}"
        if description.values is not None:
            low, mean, high = description.values
            what += f", values {low:g} to {high:g}, mean {mean:.4g}"
    lines = [f"{name}: {what}."]
    if description.classes is not None:
        parts = [f"{name}: {percent(rows / description.rows)}" for name, rows in description.classes.items()]
        more = f" and {len(parts) - MOST_CLASSES} more" if len(parts) > MOST_CLASSES else ""
        shown = ", ".join(parts[:MOST_CLASSES])
        lines.append(f"Predicts {description.target}: {len(parts)} classes ({shown}{more} of all rows).")
    elif description.target is not None:
        lines.append(f"Predicts {description.target}, a number.")
    if description.split is not None:
        train, validation, test = (f"{description.split[part]:,}" for part in ("train", "validation", "test"))
        lines.append(f"A run would train on {train} rows, choose by {validation} and judge by {test}.")
    return lines


def render_description(description: Description) -> str:
    """The page of a description.

    Args:
        description: of the data.

    Returns:
        The whole page. It loads nothing from anywhere and runs nothing, and shows every text of the data as text.
    """
    rows = max(1, description.rows)
    columns: list[dict[str, Any]] = [
        {
            **column.model_dump(include={"name", "role", "missing", "unique"}),
            "note": own_note(column),
            "used": column.feature or column.role == "target",
            "share": percent(column.missing / rows) if column.missing else "",
            "width": max(1, round(100 * column.missing / rows)) if column.missing else 0,
        }
        for column in description.columns
    ]
    view = {
        "source": description.source,
        "sentences": headline(description),
        "findings": [finding.model_dump(mode="json") for finding in description.findings],
        "columns": columns,
        "classes": [
            {"name": name, "rows": number, "share": percent(number / rows), "width": max(1, round(100 * number / rows))}
            for name, number in (description.classes or {}).items()
        ],
        "style": page.asset("static", "report.css"),
        "level_words": page.LEVEL_WORDS,
    }
    return page.environment().get_template("description.html.j2").render(view)


def own_note(column: Column) -> str:
    """The note without the share of missing cells, which has a column of its own."""
    return "; ".join(part for part in column.note.split("; ") if not part.endswith(" missing"))
