"""Arrays by name, in files and in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from talkingface.core.cache import write_atomic


def save_arrays(path: str | Path, **arrays: object) -> None:
    """Write named arrays (or what becomes one) as an .npz file without pickles, whole or not at all.

    What `np.savez` writes, but a full disk is an error and not, beside it, a traceback of a file that is left open.
    Raises OutputError; ValueError for arrays of objects.
    """
    with write_atomic(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)


def part(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The tensors under `prefix`, without it."""
    return {name[len(prefix) + 1 :]: value for name, value in tensors.items() if name.startswith(f"{prefix}.")}
