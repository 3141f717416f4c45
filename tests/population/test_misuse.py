"""What callers and networks do that nobody expects: refused with a sentence, or right; and nothing is left broken."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal import losses
from shoal.core.errors import InputError
from shoal.population import Member, Population
from shoal.population.batches import epoch_batches
from shoal.population.forward import Stacked
from shoal.population.plan import Plan, Plans
from tests.population.networks import convolutional, dense, pictures, table
from tests.population.test_laws import difference, member

X, Y = table(40)


def four(**settings: object) -> list[Member]:
    return [Member.model_validate({"seed": k, "optimizer": "adam", "lr": 0.01, **settings}) for k in range(4)]


def test_an_error_inside_an_epoch_leaves_weights_and_optimizer_of_the_same_step() -> None:
    """The user's forward raises at the seventh training batch; going on equals having made those steps."""
    calls = []

    class Fragile(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            if len(calls) == 1 and self.training:
                raise RuntimeError("boom")
            return self.layer(x)  # type: ignore[no-any-return]

    population = Population(Fragile, [Member(seed=0, optimizer="adam", lr=0.01)], dtype=torch.float64)
    loop = population.train(X.double(), Y, epochs=3, batch_size=8)
    next(loop)
    calls.append(1)
    with pytest.raises(InputError, match=r"cannot take a batch of shape \[8, 5\]: boom"):
        next(loop)
    calls.append(2)
    again = Population(Fragile, [Member(seed=0, optimizer="adam", lr=0.01)], dtype=torch.float64)
    next(again.train(X.double(), Y, epochs=3, batch_size=8))
    assert torch.equal(population.theta, again.theta)
    assert population.steps.tolist() == again.steps.tolist()
    assert torch.equal(population.state[0]["exp_avg"], again.state[0]["exp_avg"])
    list(population.train(X.double(), Y, epochs=1, batch_size=8))  # and it can be trained again


def test_layers_that_their_author_put_into_evaluation_mode_stay_there() -> None:
    class Frozen(nn.Module):
        """By overriding `train`."""

        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Linear(5, 3), nn.BatchNorm1d(3)

        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self.norm.eval()
            return self

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(self.layer(x))  # type: ignore[no-any-return]

    def by_hand() -> nn.Module:
        network = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
        network[1].eval()
        return network

    for make_net, name in ((Frozen, "norm.running_mean"), (by_hand, "1.running_mean")):
        for rows in (1, 3):
            population = Population(make_net, four()[:rows])
            loop = population.train(X, Y, epochs=3, batch_size=8, validation=(X, Y))
            next(loop)
            if rows > 1:
                population.stop([1])
            list(loop)
            assert float(population.buffers[name].abs().max()) == 0.0


def test_data_are_never_written_into() -> None:
    class Greedy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            x -= 0.1
            return self.layer(x)  # type: ignore[no-any-return]

    x = X.clone()
    for rows in (1, 3):
        population = Population(Greedy, four()[:rows])
        first = population.predict(x)
        list(population.train(x, Y, epochs=1, batch_size=8, validation=(x, Y)))
        assert torch.equal(x, X)
        fresh = Population(Greedy, four()[:rows])
        torch.testing.assert_close(first, fresh.predict(x))


def test_a_buffer_of_two_modules_is_one_in_every_plan() -> None:
    class Scale(nn.Module):
        def __init__(self, by: Tensor) -> None:
            super().__init__()
            self.register_buffer("by", by)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.by

    def make_net() -> nn.Module:
        by = torch.rand(5) * 5
        return nn.Sequential(Scale(by), nn.Linear(5, 5), Scale(by), nn.Linear(5, 3))

    population = Population(make_net, four())
    together = population.predict(X)
    for k in range(4):
        torch.testing.assert_close(population[k].predict(X)[0], together[k])
        torch.testing.assert_close(population.network(k)(X), together[k])


@pytest.mark.parametrize("members", [1, 4])
def test_a_view_after_a_convolution_runs_in_torchs_layout(members: int) -> None:
    class Viewing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.conv(x).view(len(x), -1))  # type: ignore[no-any-return]

    x, y = pictures()
    plans = Plans()
    population = Population(Viewing, four()[:members], plans=plans)
    list(population.train(x, y, epochs=1, batch_size=8, validation=(x, y)))
    assert population.predict(x).shape == (members, 37, 3)
    assert not any(plan["channels_last"] for plan in plans.document().values())


