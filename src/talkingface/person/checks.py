"""Checks of a clip before time is spent on it: what makes it unfit for an avatar, and notes for the user."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from talkingface.core.errors import FaceError, InputError, SpeechError
from talkingface.core.types import Track
from talkingface.video.read import VideoInfo

LEAST_FACE_PX, SMALL_FACE_PX = 64, 140  # height of the face that is refused, and that gets a note
LEAST_SEEN = 0.9  # share of frames in which the face must be found
CUT_SHARE = 0.35  # jump of the face from one frame to the next, in face sizes, that is a cut
# Mean change of a picture from one frame to the next, of the full range, that is a cut, if it stands alone.
CUT_CHANGE = 0.16
OUTSIDE_SHARE = 0.1  # share of frames in which part of the face may lie outside the picture
WANDERING = 1.0  # standard deviation of the face's place, in face sizes, from which the person walks about
QUIET = 1e-3  # root mean square of sound without speech
# A second face counts from this share of the first one's size, if it is in a third of the frames that were searched.
OTHER_FACE = 0.5
# Wandering of the background, in heights of the face, from which it is noted, and from which the camera clearly moves.
SHAKY, MOVING = 0.06, 0.3
LEAST_TURN_DEG = 10.0  # range of yaw from which the sides of a head are known
SURE_OFFSET = 0.12  # confidence of the sync expert from which its offset is believed


def check_media(path: Path, info: VideoInfo, least_s: float) -> None:
    """Raise InputError or SpeechError for a clip that is too short or silent, before it is decoded."""
    if not info.has_audio:
        raise SpeechError(f"{path} has no sound; give a clip in which the person is heard speaking")
    if info.duration_s < least_s - 0.05:
        raise InputError(
            f"{path} is {info.duration_s:.1f} s long; give at least {least_s:g} s of one person speaking, without cuts"
        )


def check_left(path: Path, seconds: float, least_s: float) -> None:
    """Raise FaceError if the face is there for too short a time."""
    if seconds < least_s - 0.05:
        raise FaceError(
            f"{path} shows the face for only {seconds:.1f} s; give at least {least_s:g} s of one person speaking"
        )


def check_sound(path: Path, samples: np.ndarray) -> None:
    """Raise SpeechError for a sound track float32 [N] on which nobody speaks."""
    if float(np.sqrt(np.mean(np.square(samples)))) < QUIET:
        raise SpeechError(f"the sound of {path} is silent; give a clip in which the person is heard speaking")


def check_track(path: Path, track: Track, fps: float, one_shot: bool = True) -> list[str]:
    """Sentences for the user about the tracked face. Raises FaceError if it is too small or missing, and for cuts in a
    clip that must be `one_shot`."""
    points, notes = track.landmarks, []
    seen = track.confidence > 0
    if seen.mean() < LEAST_SEEN:
        worst = _longest_gap(seen)
        raise FaceError(
            f"the face is seen in {seen.mean():.0%} of {path}; it is lost for {worst[1] / fps:.1f} s from "
            f"{worst[0] / fps:.1f} s on: cut that part off, or use a clip that shows one face throughout"
        )
    low, high = points[..., :2].min(1), points[..., :2].max(1)
    sides = (high - low).max(1)
    side = float(np.median(sides[seen]))
    if side < LEAST_FACE_PX:
        side += 0.01  # 40 px in single precision are 39.99
        raise FaceError(f"the face is only {int(side)} px high (at least {LEAST_FACE_PX} are needed); film closer")
    if side < SMALL_FACE_PX:
        notes.append(f"the face is only {side:.0f} px high; a closer picture gives a sharper avatar")
    centre = (low + high) / 2
    jumps = np.linalg.norm(np.diff(centre, axis=0), axis=1) / side
    jumps[~(seen[1:] & seen[:-1])] = 0
    if one_shot and (jumps > CUT_SHARE).any():
        raise FaceError(f"{path} is cut at {_times(np.flatnonzero(jumps > CUT_SHARE) + 1, fps)}: the face jumps; "
                        "give one shot")  # fmt: skip
    outside = ((low < 0) | (high > np.array(track.size))).any(1).mean()
    if outside > OUTSIDE_SHARE:
        raise FaceError(
            f"part of the face is outside the picture in {outside:.0%} of {path}; use a clip that shows the whole face"
        )
    if centre[seen].std(0).max() / side > WANDERING:
        notes.append("the person moves a lot; a seated speaker gives a steadier avatar")
    return notes


def check_pictures(path: Path, changes: np.ndarray, fps: float) -> None:
    """Raise InputError for a cut, from the mean change [T - 1] of each picture to the next, in [0, 1]."""
    usual = float(np.median(changes)) + 0.01
    cuts = np.flatnonzero((changes > CUT_CHANGE) & (changes > 6 * usual))
    if len(cuts):
        raise InputError(f"{path} is cut at {_times(cuts + 1, fps)}: the picture changes at once; give one shot")


def check_others(path: Path, sizes: list[list[float]], chosen: bool) -> list[str]:
    """A sentence, or a FaceError, about other people: face sizes in px of some frames, the largest first in each."""
    second = [row[1] / row[0] for row in sizes if len(row) > 1]
    crowded = len([share for share in second if share > OTHER_FACE]) > len(sizes) / 3
    if crowded and not chosen:
        raise FaceError(
            f"{path} shows several people; give a clip of one, or choose with --face-index, counted from the left"
        )
    if second:
        return ["other faces are visible in the clip; they are not animated"]
    return []


def check_background(path: Path, drift: float, must_stand: bool) -> list[str]:
    """A sentence about a background that wanders by `drift` heights of the face (`person.background`).

    Raises InputError for a camera that clearly moves where it `must_stand`.
    """
    if drift < SHAKY:
        return []
    if must_stand and drift > MOVING:
        raise InputError(
            f"the camera of {path} moves: the background wanders by {drift:.1f} heights of the face; "
            "give a clip from a camera that stands still"
        )
    return ["the background moves; a camera that stands still gives a steadier avatar"]


def turning_note(rotation: np.ndarray) -> list[str]:
    """A sentence about a head that hardly turns in the frames with `rotation` [T, 3, 3]."""
    yaw_deg = np.degrees(np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2]))
    low, high = np.percentile(yaw_deg, (2, 98))
    if high - low >= LEAST_TURN_DEG:
        return []
    return [
        f"the head turns by {high - low:.0f} degrees only; views from the side are limited: a clip in which the person "
        "looks left and right once gives better ones"
    ]


def offset_note(offset_frames: float, confidence: float, fps: float) -> tuple[float, list[str]]:
    """The delay of the lips in seconds (0 where it is unsure), and a sentence about a large one."""
    if not np.isfinite(offset_frames) or confidence < SURE_OFFSET:
        return 0.0, []
    late_s = offset_frames / fps
    if abs(late_s) < 0.06:
        return late_s, []
    return late_s, [f"the lips are {abs(late_s) * 1000:.0f} ms {'late' if late_s > 0 else 'early'}; this is corrected"]


def _times(frames: np.ndarray, fps: float) -> str:
    shown = ", ".join(f"{frame / fps:.1f} s" for frame in frames[:3])
    return shown + (f" and {len(frames) - 3} more times" if len(frames) > 3 else "")


def _longest_gap(seen: np.ndarray) -> tuple[int, int]:
    """First frame and length of the longest run of unseen frames."""
    edges = np.flatnonzero(np.diff(np.concatenate([[1], seen.astype(int), [1]])))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    return int(starts[longest]), int(ends[longest] - starts[longest])
