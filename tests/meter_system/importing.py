"""Weights of another project become weights of `meter`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from talkingface.core.foreign import Imported, fit_tensors, origin_of, read_foreign, source_files


def import_meter(files: Sequence[Path]) -> Imported:
    """One checkpoint with a tensor "gain"."""
    files = source_files(files, 1, "the checkpoint of a meter")
    tensors = fit_tensors(read_foreign(files[0]), {"gain": (1,)}, str(files[0]))
    card = {"system": "meter", "licence": "unknown", "origin": origin_of(files), "config": {"gain": 100.0}}
    return Imported(name="meter.foreign", tensors=tensors, card=card)