def test_a_forward_that_changed_gets_a_plan_of_its_own() -> None:
    """Its printed form is the same; now it cannot be stacked."""

    def network(branching: bool) -> type[nn.Module]:
        class Net(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(5, 3)

            def forward(self, x: Tensor) -> Tensor:
                if branching and float(self.layer.weight.sum()) > 1e9:
                    return x[:, :3]
                return self.layer(x)  # type: ignore[no-any-return]

        return Net

    plans = Plans()
    for branching in (False, True):
        population = Population(network(branching), four(), plans=plans)
        list(population.train(X, Y, epochs=1, batch_size=8))
    assert sorted(bool(plan["why"]) for plan in plans.document().values()) == [False, True]


def test_memory_that_ends_late_does_not_count_a_loss_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pictures()
    members = [member(k, optimizer="adamw", average="none") for k in range(4)]
    monkeypatch.setattr(Population, "plan", lambda *_: Plan(rows=4, workers=1))
    plain, short = (Population(convolutional, members, dtype=torch.float64) for _ in range(2))
    expected = list(plain.train(x.double(), y, epochs=1, batch_size=8))[-1]
    call, calls = Stacked.__call__, []

    def failing(self, batch, keys=None, by_row=False):  # type: ignore[no-untyped-def]
        if keys is not None:
            calls.append(1)
            if len(calls) in (1, 3):  # all rows; then the second half
                raise RuntimeError("can't allocate memory")
        return call(self, batch, keys, by_row)

    monkeypatch.setattr(Stacked, "__call__", failing)
    record = list(short.train(x.double(), y, epochs=1, batch_size=8))[-1]
    np.testing.assert_allclose(record.loss, expected.loss, rtol=1e-10)


def test_scores_and_plateaus_of_a_view_are_those_of_its_rows_alone() -> None:
    y = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    y[20:] *= 100
    views = [np.arange(20), np.arange(40)]
    population = Population(dense, four()[:2], loss="squared_error", dtype=torch.float64)
    record = next(population.train(X.double(), y, epochs=1, batch_size=8, views=views))
    alone = Population(dense, four()[:1], loss="squared_error", dtype=torch.float64)
    own = next(alone.train(X[:20].double(), y[:20], epochs=1, batch_size=8))
    assert record.score[0] == pytest.approx(own.score[0], rel=1e-9)
    array = Population(dense, four()[:2], dtype=torch.float64)
    list(array.train(X.double(), Y, epochs=1, views=np.stack([np.arange(20), np.arange(20, 40)])))


def test_two_trainings_at_once_are_refused() -> None:
    population = Population(dense, four())
    first, second = (population.train(X, Y, epochs=2, batch_size=8) for _ in range(2))
    next(first)
    with pytest.raises(InputError, match="is being trained"):
        next(second)
    with pytest.raises(InputError, match="is being trained"):
        population.resume(X, Y)
    list(first)
    assert population.epochs.tolist() == [2] * 4


def test_resume_wants_the_data_that_the_training_began_with(tmp_path: Path) -> None:
    population = Population(dense, four())
    loop = population.train(X, Y, epochs=3, batch_size=8, validation=(X, Y), patience=3)
    next(loop)
    population.save(tmp_path / "p.safetensors")
    loaded = Population.load(tmp_path / "p.safetensors", dense)
    with pytest.raises(InputError, match=r"x is \[20, 5\], but the training began with \[40, 5\]"):
        loaded.resume(X[:20], Y[:20], validation=(X, Y))
    with pytest.raises(InputError, match="began with validation"):
        loaded.resume(X, Y)
    with pytest.raises(InputError, match="class number"):
        loaded.resume(X, Y + 5, validation=(X, Y))
    assert len(list(loaded.resume(X, Y, validation=(X, Y)))) == 2


def test_a_loss_of_ones_own_is_given_again_when_loading(tmp_path: Path) -> None:
    def mine(outputs: Tensor, target: Tensor) -> Tensor:
        return (outputs - target).abs().mean(dim=-1)

    population = Population(dense, four(), loss=mine)
    list(population.train(X, X[:, :3], epochs=1))
    population.save(tmp_path / "p.safetensors")
    with pytest.raises(InputError, match="loss mine of your own"):
        Population.load(tmp_path / "p.safetensors", dense)
    again = Population.load(tmp_path / "p.safetensors", dense, loss=mine)
    assert torch.equal(again.theta, population.theta)


def test_a_file_whose_buffers_are_anothers_is_refused(tmp_path: Path) -> None:
    def net(momentum: bool) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, track_running_stats=momentum))

    Population(lambda: net(True), four()).save(tmp_path / "p.safetensors")
    with pytest.raises(InputError, match="its buffers differ"):
        Population.load(tmp_path / "p.safetensors", lambda: net(False))


