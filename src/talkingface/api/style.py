"""A style read from a clip of a person who speaks, or from a style file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkingface.clips.source import existing, open_clip
from talkingface.core.cache import content_hash
from talkingface.core.checks import check_face_index
from talkingface.core.device import configure_process
from talkingface.core.errors import FaceError, SpeechError
from talkingface.core.style import Style, load_style
from talkingface.core.types import Clip

READ_S = 30.0
LEAST_S, PLENTY_S = 2.0, 10.0
"""Seconds of speech with the face in sight without which there is no style, and from which on nothing is said about
how few they are."""
LONGEST_PX = 1280
RATE_HZ = 16000


def read_style(source: str | Path | Style, *, speech: str | Path | None = None, face_index: int | None = None) -> Style:
    """How the person in a video speaks, from its first half minute; or what a style file (.json) says.

    `speech`: the sound, where it lies in another file. `face_index` counts faces from the left, None takes the largest.
    Figures are drawn towards the average speaker as far as little speech says little about them. Raises InputError,
    FaceError and SpeechError, also for a clip with less than two seconds of speech with the face in sight.

    Example: `talkingface.read_style("lively.mp4").opening`
    """
    if isinstance(source, Style):
        return source
    check_face_index(face_index)
    path = existing(source)
    if path.suffix.lower() == ".json" and path.is_file():
        return load_style(path)
    configure_process()
    return _measured(open_clip(path, "the clip of a style"), path if speech is None else existing(speech), face_index)


def _measured(clip: Clip, sound: Path, face_index: int | None) -> Style:
    from talkingface.clips.tracked import track_clip
    from talkingface.face.morphable import load_mesh478
    from talkingface.metrics.behaviour import find_blinks, speech_frames
    from talkingface.metrics.style import FPS, blink_rate, drawn_to_average, head_figures, mouth_figures
    from talkingface.training.speaking_clips import describe_clip

    samples = _beginning(sound)
    tracked = track_clip(clip, longest_px=LONGEST_PX, face_index=face_index, end_s=READ_S, upright=True)
    face = describe_clip(clip.path.stem, "", tracked.track, samples, load_mesh478())
    seen = face.weight > 0
    spoken = speech_frames(samples, FPS, len(face))
    seconds = float((seen & spoken).sum() / FPS)
    if seconds < LEAST_S:
        raise _too_little(clip.path.name, float(spoken.sum() / FPS), seconds)
    figures = mouth_figures(face.measures, seen & spoken) | head_figures(face.pose, seen & spoken)
    blinks = blink_rate(len(find_blinks(face.blink[seen, 0], FPS).times_s), float(seen.sum() / FPS))
    return Style(
        **drawn_to_average(figures, seconds), blinks=round(blinks, 1), name=clip.path.name,
        sha256=content_hash(clip.path), speech_s=round(seconds, 2), notes=_notes(clip.path.name, seconds, samples),
    )  # fmt: skip


def _beginning(sound: Path) -> np.ndarray:
    """The first half minute of a sound, mono float32 [N] at 16 kHz. Raises SpeechError, InputError."""
    from talkingface.audio.read import stream_audio

    pieces, left = [np.zeros(0, np.float32)], int(READ_S * RATE_HZ)
    if sound.is_dir():
        raise SpeechError(f"{sound} is a folder, which has no sound; a style is read from a video with its speech")
    for piece in stream_audio(sound, RATE_HZ):
        pieces.append(piece[:left])
        left -= len(pieces[-1])
        if not left:
            break
    return np.concatenate(pieces)


def _too_little(name: str, spoken_s: float, seconds: float) -> Exception:
    text = (
        f"{name} has {spoken_s:.1f} s of speech in its first {READ_S:g} s, with the face in sight for {seconds:.1f} s "
        f"of it; a style takes at least {LEAST_S:g} s, better 20"
    )
    return SpeechError(text) if spoken_s < LEAST_S else FaceError(text)


def _notes(name: str, seconds: float, samples: np.ndarray) -> tuple[str, ...]:
    from talkingface.audio.levels import Levels
    from talkingface.metrics.style import EVIDENCE

    notes = []
    levels = Levels(RATE_HZ)
    levels.take(samples)
    if not levels.have_voice():
        notes.append(f"no voice is heard in {name}; check that its person speaks")
    if seconds < PLENTY_S:
        mouth, head = (round(100 * (1 - EVIDENCE[figure].share(seconds))) for figure in ("opening", "yaw"))
        notes.append(
            f"the style of {name} comes from only {seconds:.1f} s of speech; it is drawn towards the average speaker: "
            f"how far the mouth opens by {mouth} %, how far the head turns by {head} %"
        )
    return tuple(notes)
