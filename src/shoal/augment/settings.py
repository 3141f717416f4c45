"""What may be done to a sample, how strongly, and how people write it: `hflip,rotate=15,scale=0.9:1.1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from shoal.core.errors import InputError
from shoal.core.events import Kind, Record
from shoal.core.names import did_you_mean

PIXELWISE = ("padding", "interpolation")  # how, not what


def _factors(value: object) -> object:
    """A lone number 0.1 means factors between 1/1.1 and 1.1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("not be negative where it is a single number")
        return (1.0 / (1.0 + value), 1.0 + value)
    return value


Share = Annotated[float, Field(ge=0, le=1)]
Most = Annotated[float, Field(ge=0, lt=1)]
Factors = Annotated[
    tuple[Annotated[float, Field(ge=0.1, le=10)], Annotated[float, Field(ge=0.1, le=10)]], BeforeValidator(_factors)
]
Positive = Annotated[float, Field(ge=0, le=100)]


class Augment(Record):
    """How strongly samples are changed while training. Everything at its default is the identity, bit for bit.

    Each sample draws its own change, in order: distort, flips, stretch, shear, rotate, scale, translate, crop (one
    warp, one interpolation); brightness, contrast, saturation, hue (one colour matrix); gain; channel_drop; cutout;
    noise; mixup or cutmix.
    """

    hflip: Share = 0.0  # probability; of a signal: reversed in time
    vflip: Share = 0.0  # probability
    dflip: Share = 0.0  # probability, along the depth of a volume
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, either way; of a volume: about a random axis
    translate: Share = 0.0  # fraction of the size, either way, in whole pixels
    crop: Most = 0.0  # largest fraction of each side that is cut away; the rest fills the frame
    scale: Factors = (1.0, 1.0)  # factors, log-uniform; of a signal: stretched in time
    stretch: Factors = (1.0, 1.0)  # factors of width over height, log-uniform
    shear: Annotated[float, Field(ge=0, le=60)] = 0.0  # degrees, either way
    distort: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # lens: how far a corner moves, as a fraction of its distance
    brightness: Most = 0.0  # factor within 1 -+ this
    contrast: Most = 0.0  # factor about mid-grey within 1 -+ this
    saturation: Share = 0.0  # factor about the sample's grey picture within 1 -+ this
    hue: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees in the plane of chroma, either way
    gain: Most = 0.0  # amplitude's factor within 1 -+ this
    channel_drop: Most = 0.0  # probability of each channel
    cutout: Share = 0.0  # side of the box that is blanked, as a fraction of each side (DeVries & Taylor 2017)
    noise: Annotated[float, Field(ge=0, le=100)] = 0.0  # standard deviation, in the inputs' unit
    mixup: Positive = 0.0  # alpha of Beta(alpha, alpha) (Zhang et al. 2018)
    cutmix: Positive = 0.0  # alpha of Beta(alpha, alpha) (Yun et al. 2019)
    padding: Literal["zeros", "border", "reflection"] = "zeros"
    interpolation: Literal["bilinear", "nearest", "bicubic"] = "bilinear"

    @property
    def active(self) -> tuple[str, ...]:
        """The operations that are on, in the order in which they act."""
        return tuple(name for name in OPERATIONS if getattr(self, name) != Augment.model_fields[name].default)

    def weakened(self, share: float) -> Augment:
        """The same operations at a share of their strength: 0 is the identity, 1 leaves all as it is."""

        def less(value: float | tuple[float, float]) -> float | tuple[float, float]:
            return (value[0] ** share, value[1] ** share) if isinstance(value, tuple) else value * share

        return self.model_copy(update={name: less(getattr(self, name)) for name in self.active})

    def __str__(self) -> str:
        """As `parse` reads it."""

        def written(name: str) -> str:
            value = getattr(self, name)
            return f"{name}={value[0]:g}:{value[1]:g}" if isinstance(value, tuple) else f"{name}={value:g}"

        how = [
            f"{name}={getattr(self, name)}"
            for name in PIXELWISE
            if getattr(self, name) != Augment.model_fields[name].default
        ]
        return ",".join([*(written(name) for name in self.active), *how])


