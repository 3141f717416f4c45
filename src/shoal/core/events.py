"""What happens in a run, as immutable records: terminal, store and dashboard all consume these, and nothing else.

A long job is a generator of events. The stored list of a run's events is the run: the summary, the report and every
decision can be recomputed from it. Bodies are plain JSON values, so each event survives a round trip through text.

Events are read by versions of Shoal other than the one that wrote them. So a field that is added later has a default,
and one that is renamed is read under its former name too; when stored events are read, fields that this version does
not know are left out, and an event of a kind that it does not know is an `UnknownEvent`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

Level = Literal["fine", "note", "warning", "problem"]
Kind = Literal["table", "image", "signal", "volume"]
TaskType = Literal["classification", "regression"]
Interval = tuple[float, float]

ENSEMBLE, TEST = 8, 9
STEP_NAMES = {
    1: "Initial loss",
    2: "Overfit a small sample",
    3: "Find the learning rate",
    4: "Coarse search",
    5: "Refine and train longer",
    6: "Look at the curves",
    7: "Go again or stop",
    ENSEMBLE: "Ensemble",
    TEST: "Test",
}
RECIPE_STEPS = range(1, 8)  # the seven steps, with rounds and a chapter each; the ensemble and the test follow them


class Record(BaseModel):
    """A frozen, validated value; who makes one with unknown fields is refused. NaN and infinity survive as Python's
    JSON writes them."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")


class Finding(Record):
    """What was found about data, network or training, with the numbers that show it; `code` is stable, as `SHL101`.

    A decision of the recipe is a finding with `step` and `action`. Its JSON has the keys step, code, verdict (the
    sentence), evidence, action and level; that of other findings code, sentence, level, evidence, fix and, if there is
    one, phrase.

    >>> Finding(code="SHL110", sentence="It was learned.", level="fine", step=2, action="Go on.").model_dump_json()
    '{"step":2,"code":"SHL110","verdict":"It was learned.","evidence":{},"action":"Go on.","level":"fine"}'
    """

    code: str
    sentence: str
    level: Level = "note"
    evidence: dict[str, JsonValue] = {}
    fix: str = ""  # empty where nothing is wrong
    phrase: str = ""  # a few words for the line of a step
    step: int = 0  # of a decision, as STEP_NAMES
    action: str = ""  # of a decision: what the recipe does because of it

    @property
    def verdict(self) -> str:
        """The sentence, by its name in the JSON of a decision."""
        return self.sentence

    @model_validator(mode="before")
    @classmethod
    def _of_json(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "verdict" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "verdict"}
        return {"level": "fine", "sentence": values["verdict"], **rest}

    @model_serializer
    def _to_json(self) -> dict[str, Any]:
        names: tuple[str, ...] = ("step", "code", "verdict", "evidence", "action", "level")
        if not self.step:
            names = ("code", "sentence", "level", "evidence", "fix", *(("phrase",) if self.phrase else ()))
        return {name: getattr(self, name) for name in names}


class Range(Record):
    """Where a hyperparameter is searched. `was` holds the bounds before the edge rule moved them."""

    low: float
    high: float
    log: bool = True
    integer: bool = False
    was: Interval | None = None
    moved_in_round: int | None = None


# --- the run --------------------------------------------------------------------------------------------------------


class RunStarted(Record):
    """The data are read and split, and the settings resolved."""

    kind: Literal["run_started"] = "run_started"
    run: str
    source: str
    data_kind: Kind
    task: TaskType
    metric: str  # "accuracy" or "r2": goes up
    target: str
    classes: list[str] | None
    rows: int
    columns: int  # features as the reader counts them; channels for images
    shape: list[int]  # one prepared row, as the network sees it
    split: dict[str, int]  # train, validation, test: rows
    baseline: float  # the metric on validation rows of always answering the training mode or mean
    baseline_answer: str
    budget: str
    seed: int
    device: str
    data_hash: str
    versions: dict[str, str]
    command: str
    column_notes: list[dict[str, JsonValue]] = []  # name, role, missing, unique, note


class FindingRaised(Record):
    """A finding about the data or the network."""

    kind: Literal["finding_raised"] = "finding_raised"
    finding: Finding


class StepStarted(Record):
    """A step of the recipe begins."""

    kind: Literal["step_started"] = "step_started"
    step: int
    round: int = 1
    why: str = ""  # what is being tried and why, one phrase


