"""A saved model: weights in safetensors, everything else in JSON. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from pydantic import JsonValue
from safetensors import SafetensorError
from torch import Tensor

from shoal.core.atomic import write_atomically, write_error
from shoal.core.digest import digest_of
from shoal.core.errors import InputError, RunError

FORMAT = "shoal-model"
FORMAT_VERSION = 2
TENSORS_FILE = "model.safetensors"
DOCUMENT_FILE = "model.json"


def save_model(folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, JsonValue]) -> None:
    """Write a model; a kill in between leaves a folder that `load_model` accepts as it was or refuses.

    Args:
        folder: made when it does not exist.
        tensors: weights and buffers by name, of any device; copied to the CPU.
        document: architecture, preparation, schema, classes: plain JSON, and every number finite.

    Raises:
        RunError: the disk refuses, or the document holds NaN or infinity, which JSON has not.
        InputError: the folder cannot be made or may not be written to.
    """
    data = safetensors.torch.save({name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()})
    whole: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "tensors": {"file": TENSORS_FILE, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
        "document": dict(document),
    }
    try:
        whole["sha256"] = digest_of(whole)
        text = json.dumps(whole, allow_nan=False, ensure_ascii=False, indent=1)
    except ValueError as error:
        raise RunError(f"the model cannot be saved in {folder}: its description holds NaN or infinity") from error
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    write_atomically(folder / TENSORS_FILE, data)
    write_atomically(folder / DOCUMENT_FILE, text + "\n")


def load_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_model` wrote.

    Returns:
        Tensors on the CPU by name, and the document.

    Raises:
        InputError: a file is missing, truncated or changed since, or another version wrote it.
    """
    path = folder / DOCUMENT_FILE
    try:
        whole = json.loads(_read(path))
        if whole["format"] != FORMAT:
            raise InputError(f"{path} describes no model of Shoal")
        version, digest, document = whole["format_version"], whole["tensors"]["sha256"], whole["document"]
        intact = version != FORMAT_VERSION or whole.pop("sha256") == digest_of(whole)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: fit again, or restore the folder from a copy") from error
    if version != FORMAT_VERSION or not isinstance(document, dict):
        raise InputError(f"{path} was written by another version of Shoal (format {version}): fit again")
    if not intact:
        raise InputError(
            f"{path} is not what was saved: it was damaged or changed; fit again, or restore it from a copy"
        )
    data = _read(folder / TENSORS_FILE)
    if hashlib.sha256(data).hexdigest() != digest:
        raise InputError(
            f"{folder / TENSORS_FILE} is not the file that {DOCUMENT_FILE} describes: "
            "it is truncated or was changed; fit again, or restore the folder from a copy"
        )
    try:
        return safetensors.torch.load(data), document
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{folder / TENSORS_FILE} is damaged: fit again") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing: the run ended before its model was saved, or it was removed") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
