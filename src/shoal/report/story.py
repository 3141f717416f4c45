"""A run's events gathered into what a report tells: the answer, the steps with their rounds, the populations.

Any prefix of a run is a story, the empty one too: what has not happened yet is None or empty, and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shoal.core import events as ev

Exhibit = (
    ev.InitialLosses | ev.InitialSignals | ev.SmallSample | ev.LearningRateSweep | ev.SearchRound | ev.CurveVerdict
)


@dataclass
class StepRound:
    """One passage through one step: `finished` is None while it runs, or where the run was cut off inside it."""

    step: int
    round: int
    why: str = ""
    finished: ev.StepFinished | None = None
    exhibits: list[Exhibit] = field(default_factory=list)
    decisions: list[ev.Finding] = field(default_factory=list)


@dataclass
class PopulationHistory:
    """A population and its epochs, in order."""

    started: ev.PopulationStarted
    epochs: list[ev.EpochFinished] = field(default_factory=list)


@dataclass
class Story:
    """Everything that a run's events say, by subject."""

    start: ev.RunStarted | None = None
    findings: list[ev.Finding] = field(default_factory=list)
    steps: dict[int, list[StepRound]] = field(default_factory=dict)
    decisions: list[ev.Finding] = field(default_factory=list)
    populations: dict[str, PopulationHistory] = field(default_factory=dict)
    searches: list[ev.SearchRound] = field(default_factory=list)
    verdicts: list[ev.CurveVerdict] = field(default_factory=list)
    ensemble: ev.EnsembleChosen | None = None
    test: ev.TestRead | None = None
    finished: ev.RunFinished | None = None
    interrupted: ev.RunInterrupted | None = None
    last_step: int = 0

    @property
    def metric(self) -> str:
        """The score that goes up in this run."""
        return self.start.metric if self.start else (self.test.metric if self.test else "accuracy")

    @property
    def validation_rows(self) -> int:
        """How many rows a validation score was read on; 0 where unknown."""
        return self.start.split.get("validation", 0) if self.start else 0

    @property
    def summary(self) -> Mapping[str, object]:
        """The run's own summary; empty where it did not finish."""
        return self.finished.summary if self.finished else {}

    @property
    def members_trained(self) -> int:
        """Networks trained, as the summary counts them; else those of the populations so far."""
        stated = self.summary.get("members_trained")
        if isinstance(stated, int):
            return stated
        return self.members_searched

    @property
    def members_searched(self) -> int:
        """Networks of the search, among which the answer was chosen."""
        return sum(len(population.started.members) for population in self.populations.values())

    @property
    def seconds(self) -> float:
        """The run's time as the summary states it; else the time of the steps that ended."""
        stated = self.summary.get("seconds")
        if isinstance(stated, int | float):
            return float(stated)
        return sum(r.finished.seconds for rounds in self.steps.values() for r in rounds if r.finished)

    @property
    def chosen(self) -> dict[int, int]:
        """Votes by member id: the ensemble's; before it exists, the best network so far."""
        if self.ensemble and self.ensemble.members:
            counts = list(self.ensemble.counts) + [1] * len(self.ensemble.members)
            return dict(zip(self.ensemble.members, counts, strict=False))
        return {self.searches[-1].best: 1} if self.searches else {}


def read(events: Sequence[ev.Event]) -> Story:
    """Gathers a run's events, in their order, into a `Story`.

    Args:
        events: the events of one run, or any prefix of them. Where a run was resumed, the interruption before it is
            forgotten; a step that begins a second time in the same round takes the place of the first.

    Returns:
        The story; the events themselves are kept, not copied.
    """
    story = Story()
    for event in events:
        _take(story, event)
    return story


def _take(story: Story, event: ev.Event) -> None:
    match event:
        case ev.RunStarted():
            story.start = event
        case ev.FindingRaised():
            if event.finding not in story.findings:
                story.findings.append(event.finding)
        case ev.StepStarted():
            story.interrupted = None  # the run was resumed
            story.last_step = event.step
            current = _round(story, event.step, event.round)
            current.why = event.why
            current.finished = None
            current.exhibits.clear()
            current.decisions.clear()
        case ev.StepFinished():
            _round(story, event.step, event.round).finished = event
            story.last_step = max(event.step, story.last_step) if event.step != 7 else event.step
        case ev.DecisionMade():
            story.decisions.append(event.decision)
            if event.decision.step in story.steps:
                story.steps[event.decision.step][-1].decisions.append(event.decision)
        case ev.PopulationStarted():
            story.populations[event.population] = PopulationHistory(event)
        case ev.EpochFinished():
            if event.population in story.populations:
                story.populations[event.population].epochs.append(event)
        case ev.InitialLosses() | ev.InitialSignals():
            _latest(story, 1).exhibits.append(event)
        case ev.SmallSample():
            _latest(story, 2).exhibits.append(event)
        case ev.LearningRateSweep():
            _latest(story, 3).exhibits.append(event)
        case ev.SearchRound():
            story.searches = [s for s in story.searches if s.population != event.population] + [event]
            _round(story, event.step, event.round).exhibits.append(event)
        case ev.CurveVerdict():
            story.verdicts.append(event)
            _round(story, 6, event.round).exhibits.append(event)
        case ev.EnsembleChosen():
            story.ensemble = event
        case ev.TestRead():
            story.test = event
        case ev.RunFinished():
            story.finished = event
        case ev.RunInterrupted():
            story.interrupted = event
            story.last_step = event.step
        case ev.StepProgress() | ev.StopNoticed() | ev.ClockRead() | ev.RunResumed() | ev.Notice():
            pass  # of the carrying out, not of the run
        case ev.UnknownEvent():
            pass  # whoever wrote it can tell it


def _round(story: Story, step: int, number: int) -> StepRound:
    rounds = story.steps.setdefault(step, [])
    for known in rounds:
        if known.round == number:
            return known
    rounds.append(StepRound(step, number))
    rounds.sort(key=lambda r: r.round)
    return rounds[-1]


def _latest(story: Story, step: int) -> StepRound:
    rounds = story.steps.get(step)
    return rounds[-1] if rounds else _round(story, step, 1)
