"""`torch.optim.Optimizer`s of the rules, for one ordinary network.

Constructor names, defaults, parameter groups, closures and `state_dict` are those of the optimizer of the same name in
torch.optim (AdamP: of its authors' program), so state goes both ways and torch's learning-rate schedulers work.
`foreach`, `fused` and `capturable` tell torch how to run its own kernels: they are accepted, kept in the groups, and
change nothing.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from shoal.core.errors import InputError
from shoal.optim import hyperparameters
from shoal.optim.formula import Rule
from shoal.optim.row_optimizer import Group, RowOptimizer
from shoal.optim.rule import rule


class SGD(RowOptimizer):
    """`torch.optim.SGD`: descent, with momentum or Nesterov's form when `momentum` is not 0."""

    _counts_steps = False

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )

    def _rule(self, group: Group) -> Rule:
        if group["momentum"] == 0:
            return rule("sgd")
        return rule("nesterov" if group["nesterov"] else "momentum")

    def _check(self, group: Group) -> None:
        hyperparameters.check("momentum", group["momentum"])
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise InputError(
                f"nesterov=True needs momentum above 0 and dampening 0; they are {group['momentum']:g} and "
                f"{group['dampening']:g}."
            )
        super()._check(group)


class Adagrad(RowOptimizer):
    """`torch.optim.Adagrad`."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            lr_decay=lr_decay,
            eps=eps,
            weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value,
            maximize=maximize,
        )

    def _rule(self, group: Group) -> Rule:
        return rule("adagrad")

    def _start(self, slot: str, group: Group) -> float:
        return float(group["initial_accumulator_value"])

    def _check(self, group: Group) -> None:
        super()._check(group)
        hyperparameters.check("initial_accumulator_value", group["initial_accumulator_value"])


class Adadelta(RowOptimizer):
    """`torch.optim.Adadelta`."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(params, torch_only, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)

    def _rule(self, group: Group) -> Rule:
        return rule("adadelta")


class RMSprop(RowOptimizer):
    """`torch.optim.RMSprop`, with momentum when that is not 0 and centred when asked."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            momentum=momentum,
            alpha=alpha,
            eps=eps,
            centered=centered,
            weight_decay=weight_decay,
            maximize=maximize,
        )

    def _rule(self, group: Group) -> Rule:
        centered = "_centered" if group["centered"] else ""
        momentum = "_momentum" if group["momentum"] != 0 else ""
        return rule(f"rmsprop{centered}{momentum}")


class Adam(RowOptimizer):
    """`torch.optim.Adam`, with AMSGrad and decoupled decay when asked."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )

    def _rule(self, group: Group) -> Rule:
        if group["decoupled_weight_decay"]:
            return rule("adamw_amsgrad" if group["amsgrad"] else "adamw")
        return rule("amsgrad" if group["amsgrad"] else "adam")


class AdamW(RowOptimizer):
    """`torch.optim.AdamW`, with AMSGrad when asked."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )

    def _rule(self, group: Group) -> Rule:
        return rule("adamw_amsgrad" if group["amsgrad"] else "adamw")


class NAdam(RowOptimizer):
    """`torch.optim.NAdam`."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    def _rule(self, group: Group) -> Rule:
        return rule("nadam")


class RAdam(RowOptimizer):
    """`torch.optim.RAdam`."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )

    def _rule(self, group: Group) -> Rule:
        return rule("radam")


class AdamP(RowOptimizer):
    """AdamP (Heo et al. 2021), with the argument names and defaults of its authors' program."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        **torch_only: Any,
    ) -> None:
        super().__init__(
            params,
            torch_only,
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            delta=delta,
            wd_ratio=wd_ratio,
            nesterov=nesterov,
            maximize=maximize,
        )

    def _rule(self, group: Group) -> Rule:
        return rule("adamp")