def test_one_row_alone_learns_without_gradients_switched_on_outside() -> None:
    population = Population(dense, four()[:1])
    before = population.theta.clone()
    with torch.no_grad():
        list(population.train(X, Y, epochs=1))
    assert not torch.equal(before, population.theta)


def answering(change):  # type: ignore[no-untyped-def]
    """A linear layer whose answer is changed."""

    class Answering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return change(self.layer(x))  # type: ignore[no-any-return]

    return Answering


def _failing() -> nn.Module:
    raise ValueError("no such file")


def _of_classes(name: str):  # type: ignore[no-untyped-def]
    def loss(outputs: Tensor, target: Tensor) -> Tensor:
        flat = nn.functional.cross_entropy(outputs.flatten(0, 1), target.flatten(), reduction="none")
        return flat.view(target.shape)

    loss.__name__ = name
    return loss


def refused(words: str, act) -> None:  # type: ignore[no-untyped-def]
    population = Population(dense, four())
    before = (population.theta.clone(), list(population.status), population.members)
    with pytest.raises(InputError, match=words):
        act(population)
    assert torch.equal(before[0], population.theta)
    assert before[1:] == (population.status, population.members)


@pytest.mark.parametrize(
    ("words", "act"),
    [
        ("no row 99", lambda p: p.stop([0, 99])),
        ("status='banana'", lambda p: p.stop([0], "banana")),
        ("status='ok'", lambda p: p.stop([0], "ok")),
        ("no row 99", lambda p: p.enter([0, 99], [Member(), Member()])),
        ("epochs=0", lambda p: p.train(X, Y, epochs=0)),
        ("epochs=1.5", lambda p: p.train(X, Y, epochs=1.5)),
        ("batch_size=0", lambda p: p.train(X, Y, epochs=1, batch_size=0)),
        ("patience=0", lambda p: p.train(X, Y, epochs=1, validation=(X, Y), patience=0)),
        ("order_seed", lambda p: p.train(X, Y, epochs=1, order_seed=2**70)),
        (r"pair \(x, y\)", lambda p: p.train(X, Y, epochs=1, validation=X)),
        ("class number 11", lambda p: p.train(X, Y, epochs=1, validation=(X, Y + 9))),
        (r"batch of shape \[40, 4\]", lambda p: p.train(X, Y, epochs=1, validation=(X[:, :4], Y))),
        ("nothing to predict", lambda p: p.predict(X[:0])),
        ("no array of numbers", lambda p: p.predict("rows")),
        ("no array of numbers", lambda p: p.predict(np.array([object()] * 3))),
        ("real numbers", lambda p: p.predict(3.0)),
        ("no row 99", lambda p: p.network(99)),
        ("no row 99", lambda p: p[99]),
        ("at least one row", lambda p: p[4:]),
        ("class number 11", lambda p: p.evaluate(X, Y + 9)),
    ],
)
def test_calls_that_cannot_be_change_nothing(words: str, act) -> None:  # type: ignore[no-untyped-def]
    refused(words, act)


