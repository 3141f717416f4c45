"""Makes up the events of one run from a plan, as the recipe would tell them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from shoal.core import events as ev

FASHION_CLASSES = [
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
]


@dataclass
class Plan:
    """What kind of run to make up."""

    run: str = "fashion-1"
    source: str = "fashion_folder"
    kind: ev.Kind = "image"
    task: ev.Task = "classification"
    metric: str = "accuracy"
    target: str = "class"
    classes: list[str] | None = field(default_factory=lambda: list(FASHION_CLASSES))
    rows: int = 7000
    columns: int = 1
    shape: list[int] = field(default_factory=lambda: [1, 28, 28])
    baseline: float = 0.1
    baseline_answer: str = "T-shirt/top"
    top: float = 0.875
    interval: float = 0.02
    coarse: int = 96
    refine: tuple[int, ...] = (32, 24)
    epochs: int = 14
    images: bool = True
    column_notes: list[dict[str, Any]] = field(default_factory=list)
    findings: list[ev.Finding] = field(default_factory=list)
    seed: int = 7


class Maker:
    """Makes a run's events from a plan, every number from one seeded generator."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = np.random.default_rng(plan.seed)
        self.next_id = 0
        self.seconds = 0.0
        self.decisions: list[ev.Finding] = []
        self.trained = 0
        self.epochs_trained = 0
        self.best: list[tuple[float, int]] = []

    def run(self) -> Iterator[ev.Event]:
        yield self.start()
        for finding in self.plan.findings:
            yield ev.FindingRaised(finding=finding)
        yield from self.step(1, self.initial())
        yield from self.step(2, self.small())
        yield from self.step(3, self.sweep())
        yield from self.search(4, 1, self.plan.coarse, min(4, self.plan.epochs))
        for k, members in enumerate(self.plan.refine):
            last = k == len(self.plan.refine) - 1
            yield from self.search(5, k + 1, members, self.plan.epochs)
            yield from self.look(k + 1, last)
            yield from self.again(k + 1, last)
        ensemble = self.ensemble()
        yield ensemble
        yield self.decide(
            8, "ensemble", "Seven votes among four networks", {"gain": ensemble.gain}, "answer with the mean"
        )
        test = self.test()
        yield test
        yield self.decide(9, "test", "The test rows were read once", {"score": test.score}, "report it")
        yield ev.RunFinished(summary=self.summary(test, ensemble))

    # --- the parts -------------------------------------------------------------------------------------------------

    def start(self) -> ev.RunStarted:
        p = self.plan
        test = round(p.rows * 0.15)
        return ev.RunStarted(
            run=p.run, source=p.source, data_kind=p.kind, task=p.task, metric=p.metric, target=p.target,
            classes=p.classes, rows=p.rows, columns=p.columns, shape=p.shape,
            split={"train": p.rows - 2 * test, "validation": test, "test": test}, baseline=p.baseline,
            baseline_answer=p.baseline_answer, budget="4m", seed=p.seed, device="cpu, 2 threads",
            data_hash="sha256:9f2b6c1e77aa03f5", versions={"shoal": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
            command=f"shoal fit {p.source} --target {p.target} --budget 4m --seed {p.seed}",
            column_notes=p.column_notes,
        )  # fmt: skip

    def decide(
        self, step: int, code: str, verdict: str, evidence: dict[str, Any], action: str, level: ev.Level = "fine"
    ) -> ev.DecisionMade:
        decision = ev.Finding(step=step, code=code, sentence=verdict, evidence=evidence, action=action, level=level)
        self.decisions.append(decision)
        return ev.DecisionMade(decision=decision)

    def step(self, number: int, told: tuple[list[ev.Event], str, str]) -> Iterator[ev.Event]:
        events, verdict, key = told
        yield ev.StepStarted(step=number, why="")
        yield ev.StepProgress(step=number, done=0.5, doing=f"step {number}")
        yield from events
        yield ev.StepFinished(step=number, level="fine", verdict=verdict, number=key, seconds=self.took(4.0))

    def took(self, about: float) -> float:
        seconds = float(about * self.rng.uniform(0.7, 1.3))
        self.seconds += seconds
        return seconds

    @property
    def chance_loss(self) -> float:
        return math.log(len(self.plan.classes)) if self.plan.classes else 1.0

    def initial(self) -> tuple[list[ev.Event], str, str]:
        expected, names = self.chance_loss, ["kaiming", "xavier", "torch", "orthogonal", "normal 0.01"]
        spread = {"kaiming": 0.05, "xavier": 0.03, "torch": 0.02, "orthogonal": 0.06, "normal 0.01": 0.001}
        init = [n for n in names for _ in range(8)]
        loss = [expected * float(1 + spread[n] * abs(self.rng.normal())) for n in init]
        event = ev.InitialLosses(
            expected=expected, init=init, seed=[s for _ in names for s in range(8)], loss=loss, chosen="kaiming"
        )
        layer = ev.LayerSignals(
            name="1", std=0.6, gradient=0.05, saturated=None, dead=0.01, rectifies=True, bounds=(0.0, 3.0),
            histogram=[0.5, *(0.5 / 39 for _ in range(39))],
        )  # fmt: skip
        flat = layer.model_copy(update={"saturated": 0.4, "dead": None, "rectifies": False, "bounds": (-1.0, 1.0)})
        signals = ev.InitialSignals(
            chosen="kaiming", init=["torch", "kaiming"], verdict=["vanishing signals", "signals pass"],
            layers=[[layer, flat], [layer, layer]],
        )  # fmt: skip
        said = self.decide(
            1,
            "SHL101",
            "The initial loss is what chance gives",
            {"expected": expected, "mean": loss[0]},
            "go on with kaiming",
        )
        return [event, signals, said], "starts where chance does", f"loss {loss[0]:.2f}, chance {expected:.2f}"

    def small(self) -> tuple[list[ev.Event], str, str]:
        steps = list(range(0, 401, 20))
        lrs = [float(v) for v in 10 ** np.linspace(-3.5, -1.5, 6)]
        goal = 1.0 if self.plan.task == "classification" else 0.99
        rates = self.rng.uniform(0.01, 0.04, len(lrs))
        loss = [[float(self.chance_loss * np.exp(-r * t)) for t in steps] for r in rates]
        score = [[float(goal - (goal - self.plan.baseline) * np.exp(-1.7 * r * t)) for t in steps] for r in rates]
        score[2] = [goal if t >= 140 else s for s, t in zip(score[2], steps, strict=True)]
        loss[5] = [v if t < 60 else math.nan for v, t in zip(loss[5], steps, strict=True)]
        score[5] = [v if t < 60 else math.nan for v, t in zip(score[5], steps, strict=True)]
        event = ev.SmallSample(rows=64, steps=steps, lr=lrs, loss=loss, score=score, target=goal, reached_step=140)
        said = self.decide(2, "SHL201", "A few rows are learnt by heart", {"rows": 64, "step": 140}, "go on")
        return [event, said], "learns 64 rows by heart", "after 140 steps"

    def sweep(self) -> tuple[list[ev.Event], str, str]:
        lr = [float(v) for v in np.repeat(10 ** np.linspace(-5, 0.5, 28), 2)]
        start = [self.chance_loss * float(1 + 0.02 * self.rng.normal()) for _ in lr]
        end = []
        for value, s in zip(lr, start, strict=True):
            x = math.log10(value)
            fall = math.exp(-((x + 2.5) ** 2) / 1.1)
            end.append(math.nan if x > -0.3 else float(s * (1 - 0.65 * fall) * (1 + 0.03 * self.rng.normal())))
        event = ev.LearningRateSweep(
            steps=100, optimizer=["adamw", "momentum"] * 28, lr=lr, seed=[0, 1] * 28, start=start, end=end,
            best=0.0032, chosen=(6.3e-4, 1.3e-2), chosen_optimizer="adamw",
        )  # fmt: skip
        said = self.decide(
            3, "SHL301", "The loss falls most at 0.0032", {"best": 0.0032, "low": 6.3e-4, "high": 1.3e-2},
            "search from 6.3e-4 to 0.013",
        )  # fmt: skip
        return [event, said], "falls most at 0.0032", "6.3e-4 to 0.013"

    def members(self, n: int, around: float, width: float) -> list[ev.MemberInfo]:
        made = []
        for _ in range(n):
            made.append(
                ev.MemberInfo(
                    id=self.next_id,
                    values={
                        "lr": float(10 ** self.rng.uniform(around - width, around + width)),
                        "weight_decay": float(10 ** self.rng.uniform(-6, -1)),
                        "dropout": float(self.rng.uniform(0, 0.5)),
                        "optimizer": str(self.rng.choice(["adamw", "momentum"])),
                        "seed": int(self.rng.integers(0, 1000)),
                    },
                )
            )
            self.next_id += 1
        return made

    def search(self, step: int, number: int, n: int, epochs: int) -> Iterator[ev.Event]:
        name = f"{'coarse' if step == 4 else 'refine'} {number}"
        low, high = (-3.2, -1.9) if step == 4 or number == 1 else (-3.2, -1.4)
        yield ev.StepStarted(step=step, round=number, why=f"{n} networks, {epochs} epochs")
        members = self.members(n, (low + high) / 2, (high - low) / 2)
        cnn: dict[str, Any] = {"network": "cnn", "channels": 1, "size": [28, 28], "outputs": 10, "width": 16}
        cnn["blocks"] = 2
        yield ev.PopulationStarted(
            population=name, step=step, round=number, network=cnn, parameters=20538, batch_size=64, members=members
        )  # fmt: skip
        scores, stopped, status = yield from self.curves(name, members, epochs)
        order = np.argsort([-s if math.isfinite(s) else 9e9 for s in scores])
        best = members[int(order[0])].id
        moved = step == 5 and number > 1
        ranges = {
            "lr": ev.Range(
                low=10**low,
                high=10**high,
                was=(10**-3.2, 10**-1.9) if moved else None,
                moved_in_round=number if moved else None,
            ),
            "weight_decay": ev.Range(low=1e-6, high=1e-1),
            "dropout": ev.Range(low=0.0, high=0.5, log=False),
        }
        yield ev.SearchRound(
            step=step, round=number, population=name, ranges=ranges, members=members, score=scores, best_epoch=stopped,
            status=status, best=best,
            importance={"lr": 0.62, "optimizer": 0.17, "dropout": 0.12, "weight_decay": 0.03} if n > 3 else {},
        )  # fmt: skip
        self.best += [(s, m.id) for s, m in zip(scores, members, strict=True) if math.isfinite(s)]
        top = max((s for s in scores if math.isfinite(s)), default=math.nan)
        diverged = sum(s == "diverged" for s in status)
        yield self.decide(
            step, f"SHL{step}01", f"The best of {n} is network {best}",
            {"round": number, "best": dict(members[int(order[0])].values), "score": top, "diverged": diverged},
            "move the upper bound of the learning rate" if step == 5 and number == 1 else "narrow the ranges around it",
        )  # fmt: skip
        key = f"{top:.3f} on validation rows"
        yield ev.StepFinished(
            step=step, round=number, level="fine", verdict=f"best of {n} networks", number=key, seconds=self.took(30.0)
        )

    def curves(
        self, name: str, members: list[ev.MemberInfo], epochs: int
    ) -> Iterator[ev.Event]:  # returns (scores, best epochs, status)
        p = self.plan
        n = len(members)
        lr = np.array([float(m.values["lr"]) for m in members])  # type: ignore[arg-type]
        off = np.abs(np.log10(lr) + 2.2)
        final = p.top - 0.04 * off**2 - 0.012 * np.abs(self.rng.normal(size=n))
        wild = (np.log10(lr) > -2.0) & (self.rng.uniform(size=n) < 0.3)
        if n == 1:
            wild[:] = False
        speed = 0.35 + 0.5 * self.rng.uniform(size=n)
        best = np.full(n, -np.inf)
        best_epoch = np.ones(n, dtype=int)
        status = ["ok"] * n
        alive = list(range(n))
        for epoch in range(1, epochs + 1):
            record: dict[str, list[Any]] = {k: [] for k in ("members", "tl", "ts", "vl", "vs", "st")}
            for k in alive:
                grown = 1 - math.exp(-speed[k] * epoch)
                score = p.baseline + (final[k] - p.baseline) * grown + 0.003 * self.rng.normal()
                over = 0.004 * max(0, epoch - 8)
                train = min(0.999, p.baseline + (final[k] + 0.03 - p.baseline) * grown + over)
                vloss = self.chance_loss * (1 - 0.8 * grown) + over + 0.004 * abs(self.rng.normal())
                tloss = self.chance_loss * (1 - 0.85 * grown) - over / 2
                state = "ok"
                if wild[k] and epoch >= 2:
                    score, train, vloss, tloss, state = math.nan, math.nan, math.nan, math.inf, "diverged"
                elif epoch >= 3 and final[k] < p.top - 0.09:
                    state = "pruned"
                if score > best[k]:
                    best[k], best_epoch[k] = score, epoch
                status[k] = state
                for key, value in zip(record, (members[k].id, tloss, train, vloss, score, state), strict=True):
                    record[key].append(value)
            self.epochs_trained += len(alive)
            yield ev.EpochFinished(
                population=name, epoch=epoch, members=record["members"], train_loss=record["tl"],
                train_score=record["ts"],
                validation_loss=record["vl"], validation_score=record["vs"], lr=[float(lr[k]) for k in alive],
                status=record["st"],
            )  # fmt: skip
            alive = [k for k in alive if status[k] == "ok"]
        self.trained += n
        scores = [math.nan if status[k] == "diverged" else float(best[k]) for k in range(n)]
        return scores, [int(e) for e in best_epoch], status  # type: ignore[return-value]

    def look(self, number: int, last: bool) -> Iterator[ev.Event]:
        yield ev.StepStarted(step=6, round=number)
        _, member = max(pair for pair in self.best)
        population = f"refine {number}"
        # the best network of this round is the one that is judged
        here = [pair for pair in self.best if pair[1] >= self.next_id - self.plan.refine[number - 1]]
        if here:
            member = max(here)[1]
        verdict: Any = "good" if last else "more_training"
        sentence = (
            "The validation loss has levelled off and training and validation agree."
            if last
            else "The validation loss was still falling when training ended."
        )
        first = max(1, self.plan.epochs - 4)
        yield ev.CurveVerdict(
            round=number, population=population, member=member, code="SHL601", verdict=verdict, sentence=sentence,
            epochs_read=(first, self.plan.epochs), slope=-0.002 if last else -0.021, gap=0.034, gap_threshold=0.05,
            slope_threshold=0.005,
        )  # fmt: skip
        yield self.decide(
            6, "SHL601", sentence, {"round": number, "slope": -0.002 if last else -0.021, "gap": 0.034}, "go on",
            "fine" if last else "note",
        )  # fmt: skip
        yield ev.StepFinished(
            step=6, round=number, level="fine" if last else "note", verdict="good" if last else "needs more training",
            number="gap 3.4 points", seconds=self.took(0.2),
        )  # fmt: skip

    def again(self, number: int, last: bool) -> Iterator[ev.Event]:
        yield ev.StepStarted(step=7, round=number)
        verdict = "The budget ends" if last else "The last round gained more than chance"
        yield self.decide(7, "SHL701", verdict, {"round": number, "gain": 0.012}, "stop" if last else "go to step 5")
        yield ev.StepFinished(
            step=7,
            round=number,
            level="fine",
            verdict="stop" if last else "go again",
            number="",
            seconds=self.took(0.1),
        )

    def ensemble(self) -> ev.EnsembleChosen:
        ranked = sorted(self.best, reverse=True)
        members = [member for _, member in ranked[: min(4, len(ranked))]]
        single = ranked[0][0]
        counts = [3, 2, 1, 1][: len(members)]
        path = [single + 0.006 * (1 - math.exp(-0.6 * k)) for k in range(sum(counts))]
        return ev.EnsembleChosen(
            members=members, counts=counts, single=single, score=path[-1], gain=path[-1] - single,
            gain_interval=(0.001, 0.0105), path=path, candidates=min(30, len(ranked)),
        )  # fmt: skip

    def test(self) -> ev.TestRead:
        p = self.plan
        rows = round(p.rows * 0.15)
        if p.task == "regression":
            truth = self.rng.gamma(4.0, 50_000.0, 600)
            predicted = truth + self.rng.normal(0, 38_000, 600) - 0.1 * (truth - truth.mean())
            worst = [
                {
                    "row": int(r),
                    "truth": float(truth[r]),
                    "answer": float(predicted[r]),
                    "values": {"rooms": 5.1, "age": 32},
                }
                for r in np.argsort(-np.abs(truth - predicted))[:6]
            ]
            return ev.TestRead(
                metric=p.metric, score=p.top, interval=(p.top - p.interval, p.top + p.interval), baseline=p.baseline,
                rows=rows, scores={"rmse": 48_211.3, "mae": 33_907.1}, truth=[float(v) for v in truth],
                predicted=[float(v) for v in predicted], worst=worst,
            )  # fmt: skip
        classes = p.classes or ["no", "yes"]
        confusion = self.confusion(len(classes), rows)
        total = sum(map(sum, confusion))
        score = sum(confusion[k][k] for k in range(len(classes))) / total
        worst = [self.sample(classes) for _ in range(8)]
        return ev.TestRead(
            metric=p.metric, score=score, interval=(score - p.interval, min(1.0, score + p.interval)),
            baseline=p.baseline,
            rows=total, scores={"balanced_accuracy": score - 0.003, "log_loss": 0.362}, labels=classes,
            confusion=confusion,
            worst=worst,
        )  # fmt: skip

    def confusion(self, n: int, rows: int) -> list[list[int]]:
        each = max(1, rows // n)
        table = []
        for k in range(n):
            wrong = self.rng.dirichlet(np.full(n, 0.15))
            wrong[k] = 0
            share = (1 - self.plan.top) * self.rng.uniform(0.3, 1.7)
            counts = np.floor(wrong / max(wrong.sum(), 1e-9) * share * each).astype(int)
            counts[k] = each - counts.sum()
            table.append([int(v) for v in counts])
        return table

    def sample(self, classes: list[str]) -> dict[str, Any]:
        truth, answer = self.rng.choice(len(classes), 2, replace=False)
        told: dict[str, Any] = {
            "row": int(self.rng.integers(0, 7000)), "truth": classes[truth], "answer": classes[answer],
            "probability": float(self.rng.uniform(0.9, 1.0)),
        }  # fmt: skip
        if self.plan.images:
            told["image"] = self.picture()
        else:
            told["values"] = {"age": 39, "workclass": "State-gov", "hours_per_week": 40, "education": "Bachelors"}
        return told

    def picture(self) -> str:
        side = 28
        y, x = np.mgrid[0:side, 0:side]
        a, b = self.rng.uniform(6, 12, 2)
        shape = ((x - 14) / a) ** 2 + ((y - 14) / b) ** 2 < 1
        stripes = (x // int(self.rng.integers(2, 5)) + y // int(self.rng.integers(2, 6))) % 2
        grey = (shape * (120 + 90 * stripes) + self.rng.integers(0, 12, (side, side))).clip(0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, "PNG")
        return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    def summary(self, test: ev.TestRead, ensemble: ev.EnsembleChosen) -> dict[str, Any]:
        p = self.plan
        return {
            "run": p.run, "task": p.task, "metric": p.metric,
            "data": {"rows": p.rows, "columns": p.columns, "classes": p.classes}, "baseline": p.baseline,
            "validation": ensemble.score, "test": test.score, "test_interval": list(test.interval),
            "members_trained": self.trained, "epochs_trained": self.epochs_trained, "seconds": self.seconds,
            "device": "cpu, 2 threads", "decisions": [d.model_dump() for d in self.decisions],
            "ensemble": {
                "members": ensemble.members, "gain": ensemble.gain, "gain_interval": list(ensemble.gain_interval),
            },
            "model": f"runs/{p.run}/model", "report": f"runs/{p.run}/report.html",
        }  # fmt: skip
