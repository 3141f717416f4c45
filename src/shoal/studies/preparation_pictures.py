"""Pictures of data at each stage of preparation: two features with their covariance, images as tiles, signals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.core.events import Kind
from shoal.data import ArrayFeatures
from shoal.prepare import chunked, fit, fit_chain
from shoal.prepare.rotation import Rotation
from shoal.studies.pictures import picture
from shoal.studies.preparation_inputs import Inputs, StudyRows
from shoal.studies.record import Picture

Floats = NDArray[np.float64]

MOST_POINTS = 400
MOST_CLASSES = 6  # told apart by colour
TILES = 10
SIGNALS = 3
STAGE_WORDS = {
    "none": "before",
    "center": "centred",
    "standardize": "scaled",
    "standardize+pca": "decorrelated",
    "standardize+whiten": "whitened",
    "standardize+zca": "whitened, turned back (ZCA)",
}


def scatter(rows: StudyRows, hows: Sequence[str]) -> Picture | None:
    """The two features that vary most together, at each stage; None where there are no two."""
    found = _pair(rows)
    if found is None:
        return None
    pair, names, correlation = found
    train = len(rows.plan.train)
    step = max(1, train // MOST_POINTS)
    colours = _colours(rows)
    panels: list[JsonValue] = []
    for how in hows:
        values = pair
        for fitted in fit_chain(how, chunked(pair)):
            values = fitted.apply(values)
        turned = how.endswith(("pca", "whiten"))
        middle, axes = values.mean(axis=0), _axes(values)
        points: list[JsonValue] = [
            [float(a), float(b)] if colours is None else [float(a), float(b), int(colours[k * step])]
            for k, (a, b) in enumerate(values[:train:step])
        ]
        panels.append(
            {
                "title": STAGE_WORDS[how],
                "x": "first axis" if turned else names[0],
                "y": "second axis" if turned else names[1],
                "points": points,
                "lines": [_ellipse(middle, axes)],
                "domain": _domain(values, middle, axes, one_unit="standardize" in how),
            }
        )
    classes = list(rows.dataset.classes or ()) if colours is not None else []
    how_far = f"They vary together (correlation {correlation:.2f})"
    return Picture(
        kind="clouds",
        title=f"{names[0]} and {names[1]}, stage by stage",
        caption=f"{how_far}. Centring moves the cloud to zero, scaling brings both to one unit, PCA turns the cloud "
        "until nothing is shared, whitening makes it round. The ellipse is two standard deviations of the covariance; "
        "every stage is fitted on these two features alone.",
        data={"panels": panels, "groups": classes},
    )


def tiles(rows: StudyRows, prepared: Sequence[Inputs]) -> Picture | None:
    """The same images after each preparation; None for what is no image."""
    if rows.dataset.kind not in ("image", "volume"):
        return None
    chosen = _one_of_each(rows, TILES)
    shown: list[JsonValue] = []
    for each in prepared:
        x = each.fold.train.x[chosen].numpy().astype(np.float64)  # [n, C, ...]
        if rows.dataset.kind == "volume":
            x = x[:, :, x.shape[2] // 2]
        words = STAGE_WORDS.get(each.how, each.how)
        if each.how.endswith(("pca", "whiten")):
            words += ", component by component: no picture any more"
        elif each.how == "none":
            words += ": the values as they are"
        elif each.how.endswith("zca"):
            words += ": what neighbours share is gone, edges stand out"
        shown.append(_sheet(x, words, both_ways=each.how != "none"))
    axes = _axis_sheet(prepared)
    caption = "Zero is mid-grey after centring; each row of pictures has its own range of grey."
    if rows.reduced:
        caption += f" The {rows.reduced}, so that their covariance can be taken apart."
    return Picture(
        kind="images",
        title="The same rows after each preparation",
        caption=caption,
        data={"images": shown + axes, "size": 640},
    )


def signals(rows: StudyRows, prepared: Sequence[Inputs]) -> tuple[Picture, ...]:
    """A few signals as they are and after each preparation; none for other data."""
    if rows.dataset.kind != "signal":
        return ()
    chosen = _one_of_each(rows, SIGNALS)
    classes = rows.dataset.classes
    target = rows.dataset.target[rows.plan.train]
    names = [f"row {row}" if classes is None else classes[int(target[row])] for row in chosen]
    before = [each for each in prepared if each.how == "none"]
    after = [each for each in prepared if each.how not in ("none", "center")]
    words = (
        "Scaling keeps a signal's form. PCA and whitening put components where samples were. ZCA turns back: each "
        "sample stands where it stood, less what its neighbours say already."
    )
    shown = (("The signals as they are", "Channel 1 of one row of each class.", before),) if before else ()
    return tuple(
        Picture(
            kind="curves",
            title=title,
            caption=caption,
            data={
                "x": {"label": "sample or component" if title != "The signals as they are" else "sample"},
                "y": {"label": "value"},
                "panels": [_panel(each, chosen, names) for each in which],
                "plain": True,
            },
        )
        for title, caption, which in (*shown, ("The same signals after each preparation", words, after))
    )


def _panel(each: Inputs, chosen: NDArray[np.int64], names: Sequence[str]) -> JsonValue:
    x = each.fold.train.x[chosen][:, 0].numpy()  # [n, L]
    series: list[JsonValue] = [
        {"name": name, "points": [[float(t), float(value)] for t, value in enumerate(signal)]}
        for name, signal in zip(names, x, strict=True)
    ]
    return {"title": STAGE_WORDS.get(each.how, each.how), "series": series}


# --- the parts --------------------------------------------------------------------------------------------------------


def _pair(rows: StudyRows) -> tuple[Floats, tuple[str, str], float] | None:
    """Two features of the training rows, their names, and how they correlate."""
    features = rows.dataset.features
    if isinstance(features, ArrayFeatures):
        flat = features.array[rows.plan.train].reshape(len(rows.plan.train), -1).astype(np.float64)
        if flat.shape[1] < 2:
            return None
        lively = int(flat.std(axis=0).argmax())
        spreads = flat.std(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            away = (flat - flat.mean(axis=0)) / np.where(spreads > 0, spreads, np.nan)
            shared = np.nan_to_num((away * away[:, [lively]]).mean(axis=0))
        shared[lively] = 0.0
        mate = int(np.argmin(np.abs(np.abs(shared) - 0.9)))  # neighbours: alike, and not the same
        a, b = sorted((lively, mate))
        kind, shape = rows.dataset.kind, features.array.shape[1:]
        return flat[:, [a, b]], (_place(kind, shape, a), _place(kind, shape, b)), float(shared[mate])
    block = _block(rows)
    if block is None or block[0].shape[1] < 2:
        return None
    values, names = block
    many = [d for d in range(values.shape[1]) if len(np.unique(values[:, d])) > 10]
    several = many if len(many) >= 2 else list(range(values.shape[1]))
    spread = values.std(axis=0)
    several = [d for d in several if spread[d] > 0]
    if len(several) < 2:
        return None
    alike = np.abs(np.corrcoef(values[:, several].T))
    alike = np.where(alike < 0.999, alike, 0.0)
    first, second = sorted(divmod(int(alike.argmax()), len(several)))
    a, b = several[first], several[second]
    return values[:, [a, b]], (names[a], names[b]), float(np.corrcoef(values[:, a], values[:, b])[0, 1])


def _place(kind: Kind, shape: tuple[int, ...], value: int) -> str:
    """Where one value of a row stands, counted from 1."""
    at = [int(each) + 1 for each in np.unravel_index(value, shape)]
    if kind == "signal":
        return f"sample {at[1]} of channel {at[0]}"
    return f"pixel {at[0]}, {at[1]}" + (f", {' '.join(str(each) for each in at[2:])}" if len(at) > 2 else "")


def _block(rows: StudyRows) -> tuple[Floats, list[str]] | None:
    """The filled numbers of a table's training rows, and their names."""
    fitted = fit(rows.dataset, rows.plan.train, "none")
    if fitted.numbers is None:
        return None
    x = fitted.transform(rows.dataset.features.take(rows.plan.train)).x.astype(np.float64)
    names = [source.name for source in fitted.numbers.sources]
    return x[:, : len(names)], names


