"""Text tables: bytes to columns of text, with the line of each row.

Cells stay text here, so `02139` keeps its zero; `roles` decides later what a column holds. Two ways in, with one
meaning (a test holds them together): files without quotes go through polars, which is quick, after a count of the
delimiters of every line, because polars fills short rows silently; files with quotes, blank lines or old line ends go
through Python's `csv` in strict mode, which knows where a record begins. Takes about six times the size of the text, or
fifty bytes a cell where cells are short (measured: 5.4 for ten columns of a million long cells, 27 to 54 bytes for each
cell of one or two digits); both are checked before it is parsed.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.wording import count, listing
from shoal.data import codes
from shoal.data.frames import RawTable
from shoal.data.limits import check_bytes, check_columns, memory_bytes

DELIMITERS = (",", ";", "\t", "|")
READ_BYTES = 1 << 24
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16
BATCH_ROWS = 20_000
GROWTH = 6  # bytes in memory for each byte of text
CELL_BYTES = 50  # in memory for each cell


def read_delimited(path: Path) -> RawTable:
    """A CSV or TSV file, also gzipped, as columns of text.

    Raises:
        InputError: empty, header only, a ragged row, a broken quote, NUL bytes, an unknown encoding, duplicate or
            too many bytes; each names the line.
    """
    data = _read_bytes(path)
    text, findings = _decode(data, str(path))
    text = text.rstrip(b"\r\n")
    if not text.strip():
        raise InputError(f"{path} is empty: it needs a header line and rows.")
    delimiter = _delimiter(text, path)
    header, first_line = _header(text, delimiter, path)
    names, header_findings = _names(header, path)
    check_columns(len(names), str(path))
    number = text.count(delimiter.encode()) + max(text.count(b"\n"), text.count(b"\r"))
    check_bytes(CELL_BYTES * number, str(path), f"parsing {number} cells")
    if _plain(text):
        frame, lines = _by_polars(text, delimiter, names, first_line, path)
    else:
        frame, lines = _by_csv(text, delimiter, names, path)
    if frame.height == 0:
        raise InputError(f"{path} has a header and no rows: add rows below it.")
    return RawTable(frame, str(path), lines, (*findings, *header_findings), delimiter)


def _read_bytes(path: Path) -> bytes:
    bound = memory_bytes() // GROWTH
    if not path.name.lower().endswith(".gz"):
        check_bytes(GROWTH * path.stat().st_size, str(path), "reading this text")
        return path.read_bytes()
    blocks: list[bytes] = []
    size = 0
    try:
        with gzip.open(path, "rb") as file:
            while block := file.read(READ_BYTES):
                size += len(block)
                if not blocks and b"\0" in block and not block.startswith(WIDE_MARKS):
                    raise InputError(f"{path} holds no text inside; when it is an archive, unpack it first.")
                if size > bound:
                    check_bytes(GROWTH * size, str(path), "unpacking it, as far as it was read,")
                blocks.append(block)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked ({error}); check that it is a complete gzip file.") from error
    return b"".join(blocks)


def _line_at(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


def _decode(data: bytes, source: str) -> tuple[bytes, list[Finding]]:
    """The text as UTF-8 without a byte-order mark."""
    encoding = ""
    if data.startswith(WIDE_MARKS):
        encoding = "utf-16"
    elif b"\0" in data:
        line = _line_at(data, data.index(b"\0"))
        raise InputError(f"{source}, line {line}: a NUL byte; this is no text file, or a damaged one.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        line = _line_at(data, error.start)
        if encoding or _control_bytes(data):
            raise InputError(f"{source}, line {line}: not text in UTF-8; save the file as UTF-8.") from error
        encoding = "cp1252"
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            raise InputError(
                f"{source}, line {line}: not text in UTF-8 or Windows-1252; save the file as UTF-8."
            ) from error
        finding = Finding(
            code=codes.ENCODING,
            level="warning",
            sentence=f"The text is not UTF-8 (first seen in line {line}) and was read as Windows-1252.",
            evidence={"line": line, "encoding": encoding},
            fix="save the file as UTF-8 when accented letters look wrong",
        )
        return text.encode(), [finding]
    if not encoding:
        return data, []
    if "\0" in text:
        raise InputError(f"{source}: NUL characters; this is no text file, or a damaged one.")
    note = Finding(code=codes.ENCODING, sentence="The text was read as UTF-16.", evidence={"encoding": encoding})
    return text.encode(), [note]


def _control_bytes(data: bytes) -> bool:
    """Whether a text holds bytes that no text holds."""
    values = np.frombuffer(data, dtype=np.uint8)
    return bool(((values < 32) & (values != 9) & (values != 10) & (values != 13)).any())


def _records(text: bytes, delimiter: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Records with the line where each begins; broken quotes raise."""
    reader = csv.reader(
        io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline=""), delimiter=delimiter, strict=True
    )
    line = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            if "field limit" in str(error):
                raise InputError(
                    f"{path}, line {line}: a cell of more than {csv.field_size_limit()} characters; is a quote missing?"
                ) from error
            raise InputError(f"{path}, line {line}: {error}; check the quotes of this row.") from error
        if record is None:
            return
        yield line, record
        line = reader.line_num + 1


