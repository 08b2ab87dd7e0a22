"""Clips on disk become tracked, sound-aligned training material: one .npz a clip, resumable."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import TypeVar

import numpy as np

from talkingface.clips.manifest import ClipEntry, list_clips, prepared_clips, prepared_file, write_index
from talkingface.core.errors import InputError, TalkingFaceError
from talkingface.core.progress import report_progress

RATE_HZ = 16000
Found = TypeVar("Found")


def prepare(data: Path, folder: Path, workers: int = 2) -> list[str]:
    """Track every clip of `data` into `folder`; clips done before are skipped. Returns the slugs that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = list_clips(data)
    todo = [(clip, folder) for clip in clips if not prepared_file(folder, clip.slug).is_file()]
    failed = []
    if todo:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for number, (slug, problem) in enumerate(pool.imap_unordered(_prepare_one, todo), 1):
                report_progress("tracking clips", number, len(todo))
                if problem:
                    failed.append(f"{slug}: {problem}")
    write_index(folder, clips)
    return failed


def prepare_data(data: Path, folder: Path) -> Path:
    """The same into `folder`/prepared, which is returned; clips that failed are named on standard output.

    Raises InputError if no train clip is there to learn from.
    """
    prepared = folder / "prepared"
    for problem in prepare(data, prepared):
        print(f"left out: {problem}")
    something(prepared_clips(prepared, "train"), "train clip with a face", data)
    return prepared


def something(found: list[Found], what: str, data: Path) -> list[Found]:
    """`found` as it is. Raises InputError if it is empty: nothing could be learned."""
    if not found:
        raise InputError(f"{data} has no {what} to learn from; docs/training.md says what a data folder needs")
    return found


def _prepare_one(job: tuple[ClipEntry, Path]) -> tuple[str, str]:
    clip, folder = job
    from talkingface.audio.read import read_audio
    from talkingface.clips.tracked import save_track, track_clip
    from talkingface.core.errors import SpeechError

    try:
        track = track_clip(clip.path, stage=None, cached=False).track
        try:
            samples = read_audio(clip.sound, RATE_HZ).samples[0]
        except SpeechError:
            samples = np.zeros(int(track.times_s[-1] * RATE_HZ), np.float32)
    except TalkingFaceError as error:
        return clip.slug, str(error)
    save_track(prepared_file(folder, clip.slug), track, samples=np.round(samples * 32767).astype(np.int16))
    return clip.slug, ""
