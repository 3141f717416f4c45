"""One run as one HTML file: the views of the story, the templates, the scripts, and a policy that forbids the rest."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from shoal.core import events as ev
from shoal.report import advice, answer, chapters, exhibits, formats, pictures, wrong
from shoal.report import story as stories

if TYPE_CHECKING:
    from jinja2 import Environment

# The page's scripts in the order in which they need each other; a live page may serve the same files.
SCRIPTS = (
    "base.js",
    "scale.js",
    "selection.js",
    "plot.js",
    "lines.js",
    "charts_steps.js",
    "charts_members.js",
    "save.js",
    "page.js",
)
LEVEL_WORDS = {"fine": "fine", "note": "note", "warning": "look here", "problem": "problem"}
STEP_WHY = {
    1: "An untrained network should answer like chance. Where it does not, its starting weights or the loss are wrong.",
    2: "A network that cannot learn a few rows by heart has a fault that no tuning will mend.",
    3: "The learning rate matters most. Many short trainings show where the loss falls and where training explodes.",
    4: "Many different settings, each trained briefly, show which regions are worth more time.",
    5: "The best region again, in more detail and for longer; a bound moves where the best value lies against it.",
    6: "The curves tell what limits the network: too little training, too little data, or too small a network.",
    7: "Another round is worth its time only where the last one gained more than chance could.",
}


@dataclass(frozen=True)
class StepView:
    """One of the seven steps as the page lists it."""

    step: int
    name: str
    level: str
    word: str
    verdict: str
    number: str
    seconds: str
    why: str
    expanded: bool
    rounds: list[RoundView]
    thumb: str


@dataclass(frozen=True)
class RoundView:
    """One passage through a step: its verdict, its pictures and its decisions."""

    title: str
    why: str
    verdict: str
    number: str
    level: str
    pictures: list[pictures.Chart]
    decisions: list[ev.Finding]


def render(events: Sequence[ev.Event]) -> str:
    """A run's events as one self-contained HTML page.

    Args:
        events: the events of one run in their order, or any prefix of them (the empty one too).

    Returns:
        The whole document. It loads nothing from anywhere, runs only the scripts whose hashes stand in its own
        policy, and shows every text of the run as text, whatever it holds.
    """
    story = stories.read(events)
    steps = [_step(story, number) for number in ev.RECIPE_STEPS]
    learned, mattered = chapters.learned(story), chapters.mattered(story)
    overfitting, together = chapters.overfitting(story), chapters.together(story)
    residuals = wrong.residuals(story.test) if story.test else []
    drawn = [p for step in steps for r in step.rounds for p in r.pictures]
    drawn += learned + mattered + overfitting + together + residuals
    script = "\n".join([asset("vendor", "uPlot.iife.min.js"), *(asset("static", name) for name in SCRIPTS)])
    script = script.replace("</script", "<\\/script")
    view: dict[str, Any] = {
        "story": story,
        "start": story.start,
        "answer": answer.sentence(story),
        "unfinished": answer.unfinished(story),
        "problems": answer.problems(story),
        "figures": answer.figures(story),
        "steps": steps,
        "learned": learned,
        "networks": chapters.networks(story),
        "mattered": mattered,
        "overfitting": overfitting,
        "together": together,
        "residuals": residuals,
        "actions": advice.actions(story),
        "data": pictures.to_script(pictures.page_data(story, drawn)),
        "script": script,
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "style": asset("vendor", "uPlot.min.css") + "\n" + asset("static", "report.css"),
        "test": story.test,
        "wrong": wrong,
        "formats": formats,
        "step_names": ev.STEP_NAMES,
        "level_words": LEVEL_WORDS,
        "verdict_numbers": lambda verdict: exhibits.verdict_numbers(story, verdict),
        "gain_sentence": chapters.gain_sentence,
    }
    return environment().get_template("report.html.j2").render(view)


def _step(story: stories.Story, number: int) -> StepView:
    passages = story.steps.get(number, [])
    rounds = [_round(story, passage, len(passages)) for passage in passages]
    ended = [p.finished for p in passages if p.finished]
    last = passages[-1].finished if passages else None
    level = last.level if last else ("waiting" if not passages else "cut")
    verdict = last.verdict if last else ("not reached" if not passages else _unfinished(story))
    seconds = formats.duration(sum(e.seconds for e in ended)) if ended else ""
    shown = [p for r in rounds for p in r.pictures]
    return StepView(
        step=number,
        name=ev.STEP_NAMES[number],
        level=level,
        word=LEVEL_WORDS.get(level, ""),
        verdict=verdict,
        number=last.number if last else "",
        seconds=seconds,
        why=STEP_WHY[number],
        expanded=level in ("note", "warning", "problem"),
        rounds=rounds,
        thumb=shown[-1].id if shown else "",
    )


def _unfinished(story: stories.Story) -> str:
    return "stopped here" if story.interrupted else "not finished"


def _round(story: stories.Story, passage: stories.StepRound, of: int) -> RoundView:
    end = passage.finished
    return RoundView(
        title=f"Round {passage.round}" if of > 1 else "",
        why=passage.why,
        verdict=end.verdict if end else _unfinished(story),
        number=end.number if end else "",
        level=end.level if end else "cut",
        pictures=exhibits.of_round(story, passage),
        decisions=passage.decisions,
    )


@lru_cache
def asset(folder: str, name: str) -> str:
    """The text of one of the room's own files."""
    return files("shoal.report").joinpath(folder, name).read_text(encoding="utf-8")


@lru_cache
def environment() -> Environment:
    """The templates, which show every text as text."""
    import jinja2

    env = jinja2.Environment(
        loader=jinja2.PackageLoader("shoal.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["said"] = said
    env.filters["number"] = formats.number
    env.filters["evidence_word"] = formats.evidence_word
    env.filters["order"] = formats.order
    env.filters["short"] = formats.shorten
    return env


def _finalize(value: object) -> object:
    """Cleans every text that enters the page of control characters; markup is ours and stays."""
    return formats.clean(value) if type(value) is str else value


def said(text: str) -> object:
    """A sentence as markup: escaped, with `names in backticks` as code and numbers kept on one line with their unit."""
    from markupsafe import Markup, escape

    safe = str(escape(formats.clean(text)))
    safe = re.sub(r"(`[^`]+`)|(?<=\d)%", lambda m: m[1] or " %", safe)
    safe = re.sub(r"(`[^`]+`)|\b(?:lr|weight_decay|label_smoothing)\b", lambda m: m[1] or formats.spoken(m[0]), safe)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    safe = re.sub(r"(?<![\w;#.])([\d.,]+ (?:%|points?\b)|[\d.]+e-\d+)", r'<span class="unit">\1</span>', safe)
    return Markup(safe)
