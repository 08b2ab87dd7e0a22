"""Sound from any file that FFmpeg decodes, as float32 at a given rate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from talkingface.core.errors import SpeechError
from talkingface.core.types import Audio
from talkingface.video.channels import mix_note, opposed
from talkingface.video.container import kept_by_file
from talkingface.video.sound import Resampler, decode_sound

MIN_SPEECH_S = 0.1
_COMPARED_HZ, _COMPARED_S = 8000, 120


def read_audio(
    path: str | Path,
    rate_hz: int = 16000,
    *,
    mono: bool = True,
    track: int | None = None,
    notes: list[str] | None = None,
) -> Audio:
    """The whole sound of `path`: float32 [1, N] (or [C, N] with `mono=False`) at `rate_hz`.

    Sample 0 is the earliest start of any stream in the file, so sound and picture stay aligned. `track`, `notes`: see
    `stream_audio`. Raises InputError for a file that cannot be read, SpeechError for one without usable sound.

    Example: `read_audio("hi.wav").duration_s`
    """
    blocks = list(stream_audio(path, rate_hz, block=1 << 16, mono=mono, track=track, notes=notes))
    samples = np.concatenate(blocks, axis=-1)
    return Audio(samples=np.atleast_2d(samples), rate_hz=rate_hz)


def stream_audio(
    path: str | Path,
    rate_hz: int = 16000,
    block: int = 16000,
    mono: bool = True,
    *,
    track: int | None = None,
    notes: list[str] | None = None,
) -> Iterator[np.ndarray]:
    """The sound of `path` in pieces of `block` samples (the last may be shorter), with flat memory.

    Yields float32 [n] in [-1, 1], or [C, n] with `mono=False`. The pieces joined are the same for any `block`. `track`
    is the sound track, 0 first; None takes the one that the file calls the default, else the first. Channels that would
    cancel others in the mix are inverted, and a sentence about it is appended to `notes`. Raises like `read_audio`,
    at the first piece where the fault shows.

    Example: `for piece in stream_audio("talk.mp4"): ...`
    """
    short = SpeechError(f"{path} holds almost no sound; give at least {MIN_SPEECH_S} s of speech")
    pending: list[np.ndarray] = []
    held, total = 0, 0
    for piece in _resampled(Path(path), rate_hz, mono, track, notes if notes is not None else []):
        pending.append(piece)
        held, total = held + piece.shape[-1], total + piece.shape[-1]
        if held < block or total < MIN_SPEECH_S * rate_hz:
            continue
        joined = np.concatenate(pending, axis=-1)
        cut = held - held % block
        for start in range(0, cut, block):
            yield joined[..., start : start + block].copy()
        pending, held = [joined[..., cut:]], held - cut
    if total < MIN_SPEECH_S * rate_hz:
        raise short
    if held:
        yield np.concatenate(pending, axis=-1)


def _resampled(path: Path, rate_hz: int, mono: bool, track: int | None, notes: list[str]) -> Iterator[np.ndarray]:
    """Checked pieces of any length: float32 [n] or [C, n]."""
    frames = decode_sound(path, track)
    first = next(frames, None)
    if first is None:
        return
    signs = _signs(path, track) if mono and first.layout.nb_channels > 1 else ()
    if signs:
        notes.append(mix_note(signs))
    resampler = Resampler(rate_hz, "mono" if mono else first.layout.name, signs)
    for frame in chain([first], frames, [None]):
        for samples in resampler.push(frame):
            if not np.isfinite(samples).all():
                raise SpeechError(f"{path} has samples that are not numbers (NaN or infinite); export the sound again")
            samples = np.clip(samples, -1.0, 1.0)
            yield samples[0] if mono else samples


@kept_by_file(64)
def _signs(path: Path, track: int | None) -> tuple[int, ...]:
    """Signs of the channels in the mix, see `channels.opposed`, by two minutes in which something is heard."""
    frames = decode_sound(path, track)
    first = next(frames)
    resampler = Resampler(_COMPARED_HZ, first.layout.name)
    products, compared = np.zeros((first.layout.nb_channels,) * 2), 0
    for frame in chain([first], frames, [None]):
        for piece in resampler.push(frame):
            heard = np.nan_to_num(piece.astype(np.float64))
            if np.square(heard).mean() > 1e-7:
                products += heard @ heard.T
                compared += heard.shape[1]
        if compared > _COMPARED_S * _COMPARED_HZ:
            break
    return opposed(products)
