"""The description of data on a terminal: what gives way when it is narrow."""

from __future__ import annotations

import io

import pytest

from shoal.cli import description_view
from shoal.cli.console import Console
from shoal.data.schema import Column
from shoal.diagnose.description import Description

NOTE = "2000-01-01 to 2023-12-28; written as %d.%m.%y; years have two figures; 69 to 99 are read as 1969 to 1999"
DESCRIPTION = Description(
    source="rows.csv",
    kind="table",
    rows=200,
    columns=(
        Column(name="when_the_customer_came", role="date", feature=True, unique=168, note=NOTE),
        Column(name="d2", role="numeric", feature=True, missing=40, unique=1_193, note="0 to 1"),
    ),
)


@pytest.mark.parametrize("width", [64, 80, 140, 200])
def test_only_the_notes_shrink(width: int) -> None:
    page = io.StringIO()
    console = Console(page, width)
    for part in description_view._parts(DESCRIPTION, width):
        console.print(part)
    lines = page.getvalue().splitlines()
    table = lines[next(at for at, line in enumerate(lines) if line.startswith("column")) :][:3]
    assert table[0].split() == ["column", "holds", "missing", "values"]
    assert table[1].split()[:3] == ["when_the_customer_came", "date", "168"]
    assert table[2].split()[:4] == ["d2", "numeric", "20", "%"] and "1,193" in table[2]
    assert all(len(line) <= width for line in table) and ("1999" in table[1]) == (width == 200)


def test_a_pipe_keeps_the_names() -> None:
    page = io.StringIO()
    description_view.show(DESCRIPTION, page)
    assert "column                  holds    missing          values" in page.getvalue()
    assert "when_the_customer_came  date" in page.getvalue()
