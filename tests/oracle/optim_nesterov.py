"""Nesterov's accelerated gradient in its literal form: the gradient is taken where the velocity is about to go."""

from __future__ import annotations

from collections.abc import Callable

Vector = list[float]


def points_of_gradient(
    start: Vector, gradient: Callable[[Vector], Vector], lr: float, momentum: float, steps: int
) -> list[Vector]:
    """The points phi - lr momentum v at which the gradient is taken, the one after the last step included."""
    phi, v = list(start), [0.0] * len(start)
    points = []
    for _ in range(steps + 1):
        ahead = [x - lr * momentum * y for x, y in zip(phi, v, strict=True)]
        points.append(ahead)
        v = [momentum * y + g for y, g in zip(v, gradient(ahead), strict=True)]
        phi = [x - lr * y for x, y in zip(phi, v, strict=True)]
    return points
