"""Does augmentation lift a small CNN? Paired by seed: the same initial weights and batches, with and without it.

    python benchmarks/augmentation_lift.py ../shared/data/cifar10_small.npz --augment photo --seeds 8 --epochs 20

Each seed trains one network on the images as they are and one on images drawn anew in each epoch. 500 training images
choose the epoch of every network, then its accuracy on the test images counts. Prints one JSON document: the
differences by seed, their mean and its 95 % interval (Student's t).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from shoal import Member, Population
from shoal.augment import Augment, Pixels, Plan, parse
from shoal.nn.networks import Cnn

VALIDATION = 500


def prepared(path: Path) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, Pixels]:
    """Standardised training and test images, channels first, and what their numbers mean."""
    with np.load(path, allow_pickle=False) as archive:
        parts = [archive[name] for name in ("x_train", "x_test")]
        y, y_test = (torch.from_numpy(archive[name].astype(np.int64)) for name in ("y_train", "y_test"))
    train, test = (torch.from_numpy(part.transpose(0, 3, 1, 2).astype(np.float32) / 255) for part in parts)
    mean, std = train[VALIDATION:].mean(dim=(0, 2, 3)), train[VALIDATION:].std(dim=(0, 2, 3))
    pixels = Pixels(mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    shape = (1, -1, 1, 1)
    x, x_test = ((each - mean.reshape(shape)) / std.reshape(shape) for each in (train, test))
    return x, y, x_test, y_test, pixels


def chosen_accuracy(
    path: Path, augment: Augment, seeds: int, epochs: int, width: int
) -> tuple[np.ndarray, list[list[float]]]:
    """Test accuracy of each seed's network at the epoch that its validation images choose, and the curve of means."""
    x, y, x_test, y_test, pixels = prepared(path)
    held, x, y = (x[:VALIDATION], y[:VALIDATION]), x[VALIDATION:], y[VALIDATION:]
    n, everyone, steps = len(x), torch.arange(seeds), torch.zeros(seeds, dtype=torch.int64)
    network = Cnn(channels=3, size=(32, 32), outputs=10, width=width, blocks=3)
    population = Population(network.build, [Member(seed=seed, optimizer="adam", lr=1e-3) for seed in range(seeds)])
    plan = Plan([augment] * seeds, "image", x.shape[1:], pixels)
    best, accuracy, curve = np.full(seeds, -1.0), np.zeros(seeds), []
    views = [torch.arange(n) + (seed * n if plan.active else 0) for seed in range(seeds)]
    if not plan.active:
        views = [views[0]] * seeds
    for epoch in range(epochs):
        # a sample's draws are keyed by its row and the epoch
        seen = plan(x, everyone, steps + epoch).inputs.flatten(0, 1) if plan.active else x
        targets = y.repeat(seeds) if plan.active else y
        for _ in population.train(seen, targets, epochs=1, batch_size=64, views=views):
            pass
        _, validation = population.evaluate(*held)
        _, test = population.evaluate(x_test, y_test)
        better = validation > best
        best, accuracy = np.where(better, validation, best), np.where(better, test, accuracy)
        curve.append([float(validation.mean()), float(test.mean())])
        print(f"{str(augment) or 'nothing'}: epoch {epoch + 1}, validation {validation.mean():.3f}", file=sys.stderr)
    return accuracy, curve


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("data", type=Path)
    asked.add_argument("--augment", default="photo")
    asked.add_argument("--seeds", type=int, default=8)
    asked.add_argument("--epochs", type=int, default=20)
    asked.add_argument("--width", type=int, default=16)
    given = asked.parse_args()
    with_it, curve_with = chosen_accuracy(given.data, parse(given.augment), given.seeds, given.epochs, given.width)
    without, curve_without = chosen_accuracy(given.data, Augment(), given.seeds, given.epochs, given.width)
    gain = with_it - without
    interval = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain))
    print(
        json.dumps(
            {
                "data": given.data.name,
                "augment": str(parse(given.augment)),
                "n": len(gain),
                "epochs": given.epochs,
                "width": given.width,
                "with": with_it.tolist(),
                "without": without.tolist(),
                "gain": gain.tolist(),
                "mean_gain": float(gain.mean()),
                "interval": list(interval),
                "curves": {"with": curve_with, "without": curve_without},
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
