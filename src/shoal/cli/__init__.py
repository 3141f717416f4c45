"""The command line: one file for each verb. Parsing loads neither torch nor scikit-learn; a verb loads what it uses."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

VERBS = ("fit", "resume", "predict", "evaluate", "report", "data", "bench", "compare", "study", "doctor")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code.

    0 done; 1 failed while running; 2 bad usage or bad input, with one sentence on standard error; 130 interrupted. With
    `--debug` the traceback comes before the sentence. A reader that leaves early, as `head` does, is no failure.

    Args:
        arguments: what follows `shoal`; those of the process when `None`.
    """
    from shoal.cli.output import take_streams

    take_streams()
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    from shoal.cli.output import BrokenOutput, forget_stdout
    from shoal.cli.signals import NOTHING_YET, Stopped, asked_to_end, ends_in_order

    try:
        with ends_in_order():
            from shoal.cli.app import application

            code = application()(args=arguments or ["--help"], prog_name="shoal", standalone_mode=False)
            sys.stdout.flush()  # what it refuses is said here, not when the process has ended
        return code if isinstance(code, int) else 0
    except Stopped as stopped:
        return _failed(arguments, 130, str(stopped))
    except BrokenOutput:
        forget_stdout()
        return 0
    except Exception as error:
        if asked_to_end():  # a library that was being loaded made another error of it
            return _failed(arguments, 130, NOTHING_YET)
        if "--debug" in arguments:
            traceback.print_exc()
        return _failed(arguments, *_code_and_sentence(error, arguments))


def _code_and_sentence(error: Exception, arguments: list[str]) -> tuple[int, str]:
    """How the process ends on an error, and what is said about it."""
    from typer import TyperException

    from shoal.core.errors import ShoalError

    if isinstance(error, ShoalError):
        return error.exit_code, str(error)
    if isinstance(error, TyperException):
        return 2, _usage_sentence(error, arguments)
    hint = "" if "--debug" in arguments else "; --debug shows where"
    return 1, f"Shoal failed on something that it did not expect: {type(error).__name__}: {error}{hint}"


def _usage_sentence(error: Exception, arguments: list[str]) -> str:
    """What the parser did not understand, and where to look."""
    from typer import TyperException

    from shoal.core.names import did_you_mean

    message = error.format_message() if isinstance(error, TyperException) else str(error)
    message = " ".join(message.split()).rstrip(".").replace("'", "`")
    message = message[:1].lower() + message[1:]
    verb = arguments[0] if arguments and arguments[0] in VERBS else ""
    if message.startswith("no such command"):
        if verb:
            from shoal.cli.data import WORDS

            return f"`shoal {verb}` has no word `{arguments[1]}`{did_you_mean(arguments[1], WORDS)}"
        return f"there is no verb `{arguments[0]}`{did_you_mean(arguments[0], VERBS)}"
    return f"{message}; `shoal {verb} --help` shows what there is".replace("  ", " ")


def _failed(arguments: list[str], code: int, sentence: str) -> int:
    """Say why; with `--json` standard output still gets its one document."""
    from shoal.cli.output import BrokenOutput, forget_stdout, one_line, say, write_json
    from shoal.core.errors import RunError

    say(f"shoal: {one_line(sentence)}")
    if "--json" in arguments:
        try:
            write_json({"error": sentence, "exit_code": code})
            sys.stdout.flush()
        except (OSError, RunError, BrokenOutput):  # standard output may be what failed
            forget_stdout()
    return code
