"""Any search can drive a population: here Optuna asks and is told, on places that are never idle."""

from __future__ import annotations

import optuna
import torch

from shoal.population import Member, Population
from tests.population.networks import dense, table
from tests.population.test_laws import difference

X, Y = table(40)
HELD_OUT = table(30, seed=5)
EPOCHS, PLACES, TRIALS = 4, 3, 10


def member(trial: optuna.Trial) -> Member:
    return Member(seed=trial.number, optimizer="adam", lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True))


def train(population: Population):  # type: ignore[no-untyped-def]
    held_out = HELD_OUT[0].double(), HELD_OUT[1]
    return population.train(X.double(), Y, epochs=EPOCHS, batch_size=8, validation=held_out, patience=EPOCHS)


def test_optuna_asks_and_is_told_while_the_others_go_on() -> None:
    """Ten trials on three places, the worst pruned half-way; each score is that of the member alone."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=1))
    running = {place: study.ask() for place in range(PLACES)}
    population = Population(dense, [member(trial) for trial in running.values()], dtype=torch.float64)
    asked, ages = PLACES, set()
    for record in train(population):
        ages.add(tuple(record.epochs.tolist()))
        half_way = [place for place in record.trained if place in running and record.epochs[place] == EPOCHS // 2]
        if len(half_way) > 1:  # a cohort: end its worst
            population.stop([min(half_way, key=lambda place: record.best_score[place])])
        for place, trial in list(running.items()):
            pruned = population.status[place] == "pruned"
            if not pruned and record.epochs[place] < EPOCHS:
                continue
            state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
            study.tell(trial, None if pruned else float(record.best_score[place]), state=state)
            del running[place]
            if asked < TRIALS:
                running[place], asked = study.ask(), asked + 1
                population.enter([place], [member(running[place])])
    assert not running and len(study.trials) == TRIALS
    assert len({trial.state for trial in study.trials}) == 2
    assert any(len(set(age)) > 1 for age in ages)  # rows of different ages side by side
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.COMPLETE:
            alone = Population(
                dense, [Member(seed=trial.number, optimizer="adam", lr=trial.params["lr"])], dtype=torch.float64
            )
            assert list(train(alone))[-1].best_score[0] == trial.value
    last = max(trial.number for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE)
    place = next(k for k, m in enumerate(population.members) if m.seed == last)
    one = Population(dense, [population.members[place]], dtype=torch.float64)
    list(train(one))
    assert difference(population, place, one, 0) < 1e-10
