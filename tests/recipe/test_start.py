"""Step 1: planted initial weights turn the verdict on the signals and the choice of initializer; sound ones do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from shoal.core.budget import parse_budget
from shoal.core.events import (
    DecisionMade,
    Event,
    Finding,
    FindingRaised,
    InitialLosses,
    InitialSignals,
    StepFinished,
    from_json,
    to_json,
)
from shoal.diagnose import activations
from shoal.experiment import Given
from shoal.experiment.cache import NoCache, TaskCache
from shoal.experiment.contract import Shelf
from shoal.recipe import first_steps
from shoal.recipe.allocator import BudgetAllocator
from shoal.recipe.problem import Options, Problem
from shoal.recipe.run_state import RunState
from shoal.task import Part, Sealed

MakeNet = Callable[[], nn.Module]


def deep(activation: type[nn.Module], depth: int, std: float | None, last: float | None = 0.01) -> MakeNet:
    """Layers of 32 units; hidden and last weights normal with these standard deviations, or as torch draws them."""

    def make_net() -> nn.Module:
        layers = [each for _ in range(depth) for each in (nn.Linear(32, 32), activation())]
        network = nn.Sequential(*layers, nn.Linear(32, 3))
        for layer in network[:-1:2]:
            if std is not None:
                nn.init.normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)
        if last is not None:
            nn.init.normal_(network[-1].weight, std=last)
        return network

    return make_net


def state(make_net: MakeNet, cache: TaskCache | None = None) -> RunState:
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(300, 32, generator=draw), torch.randint(0, 3, (300,), generator=draw)
    part = Part(x, y)
    network = Given(make_net, "")
    problem = Problem(part, part, Sealed(lambda: part, len(part)), ("a", "b", "c"), network)
    allocator = BudgetAllocator(parse_budget("trials=8"), time.monotonic, 10)
    return RunState(problem, Options(), allocator, lambda: False, cache or NoCache(), network, 32)


def step_1(of: RunState) -> list[Event]:
    return list(first_steps.check_initial_loss(of))


def signals(events: Sequence[Event]) -> Finding:
    return [event.decision for event in events if isinstance(event, DecisionMade)][1]


PLANTED = {
    "faint": (deep(nn.Tanh, 6, 0.01), "SHL131"),
    "loud": (deep(nn.ReLU, 3, 2.0, last=1e-5), "SHL132"),
    "saturated": (deep(nn.Tanh, 3, 3.0), "SHL133"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_unfit_initial_weights_are_found_and_replaced(name: str) -> None:
    make_net, code = PLANTED[name]
    run = state(make_net)
    events = step_1(run)
    loss, found = [event.decision for event in events if isinstance(event, DecisionMade)]
    assert loss.code == "SHL100"  # nothing is wrong with the loss: only the signals tell
    assert found.code == code and found.evidence["init"] == "torch"
    assert run.init != "torch" and found.evidence["chosen"] == run.init == loss.evidence["chosen"]
    assert found.evidence["verdict_by_init"][run.init] == "signals pass"
    assert f"`{run.init}`" in found.sentence and f"`{run.init}`" in found.action
    assert abs(loss.evidence["mean_by_init"][run.init] / loss.evidence["expected"] - 1) <= loss.evidence["tolerance"]
    (finding,) = [event.finding for event in events if isinstance(event, FindingRaised)]
    assert (finding.code, finding.level) == (code, "warning") and finding.fix
    (losses,) = [event for event in events if isinstance(event, InitialLosses)]
    (shown,) = [event for event in events if isinstance(event, InitialSignals)]
    assert losses.chosen == shown.chosen == shown.init[-1] == run.init and shown.init[0] == "torch"
    assert isinstance(events[-1], StepFinished) and f"mended by {run.init}" in events[-1].verdict


@pytest.mark.parametrize(
    "make_net", [deep(nn.ReLU, 2, None, None), deep(nn.Tanh, 6, 1 / 32**0.5), deep(nn.ReLU, 6, (2 / 32) ** 0.5)]
)
def test_sound_initial_weights_stay(make_net: MakeNet) -> None:
    run = state(make_net)
    events = step_1(run)
    assert run.init == "torch" and signals(events).code == "SHL130"
    assert not [event for event in events if isinstance(event, FindingRaised)]
    (shown,) = [event for event in events if isinstance(event, InitialSignals)]
    assert shown.init == ["torch"]  # nothing else had to be looked at
    assert all(sum(layer.histogram) == pytest.approx(1.0) for layer in shown.layers[0])
    assert isinstance(events[-1], StepFinished) and events[-1].level == "fine"


def test_only_initializers_whose_loss_is_as_good_are_candidates() -> None:
    """Twelve ReLU layers and a wide last one: Kaiming lets signals pass, but starts far above chance."""

    def make_net() -> nn.Module:
        network = deep(nn.ReLU, 12, 0.01)()
        network[-1] = nn.Sequential(nn.Linear(32, 3), Times(30.0))
        nn.init.zeros_(network[-1][0].weight)
        nn.init.zeros_(network[-1][0].bias)
        return network

    run = state(make_net)
    found = signals(step_1(run))
    assert "kaiming" not in found.evidence["verdict_by_init"] and run.init == "torch"
    assert found.code == "SHL131" and "do not mend it" in found.sentence


class Times(nn.Module):
    """The input times a number."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.by * x


def test_weights_that_do_not_depend_on_the_seed_were_given_and_are_kept() -> None:
    given = deep(nn.Tanh, 6, 0.01)().state_dict()

    def make_net() -> nn.Module:
        network = deep(nn.Tanh, 6, 0.01)()
        network.load_state_dict({name: value for name, value in given.items() if "12" not in name}, strict=False)
        return network

    run = state(make_net)  # the last layer is drawn anew
    found = signals(step_1(run))
    assert run.init == "torch" and found.code == "SHL131" and "given" in found.action


def test_a_resumed_run_measures_nothing_again_and_tells_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Shelf(tmp_path)

    def told(run: RunState) -> list[str]:
        still = [event for event in step_1(run) if event.kind not in ("step_progress", "step_finished")]
        assert [from_json(to_json(event)) for event in still] == still
        return [to_json(event) for event in still]

    first = told(state(PLANTED["faint"][0], cache))

    def never(*_: object) -> Generator[None, None, None]:
        raise AssertionError("measured again")

    monkeypatch.setattr(activations, "measure", never)
    assert told(state(PLANTED["faint"][0], cache)) == first
    with pytest.raises(AssertionError, match="measured again"):
        told(state(PLANTED["loud"][0]))
