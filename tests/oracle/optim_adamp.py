"""AdamP, algorithm 2 of Heo et al. 2021, number by number in Python floats; one network, one parameter at a time.

The rules of the authors' program that the algorithm leaves open: only parameters of two or more dimensions are tested;
first channel by channel (all channels must pass), then as a whole; a projected parameter decays by wd_ratio.
"""

from __future__ import annotations

from math import sqrt


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: list[float], b: list[float], eps: float) -> float:
    return abs(dot(a, b)) / (max(sqrt(dot(a, a)), eps) * max(sqrt(dot(b, b)), eps))


def without(p: list[float], w: list[float], eps: float) -> list[float]:
    """p minus its part along w."""
    unit = [x / (sqrt(dot(w, w)) + eps) for x in w]
    along = dot(unit, p)
    return [x - u * along for x, u in zip(p, unit, strict=True)]


class AdamP:
    def __init__(self, shape: tuple[int, ...], **hyper: float) -> None:
        self.shape, self.h, self.t = shape, hyper, 0
        self.m: list[float] = []
        self.v: list[float] = []
        self.projected: list[str] = []  # what was done at each step

    def step(self, w: list[float], g: list[float]) -> list[float]:
        h = self.h
        self.t += 1
        self.m = self.m or [0.0] * len(w)
        self.v = self.v or [0.0] * len(w)
        self.m = [h["beta1"] * m + (1 - h["beta1"]) * x for m, x in zip(self.m, g, strict=True)]
        self.v = [h["beta2"] * v + (1 - h["beta2"]) * x * x for v, x in zip(self.v, g, strict=True)]
        m_hat = [m / (1 - h["beta1"] ** self.t) for m in self.m]
        if h["nesterov"]:
            m_hat = [
                (h["beta1"] * m + (1 - h["beta1"]) * x) / (1 - h["beta1"] ** self.t)
                for m, x in zip(self.m, g, strict=True)
            ]
        v_hat = [v / (1 - h["beta2"] ** self.t) for v in self.v]
        p = [m / (sqrt(v) + h["eps"]) for m, v in zip(m_hat, v_hat, strict=True)]
        q, ratio = self.project(w, g, p)
        shrink = 1 - h["lr"] * h["weight_decay"] * ratio
        return [x * shrink - h["lr"] * y for x, y in zip(w, q, strict=True)]

    def project(self, w: list[float], g: list[float], p: list[float]) -> tuple[list[float], float]:
        h, eps = self.h, self.h["eps"]
        if len(self.shape) < 2:
            self.projected.append("never")
            return p, 1.0
        size = len(w) // self.shape[0]
        channels = [slice(c * size, (c + 1) * size) for c in range(self.shape[0])]
        if max(cosine(w[c], g[c], eps) for c in channels) < h["delta"] / sqrt(size):
            self.projected.append("channels")
            return [x for c in channels for x in without(p[c], w[c], eps)], h["wd_ratio"]
        if cosine(w, g, eps) < h["delta"] / sqrt(len(w)):
            self.projected.append("whole")
            return without(p, w, eps), h["wd_ratio"]
        self.projected.append("no")
        return p, 1.0
