"""The phones of a speech, recognised once, and beside other work where there is a core for it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from talkingface.core.cache import cache_file, keep_file, write_atomic

if TYPE_CHECKING:
    from talkingface.audio.phones import PhoneSpan

VERSION = 2
"""Raise when `align_phones` finds others."""


class PhoneJob:
    """The phones of speech float32 [N] at 16 kHz, kept by content: recognising takes longer than anything else about a
    clip, and the same sound drives many videos.

    `beside`: begin at once, in a process of its own. Use it in a `with` block, whose end stops that process.
    """

    def __init__(self, samples: np.ndarray, *, beside: bool) -> None:
        self._samples = np.ascontiguousarray(samples, np.float32)
        digest = hashlib.sha256(self._samples.tobytes()).hexdigest()[:32]
        self._place = cache_file("phones", f"{digest}-v{VERSION}.json")
        self._beside = _Beside(self._samples) if beside and self._kept() is None else None

    def __enter__(self) -> PhoneJob:
        return self

    def __exit__(self, *_: object) -> None:
        if self._beside is not None:
            self._beside.stop()

    def spans(self) -> list[PhoneSpan]:
        """What was recognised. Raises DependencyError without the recogniser."""
        from talkingface.audio.phones import align_phones

        spans = self._kept()
        if spans is None and self._beside is not None:
            spans = _read(self._beside.answer())
        if spans is None:
            spans = align_phones(self._samples)
        found = [astuple(span) for span in spans]
        keep_file(self._place, lambda path: _write(path, found))
        return spans

    def _kept(self) -> list[PhoneSpan] | None:
        if self._place is None:
            return None
        try:
            return _read(self._place.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return None


def _write(path: Path, spans: list[tuple[Any, ...]]) -> None:
    with write_atomic(path, "w") as file:
        json.dump(spans, file)


def _read(text: str) -> list[PhoneSpan] | None:
    """None for what is no list of phones: it is made again."""
    from talkingface.audio.phones import PhoneSpan

    try:
        return [PhoneSpan(phone=phone, start_s=start_s, end_s=end_s) for phone, start_s, end_s in json.loads(text)]
    except (ValueError, TypeError):
        return None


class _Beside:
    """The recogniser in a process of its own."""

    def __init__(self, samples: np.ndarray) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "talkingface.audio.phones"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # without the recogniser the caller finds that out by itself
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._pool = ThreadPoolExecutor(1)  # hands over the samples while others work
        self._talk = self._pool.submit(self._process.communicate, samples.tobytes())

    def answer(self) -> str:
        """What it said; empty when it failed."""
        return self._talk.result()[0].decode("utf-8", "replace")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._pool.shutdown()