def _colours(rows: StudyRows) -> NDArray[np.int64] | None:
    classes = rows.dataset.classes
    if classes is None or len(classes) > MOST_CLASSES:
        return None
    return rows.dataset.target[rows.plan.train].astype(np.int64)


def _axes(values: Floats) -> Floats:
    """Columns: the axes of the covariance, two standard deviations long."""
    variances, axes = np.linalg.eigh(np.cov(values.T))
    long: Floats = 2 * axes * np.sqrt(np.maximum(variances, 0.0))
    return long


def _ellipse(middle: Floats, axes: Floats) -> list[JsonValue]:
    angle = np.linspace(0, 2 * np.pi, 73)
    points = middle + np.stack([np.cos(angle), np.sin(angle)], axis=1) @ axes.T
    return [[float(a), float(b)] for a, b in points]


def _domain(values: Floats, middle: Floats, axes: Floats, one_unit: bool) -> dict[str, JsonValue]:
    """What is shown: the ellipse and nearly all points, not the last outlier; both axes alike in one unit."""
    reach = np.sqrt((axes**2).sum(axis=1)) * 1.25
    low = np.minimum(np.quantile(values, 0.01, axis=0), middle - reach)
    high = np.maximum(np.quantile(values, 0.99, axis=0), middle + reach)
    if one_unit:
        half = float((high - low).max()) / 2
        low, high = (low + high) / 2 - half, (low + high) / 2 + half
    pad = 0.04 * (high - low)
    return {axis: [float(low[k] - pad[k]), float(high[k] + pad[k])] for k, axis in enumerate("xy")}