_IMAGE, _VOLUME, _SIGNAL = ("image",), ("image", "volume"), ("image", "signal", "volume")
_EVERY: tuple[Kind, ...] = ("table", "signal", "image", "volume")

# which kinds of data each operation makes sense for, and its strength where a name stands alone
OPERATIONS: Mapping[str, tuple[tuple[str, ...], Any]] = {
    "distort": (_IMAGE, 0.1),
    "hflip": (_SIGNAL, 0.5),
    "vflip": (_VOLUME, 0.5),
    "dflip": (("volume",), 0.5),
    "stretch": (_IMAGE, 0.1),
    "shear": (_IMAGE, 10.0),
    "rotate": (_VOLUME, 15.0),
    "scale": (_SIGNAL, 0.1),
    "translate": (_SIGNAL, 0.1),
    "crop": (_SIGNAL, 0.2),
    "brightness": (_VOLUME, 0.2),
    "contrast": (_VOLUME, 0.2),
    "saturation": (_IMAGE, 0.3),
    "hue": (_IMAGE, 15.0),
    "gain": (("signal", "volume"), 0.1),
    "channel_drop": (_SIGNAL, 0.1),
    "cutout": (_SIGNAL, 0.3),
    "noise": (_EVERY, 0.1),
    "mixup": (_EVERY, 0.2),
    "cutmix": (_SIGNAL, 1.0),
}

PRESETS: Mapping[str, Augment] = {
    "none": Augment(),
    "photo": Augment(hflip=0.5, translate=0.1, scale=(0.9, 1.1), brightness=0.2, contrast=0.2, saturation=0.2),
    "photo-strong": Augment(
        hflip=0.5, translate=0.1, crop=0.25, rotate=10, stretch=(0.9, 1.1), brightness=0.3, contrast=0.3,
        saturation=0.3, hue=10, cutout=0.3,
    ),
    "drawing": Augment(rotate=10, translate=0.08, scale=(0.9, 1.1), stretch=(0.9, 1.1), shear=8),
    "signal": Augment(translate=0.05, scale=(0.95, 1.05), gain=0.1, noise=0.05, padding="border"),
    "volume": Augment(hflip=0.5, vflip=0.5, dflip=0.5, rotate=15, translate=0.05, scale=(0.9, 1.1)),
}  # fmt: skip


_DEFAULT: Mapping[Kind, str] = {"image": "drawing,hflip", "signal": "signal", "volume": "volume", "table": "none"}


def default_for(kind: Kind, channels: int) -> Augment:
    """What is worth a try on data of a kind, before it is known to keep the labels: photographs have three channels.

    >>> default_for("image", 3) == PRESETS["photo"], default_for("image", 1).active[0], default_for("table", 1).active
    (True, 'hflip', ())
    """
    return parse("photo" if kind == "image" and channels == 3 else _DEFAULT[kind])


def parse(text: str) -> Augment:
    """Settings from text: names, `name=value`, `name=low:high` and presets, separated by commas; the last one wins.

    A name alone takes its default strength.

    Args:
        text: such as `photo,rotate=15` or `hflip,scale=0.8:1.25,padding=border`.

    Raises:
        InputError: an unknown name, a value that is no number or out of range; the message names it.

    >>> str(parse("hflip,rotate=15,scale=0.9:1.1"))
    'hflip=0.5,rotate=15,scale=0.9:1.1'
    """
    values: dict[str, Any] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, given, value = (each.strip() for each in part.partition("="))
        name = name.replace("-", "_") if name not in PRESETS else name
        if name in PRESETS and not given:
            chosen = PRESETS[name]
            values |= {each: getattr(chosen, each) for each in (*chosen.active, *PIXELWISE)}
        elif name in OPERATIONS or name in PIXELWISE:
            values[name] = _value(name, value) if given else _alone(name)
        else:
            known = did_you_mean(name, [*OPERATIONS, *PIXELWISE, *PRESETS])
            raise InputError(f"augment: there is no operation `{name}`{known}")
    return of(values)


