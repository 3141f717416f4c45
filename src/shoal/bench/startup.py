"""`shoal bench startup`: how long the command line and the import take before anything is done.

Each turn is a process of its own, so that nothing is loaded already; the file cache is warm after the first turn.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence

from shoal.bench.case import Case
from shoal.bench.timing import Side, clocked, in_turns

HELP_LIMIT_S, IMPORT_LIMIT_S = 0.250, 0.100
LEAST_S = 1e-3  # a difference between two processes below this is noise


def cases(quick: bool) -> Iterator[Case]:
    """`shoal --help` and `import shoal` against their limits, plain Python and `import torch`."""
    repeats = 3 if quick else 21
    seconds = in_turns(
        {
            "python": _process("pass"),
            "help": _process("from shoal.cli import main; main(['--help'])"),
            "shoal": _process("import shoal"),
            "torch": _process("import torch"),
        },
        repeats,
    )
    bare = seconds["python"]
    added, beyond = (
        [max(whole - empty, LEAST_S) for whole, empty in zip(seconds[name], bare, strict=True)]
        for name in ("shoal", "torch")
    )
    limits = [HELP_LIMIT_S] * repeats, [IMPORT_LIMIT_S] * repeats
    yield Case.measured("shoal --help", seconds["help"], f"limit of {HELP_LIMIT_S * 1000:g} ms", limits[0], 1.0)
    yield Case.measured("shoal --help", seconds["help"], "python -c 'import torch'", seconds["torch"])
    yield Case.measured("shoal --help", seconds["help"], "python -c pass", bare)
    note = "what `import shoal` takes beyond `python -c pass`"
    yield Case.measured("import shoal", added, f"limit of {IMPORT_LIMIT_S * 1000:g} ms", limits[1], 1.0, note)
    yield Case.measured("import shoal", added, "import torch, also beyond it", beyond, note=note)


def _process(program: str) -> Side:
    """A fresh interpreter that runs a program."""
    line: Sequence[str] = [sys.executable, "-c", program]
    return clocked(lambda: subprocess.run(line, check=True, stdout=subprocess.DEVNULL, timeout=120))