def _delimiter(text: bytes, path: Path) -> str:
    """The candidate that cuts the first records into the most columns, evenly; a comma when none does."""
    if path.name.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    best = (0.0, 0, ",")
    for candidate in DELIMITERS:
        head = _records(text, candidate, path)
        try:
            widths = [len(record) for _, record in islice(head, 50) if record]
        except InputError:
            continue
        if not widths or widths[0] < 2:
            continue
        even = sum(width == widths[0] for width in widths) / len(widths)
        if (even, widths[0]) > best[:2]:
            best = (even, widths[0], candidate)
    return best[2]


def _header(text: bytes, delimiter: str, path: Path) -> tuple[list[str], int]:
    """The first record that is not blank, and the line where it begins."""
    for line, record in _records(text, delimiter, path):
        if record and any(cell.strip() for cell in record):
            return record, line
    raise InputError(f"{path} is empty: it needs a header line and rows.")


def _names(header: list[str], path: Path) -> tuple[list[str], list[Finding]]:
    names = [cell.strip() for cell in header]
    findings: list[Finding] = []
    unnamed = [position for position, name in enumerate(names) if not name]
    for position in unnamed:
        names[position] = f"column_{position + 1}"
    if unnamed:
        sentence = f"{count(len(unnamed), 'column')} without a name: {listing(names[p] for p in unnamed)}."
        findings.append(Finding(code=codes.HEADER, sentence=sentence, evidence={"positions": [p + 1 for p in unnamed]}))
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in seen:
            raise InputError(
                f"{path}: columns {seen[name] + 1} and {position + 1} are both named {name!r}; rename one of them."
            )
        seen[name] = position
    if all(is_float(name) for name in names):
        sentence = f"The first line holds only numbers ({listing(names, 4)}) and was read as the names of the columns."
        fix = "put a line with names above it when it is data"
        findings.append(Finding(code=codes.HEADER, level="warning", sentence=sentence, fix=fix))
    return names, findings


def is_float(text: str) -> bool:
    """Whether Python reads the text as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(text: bytes) -> bool:
    """No quotes, no blank lines, and lines that end in one of the two common ways."""
    if b'"' in text or text.startswith((b"\n", b"\r")) or b"\n\n" in text or b"\n\r" in text:
        return False
    return text.count(b"\r") == text.count(b"\r\n")


def _ragged(path: Path, line: int, found: int, names: list[str]) -> InputError:
    return InputError(
        f"{path}, line {line}: {count(found, 'cell')} where the header names {count(len(names), 'column')}; "
        "mend or delete this line."
    )


def _by_polars(
    text: bytes, delimiter: str, names: list[str], first_line: int, path: Path
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    values = np.frombuffer(text, dtype=np.uint8)
    ends = np.append(np.flatnonzero(values == ord("\n")), len(values))  # the last line has lost its end
    cuts = np.searchsorted(np.flatnonzero(values == ord(delimiter)), ends)
    cells = np.diff(cuts, prepend=0) + 1  # [lines]
    wrong = np.flatnonzero(cells != len(names))
    if len(wrong):
        raise _ragged(path, int(wrong[0]) + first_line, int(cells[wrong[0]]), names)
    if len(ends) == 1:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String)), np.zeros(0, dtype=np.int64)
    frame = pl.read_csv(
        io.BytesIO(text[int(ends[0]) + 1 :]),
        has_header=False,
        separator=delimiter,
        quote_char=None,
        infer_schema=False,
    )
    if frame.shape != (len(ends) - 1, len(names)):
        raise InputError(
            f"{path}: read as {frame.shape} where {(len(ends) - 1, len(names))} was counted; check its lines."
        )
    frame.columns = names
    return frame, np.arange(first_line + 1, first_line + 1 + frame.height, dtype=np.int64)


def _by_csv(text: bytes, delimiter: str, names: list[str], path: Path) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    frames: list[pl.DataFrame] = []
    lines: list[int] = []
    batch: list[list[str]] = []
    schema = dict.fromkeys(names, pl.String)
    past_header = False
    for line, cells in _records(text, delimiter, path):
        record = cells if cells or len(names) > 1 else [""]  # a blank line in a single column is a missing cell
        if not record or (not past_header and not any(cell.strip() for cell in record)):
            continue
        if not past_header:
            past_header = True
            continue
        if len(record) != len(names):
            raise _ragged(path, line, len(record), names)
        batch.append(record)
        lines.append(line)
        if len(batch) == BATCH_ROWS:
            frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
            batch = []
    frames.append(pl.DataFrame(batch, schema=schema, orient="row"))
    return pl.concat(frames), np.asarray(lines, dtype=np.int64)
