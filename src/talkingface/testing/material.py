"""Inputs of the checks: the shipped portrait and speech, and a short clip made of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkingface.core.samples import sample
from talkingface.core.types import Photo

RATE_HZ = 16000
FPS = 25
CLIP_FRAMES = 60
CLIP_PX = 256


def speech(seconds: float) -> np.ndarray:
    """The beginning of the shipped speech, mono float32 [N] at 16 kHz."""
    from talkingface.audio.read import read_audio

    return read_audio(sample("speech"), RATE_HZ).samples[0][: round(seconds * RATE_HZ)]


def portrait() -> Photo:
    """The shipped portrait."""
    from talkingface.video.image import read_image

    return read_image(sample("portrait"))


def write_clip(path: Path) -> Path:
    """A video of the shipped portrait's head, which sways by a few pixels and has the shipped speech for its sound."""
    import cv2

    from talkingface.video.write import VideoWriter

    whole = portrait().rgb
    side = len(whole)
    # the head alone: systems refuse clips whose face is a few pixels high
    head = whole[side // 12 : side * 3 // 4, side // 6 : side * 5 // 6]
    picture = cv2.resize(head, (CLIP_PX, CLIP_PX), interpolation=cv2.INTER_AREA)
    with VideoWriter(path, (CLIP_PX, CLIP_PX), FPS, sound=sample("speech"), synthetic=None) as writer:
        for k in range(CLIP_FRAMES):
            shift = np.array([[1, 0, 3 * np.sin(k / 5)], [0, 1, 2 * np.cos(k / 7)]])
            writer.write(cv2.warpAffine(picture, shift, (CLIP_PX, CLIP_PX), borderMode=cv2.BORDER_REPLICATE))
    return path
