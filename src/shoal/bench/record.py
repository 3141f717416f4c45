"""What a bench found, kept with the machine, the versions and the date that it was found with."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from shoal.bench.case import Case
from shoal.core import paths
from shoal.core.machine import processor

PACKAGES = (
    *("shoal", "torch", "numpy", "jax", "jaxlib", "joblib", "kornia", "torchvision"),
    *("optuna", "scikit-learn", "lightgbm"),
)


def machine() -> dict[str, Any]:
    """The processor, its cores, the memory, and the GPU where torch is loaded and sees one."""
    found: dict[str, Any] = {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None,
        "system": f"{platform.system()} {platform.machine()}",
    }
    gpu = _gpu()
    return {**found, "gpu": gpu} if gpu else found


def versions() -> dict[str, str]:
    """Shoal's, Python's, and those of the packages that a bench may use and that are here."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def document(name: str, cases: Sequence[Case], quick: bool) -> dict[str, Any]:
    """A bench's record: everything that a reader needs to judge its figures."""
    return {
        "bench": name,
        "date": date.today().isoformat(),
        "quick": quick,
        "machine": machine(),
        "versions": versions(),
        "n": max((case.n for case in cases), default=0),
        "cases": [case.as_json() for case in cases],
    }


def path_for(found: dict[str, Any], given: str) -> Path:
    """Where a record is written: `given` when it names a JSON file, else NAME-YYYY-MM-DD-MACHINE.json in that folder.

    >>> found = {"bench": "optim", "date": "2026-11-21", "machine": {"cpu": "AMD EPYC (7)", "cores": 2}}
    >>> path_for(found, "records").as_posix()
    'records/optim-2026-11-21-amd-epyc-7-2-cores.json'
    """
    path = paths.given(given)
    if path.suffix == ".json":
        return path
    words = f"{found['machine'].get('gpu', found['machine']['cpu'])} {found['machine']['cores']} cores"
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return path / f"{found['bench']}-{found['date']}-{slug}.json"


def _gpu() -> str:
    """The first GPU's name, without loading torch for it."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name(0)) if torch is not None and torch.cuda.is_available() else ""