def of(value: Augment | Mapping[str, Any] | str | None) -> Augment:
    """Settings as a validated record, whichever way they were written.

    Args:
        value: an `Augment`, a dict of its fields, text for `parse`, or None for the identity.

    Raises:
        InputError: an unknown field or a value out of range; the message names it.
    """
    if value is None or isinstance(value, Augment):
        return value or Augment()
    if isinstance(value, str):
        return parse(value)
    if not isinstance(value, Mapping):
        raise InputError(f"augment={value!r}: give an Augment, its text such as `hflip,rotate=15`, or a dict.")
    for name in value:
        if name not in Augment.model_fields:
            raise InputError(f"augment: there is no operation `{name}`{did_you_mean(name, Augment.model_fields)}")
    try:
        made = Augment.model_validate(dict(value))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InputError(f"augment: {name}={_shown(value[name])}: it must {_plain(first['msg'])}.") from None
    for name in ("scale", "stretch"):
        low, high = getattr(made, name)
        if low > high:
            raise InputError(f"augment: {name}={low:g}:{high:g}: the first factor is the smaller one.")
    return made


def check(augment: Augment, kind: Kind, shape: tuple[int, ...]) -> None:
    """Refuse operations that mean nothing for this data.

    Args:
        augment: the settings.
        kind: of the data.
        shape: of one sample, channels first: (D,), (C, L), (C, H, W) or (C, D, H, W).

    Raises:
        InputError: the message names the operation and what it needs.
    """
    for name in augment.active:
        kinds, _ = OPERATIONS[name]
        if kind not in kinds and kind == "table":
            raise InputError(f"augment: {name} needs neighbours, and the columns of a table have none: leave it out.")
        if kind not in kinds:
            raise InputError(f"augment: {name} is for {_listed(kinds)}, not for {kind}s: leave it out.")
        if name in ("saturation", "hue") and shape[0] != 3:
            raise InputError(f"augment: {name} needs the 3 channels of a colour image; these have {shape[0]}.")
    if kind == "volume" and augment.interpolation == "bicubic" and augment.active:
        raise InputError("augment: interpolation=bicubic is for signals and images: use bilinear for volumes.")


def _listed(kinds: tuple[str, ...]) -> str:
    return " and ".join(f"{kind}s" for kind in kinds)


def _alone(name: str) -> Any:
    if name in PIXELWISE:
        raise InputError(f"augment: {name} needs a value, as in {name}={_choices(name)[0]}.")
    return OPERATIONS[name][1]


def _value(name: str, text: str) -> Any:
    """A number, two numbers, or a word."""
    if name in PIXELWISE:
        if text not in _choices(name):
            raise InputError(f"augment: {name}={text}: use one of {', '.join(_choices(name))}.")
        return text
    pair = name in ("scale", "stretch") and ":" in text
    try:
        numbers = tuple(float(each) for each in text.split(":")) if pair else float(text)
    except ValueError:
        wanted = "two factors, as in 0.9:1.1" if name in ("scale", "stretch") else "a number"
        raise InputError(f"augment: {name}={text}: it must be {wanted}.") from None
    return numbers


def _choices(name: str) -> tuple[str, ...]:
    annotation: Any = Augment.model_fields[name].annotation
    return tuple(annotation.__args__)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ":".join(_shown(each) for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(message: str) -> str:
    """What pydantic says, as the end of `it must ...`."""
    message = message.removeprefix("Value error, ").removeprefix("Input should ")
    return message.split(", unable")[0]