@pytest.mark.parametrize(
    ("words", "act"),
    [
        ("seed", lambda: Member(seed=2**63)),
        ("lr=-1", lambda: Member(lr=-1)),
        ("augment=5", lambda: Member(augment=5)),
        ("beta1", lambda: Population(dense, [Member(betas=(1.5, 2.0))])),
        ("lr", lambda: Population(dense, [Member(lr=float("inf"))])),
        ("Member 1: augment=5", lambda: Population(dense, [{}, {"augment": 5}])),
        ("members=3", lambda: Population(dense, 3)),
        ("make_net=5", lambda: Population(5, [Member()])),
        ("returned NoneType", lambda: Population(lambda: None, [Member()])),
        ("device='foo'", lambda: Population(dense, [Member()], device="foo")),
        ("p=1", lambda: Population(lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout(1.0)), [Member()])),
        (
            "input_noise",
            lambda: Population(
                lambda: nn.Sequential(nn.Embedding(3, 4), nn.Flatten(), nn.Linear(20, 3)), [Member(input_noise=0.1)]
            ).train(torch.zeros(40, 5, dtype=torch.int64), Y, epochs=1),
        ),
        ("make_net failed: ValueError: no such file", lambda: Population(_failing, [Member()])),
        ("weight is torch.complex64", lambda: Population(lambda: nn.Linear(5, 3, dtype=torch.complex64), [Member()])),
        ("no shape yet", lambda: Population(lambda: nn.LazyLinear(3), [Member()])),
        ("no values .device meta", lambda: Population(lambda: nn.Linear(5, 3, device="meta"), [Member()])),
        ("TorchScript", lambda: Population(lambda: torch.jit.script(nn.Linear(5, 3)), [Member()])),
        ("with tuple: it must be one tensor", lambda: Population(answering(lambda o: (o, o)), four()).predict(X)),
        ("with dict: it must be one tensor", lambda: Population(answering(lambda o: {"o": o}), four()).predict(X)),
        ("torch.int64: it must be real", lambda: Population(answering(lambda o: o.argmax(-1)), four()).predict(X)),
        ("needs logits .B, C.", lambda: Population(answering(lambda o: o[..., 0]), four()).train(X, Y, epochs=1)),
        ("have no gradient", lambda: Population(answering(lambda o: o.detach()), four()).train(X, Y, epochs=1)),
        ("sparse tensor", lambda: Population(dense, four()).predict(X.to_sparse())),
        (
            r"The loss mine failed .* expected target dtype to be Long.*losses.custom\(mine, categorical=True\)",
            lambda: Population(dense, four(), loss=_of_classes("mine")).train(X, Y, epochs=1),
        ),
        (
            r"returned \[2\] for outputs \[2, 4, 3\]",
            lambda: Population(dense, four(), loss=lambda o, t: (o - t).square().mean((1, 2))).train(
                X, X[:, :3], epochs=1
            ),
        ),
        (
            "mixes members",
            lambda: Population(dense, four(), loss=lambda o, t: (o - o.mean(0)).square().mean(-1)).train(
                X, X[:, :3], epochs=1
            ),
        ),
        (
            "no gradient",
            lambda: list(
                Population(dense, four(), loss=lambda o, t: (o - t).detach().mean(dim=-1)).train(X, X[:, :3], epochs=1)
            ),
        ),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(words: str, act) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=words):
        act()


def test_a_loss_of_ones_own_may_take_class_numbers() -> None:
    mine = losses.custom(_of_classes("mine"), categorical=True)
    own, usual = Population(dense, four(), loss=mine), Population(dense, four())
    for population in (own, usual):
        list(population.train(X, Y, epochs=3, batch_size=8))
    torch.testing.assert_close(own.theta, usual.theta)
    with pytest.raises(InputError, match="mine needs class numbers"):
        own.train(X, Y.float(), epochs=1)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["layer", "function", "bag"])
def test_sparse_gradients_are_taken_as_dense_ones(members: int, kind: str) -> None:
    class Words(nn.Module):
        def __init__(self, sparse: bool) -> None:
            super().__init__()
            layer = nn.EmbeddingBag if kind == "bag" else nn.Embedding
            self.table, self.out = layer(7, 4, sparse=sparse), nn.Linear(4 if kind == "bag" else 20, 3)

        def forward(self, x: Tensor) -> Tensor:
            if kind == "function":
                found = nn.functional.embedding(x, self.table.weight, sparse=self.table.sparse)
            else:
                found = self.table(x)
            return self.out(found.flatten(1))  # type: ignore[no-any-return]

    x = torch.randint(0, 7, (40, 5), generator=torch.Generator().manual_seed(0))
    sparse, usual = (Population(lambda s=s: Words(s), four()[:members]) for s in (True, False))
    for population in (sparse, usual):
        list(population.train(x, Y, epochs=3, batch_size=8))
    torch.testing.assert_close(sparse.theta, usual.theta)


