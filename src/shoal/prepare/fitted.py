"""Numbers that a preparation learned from training rows, as fields of records.

Vectors are part of the JSON of a saved model. Matrices are too long for that: with a context they are written and read
as tensors beside it.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, SerializationInfo, ValidationInfo

Floats = NDArray[np.float64]


def _read(value: Any, info: ValidationInfo) -> Floats:
    """An array, a list, or the name of a tensor that the context holds; kept read-only."""
    if isinstance(value, dict):
        value = (info.context or {})["tensors"][value["tensor"]].numpy()
    array = np.array(value, dtype=np.float64)
    array.setflags(write=False)
    return array


def _write(value: Floats, info: SerializationInfo) -> Any:
    """A list; a matrix goes into the context's tensors where there are such."""
    tensors = (info.context or {}).get("tensors")
    if value.ndim < 2 or tensors is None:
        return value.tolist()
    name = str(len(tensors))
    tensors[name] = torch.from_numpy(value.copy())
    return {"tensor": name}


Fitted = Annotated[NDArray[np.float64], PlainValidator(_read), PlainSerializer(_write)]
