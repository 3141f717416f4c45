"""`shoal fit DATA`: from raw data to a tuned, explained model."""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.cli.options import (
    CONFIG,
    DEBUG,
    JSON,
    READING,
    Argument,
    Option,
    given_only,
    of_a_run,
    read_config,
    recorded_plans,
    takes,
)
from shoal.cli.output import BrokenOutput, reserved_stdout, say, write_json
from shoal.cli.signals import ends_after_the_epoch

if TYPE_CHECKING:
    from shoal.cli.terminal import TerminalView
    from shoal.core.events import Event
    from shoal.core.settings import FitSettings

OPTIONS = (
    *READING,
    Option(
        "prepare",
        "What numbers go through before a network sees them; join steps by +. Default: auto.",
        "auto|none|center|standardize|minmax|robust|quantile|pca|whiten|zca",
    ),
    Option(
        "augment",
        "Changes of training samples that may be searched, once they are known to keep the labels. Default: auto.",
        "auto|none|hflip,rotate=15,...",
    ),
    Option("budget", "How long to search: a time, or a number of trainings. Default: 60s.", "60s|10m|1h|trials=200"),
    Option("seed", "Where all randomness starts. Default: 0.", "NUMBER", "number"),
    Option("out", "The folder of the run; must not hold a run yet. Default: runs/NAME.", "FOLDER"),
    Option("model", "The network: chosen by the data, or yours.", "auto|mlp|cnn|resnet|pkg.mod:make_net"),
    Option("device", "Where to train. Default: auto.", "auto|cpu|cuda"),
    Option(
        "runner",
        "Where networks are trained: threads of one process, or processes that do not share Python's lock. "
        "Default: threads.",
        "threads|processes",
    ),
    Option("precision", "Of the layers' arithmetic. Default: float32.", "float32|bfloat16|float64"),
    Option("ranges", "Where to search one hyperparameter; may be repeated.", "lr=1e-4:1e-1", "many", "range"),
    Option("epochs", "The most epochs of one network in the refined search.", "NUMBER", "number"),
    Option("batch_size", "Rows of one mini-batch.", "NUMBER", "number"),
    Option("ignore", "The code of a finding that is not to be raised; may be repeated.", "CODE", "many"),
    Option("store", "A database for the events. Default: SQLite in the run's folder.", "URL"),
)


@takes(
    Argument("data", "A CSV, TSV, Parquet or .npz file, a folder of images, or built-in data such as digits.", False),
    *OPTIONS,
    CONFIG,
    JSON,
    DEBUG,
)
def fit(**given: Any) -> int:
    """From raw data to a tuned, explained model, in seven steps."""
    settings = resolve(given)
    plans = recorded_plans(given["config"]) if given["config"] else None
    stop = threading.Event()

    def run() -> Iterator[Event]:
        from shoal import api

        return api.stream(settings, stop=stop, plans=plans)

    return show(run, stop, settings.out, as_json=given["json"])


def show(run: Callable[[], Iterator[Event]], stop: threading.Event, out: str | None, *, as_json: bool) -> int:
    """Carry out a run in the terminal, and say what it left.

    Args:
        run: begins it; called once something is shown, because loading takes a while.
        stop: what the run looks at.
        out: the run's folder, where the user named it.
        as_json: print the summary as JSON, and everything else on standard error.

    Returns:
        The exit code.
    """
    from shoal.cli.terminal import terminal_view

    view = terminal_view(sys.stderr)
    code = 0
    with suppress(BrokenOutput), reserved_stdout() as answer:
        with view, ends_after_the_epoch(stop, view):
            events = _watch(run(), view)
        document, code = outcome(events, out)
        said = sys.stderr if as_json else answer
        width = shutil.get_terminal_size().columns if said.isatty() else None
        say(closing(events, document, width), said)
        if as_json:
            write_json(document, answer)
    return code


