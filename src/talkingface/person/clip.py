"""A person's clip prepared for fitting: stored frames, track, face model fit and sound; kept, so that stopped work goes
on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from talkingface.audio.read import read_audio
from talkingface.clips.source import open_clip
from talkingface.clips.tracked import TrackedClip, track_clip
from talkingface.core.cache import write_atomic
from talkingface.core.types import Track
from talkingface.face.detect import detect_faces
from talkingface.face.morphable import FaceFit, LinearFaceModel, fit_track
from talkingface.face.mouth_view import mouth_crop, mouth_view
from talkingface.metrics.sync_expert import SyncExpert
from talkingface.person import checks
from talkingface.person.background import STEP, BackgroundWatch
from talkingface.person.heads import ClipHead, make_head
from talkingface.training.speaking_clips import SpeakingClip, describe_clip
from talkingface.video.read import read_frames
from talkingface.video.stored import store_frames

FPS = 25
RATE_HZ = 16000
LONGEST_PX = 1280
_LOOKS = 12  # frames that are searched for other people
_THUMB = (64, 36)  # size at which pictures are compared to find cuts
CLIP, SCAN = "clip.mp4", "scan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSettings:
    """What a clip must be like, and how it is stored."""

    least_s: float = 12.0
    """Shortest clip."""
    one_shot: bool = True
    """Whether a cut is an error; false for sentences recorded one by one with a fixed camera."""
    free_views: bool = False
    """Whether the avatar is seen from the side: then a head that hardly turns gets a note."""
    still_camera: bool = False
    """Whether a camera that clearly moves is an error; else it gets a note."""
    face_index: int | None = None
    """The person, counted from the left; None: the largest face."""
    size: int | str | None = None
    """Longer side of the stored frames in pixels, or "native"; None: 1280 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonClip:
    """A prepared clip of T frames at 25 fps.

    `frames` is the stored video, `size` its (width, height); `track` and `fit` are in its pixels; `samples` float32 [N]
    at 16 kHz from the first frame on; `late_s`: delay of the lips behind the sound; `notes` for the user.
    """

    frames: Path
    size: tuple[int, int]
    track: Track
    fit: FaceFit
    samples: np.ndarray
    late_s: float
    notes: list[str]

    def __len__(self) -> int:
        return len(self.track)

    def head(self, seen: np.ndarray | None = None) -> ClipHead:
        """The head in every frame. Frames may be shown if it was found in them, and only those in `seen` bool [T]."""
        found = self.track.confidence > 0
        return make_head(
            self.fit.rotation, self.fit.scale, self.fit.translation, found if seen is None else found & seen
        )

    def speaking(self, model: LinearFaceModel, weight: np.ndarray) -> SpeakingClip:
        """The clip as speech and mouth movement; `weight` float32 [T] is that of each frame in training."""
        seen = (self.track.confidence > 0) * weight
        return describe_clip("clip", "person", self.track, self.samples, model, seen.astype(np.float32))

    def pictures(self) -> Iterator[np.ndarray]:
        """The stored frames in order, uint8 [H, W, 3]."""
        width, height = self.size
        return (np.ascontiguousarray(frame.rgb[:height, :width]) for frame in read_frames(self.frames))


def prepare_person(path: Path, folder: Path, model: LinearFaceModel, settings: ClipSettings) -> PersonClip:
    """Validate the clip, track its face and store its frames in `folder`, unless they are there.

    Raises InputError, FaceError or SpeechError that says what is wrong with the clip; cheap checks come first.
    """
    clip, size = open_clip(path), settings.size
    checks.check_media(path, clip.info, settings.least_s)
    longest = max(clip.info.size) if size == "native" else LONGEST_PX if size is None else int(size)
    samples = read_audio(path, RATE_HZ).samples.mean(axis=0)
    checks.check_sound(path, samples)
    tracked = track_clip(
        clip, fps=FPS, longest_px=longest, face_index=settings.face_index, upright=True, stage="following the face"
    )
    # what does not show the face is cut out, with its sound; the joints must look like one shot
    track, samples = tracked.track.joined(FPS), _samples_within(samples, tracked.track.present)
    checks.check_left(path, len(track) / FPS, settings.least_s)
    notes = list(tracked.notes) + checks.check_track(path, track, FPS, settings.one_shot)
    scan = _scan(tracked, track, folder, samples)
    if settings.one_shot:
        checks.check_pictures(path, np.array(scan["changes"]), FPS)
    notes += checks.check_others(path, scan["faces"], settings.face_index is not None)
    notes += checks.check_background(path, scan.get("drift", 0.0), settings.still_camera)
    late_s, more = checks.offset_note(scan["offset_frames"], scan["confidence"], FPS)
    notes += tracked.gap_notes("these pictures are left out", "they are interpolated and not used for training")
    fit = fit_track(model, track)
    if settings.free_views:
        notes += checks.turning_note(fit.rotation[track.confidence > 0])
    return PersonClip(
        frames=folder / CLIP,
        size=track.size,
        track=track,
        fit=fit,
        samples=samples.astype(np.float32),
        late_s=late_s,
        notes=notes + more,
    )


