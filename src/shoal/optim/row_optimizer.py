"""The base of the torch-compatible classes: a `torch.optim.Optimizer` whose parameters are rows [1, P] of a rule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from shoal.core.errors import InputError
from shoal.core.layout import Layout
from shoal.optim import hyperparameters
from shoal.optim.formula import Coefficients, Rule, State
from shoal.optim.one_pass import advance

Group = dict[str, Any]

_TORCH_ONLY = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
_HALF = (torch.float16, torch.bfloat16)
COMPILED_AFTER = 10**10
"""Weights moved by an optimizer before it compiles its passes: seconds of compiling are then small beside its past."""


class RowOptimizer(Optimizer, ABC):
    """What the classes share; each of them says which rule a parameter group follows."""

    _counts_steps = True
    _moved = 0  # weights, all steps together

    def __init__(self, params: ParamsT, torch_only: dict[str, Any], **defaults: Any) -> None:
        for name in torch_only:
            if name not in _TORCH_ONLY:
                raise InputError(f"{type(self).__name__} has no argument {name}.")
        super().__init__(params, {**defaults, **_TORCH_ONLY, **torch_only})

    @abstractmethod
    def _rule(self, group: Group) -> Rule:
        """The rule that a group's settings ask for."""

    def _start(self, slot: str, group: Group) -> float:
        return 0.0

    def add_param_group(self, param_group: Group) -> None:
        """Add a group of parameters with its own hyperparameters.

        Raises:
            InputError: a hyperparameter is out of its range, or a parameter is complex; the group is not added.
        """
        super().add_param_group(param_group)
        try:
            self._check(self.param_groups[-1])
        except InputError:
            self.param_groups.pop()
            raise

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Fill in what groups saved by other versions lack."""
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def _check(self, group: Group) -> None:
        if group["differentiable"]:
            raise InputError("differentiable=True is not supported; call Rule.update, which autograd can pass through.")
        if any(torch.is_complex(p) for p in group["params"]):
            raise InputError(f"{type(self).__name__} trains real numbers; a parameter is complex.")
        for name, value in self._hyper(self._placed_rule(group), group).items():
            hyperparameters.check(name, value)

    def _placed_rule(self, group: Group) -> Rule:
        """The group's rule, with weight decay where the group wants it."""
        rule = self._rule(group)
        return replace(rule, decoupled=True) if group.get("decoupled_weight_decay") else rule

    @staticmethod
    def _hyper(rule: Rule, group: Group) -> dict[str, float]:
        """The group's hyperparameters by the rule's names."""
        beta1, beta2 = group.get("betas", (0.0, 0.0))
        named = {**group, "beta1": beta1, "beta2": beta2}
        return {name: float(named[name]) for name in rule.defaults}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients anew; called once, before the update.

        Returns:
            what the closure returned, or None.

        Raises:
            InputError: a gradient is sparse.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._step_group(group)
        return loss

    def _step_group(self, group: Group) -> None:
        rule = self._placed_rule(group)
        hyper = self._hyper(rule, group)
        if group["maximize"]:
            hyper["grad_factor"] = -1.0
        known: dict[tuple[object, ...], tuple[Coefficients, State]] = {}  # parameters of a group mostly share these
        for p in group["params"]:
            if p.grad is None or p.numel() == 0:
                continue
            if p.grad.is_sparse:
                raise InputError(f"{type(self).__name__} needs dense gradients; make the layer with sparse=False.")
            step = self._count(p, rule, group)
            dtype = torch.float32 if p.dtype in _HALF else p.dtype
            start = {name: float(self.state[p][name]) for name in rule.row_start}
            key = (step, dtype, p.device, *start.values())
            if key not in known:
                columns = {name: _column(value, p.device) for name, value in hyper.items()}
                rows = {name: _column(value, p.device) for name, value in start.items()}
                known[key] = rule.coefficients(columns, _column(step, p.device), rows, dtype)
            coefficients, rows = known[key]
            grad = p.grad.reshape(1, -1).to(dtype)
            self._move(p, grad, rule, coefficients)
            for name, value in rows.items():
                self.state[p][name] = _scalar(float(value))

    def _count(self, p: Tensor, rule: Rule, group: Group) -> int:
        """Make the parameter's state where it is missing, count the step, and return its number."""
        if not self._counts_steps and not rule.slots:
            return 1
        state = self.state[p]
        first = any(state.get(slot) is None for slot in rule.slots)
        for slot in rule.slots:
            if state.get(slot) is None:
                state[slot] = torch.full_like(p, self._start(slot, group), memory_format=torch.preserve_format)
        if not self._counts_steps:
            return 1 if first else 2
        for name, value in rule.row_start.items():
            state.setdefault(name, _scalar(value))
        state["step"] = _scalar(float(state.get("step", 0.0)) + 1)
        return int(state["step"])

    def _move(self, p: Tensor, grad: Tensor, rule: Rule, coefficients: Coefficients) -> None:
        """Advance the parameter and its slots as rows [1, P]; halves are worked on in float32."""
        tensors = {"": p, **{slot: self.state[p][slot] for slot in rule.slots}}
        rows = {name: tensor.detach().reshape(1, -1).to(grad.dtype) for name, tensor in tensors.items()}
        layout = None if rule.elementwise else Layout.of([("parameter", tuple(p.shape))])
        slots = {slot: rows[slot] for slot in rule.slots}
        advance(rule, rows[""], grad, slots, coefficients, layout, compiled=self._moved > COMPILED_AFTER)
        self._moved += p.numel()
        for name, tensor in tensors.items():
            if rows[name].data_ptr() != tensor.data_ptr():  # not a view: another type, or not contiguous
                tensor.detach().copy_(rows[name].view(tensor.shape))


def _column(value: float, device: torch.device) -> Tensor:
    return torch.full((1, 1), value, dtype=torch.float64, device=device)


def _scalar(value: float) -> Tensor:
    """A number in the state, as torch keeps it: on the CPU, in float32 unless float64 is the default type."""
    double = torch.get_default_dtype() == torch.float64
    return torch.tensor(value, dtype=torch.float64 if double else torch.float32)
