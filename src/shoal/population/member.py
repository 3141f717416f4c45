"""A member: everything that can differ between the rows of one population."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, ValidationError

from shoal import optim
from shoal.core.errors import InputError
from shoal.core.events import Record
from shoal.nn import initializers


class Member(Record):
    """The settings of one network. Names and defaults are `torch.optim`'s where it has the word.

    `None` means: what the optimizer's rule, or the network itself, says.
    """

    seed: int = 0
    optimizer: str = "adamw"
    lr: float | None = Field(default=None, gt=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    betas: tuple[float, float] | None = None
    eps: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    schedule: str = "constant"
    warmup: float = Field(default=0.0, ge=0, lt=1)  # share of the steps
    init: str = "torch"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, le=1)
    l1: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # coupled: l1 sign(theta) joins the gradient
    clip: float | None = Field(default=None, gt=0)  # longest gradient, by its norm over the whole row
    clip_value: float | None = Field(default=None, gt=0)  # largest component of the gradient
    input_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # standard deviation, in the inputs' unit
    weight_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # standard deviation
    dropconnect: float = Field(default=0.0, ge=0, lt=1)  # share of the weights left out of each step

    def hyper(self) -> dict[str, float]:
        """The optimizer's hyperparameters by the rule's names, its defaults filled in."""
        given: dict[str, float | None] = {
            "lr": self.lr,
            "momentum": self.momentum,
            "beta1": self.betas[0] if self.betas else None,
            "beta2": self.betas[1] if self.betas else None,
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }
        values = dict(optim.rule(self.optimizer).defaults)
        for name, value in given.items():
            if value is not None:
                if name not in values:
                    raise InputError(f"optimizer={self.optimizer!r} has no {name}: leave it out for this member.")
                values[name] = value
        return values


def check(members: Sequence[Member | dict[str, object]]) -> tuple[Member, ...]:
    """Members as validated records.

    Args:
        members: `Member`s or dicts of their fields, at least one.

    Raises:
        InputError: there are none, or a field is unknown or out of range; the message names the member and the field.
    """
    if not members:
        raise InputError("The population has no members: give at least one Member.")
    checked = []
    for number, member in enumerate(members):
        try:
            record = member if isinstance(member, Member) else Member.model_validate(member)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise InputError(f"Member {number}: {field}={first['input']!r}: {first['msg']}.") from None
        try:
            record.hyper()
            initializers.check(record.init)
        except InputError as error:
            raise InputError(f"Member {number}: {error}") from None
        checked.append(record)
    return tuple(checked)