def _samples_within(samples: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Sound float32 [N] of the frames that are `present` bool [T], and what follows the last frame."""
    if present.all():
        return samples
    of_frames = np.repeat(present, RATE_HZ // FPS)
    return samples[np.pad(of_frames, (0, max(0, len(samples) - len(of_frames))), constant_values=True)[: len(samples)]]


def _scan(tracked: TrackedClip, track: Track, folder: Path, samples: np.ndarray) -> dict[str, Any]:
    """Store the frames of `track`, and what the checks need of them: changes from frame to frame, sizes of faces,
    how far the background wanders, and the offset of the sound by the sync expert."""
    if (folder / SCAN).is_file() and (folder / CLIP).is_file():
        return json.loads((folder / SCAN).read_text(encoding="utf-8"))
    changes: list[float] = []
    faces: list[list[float]] = []
    mouths: list[np.ndarray] = []
    background = BackgroundWatch()
    looks = set(np.linspace(0, len(track) - 1, _LOOKS).astype(int).tolist())

    def frames() -> Iterator[np.ndarray]:
        before: np.ndarray | None = None
        for number, rgb in enumerate(compress(tracked.frames("storing frames"), tracked.track.present)):
            thumb = cv2.resize(rgb, _THUMB, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
            if before is not None:
                changes.append(round(float(np.abs(thumb - before).mean()), 5))
            before = thumb
            if number in looks:
                faces.append([float(box.side_px) for box in detect_faces(rgb)])
            if number % STEP == 0:
                background.look(rgb, track.landmarks[number])
            mouths.append(mouth_crop(rgb, track.landmarks[number]))
            yield rgb

    store_frames(folder / CLIP, frames(), track.size)
    view = mouth_view(np.stack(mouths), track.landmarks[: len(mouths)], track.times_s[: len(mouths)], track.confidence)
    score = SyncExpert.load().score(view, samples.astype(np.float32))
    known = bool(np.isfinite(score.offset_frames))
    found = {
        "changes": changes,
        "faces": [row for row in faces if row],
        "drift": round(background.drift, 4),
        "offset_frames": float(score.offset_frames) if known else 0.0,
        "confidence": float(score.confidence) if known else 0.0,
    }
    with write_atomic(folder / SCAN, "w") as file:
        json.dump(found, file)
    return found


def splits(length: int, first: int, count: int, train_frames: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Training frames and held-out frames, bool [T] each.

    Held out are `count` frames from `first` on, or the last ones (at most a quarter) of a clip that does not reach so
    far. Trained on are the first `train_frames`; None: all others but half a second on either side, which look alike.
    """
    count = min(count, length // 4)
    first = min(first, length - count)
    test, train = np.zeros(length, bool), np.ones(length, bool)
    test[first : first + count] = True
    if train_frames is None:
        train[max(0, first - FPS // 2) : first + count + FPS // 2] = False
    else:
        train[min(train_frames, first) :] = False
    return train, test


def last_part(length: int, share: float, most_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Training frames and held-out frames, bool [T] each: the last `share`, but no more than `most_s` seconds, is held
    out, and the half second before it, which looks alike, is not trained on."""
    count = max(1, min(round(share * length), round(most_s * FPS)))
    test, train = np.zeros(length, bool), np.ones(length, bool)
    test[length - count :] = True
    train[max(1, length - count - FPS // 2) :] = False
    return train, test