def _one_of_each(rows: StudyRows, number: int) -> NDArray[np.int64]:
    """Training rows, one of each class in turn; the first ones where there are no classes."""
    if rows.dataset.classes is None:
        return np.arange(min(number, len(rows.plan.train)))
    y = rows.dataset.target[rows.plan.train]
    turn = np.array([np.count_nonzero(y[:k] == y[k]) for k in range(len(y))])
    order = np.lexsort((y, turn))
    return np.asarray(order[:number])


def _axis_sheet(prepared: Sequence[Inputs]) -> list[JsonValue]:
    """The first axes of the covariance as pictures."""
    for each in prepared:
        arrays = each.fold.preparation.arrays
        turned = [step for step in arrays.steps if isinstance(step, Rotation)] if arrays else []
        if arrays and turned and arrays.kind == "image":
            axes = turned[0].axes[:, :TILES].T.reshape(-1, *arrays.shape)
            return [_sheet(np.asarray(axes), "the first axes of the covariance", both_ways=True, each_alone=True)]
    return []


def _sheet(x: Floats, words: str, both_ways: bool, each_alone: bool = False) -> JsonValue:
    """Pictures [n, C, H, W] side by side as one PNG; with `both_ways` zero is mid-grey."""
    number, channels, height, width = x.shape
    gap = 2
    sheet = np.full((height, number * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for k, one in enumerate(x):
        over = one if each_alone else x
        if both_ways:
            reach = float(np.quantile(np.abs(over), 0.995)) or 1.0
            grey = 127.5 + 127.5 * one / reach
        else:
            low, high = float(over.min()), float(over.max())
            grey = 255 * (one - low) / ((high - low) or 1.0)
        shown = np.clip(grey, 0, 255).astype(np.uint8).transpose(1, 2, 0)
        sheet[:, k * (width + gap) : k * (width + gap) + width] = shown if channels == 3 else shown[:, :, :1]
    return picture(sheet, words)