class StepProgress(Record):
    """The running step got further. No part of the record: a store keeps the newest one while the run is at work."""

    kind: Literal["step_progress"] = "step_progress"
    step: int
    done: float  # share of the step, 0 to 1
    best: float | None = None  # best validation score so far
    left_s: float | None = None  # of the whole run
    doing: str = ""


class DecisionMade(Record):
    """A decision enters the log."""

    kind: Literal["decision_made"] = "decision_made"
    decision: Finding


class StepFinished(Record):
    """A step of the recipe ended. `verdict` is a phrase, `number` its key figure in words."""

    kind: Literal["step_finished"] = "step_finished"
    step: int
    round: int = 1
    level: Level
    verdict: str
    number: str
    seconds: float


# --- populations: who was trained, and how it went -------------------------------------------------------------------


class MemberInfo(Record):
    """One network of a population: `id` is unique in the run."""

    id: int
    values: dict[str, JsonValue]  # its hyperparameters: lr, weight_decay, dropout, optimizer, init, seed, ...


class PopulationStarted(Record):
    """A population is about to be trained."""

    kind: Literal["population_started"] = "population_started"
    population: str  # "coarse 1", "refine 2"
    step: int
    round: int = 1
    network: dict[str, JsonValue]
    parameters: int
    batch_size: int
    members: list[MemberInfo]


class EpochFinished(Record):
    """One epoch of a population. Lists are aligned with `members` (ids), which shrinks as rows stop."""

    kind: Literal["epoch_finished"] = "epoch_finished"
    population: str
    epoch: int  # 1-based, counted from each member's own start
    members: list[int]
    train_loss: list[float]  # mean over the epoch's batches, in training mode
    train_score: list[float]
    validation_loss: list[float]
    validation_score: list[float]
    lr: list[float]
    status: list[str]  # ok, stopped, pruned, diverged


# --- exhibits: the picture of each step ------------------------------------------------------------------------------


class InitialLosses(Record):
    """Step 1: the loss of untrained networks, by initializer and seed."""

    kind: Literal["initial_losses"] = "initial_losses"
    expected: float  # what chance gives: log C, or the variance of the target (1 when standardised)
    init: list[str]
    seed: list[int]
    loss: list[float]
    chosen: str


class LayerSignals(Record):
    """Activations of one layer of an untrained network."""

    name: str
    std: float
    gradient: float  # norm of the loss's gradient by the layer's output
    saturated: float | None  # share of the values; None where it has no meaning
    dead: float | None  # share of the units
    rectifies: bool  # its zeros are what is off
    bounds: Interval  # of the histogram
    histogram: list[float]  # shares of the values


class InitialSignals(Record):
    """Step 1: the activations of untrained networks by layer, one network of each initializer that was looked at."""

    kind: Literal["initial_signals"] = "initial_signals"
    chosen: str
    init: list[str]
    verdict: list[str]  # a phrase each
    layers: list[list[LayerSignals]]


class SmallSample(Record):
    """Step 2: training on a few rows, regularization off."""

    kind: Literal["small_sample"] = "small_sample"
    rows: int
    steps: list[int]
    lr: list[float]  # [K]
    loss: list[list[float]]  # [K][T], at `steps`
    score: list[list[float]]  # [K][T]
    target: float
    reached_step: int | None


class LearningRateSweep(Record):
    """Step 3: many real short trainings."""

    kind: Literal["learning_rate_sweep"] = "learning_rate_sweep"
    steps: int  # gradient steps of each training
    optimizer: list[str]  # [K]
    lr: list[float]  # [K]
    seed: list[int]  # [K]
    start: list[float]  # loss before
    end: list[float]  # loss after: NaN where it diverged
    best: float
    chosen: Interval
    chosen_optimizer: str


class SearchRound(Record):
    """Steps 4 and 5: one round of the search, in a scatter."""

    kind: Literal["search_round"] = "search_round"
    step: int
    round: int
    population: str
    ranges: dict[str, Range]
    members: list[MemberInfo]
    score: list[float]  # best validation score of each; NaN where it diverged
    best_epoch: list[int]
    status: list[str]
    best: int  # member id
    importance: dict[str, float] = {}  # share of the variance of the score, by hyperparameter


class CurveVerdict(Record):
    """Step 6: what the curves of one member say, and where that was read."""

    kind: Literal["curve_verdict"] = "curve_verdict"
    round: int
    population: str
    member: int
    code: str
    verdict: Literal["good", "more_training", "overfitting", "underfitting", "diverged"]
    sentence: str
    epochs_read: tuple[int, int]  # first and last epoch of the slope
    slope: float  # change of the validation loss per epoch, as a share of the loss of chance
    gap: float  # train score - validation score at the best epoch
    gap_threshold: float
    slope_threshold: float


