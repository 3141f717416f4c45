"""Rows by number, slice and mask: the same rows everywhere they are named, and what names none is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoal.core.errors import InputError
from shoal.population import Member, Population
from shoal.population.rows import Rows
from tests.population.networks import dense, table

MASK = [False, True, True, False]
MASKS = [MASK, np.array(MASK), torch.tensor(MASK), [torch.tensor(each) for each in MASK]]


def population() -> Population:
    return Population(dense, [Member(seed=10 + k) for k in range(4)])


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_selects_the_rows_where_it_is_true(mask: Rows) -> None:
    pop = population()
    assert [member.seed for member in pop[mask].members] == [11, 12]
    pop.stop(mask)
    assert pop.status == ["ok", "pruned", "pruned", "ok"]
    pop.enter(mask, [Member(seed=1), Member(seed=2)])
    assert [member.seed for member in pop.members] == [10, 1, 2, 13]


def test_a_record_compared_with_a_number_stops_those_rows() -> None:
    x, y = table()
    pop = population()
    record = next(pop.train(x, y, epochs=2, batch_size=8))
    worse = record.loss > np.sort(record.loss)[1]
    pop.stop(worse)
    assert [status == "pruned" for status in pop.status] == worse.tolist()
    assert worse.sum() == 2


@pytest.mark.parametrize(
    "rows", [[-1, 0], (3, 0), np.array([3, 0]), torch.tensor([-1, -4]), np.array([3, 0], dtype=np.uint8), iter([3, 0])]
)
def test_numbers_select_in_the_order_in_which_they_stand(rows: Rows) -> None:
    assert [member.seed for member in population()[rows].members] == [13, 10]


@pytest.mark.parametrize("row", [2, -2, np.int64(2), torch.tensor(2)])
def test_one_number_is_one_row(row: Rows) -> None:
    assert [member.seed for member in population()[row].members] == [12]
    torch.testing.assert_close(
        population().network(row).state_dict(),  # type: ignore[arg-type]
        population().network(2).state_dict(),
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([True, False, True], "mask of shape .3.: the population has 4 rows"),
        (np.ones((4, 1), dtype=bool), r"mask of shape \[4, 1\]"),
        (True, "names no rows"),
        ([True, 2, False, 1], "names no rows"),
        (1.0, "names no rows"),
        ([0.0, 1.0], "names no rows"),
        (torch.tensor([1.7]), "names no rows"),
        ([[0], [1, 2]], "names no rows"),
        (np.array([[0, 1]]), "names no rows"),
        ("12", "names no rows"),
        (None, "names no rows"),
        ([0, None], "names no rows"),
        ([0, 4], "no row 4: the population has the rows 0 to 3"),
        (-5, "no row -5"),
    ],
)
def test_what_names_no_rows_is_refused_everywhere_and_changes_nothing(rows: Rows, words: str) -> None:
    pop = population()
    for act in (
        lambda: pop[rows],
        lambda: pop.stop(rows),
        lambda: pop.enter(rows, [Member(), Member()]),
    ):
        with pytest.raises(InputError, match=words):
            act()
    with pytest.raises(InputError):
        pop.network(rows)  # type: ignore[arg-type]
    assert pop.status == ["ok"] * 4
    assert [member.seed for member in pop.members] == [10, 11, 12, 13]
