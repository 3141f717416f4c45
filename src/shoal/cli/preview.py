"""`shoal data preview DATA --augment ...`: samples beside what an augmentation makes of them, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.cli.options import DEBUG, JSON, READING, Argument, Option, given_only, takes
from shoal.cli.output import one_line, reserved_stdout, say, write_json

if TYPE_CHECKING:
    from shoal.studies.augmented_samples import Preview


@takes(
    Argument("data", "A folder of images, an .npz file, or built-in data such as digits."),
    Option("augment", "What to do: presets, names and strengths, such as photo,rotate=10.", "WHAT"),
    Option("out", "Where the picture goes; preview.png without it.", "FILE.png"),
    Option("samples", "How many samples are shown; 8 without it.", "N", "number"),
    Option("draws", "How often each is drawn; 8 without it.", "N", "number"),
    Option("seed", "Of the member whose draws are shown; 0 without it.", "N", "number"),
    Option("judge", "Also ask whether the labels survive: trains small networks, about a minute.", kind="flag"),
    *READING,
    JSON,
    DEBUG,
)
def preview(data: str, **given: Any) -> int:
    """Draw what an augmentation does to these samples."""
    with reserved_stdout() as answer:
        from shoal.core import paths
        from shoal.core.atomic import write_atomically
        from shoal.core.errors import InputError
        from shoal.report.augmentation_grid import grid
        from shoal.studies.augmented_samples import preview as drawn

        out = given["out"] or "preview.png"
        if not out.lower().endswith(".png"):
            raise InputError(f"--out {out}: the picture is a PNG; give a name that ends with .png.")
        to = paths.to_write(out, beside=[data])
        counts = given_only({name: given[name] for name in ("samples", "draws", "seed")})
        reading = given_only({option.name: given[option.name] for option in READING})
        found = drawn(data, given["augment"], judge=given["judge"], **counts, **reading)
        write_atomically(to, grid(found.cells, found.labels, found.title))
        for each in found.judged:
            say(one_line(f"{each.level} {each.code}: {each.sentence}"))
        if given["json"]:
            write_json(_document(found, out), answer)
        else:
            say(out, answer)
    return 0


def _document(found: Preview, out: str) -> dict[str, Any]:
    return {
        "data": found.source,
        "kind": found.kind,
        "augment": found.augment.model_dump(mode="json"),
        "rows": found.rows,
        "labels": found.labels,
        "judged": [each.model_dump(mode="json") for each in found.judged],
        "out": out,
    }
