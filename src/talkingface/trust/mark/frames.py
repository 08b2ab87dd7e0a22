"""The mark on a stream of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from talkingface.core.types import Frames
from talkingface.trust.mark.marker import Marker
from talkingface.trust.mark.pattern import mark_key


def mark_frames(frames: Iterator[Frames], fps: float, payload: int, first: int = 0) -> Iterator[Frames]:
    """The frames of a job, from its frame `first` on, with its mark under the key of `mark_key`."""
    marker = None
    for piece in frames:
        marker = marker or Marker((piece.rgb.shape[2], piece.rgb.shape[1]), fps, payload, mark_key(), first)
        masks = [None] * len(piece) if piece.mask is None else piece.mask
        marked = np.empty_like(piece.rgb)
        for rgb, mask, out in zip(piece.rgb, masks, marked, strict=True):
            marker.apply(rgb, mask, out)
        yield replace(piece, rgb=marked)
