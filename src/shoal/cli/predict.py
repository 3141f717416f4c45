"""`shoal predict RUN DATA`: one prediction for each row."""

from __future__ import annotations

import csv
import io
from typing import Any

from shoal.cli.options import DEBUG, JSON, OWN_NETWORK, Argument, Option, takes
from shoal.cli.output import one_line, reserved_stdout, say, write_json

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a formula begins with, in one spreadsheet or another


@takes(
    Argument("run", "The folder of a run, such as runs/digits."),
    Argument("data", "New rows, in any form that `shoal fit` reads; the target may be missing."),
    Option("out", "Write the CSV there and not to standard output.", "FILE.csv"),
    OWN_NETWORK,
    JSON,
    DEBUG,
)
def predict(run: str, data: str, out: str | None, **also: Any) -> int:
    """Predict new rows: CSV, one line for each, with its number counted from 0 or its file, and its identifiers.

    Text stands there as it is in the data. In a spreadsheet import it as text, for a cell such as `=1+1` is a formula.
    """
    with reserved_stdout() as answer:
        from shoal import api
        from shoal.core import paths
        from shoal.core.atomic import write_atomically

        to = None if out is None else paths.to_write(out, beside=[data], outside=run)
        found = api.predict(run, data, also["model"])
        for finding in found.findings:
            say(one_line(f"{finding.level} {finding.code}: {finding.sentence}"))
        formulas = _formulas(found.columns, found.rows)
        if formulas:
            first = one_line(repr(formulas[0]))
            some = "1 text begins" if len(formulas) == 1 else f"{len(formulas):,} texts begin"
            say(f"{some} like a formula, such as {first}: in a spreadsheet import the columns as text")
        if to is not None:
            write_atomically(to, _as_csv(found.columns, found.rows))
            say(f"{len(found.rows):,} predictions are in {out}")
        if also["json"]:
            document: dict[str, Any] = {"run": run, "data": data, "columns": found.columns}
            document |= {"rows": found.rows} if out is None else {"out": out, "count": len(found.rows)}
            write_json(document | {"findings": [each.model_dump(mode="json") for each in found.findings]}, answer)
        elif out is None:
            if answer.isatty():
                rows = [[_cleaned(each) for each in row] for row in found.rows]
                say(_as_csv([_cleaned(each) for each in found.columns], rows).removesuffix("\n"), answer)
            else:  # for a program, as it is
                answer.write(_as_csv(found.columns, found.rows))
    return 0


def _formulas(columns: list[str], rows: list[list[Any]]) -> list[str]:
    """Texts that a spreadsheet would compute; they are written as they are, so that programs find what they gave."""
    from shoal.data.delimited import is_float

    texts = (each for row in (columns, *rows) for each in row if isinstance(each, str))
    return [text for text in texts if text.startswith(FORMULA) and not is_float(text)]


def _cleaned(cell: Any) -> Any:
    """Text that cannot steer a terminal; what is none as it is."""
    return one_line(cell) if isinstance(cell, str) else cell


def _as_csv(columns: list[str], rows: list[list[Any]]) -> str:
    """The rows; text as it is, to be joined on, and probabilities with the digits that float32 holds."""
    chances = columns.index("prediction") + 1
    found = [[*row[:chances], *(f"{each:.6g}" for each in row[chances:])] for row in rows]
    return "".join(_line(cells) for cells in (columns, *found))


def _line(cells: list[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that cells which hold either character are quoted
    return text.getvalue().removesuffix("\r\n") + "\n"
