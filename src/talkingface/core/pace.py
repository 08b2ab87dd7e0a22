"""How a stream is cut up for drawing, and when a picture is handed out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What a renderer draws at a time, and how many of these are in the making (see `core.stream.ordered_map`)."""

    batch: int
    """Frames that are drawn together. Networks always see as many, so that results do not depend on the split."""
    workers: int
    """Batches in the making at a time, each in a thread. 0: each is drawn as soon as its motion is there, by the
    thread that asks for it, and handed out at once."""


PACES = {"best": Pace(batch=8, workers=2), "low": Pace(batch=1, workers=0)}
"""For each `Controls.delay`: most frames a second for files, where drawing, the networks and encoding release the GIL;
or no wait for later frames, for live use. The same motion gives pictures that differ by a grey level at most."""
