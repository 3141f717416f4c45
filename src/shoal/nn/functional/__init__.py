"""Functions on tensors: convolution in 1 to 3 dimensions, and its two gradients."""

from shoal.nn.functional.choice import Choice
from shoal.nn.functional.convolution import conv, conv_input_grad, conv_weight_grad
from shoal.nn.functional.measurement import quickest

__all__ = ["Choice", "conv", "conv_input_grad", "conv_weight_grad", "quickest"]
