"""Preparation of features as the textbooks write it, by plain loops over Python numbers. Slow; never imports shoal."""

from __future__ import annotations

import math

Rows = list[list[float]]


def column(x: Rows, d: int) -> list[float]:
    return [row[d] for row in x if not math.isnan(row[d])]


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def variance(values: list[float], ddof: int = 0) -> float:
    center = mean(values)
    return math.fsum((value - center) ** 2 for value in values) / (len(values) - ddof)


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    below = math.floor(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (at - below) * (ordered[above] - ordered[below])


def covariance(x: Rows) -> Rows:
    centers = [mean(column(x, d)) for d in range(len(x[0]))]
    return [
        [math.fsum((row[a] - centers[a]) * (row[b] - centers[b]) for row in x) / (len(x) - 1) for b in range(len(x[0]))]
        for a in range(len(x[0]))
    ]


def matrix_product(a: Rows, b: Rows) -> Rows:
    return [[math.fsum(a[i][k] * b[k][j] for k in range(len(b))) for j in range(len(b[0]))] for i in range(len(a))]


def inverse(matrix: Rows) -> Rows:
    """By Gauss and Jordan, with the largest pivot of each column."""
    size = len(matrix)
    work = [[*map(float, row), *(1.0 if i == j else 0.0 for j in range(size))] for i, row in enumerate(matrix)]
    for k in range(size):
        pivot = max(range(k, size), key=lambda i: abs(work[i][k]))
        work[k], work[pivot] = work[pivot], work[k]
        work[k] = [value / work[k][k] for value in work[k]]
        for i in range(size):
            if i != k:
                work[i] = [value - work[i][k] * base for value, base in zip(work[i], work[k], strict=True)]
    return [row[size:] for row in work]


def inverse_root(matrix: Rows) -> Rows:
    """The symmetric M with M M matrix = 1, by Denman and Beavers' iteration (1976): no eigenvectors are needed.

    Y <- (Y + Z^-1) / 2, Z <- (Z + Y^-1) / 2 from Y = matrix, Z = 1; Z tends to matrix^(-1/2).
    """
    size = len(matrix)
    y: Rows = [[float(value) for value in row] for row in matrix]
    z: Rows = [[1.0 if i == j else 0.0 for j in range(size)] for i in range(size)]
    for _ in range(60):
        y_inverse, z_inverse = inverse(y), inverse(z)
        y = [[(y[i][j] + z_inverse[i][j]) / 2 for j in range(size)] for i in range(size)]
        z = [[(z[i][j] + y_inverse[i][j]) / 2 for j in range(size)] for i in range(size)]
    return z
