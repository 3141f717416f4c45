"""A member: everything that can differ between the rows of one population."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from shoal import optim
from shoal.augment import Augment
from shoal.augment import of as as_augment
from shoal.core.errors import InputError
from shoal.core.events import Record
from shoal.nn import initializers
from shoal.optim import hyperparameters, schedules

_BY_RULE = ("alpha", "rho", "dampening", "lr_decay", "momentum_decay", "delta", "wd_ratio", "weight_decay")


class Member(Record):
    """The settings of one network. Names and defaults are `torch.optim`'s where it has the word.

    `None` means: what the optimizer's rule, or the network itself, says.
    """

    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
    optimizer: str = "adamw"
    lr: float | None = Field(default=None, gt=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    betas: tuple[float, float] | None = None
    eps: float | None = Field(default=None, gt=0)
    alpha: float | None = Field(default=None, ge=0, le=1)  # RMSprop's
    rho: float | None = Field(default=None, ge=0, le=1)  # Adadelta's
    dampening: float | None = Field(default=None, ge=0, le=1)
    lr_decay: float | None = Field(default=None, ge=0)  # Adagrad's
    momentum_decay: float | None = Field(default=None, ge=0)  # NAdam's
    delta: float | None = Field(default=None, ge=0)  # AdamP's, as is the next
    wd_ratio: float | None = Field(default=None, ge=0, le=1)
    weight_decay: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    decoupled_weight_decay: bool | None = None  # beside the gradient, not in it; None is what the rule does
    l1: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    decoupled_l1: bool = False  # the soft threshold beside the gradient instead of l1 sign(theta) in it
    schedule: str = "constant"
    warmup: float = Field(default=0.0, ge=0, lt=1)  # share of the steps
    gamma: float = Field(default=0.1, gt=0, lt=1)  # what a drop of the schedules step and plateau leaves of lr
    plateau_patience: int = Field(default=10, ge=0)  # epochs without a better loss that the schedule plateau lets pass
    average: Literal["none", "ema", "swa"] = "none"  # of the weights: what is scored, kept and returned
    average_decay: float = Field(default=0.999, ge=0, lt=1)  # of ema
    average_from: float = Field(default=0.0, ge=0, lt=1)  # share of the steps before the average begins
    init: str = "torch"
    dropout: float | None = Field(default=None, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, le=1)
    clip: float | None = Field(default=None, gt=0)  # longest gradient, by its norm over the whole row
    clip_value: float | None = Field(default=None, gt=0)  # largest component of the gradient
    input_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # standard deviation, in the inputs' unit
    weight_noise: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # standard deviation
    dropconnect: float = Field(default=0.0, ge=0, lt=1)  # share of the weights left out of each step
    augment: Annotated[Augment, BeforeValidator(as_augment)] = Augment()  # or its text, as in "hflip,rotate=15"
    mixup: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # alpha of Beta(alpha, alpha); this and the next two
    cutmix: float = Field(default=0.0, ge=0, allow_inf_nan=False)  # may also stand in `augment`
    cutout: float = Field(default=0.0, ge=0, le=1)  # side of the blanked box, as a share of each side

    def __init__(self, **values: Any) -> None:
        """Validate; a caller's mistake becomes an `InputError`."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(f"Member: {_sentence(error)}") from None

    def rule(self) -> optim.Rule:
        """The optimizer.

        Raises:
            InputError: there is none of that name.
        """
        return optim.rule(self.optimizer)

    def augmentation(self) -> Augment:
        """How its samples are changed: `augment`, with mixup, cutmix and cutout where they are set beside it."""
        beside = {name: getattr(self, name) for name in ("mixup", "cutmix", "cutout") if getattr(self, name)}
        return self.augment.model_copy(update=beside)

    def hyper(self) -> dict[str, float]:
        """The optimizer's hyperparameters by the rule's names, its defaults filled in."""
        given: dict[str, float | None] = {
            "lr": self.lr,
            "momentum": self.momentum,
            "beta1": self.betas[0] if self.betas else None,
            "beta2": self.betas[1] if self.betas else None,
            "eps": self.eps,
            **{name: getattr(self, name) for name in _BY_RULE},
        }
        values = dict(self.rule().defaults)
        for name, value in given.items():
            if value is not None:
                if name not in values:
                    raise InputError(f"optimizer={self.optimizer!r} has no {name}: leave it out for this member.")
                values[name] = value
        return values


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # a sentence of our own
        return str(first["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in first['loc'])}={first['input']!r}: {first['msg']}."


def check(members: Sequence[Member | dict[str, object]]) -> tuple[Member, ...]:
    """Members as validated records.

    Args:
        members: `Member`s or dicts of their fields, at least one.

    Raises:
        InputError: there are none, or a field is unknown or out of range; the message names the member and the field.
    """
    if not isinstance(members, Sequence):
        raise InputError(f"members={members!r}: give a list of Member, one for each row.")
    if not members:
        raise InputError("The population has no members: give at least one Member.")
    checked = []
    for number, member in enumerate(members):
        try:
            record = member if isinstance(member, Member) else Member(**member)
        except InputError as error:
            raise InputError(f"Member {number}: {str(error).removeprefix('Member: ')}") from None
        try:
            for name, value in record.hyper().items():
                hyperparameters.check(name, value)
            initializers.check(record.init)
            schedules.code(record.schedule)
        except InputError as error:
            raise InputError(f"Member {number}: {error}") from None
        checked.append(record)
    return tuple(checked)