def resolve(given: Mapping[str, Any]) -> FitSettings:
    """Put the configuration file and the command line together.

    Args:
        given: what the parser found; `None` and empty lists are options that the line does not hold.

    Raises:
        InputError: an option is unknown or its value cannot work.
    """
    from shoal.core.errors import InputError
    from shoal.core.roles import parse_roles
    from shoal.core.settings import FitSettings, parse_range

    values = read_config(given["config"]) if given.get("config") else {}
    line = given_only({name: value for name, value in given.items() if name not in ("config", "json", "debug")})
    if given.get("config") and of_a_run(given["config"]):
        _vouched_for(values, line, given["config"])
    written = values.pop("range", [])
    ranges = dict(parse_range(each) for each in ([written] if isinstance(written, str) else written))
    ranges |= values.pop("ranges", {})
    asked = [parse_range(each) for each in line.pop("ranges", [])]
    if twice := [name for k, (name, _) in enumerate(asked) if name in dict(asked[:k])]:
        raise InputError(f"--range names {twice[0]} twice: leave one of them out")
    ranges |= dict(asked)
    if "roles" in line:
        line["roles"] = parse_roles(values.get("roles", {})) | parse_roles(line["roles"])
    values |= line
    if not values.get("data"):
        raise InputError("say what to fit: a file, a folder, or built-in data, as in `shoal fit digits`")
    return FitSettings(**values, ranges=ranges)


def _vouched_for(values: Mapping[str, Any], line: Mapping[str, Any], path: str) -> None:
    """Refuse what a run's record may not ask for by itself: code to carry out, and a database to write to.

    A configuration of one's own may: naming the file is naming what stands in it.

    Raises:
        InputError: names the option to add to the line.
    """
    from shoal.core.errors import InputError

    model, store = values.get("model"), values.get("store")
    if isinstance(model, str) and ":" in model and "model" not in line:
        what = f"its network `{model}` is code, carried out only where this command names it: add --model {model}"
    elif store is not None and "store" not in line:
        what = f"its store {store} is used only where this command names it: add --store URL"
    else:
        return
    raise InputError(f"{path} is the record of a run, which may be anybody's; {what}")


def outcome(events: list[Event], out: str | None = None) -> tuple[dict[str, Any], int]:
    """Return the document that `--json` prints and the exit code, by how the run ended; `out` as the user gave it."""
    from shoal.core import paths
    from shoal.core.errors import RunError
    from shoal.core.events import RunFinished, RunInterrupted, RunStarted
    from shoal.store.run_folder import RUNS, RunFolder

    for event in reversed(events):
        if isinstance(event, RunFinished):
            return dict(event.summary), 0
        if isinstance(event, RunInterrupted):
            run = next(each.run for each in events if isinstance(each, RunStarted))
            report = RunFolder(RUNS / run if out is None else paths.given(out)).report_html
            document = {"run": run, "interrupted": event.sentence, "step": event.step, "report": str(report)}
            return document | {"exit_code": 130}, 130
    raise RunError("the run ended without a result; its folder keeps what was done")


def closing(events: list[Event], document: Mapping[str, Any], width: int | None = None) -> str:
    """The last lines: the answer, and the two commands that one would type next; broken between words at `width`."""
    from shoal.cli.output import one_line
    from shoal.core.events import RunStarted
    from shoal.report import answer, story

    said = [answer.sentence(story.read(events))]
    report, interrupted = document.get("report"), document.get("interrupted")
    folder = Path(report).parent if isinstance(report, str) else None
    if interrupted is not None:
        said.append(f"{interrupted} The run is in {folder}.")
    lines = ["", *(textwrap.fill(one_line(each), width or 10_000) for each in said)]
    if folder is not None:
        begun = next((each for each in events if isinstance(each, RunStarted)), None)
        new = {"table": "new.csv", "image": "new-images/"}.get(begun.data_kind if begun else "table", "new.npz")
        next_ = f"resume {shlex.quote(str(folder))}" if interrupted else f"predict {shlex.quote(str(folder))} {new}"
        lines += ["", f"  shoal {next_}"]
        lines += [f"  {_opener()} {shlex.quote(str(report))}"]
    return "\n".join(lines)


def _watch(run: Iterator[Event], view: TerminalView) -> list[Event]:
    """Show the run's events as they come, and keep them."""
    from shoal.core.events import EpochFinished, StepProgress

    kept: list[Event] = []
    for event in run:
        view.show(event)
        if not isinstance(event, StepProgress | EpochFinished):  # the closing words need neither
            kept.append(event)
    return kept


def _opener() -> str:
    """The command that opens a file in its program."""
    return {"Darwin": "open", "Windows": "start"}.get(platform.system(), "xdg-open")
