"""AdamW: Adam whose weight decay does not pass through the moments.

    theta <- theta (1 - lr weight_decay),  then Adam's step with the plain gradient

In Adam with a penalty, weights with large gradients are decayed less; here all are decayed alike. Two copies of theta;
with AMSGrad three.

Source: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2; as in torch.optim the decay is
multiplied by the learning rate.
"""

from __future__ import annotations

from shoal.optim.adam import AMSGRAD_SLOTS, DEFAULTS, SLOTS, by_row, by_weight
from shoal.optim.formula import Rule

_DEFAULTS = {**DEFAULTS, "weight_decay": 1e-2}

ADAMW = Rule("adamw", slots=SLOTS, defaults=_DEFAULTS, by_row=by_row, by_weight=by_weight, decoupled=True)
ADAMW_AMSGRAD = Rule(
    "adamw_amsgrad", slots=AMSGRAD_SLOTS, defaults=_DEFAULTS, by_row=by_row, by_weight=by_weight, decoupled=True
)
