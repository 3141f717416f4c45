"""Ready-made studies: one question about training, answered on the user's own data by a controlled experiment.

`shoal study NAME DATA` looks a name up in `STUDIES`. Behind each stands one function, in a file of its own:

    def run(subject: Subject, options: StudyOptions) -> Generator[Progress, None, Study]

- `subject.py`: the `Subject`, a task and the user's own network where one was given. A study trains on
  `subject.fold.train`, scores on `subject.fold.validation`, and never sees the test rows. It works for every kind of
  data and both tasks, or raises `InputError` in one sentence that says which data it needs.
- `record.py`: the `StudyOptions` that the user fixed; the `Progress` that a study yields while it works (nothing
  prints, plots or writes here); the `Study` that it returns: the answer in one sentence, at most four numbers,
  decisions with stable codes whose evidence holds the numbers and the thresholds, and sections of tables and pictures.
  A picture is a kind of chart and its plain data; the report draws it, `--json` prints it.

Comparisons are designs of the room `comparison`: settings differ by level, seeds pair them, and what is claimed carries
an interval. A new study is a file here, a line in `STUDIES` and, where no chart there is fits, a chart in
`report/static`. `settings.py` is the study behind `shoal compare`, which also takes what is to differ.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from shoal.core.errors import InputError
from shoal.core.names import did_you_mean

if TYPE_CHECKING:
    from shoal.studies.record import Progress, Study, StudyOptions
    from shoal.studies.subject import Subject

    Run = Callable[[Subject, StudyOptions], Generator[Progress, None, Study]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table: where the function `run` is, and what the study asks."""

    module: str
    asks: str


STUDIES: Mapping[str, Entry] = {
    "initialization": Entry("initialization", "Do signals reach the last layer, whatever the initial weights?"),
    "normalization": Entry("normalization", "Which normalization lets deeper networks learn, at which learning rates?"),
    "convolution": Entry("convolution", "What does a convolution do, and what do its kernels learn?"),
    "preparation": Entry("preparation", "what centring, scaling, PCA and whitening do to the data, and to training"),
    "augmentation": Entry("augmentation", "Which augmentation helps, by how much, and does it keep the labels?"),
}


def find(name: str) -> Run:
    """The study of that name, loaded.

    Raises:
        InputError: there is none; the sentence names the closest.
    """
    if name not in STUDIES:
        raise InputError(f"there is no study `{name}`{did_you_mean(name, STUDIES)}")
    run: Run = import_module(f"shoal.studies.{STUDIES[name].module}").run
    return run