class EnsembleChosen(Record):
    """The greedy selection: ids with repetition counts, and what it gains on validation rows."""

    kind: Literal["ensemble_chosen"] = "ensemble_chosen"
    members: list[int]
    counts: list[int]
    single: float
    score: float
    gain: float
    gain_interval: Interval
    path: list[float]  # validation score after each greedy addition
    candidates: int
    loss: float = float("nan")  # what the selection went by; lower is better
    single_loss: float = float("nan")  # of the best single network


class TestRead(Record):
    """The one look at the test rows."""

    kind: Literal["test_read"] = "test_read"
    __test__ = False  # not a test class of pytest
    metric: str
    score: float
    interval: Interval | None  # None where the rows allow none
    baseline: float
    rows: int
    scores: dict[str, float]  # further metrics: balanced_accuracy, log_loss, rmse, mae
    labels: list[str] | None = None
    confusion: list[list[int]] | None = None  # [truth][answer]
    truth: list[float] | None = None  # regression: a sample for the residual picture
    predicted: list[float] | None = None
    worst: list[dict[str, JsonValue]] = []  # row, truth, answer, probability, image (data URI) or values


class RunFinished(Record):
    """The end: `summary` is the document that `--json` prints."""

    kind: Literal["run_finished"] = "run_finished"
    summary: dict[str, JsonValue]


class StopNoticed(Record):
    """The user's wish to stop reached the recipe. What follows, up to `RunInterrupted`, only closes the run as it
    stands; where the run is resumed, it is taken back from here."""

    kind: Literal["stop_noticed"] = "stop_noticed"


class RunInterrupted(Record):
    """Stopped by the user; everything trained so far is kept."""

    kind: Literal["run_interrupted"] = "run_interrupted"
    step: int
    sentence: str


# --- how the run was carried out -------------------------------------------------------------------------------------


class ClockRead(Record):
    """The recipe looked at the clock, which it does only for a budget in time: whatever it decides from a clock, it
    decides from such a reading, so that the run can be repeated from its events."""

    kind: Literal["clock_read"] = "clock_read"
    elapsed_s: float  # since the recipe began, without the time in which the run was interrupted


class RunResumed(Record):
    """The run went on in another process; `notes` say what is not as it was."""

    kind: Literal["run_resumed"] = "run_resumed"
    elapsed_s: float  # the work of the processes before
    versions: dict[str, str]
    machine: dict[str, str]
    notes: list[str] = []


class Notice(Record):
    """Something about the carrying out that the user should know, such as a checkpoint that could not be written."""

    kind: Literal["notice"] = "notice"
    sentence: str


# --- what was written by another version -----------------------------------------------------------------------------


class UnknownEvent(Record):
    """An event of a kind that this version does not know, with all its fields: read and handed on, never told."""

    model_config = ConfigDict(extra="allow")

    kind: str


_Known = (
    RunStarted
    | FindingRaised
    | StepStarted
    | StepProgress
    | DecisionMade
    | StepFinished
    | PopulationStarted
    | EpochFinished
    | InitialLosses
    | InitialSignals
    | SmallSample
    | LearningRateSweep
    | SearchRound
    | CurveVerdict
    | EnsembleChosen
    | TestRead
    | RunFinished
    | StopNoticed
    | RunInterrupted
    | ClockRead
    | RunResumed
    | Notice
)
Event = _Known | UnknownEvent

_ADAPTER: TypeAdapter[_Known] = TypeAdapter(Annotated[_Known, Field(discriminator="kind")])


def to_json(event: Event) -> str:
    """One event as one line of JSON."""
    return event.model_dump_json()


def from_json(text: str) -> Event:
    """The event that `to_json` wrote, in this version or in another one.

    Raises:
        ValidationError: it holds no event, or one whose kind is known and whose fields are not what they must be.

    >>> from_json('{"kind": "step_started", "step": 3, "mood": "good"}')
    StepStarted(kind='step_started', step=3, round=1, why='')
    >>> from_json('{"kind": "fish_counted", "fish": 12}')
    UnknownEvent(kind='fish_counted', fish=12)
    """
    try:
        return _ADAPTER.validate_json(text, extra="ignore")
    except ValidationError as error:
        if error.errors(include_url=False, include_input=False)[0]["type"] != "union_tag_invalid":
            raise
        return UnknownEvent.model_validate_json(text)
