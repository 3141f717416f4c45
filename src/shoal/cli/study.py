"""`shoal study NAME DATA`: one question about training, answered on one's own data."""

from __future__ import annotations

from typing import Any

from shoal.cli.options import DEBUG, JSON, READING, Argument, Option, given_only, takes
from shoal.studies import STUDIES


@takes(
    Argument("name", f"What to study: {', '.join(STUDIES)}."),
    Argument("data", "In any form that `shoal fit` reads, such as digits."),
    *READING,
    Option("model", "Study your own network too, where the study takes one.", "pkg.mod:make_net"),
    Option("image", "A picture of your own, where the study shows one.", "FILE"),
    Option("augment", "The operations to study, where the study takes them.", "hflip,rotate=15,..."),
    Option("replicates", "Seeds of each setting that is compared.", "NUMBER", "number"),
    Option("epochs", "Passes over the data of each training.", "NUMBER", "number"),
    Option("seed", "Where all randomness starts. Default: 0.", "NUMBER", "number"),
    Option("out", "The folder of the study; must not hold a run yet. Default: runs/NAME-DATA.", "FOLDER"),
    JSON,
    DEBUG,
)
def study(**given: Any) -> int:
    """One question about training, answered by a controlled experiment on your data."""
    from shoal import api
    from shoal.cli import study_view

    options = given_only({name: value for name, value in given.items() if name not in ("json", "debug")})
    steps = api.study_steps(options.pop("name"), options.pop("data"), **options)
    return study_view.carry_out(steps, as_json=given["json"])
