"""How well the sync expert finds a known shift of the sound, on people it never saw: `bench --what sync`.

Each val clip is shifted as a whole file would be (the sound is delayed or cut, silence where there is none), then cut
into windows; a window is judged by its own frames and its own sound only (head pose is measured from the clip's middle
frame). A clip's own offset is not known from outside, so it is taken off in two ways: as the expert finds it in the
whole clip (unshifted), and, more strictly, as it finds it in the rest of the clip, which shares no frame with the
window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.clips.tracked import track_clip
from talkingface.core.errors import SpeechError
from talkingface.core.progress import report_progress
from talkingface.face.mouth_view import VIEW_FPS, MouthView, mouth_crop, mouth_view
from talkingface.metrics.sync_expert import SAMPLES_PER_FRAME, WEIGHTS, SyncExpert, cut_view
from talkingface.training.prepare import RATE_HZ

SECONDS = (1, 2, 3, 5, 10)
TARGET_S, TARGET_SHARE = 5, 0.85
SHIFTS = tuple(range(-8, 9))
TOLERANCE = 1.0
HOP = VIEW_FPS
KNOWN = ("grid_s1",)
"""People in val of whom other clips are in train."""
LONGEST_PX = 1280
_Z = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardClip:
    """A clip ready for the expert, samples float32 [N] at 16 kHz."""

    slug: str
    person: str
    view: MouthView
    samples: np.ndarray


def sync(job: TargetJob) -> Finding:
    """Share of windows whose shift is found within one frame, by window length, with 95 % intervals."""
    expert = SyncExpert.load(job.weights or WEIGHTS)
    entries = [e for e in list_clips(job.folder) if e.split == "val" and e.speaks]
    trials: list[dict[str, Any]] = []
    clips = []
    for number, entry in enumerate(entries[: job.limit]):
        report_progress("clips", number, len(entries[: job.limit]))
        if (clip := _hear(entry)) is None:
            continue
        own = expert.score(clip.view, clip.samples)
        if not np.isfinite(own.offset_frames):
            continue
        summary = {"clip": clip.slug, "person": clip.person, "frames": len(clip.view)}
        clips.append(summary | {"own_offset": own.offset_frames, "confidence": own.confidence})
        for seconds in SECONDS:
            trials += window_trials(expert, clip, seconds, own.offset_frames)
        trials += window_trials(expert, clip, len(clip.view) / VIEW_FPS, own.offset_frames, whole=True)
    rows = [row for seconds in SECONDS for row in _rows(trials, seconds)]
    return Finding(rows=rows, details={"clips": clips, "people": by_person(trials), "windows": len(trials)})


def _hear(entry: ClipEntry) -> HeardClip | None:
    """The clip, tracked (kept between runs); None without sound."""
    try:
        samples = read_audio(entry.sound, RATE_HZ).samples[0]
    except SpeechError:
        return None
    tracked = track_clip(entry.path, longest_px=LONGEST_PX)
    track = tracked.track
    pictures = zip(tracked.frames(), track.landmarks, strict=True)
    crops = np.stack([mouth_crop(rgb, points) for rgb, points in pictures])
    view = mouth_view(crops, track.landmarks, track.times_s, track.confidence)
    return HeardClip(slug=entry.slug, person=entry.identity, view=view, samples=samples)


def shifted(samples: np.ndarray, frames: int) -> np.ndarray:
    """Sound delayed by `frames` (negative: begun earlier), silence where there is none."""
    count = frames * SAMPLES_PER_FRAME
    return np.pad(samples, (count, 0)) if count >= 0 else samples[-count:]


def window_trials(
    expert: SyncExpert, clip: HeardClip, seconds: float, own: float, *, whole: bool = False
) -> list[dict[str, Any]]:
    """One trial for each window of a clip and each shift; none if the clip is shorter than a window.

    `error` is in frames after taking off `own`, `strict` after taking off the offset of the rest of the clip (None
    where less than two seconds are left). `whole` is for clips that are taken in one piece.
    """
    length = round(seconds * VIEW_FPS)
    found = []
    for first in range(0, len(clip.view) - length + 1, HOP):
        view, end = cut_view(clip.view, first, first + length), first + length
        rest = None if whole else offset_of_rest(expert, clip, first, end)
        for shift in SHIFTS:
            sound = shifted(clip.samples, shift)[first * SAMPLES_PER_FRAME : end * SAMPLES_PER_FRAME]
            # a delayed sound makes the mouth early
            offset = expert.score(view, sound).offset_frames + shift
            found.append(
                {
                    "clip": clip.slug,
                    "person": clip.person,
                    "seconds": "whole" if whole else seconds,
                    "first": first,
                    "frames": length,
                    "shift": shift,
                    "error": offset - own,
                    "strict": None if rest is None else offset - rest,
                }
            )
    return found


def offset_of_rest(expert: SyncExpert, clip: HeardClip, first: int, end: int) -> float | None:
    """The clip's offset in its longer part before `first` or after `end`; None if that has less than two seconds."""
    low, high = (0, first) if first > len(clip.view) - end else (end, len(clip.view))
    if high - low < 2 * VIEW_FPS:
        return None
    sound = clip.samples[low * SAMPLES_PER_FRAME : high * SAMPLES_PER_FRAME]
    offset = expert.score(cut_view(clip.view, low, high), sound).offset_frames
    return offset if np.isfinite(offset) else None


