"""One film of many short clips of a person, such as the sentences of a corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from talkingface.audio.read import read_audio
from talkingface.clips.manifest import ClipEntry
from talkingface.core.types import Audio
from talkingface.person.clip import FPS, RATE_HZ
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter

_QUALITY = 12


def join_clips(clips: Sequence[ClipEntry], film: Path) -> None:
    """Write all `clips` to `film` (.mp4) one after the other, each for as long as its pictures last, unless it is
    there. They must have the size of the first one. Raises InputError, OutputError."""
    if film.is_file():
        return
    film.parent.mkdir(parents=True, exist_ok=True)
    sounds = []
    for clip in clips:
        length = sum(1 for _ in read_frames(clip.path, fps=FPS)) * RATE_HZ // FPS
        sound = read_audio(clip.sound, RATE_HZ).samples.mean(axis=0)[:length]
        sounds.append(np.pad(sound, (0, length - len(sound))))
    sound = Audio(samples=np.concatenate(sounds)[None].astype(np.float32), rate_hz=RATE_HZ)
    first = next(read_frames(clips[0].path)).rgb
    with VideoWriter(film, (first.shape[1], first.shape[0]), FPS, sound=sound, quality=_QUALITY) as writer:
        for clip in clips:
            for frame in read_frames(clip.path, fps=FPS):
                writer.write(frame.rgb)
