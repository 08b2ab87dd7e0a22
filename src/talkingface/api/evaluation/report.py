"""Records of figures as strict JSON, and their summary."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.api.report import machine
from talkingface.core.cache import write_atomic
from talkingface.metrics.definitions import DEFINITIONS

FORMAT_VERSION = 1
FID_ARRAYS = ("fid.generated", "fid.reference")
"""Inception features [N, 2048] stored beside a record, so that many clips can be scored as one set."""
DIGITS = 6


def strict(value: Any) -> Any:
    """`value` as strict JSON takes it: arrays become lists, numbers are rounded, nan and infinities become None."""
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return strict(value.tolist())
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return round(float(value), DIGITS) if math.isfinite(value) else None
    raise TypeError(f"{type(value).__name__} is no part of a report")


def strict_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record of `score_pair` as strict JSON; keys of infinite figures are listed under `infinite`."""
    infinite = sorted(key for key, value in record["metrics"].items() if math.isinf(value))
    return {**strict(record), "infinite": infinite}


def make_report(
    clips: Sequence[dict[str, Any]], settings: dict[str, Any] | None = None, work: Path | None = None
) -> dict[str, Any]:
    """The whole report: definitions of the figures in it, every clip's record, and the summary over scored clips.

    `work`: the folder of the records' arrays.
    """
    named = {key for clip in clips for key in (*clip["metrics"], *clip["gaps"])}
    keys = sorted({key.removesuffix(".reference") for key in named})
    return {
        "format": "talkingface-evaluation",
        "format_version": FORMAT_VERSION,
        "date": time.strftime("%Y-%m-%d %H:%M:%S%z"),
        **machine(),
        **(settings or {}),
        "definitions": {key: _definition(key) for key in keys if key in DEFINITIONS},
        "summary": summarise([clip for clip in clips if clip["status"] == "scored"], work),
        "failed": sum(clip["status"] != "scored" for clip in clips),
        "clips": list(clips),
    }


def _definition(key: str) -> dict[str, Any]:
    found = DEFINITIONS[key]
    return {"version": found.version, "unit": found.unit, "better": found.better, "meaning": found.meaning}


def summarise(clips: Sequence[dict[str, Any]], work: Path | None = None) -> dict[str, dict[str, Any]]:
    """Over strict records: for each figure its mean, median, least and greatest value and how many clips have it.

    Infinite figures are counted under `infinite` and left out of the rest. FID also has `pooled`, the distance of all
    clips' pictures as two sets, where their features lie in `work`.
    """
    values: dict[str, list[float]] = {}
    infinite: dict[str, int] = {}
    for clip in clips:
        for key, value in clip["metrics"].items():
            found = values.setdefault(key, [])
            if value is not None:
                found.append(value)
        for key in clip["infinite"]:
            infinite[key] = infinite.get(key, 0) + 1
    summary = {key: _summary(found, infinite.get(key, 0)) for key, found in sorted(values.items())}
    if work is not None and "picture.fid" in summary:
        summary["picture.fid"]["pooled"] = _pooled_fid(clips, work)
    return summary


def _pooled_fid(clips: Sequence[dict[str, Any]], work: Path) -> float | None:
    """None where features are missing."""
    from talkingface.metrics.frechet import frechet_distance

    sets: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for clip in clips:
        if "picture.fid" not in clip["metrics"]:
            continue
        try:
            with np.load(work / clip["arrays"], allow_pickle=False) as file:
                for features, name in zip(sets, FID_ARRAYS, strict=True):
                    features.append(file[name])
        except (OSError, KeyError, ValueError):
            return None
    return strict(frechet_distance(*(np.concatenate(features) for features in sets)))


def _summary(values: list[float], infinite: int) -> dict[str, Any]:
    if not values:
        return {"mean": None, "median": None, "min": None, "max": None, "count": 0, "infinite": infinite}
    figures = {"mean": np.mean(values), "median": np.median(values), "min": min(values), "max": max(values)}
    return {**strict(figures), "count": len(values), "infinite": infinite}


def write_json(path: str | Path, value: Any) -> None:
    """Write strict JSON; the file appears when it is whole. Raises OutputError."""
    with write_atomic(path, "w") as file:
        json.dump(value, file, indent=1, allow_nan=False, ensure_ascii=False)
        file.write("\n")