def _rows(trials: Sequence[dict[str, Any]], seconds: float) -> Iterator[Row]:
    chosen = [t for t in trials if t["seconds"] == seconds and t["person"] not in KNOWN]
    for key, name in (("error", "own offset: whole clip"), ("strict", "own offset: rest of the clip")):
        part = [t for t in chosen if t[key] is not None]
        if not part:
            continue
        share, low, high = share_and_interval(part, key)
        people, windows = len({t["person"] for t in part}), len({(t["clip"], t["first"]) for t in part})
        required = seconds == TARGET_S and key == "error"
        counted = f"{windows}, {num_apart(part)} of them apart, {people} unseen people; 95 % {low:.2f} to {high:.2f}"
        yield Row(
            name=f"{seconds} s windows within 1 frame ({counted}); {name}",
            value=share,
            target=f">= {TARGET_SHARE}" if required else "",
            met=share >= TARGET_SHARE if required else None,
        )


def within(trial: dict[str, Any], key: str = "error") -> bool:
    """Whether a trial's error is at most a frame; an offset that could not be told is not."""
    return bool(abs(trial[key]) <= TOLERANCE)


def share_and_interval(trials: Sequence[dict[str, Any]], key: str = "error") -> tuple[float, float, float]:
    """Share of trials within tolerance, mean of windows, and its 95 % interval (Wilson 1927).

    It counts windows that share no frame, not shifts and overlaps. Stretches of one person are alike, so other people
    may still fall outside of it; `by_person` shows how much people differ.
    """
    windows: dict[tuple[str, int], list[bool]] = {}
    for trial in trials:
        windows.setdefault((trial["clip"], trial["first"]), []).append(within(trial, key))
    share, count = float(np.mean([np.mean(hits) for hits in windows.values()])), num_apart(trials)
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    reach = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return share, float(max(0.0, middle - reach)), float(min(1.0, middle + reach))


def num_apart(trials: Sequence[dict[str, Any]]) -> int:
    """How many of the windows that were tried can be picked so that none shares a frame with another."""
    count = 0
    for clip in {trial["clip"] for trial in trials}:
        end = 0
        chosen = {(t["first"], t["frames"]) for t in trials if t["clip"] == clip}
        for first, frames in sorted(chosen):
            if first >= end:
                count, end = count + 1, first + frames
    return count


def by_person(trials: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each person and window length: windows, share within a frame, and the median error in frames."""
    rows = []
    for person, seconds in sorted({(t["person"], str(t["seconds"])) for t in trials}):
        part = [t for t in trials if t["person"] == person and str(t["seconds"]) == seconds]
        windows = len({(t["clip"], t["first"]) for t in part})
        error = float(np.nanmedian([abs(t["error"]) for t in part]))
        share = float(np.mean([within(t) for t in part]))
        rows.append(
            {"person": person, "seconds": seconds, "windows": windows, "share": share, "median_error": error}
            | {"seen_in_training": person in KNOWN}
        )
    return rows
