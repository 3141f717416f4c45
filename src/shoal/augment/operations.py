"""The operations of one call, each on the rows that have it: a row without it keeps its bits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.augment import boxes, colour, draws, warp
from shoal.augment.colour import Pixels
from shoal.augment.draws import Slot
from shoal.augment.strengths import Strengths
from shoal.core import keyed


@dataclass(frozen=True)
class Operations:
    """The operations of one call, each on the rows that have it: a row without it keeps its bits."""

    strengths: Strengths  # of u rows
    seeds: Tensor  # [u]
    steps: Tensor  # [u]
    u: Tensor  # float64 [u, B, WIDTH]
    size: tuple[int, ...]  # W, H, D, cut to the rank
    pixels: Pixels

    def _take(self, x: Tensor, chosen: list[int]) -> Tensor:
        return x if len(chosen) == len(self.strengths) else x[chosen]

    def _replace(self, x: Tensor, chosen: list[int], values: Tensor) -> Tensor:
        """x [u, B, ...] with the chosen rows' values; x itself is left alone."""
        if len(chosen) == len(self.strengths):
            return values
        x = x.clone()
        x[chosen] = values
        return x

    def geometry(self, x: Tensor) -> Tensor:
        """The warp of the rows that interpolate; exact moves of those that only flip and shift."""
        interpolating = self.strengths.having(*warp.INTERPOLATED)
        exact = [n for n in self.strengths.having(*warp.WHOLE) if n not in interpolating]
        for chosen, move in ((interpolating, self._warped), (exact, self._moved)):
            for (padding, interpolation), same in self.strengths.alike(chosen).items():
                part = self._take(x, same)
                moved = move(part.flatten(0, 1), same, padding, interpolation)
                x = self._replace(x, same, moved.reshape(part.shape))
        return x

    def _black(self, x: Tensor) -> Tensor:
        """What black is in the inputs' numbers, [C, 1, ...]."""
        mean, std = self.pixels.columns(x.shape[1])
        return ((0.0 - mean) / std).to(x.device, x.dtype).reshape(-1, *(1,) * len(self.size))

    def _warped(self, x: Tensor, rows: list[int], padding: str, interpolation: str) -> Tensor:
        motion = warp.motion(self.u[rows], self.strengths.of(rows), self.size)
        black = self._black(x)
        if padding != "zeros" or not bool(black.any()):
            return warp.warp(x, motion, padding, interpolation)
        return warp.warp(x - black, motion, padding, interpolation) + black

    def _moved(self, x: Tensor, rows: list[int], padding: str, interpolation: str) -> Tensor:
        u, strengths = self.u[rows], self.strengths.of(rows)
        signs, shifts = warp.signs(u, strengths, len(self.size)), warp.shifts(u, strengths, self.size)
        return warp.move_whole(x, signs.flatten(0, 1), shifts.flatten(0, 1), padding, self._black(x))

    def colours(self, x: Tensor) -> Tensor:
        """One colour matrix; rows that mix channels and rows that do not are computed apart."""
        mixing = self.strengths.having("saturation", "hue")
        plain = [n for n in self.strengths.having(*colour.NAMES) if n not in mixing]
        for chosen in (mixing, plain):
            if chosen:
                matrix, shift = colour.affine(self.u[chosen], self.strengths.of(chosen), x.shape[2], self.pixels)
                part = self._take(x, chosen)
                x = self._replace(x, chosen, colour.apply(part.flatten(0, 1), matrix, shift).reshape(part.shape))
        return x

    def amplitudes(self, x: Tensor) -> Tensor:
        """Gain, channels dropped, noise."""
        if chosen := self.strengths.having("gain"):
            factor = 1.0 + draws.either_way(self.u[chosen][..., Slot.GAIN], self.strengths.of(chosen)["gain"])
            factor = factor.to(x.device, x.dtype).reshape(*factor.shape, *(1,) * (x.dim() - 2))
            x = self._replace(x, chosen, self._take(x, chosen) * factor)
        if chosen := self.strengths.having("channel_drop"):
            key = keyed.key(self.seeds[chosen], keyed.Purpose.CHANNEL_DROP, self.steps[chosen])
            dropped = keyed.bernoulli(key, self.strengths.of(chosen)["channel_drop"][:, 0], tuple(x.shape[1:3]))
            dropped = dropped.to(x.device).reshape(*dropped.shape, *(1,) * (x.dim() - 3))
            x = self._replace(x, chosen, self._take(x, chosen).masked_fill(dropped, 0.0))
        if chosen := self.strengths.having("noise"):
            key = keyed.key(self.seeds[chosen], keyed.Purpose.AUGMENT_NOISE, self.steps[chosen]).to(x.device)
            std = self.strengths.of(chosen)["noise"].to(x.device, x.dtype).reshape(-1, *(1,) * (x.dim() - 1))
            x = self._replace(x, chosen, self._take(x, chosen) + keyed.gaussian(key, x.shape[1:], x.dtype) * std)
        return x

    def blanks(self, x: Tensor) -> Tensor:
        """Cutout."""
        if not (chosen := self.strengths.having("cutout")):
            return x
        at = self.u[chosen][..., Slot.CUTOUT : Slot.CUTOUT + len(self.size)]
        share = self.strengths.of(chosen)["cutout"].expand(at.shape[:2])
        low, high = boxes.corners(at, share, self.size)
        mask = boxes.inside(low.flatten(0, 1), high.flatten(0, 1), self.size, x.device)
        return self._replace(
            x, chosen, self._take(x, chosen).masked_fill(mask.reshape(*at.shape[:2], *mask.shape[1:]), 0.0)
        )

    def mixed(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Mixup and cutmix; a row with both draws one of them for each sample."""
        if not (chosen := self.strengths.having("mixup", "cutmix")):
            return x, None, None
        partner, lam, exchanged = self._mixing(chosen)
        whole = torch.arange(x.shape[1]).repeat(len(self.strengths), 1)
        share = torch.ones(len(self.strengths), x.shape[1], dtype=x.dtype, device=x.device)
        whole[chosen], share[chosen] = partner, lam.to(x.device, x.dtype)
        here = self._take(x, chosen)
        flat = partner + torch.arange(len(chosen)).unsqueeze(1) * x.shape[1]
        other = here.flatten(0, 1)[flat.flatten().to(x.device)].reshape(here.shape)
        weight = share[chosen].reshape(*partner.shape, *(1,) * (x.dim() - 2))
        blend = weight * here + (1.0 - weight) * other
        if exchanged is not None:
            box, pasted = (each.to(x.device) for each in exchanged)
            blend = torch.where(pasted.reshape(weight.shape), torch.where(box, other, here), blend)
        return self._replace(x, chosen, blend), whole.to(x.device), share

    def _mixing(self, chosen: list[int]) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """Partners [n, B], lambda [n, B] and, with cutmix, the boxes and whom they belong to [n, B]."""
        u, strengths = self.u[chosen], self.strengths.of(chosen)
        seeds, steps, samples = self.seeds[chosen], self.steps[chosen], u.shape[1]
        mixup, cutmix = strengths["mixup"], strengths["cutmix"]
        pasted = torch.where((mixup > 0) & (cutmix > 0), u[..., Slot.MIX_KIND] < 0.5, cutmix > 0)  # [n, B]
        partner = draws.partners(seeds, steps, samples)
        alpha = torch.where(pasted, cutmix, mixup)
        lam = draws.beta(seeds, steps, samples, alpha)
        if not bool((cutmix > 0).any()):
            return partner, lam, None
        low, high = boxes.corners(u[..., Slot.CUTMIX : Slot.CUTMIX + len(self.size)], torch.sqrt(1.0 - lam), self.size)
        lam = torch.where(pasted, 1.0 - boxes.filled_share(low, high, self.size), lam)
        box = boxes.inside(low.flatten(0, 1), high.flatten(0, 1), self.size, torch.device("cpu"))
        return partner, lam, (box.reshape(*partner.shape, *box.shape[1:]), pasted)
