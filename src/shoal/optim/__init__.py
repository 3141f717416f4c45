"""Optimizers over all rows at once: rules, schedules, clipping, averages, and torch-compatible classes.

A rule is a pure function over theta [K, P] with hyperparameters [K, 1] (`RULES`, `rule`, `Rule.update`); `apply` is the
same in place. For one ordinary network, `shoal.optim.RAdam(net.parameters(), lr=1e-3)` and its like are
`torch.optim.Optimizer`s of the same rules.

>>> import torch
>>> adam = rule("adam")
>>> theta, grad, state = torch.zeros(2, 3), torch.ones(2, 3), fresh_state(adam, rows=2, parameters=3)
>>> apply(adam, theta, grad, state, columns(adam, 2, {"lr": [0.1, 0.2]}), step=torch.ones(2, 1))
>>> theta[:, 0]
tensor([-0.1000, -0.2000])
"""

from shoal.optim import averages, clip, schedules
from shoal.optim.averages import Average
from shoal.optim.formula import at_step
from shoal.optim.hyperparameters import columns
from shoal.optim.one_pass import advance, apply
from shoal.optim.rule import RULES, Hyper, Rule, State, fresh_state, rule
from shoal.optim.torch_classes import SGD, Adadelta, Adagrad, Adam, AdamP, AdamW, NAdam, RAdam, RMSprop

__all__ = [
    "RULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamP",
    "AdamW",
    "Average",
    "Hyper",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rule",
    "State",
    "advance",
    "apply",
    "at_step",
    "averages",
    "clip",
    "columns",
    "fresh_state",
    "rule",
    "schedules",
]