def test_a_batch_that_only_later_turns_out_to_be_wrong_is_refused_too() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.Embedding(3, 4), nn.Flatten(), nn.Linear(20, 3))

    population = Population(net, four())
    x = torch.zeros(40, 5, dtype=torch.int64)
    population.predict(x)
    x[30:] = 9
    for act in (lambda: population.predict(x), lambda: list(population.train(x, Y, epochs=1, batch_size=8))):
        with pytest.raises(InputError, match=r"cannot take a batch of shape .*: index out of range"):
            act()


def test_who_else_draws_random_numbers_is_not_mistaken_for_the_network() -> None:
    """Another thread of the program draws all the time; the network draws nothing."""
    done = threading.Event()

    def draw() -> None:
        while not done.is_set():
            torch.rand(10)

    drawing = threading.Thread(target=draw)
    drawing.start()
    try:
        for rows in range(2, 22):
            Population(dense, four()).predict(X[:rows])
    finally:
        done.set()
        drawing.join()
    with pytest.raises(InputError, match="draws random numbers"):
        Population(answering(lambda o: o + torch.rand(3)), four()).predict(X)


def test_rows_may_be_counted_from_the_end() -> None:
    population = Population(dense, four())
    population.stop(-1)
    assert population.status == ["ok", "ok", "ok", "pruned"]
    torch.testing.assert_close(population.network(-1)(X), population.network(3)(X))
    population.enter([-1], [Member(seed=9)])
    assert population.members[3].seed == 9 and copy.copy(population.status)[3] == "ok"


def test_transposed_convolutions_keep_their_bits_beside_a_row_that_leaves() -> None:
    def net() -> nn.Module:
        return nn.Sequential(nn.ConvTranspose2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))

    x, y = pictures()
    company, lonely = (Population(net, four()) for _ in range(2))
    list(company.train(x, y, epochs=3, batch_size=8))
    for number, _ in enumerate(lonely.train(x, y, epochs=3, batch_size=8)):
        if number == 0:
            lonely.stop([1])
    assert torch.equal(company.theta[2], lonely.theta[2])
    assert difference(company, 1, lonely, 1) > 0


def test_the_order_of_an_epoch_is_a_permutation_cut_into_batches() -> None:
    batches = epoch_batches(9, 4, 0, 0, torch.device("cpu"))
    assert batches.cuts == (0, 4, 9)  # the row that would be alone joins the batch before
    assert sorted(batches.order.tolist()) == list(range(9))


def test_a_program_may_end_with_a_training_half_read() -> None:
    program = """
import torch, shoal
population = shoal.Population(lambda: torch.nn.Linear(5, 3), [shoal.Member()])
loop = population.train(torch.randn(40, 5), torch.zeros(40, dtype=torch.int64), epochs=9)
next(loop)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_rows_can_be_gone_through_one_by_one() -> None:
    population = Population(dense, four())
    apart = list(population)
    assert [len(each) for each in apart] == [1] * 4
    assert all(torch.equal(each.theta[0], population.theta[k]) for k, each in enumerate(apart))


def test_a_factory_that_builds_nothing_new_is_refused() -> None:
    network = dense()
    with pytest.raises(InputError, match="returned the same module twice"):
        Population(lambda: network, four())
    given = Population(network, four())  # the module itself: all start from its weights, as it says
    assert torch.equal(given.theta[0], given.theta[1])
    assert len(Population(lambda: network, four()[:1])) == 1


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (nn.CrossEntropyLoss(), "CrossEntropyLoss is called 'cross_entropy' here"),
        (nn.functional.cross_entropy, "give loss='cross_entropy'"),
        (nn.MSELoss(), "give loss='squared_error'"),
        ("mse", "give loss='squared_error'"),
        ("hinge", "use one of cross_entropy, squared_error"),
    ],
)
def test_losses_of_torch_are_known_by_their_names(loss: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Population(dense, four(), loss=loss)  # type: ignore[arg-type]
