"""What avatars of `geneface` are like from the side, and how they blink."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.spatial import transform

from benchmarks.data import write_voice
from benchmarks.held_out import fitted_clips
from benchmarks.systems.geneface.person import Person, open_person
from benchmarks.targets import Finding, Row, TargetJob, at_most, between
from talkingface.apps.bench.command import write_speech
from talkingface.audio.read import read_audio
from talkingface.core.motion import concatenate, cut_motion
from talkingface.core.samples import sample
from talkingface.core.types import Controls, Motion
from talkingface.core.view import View
from talkingface.face.blink import eye_closure
from talkingface.face.camera import euler_degrees
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.topology import FACE_OVAL
from talkingface.face.track import FaceTracker, fill_gaps
from talkingface.metrics.behaviour import Blinks, find_blinks
from talkingface.person.clip import FPS, RATE_HZ
from talkingface.systems.geneface import SPEC
from talkingface.video.image import write_image

SIZE = 512
FURTHEST_DEG, STEP_DEG, MOST_WRONG_DEG = 20.0, 2.5, 3.0
COVERED, MOST_HOLES = 0.9, 0.005
"""A pixel of the face is a hole where less of it is the person's; and the share of such pixels that may be."""
VOICE_S, DRAWN_S = 60.0, 30.0
ALIVE = (0.7, 1.3)
AT_BLINK_S, MOST_JERK = 0.2, 1.3
_BLACK, _WHITE = "#000000", "#ffffff"
Drawer = Callable[[float, str], np.ndarray]


def geneface_views(job: TargetJob) -> Finding:
    """Each avatar turned by the camera and by its motion; blinks of a minute of new voice, half of it drawn and tracked
    (`--long`: all). `--sheets`: the turned pictures."""
    rows: list[Row] = []
    details: dict[str, Any] = {}
    for fitted in fitted_clips(job, SPEC.name):
        person = open_person(fitted)
        found: dict[str, Any] = {}
        for way, draw in (("view", _by_view(person)), ("motion", _by_motion(person))):
            found[way] = turned = _turned(person, draw, job.sheets and job.sheets / f"{fitted.name}-{way}.png")
            wrong = max(abs(angle - asked) for asked, angle in turned["yaw_deg"])
            rows.append(at_most(f"{fitted.name}, by {way}: yaw found beside the asked, degrees", wrong, MOST_WRONG_DEG))
            rows.append(at_most(f"{fitted.name}, by {way}: holes in the face, share", turned["holes"], MOST_HOLES))
        found["blinks"] = blinks = _blinks(person, job)
        rows += _blink_rows(fitted.name, blinks)
        details[fitted.name] = found
    return Finding(rows=rows, details=details)


def _by_view(person: Person) -> Drawer:
    still = (np.zeros_like(person.clip.fit.expression[0]), np.zeros(6, np.float32), 0.0)

    def draw(yaw: float, background: str) -> np.ndarray:
        renderer = person.system.open_view(person.avatar, _controls(background))
        return renderer.draw(*still, View(yaw=yaw), deep=False)[0]

    return draw


def _by_motion(person: Person) -> Drawer:
    def draw(yaw: float, background: str) -> np.ndarray:
        pose = person.system.pose_from_angles(np.array([[yaw, 0, 0]], np.float32))
        expression = np.zeros_like(person.clip.fit.expression[:1])
        motion = Motion(space=MESH478.name, expression=expression, pose=pose, blink=None, fps=FPS)
        renderer = person.system.open(person.avatar, _controls(background))
        return next(iter(renderer.frames(iter([motion])))).rgb[0]

    return draw


def _controls(background: str) -> Controls:
    return Controls(pose="generated", size=SIZE, crop="head", background=background)


def _turned(person: Person, draw: Drawer, sheet: Path | None) -> dict[str, Any]:
    """What the tracker finds in turned pictures: pairs of yaw asked and found, and the largest share of holes."""
    yaws, holes, shown = [], [0.0], []
    for side in (-1, 1):
        tracker = FaceTracker(None)
        for number, degrees in enumerate(np.arange(0, FURTHEST_DEG + STEP_DEG, STEP_DEG)):
            asked = side * float(degrees)
            rgb = draw(math.radians(asked), "keep")
            points = tracker.update(rgb, (number + 1) / FPS)
            angle = 180.0 if points is None else _yaw_of(person, points, rgb.shape)
            yaws.append((asked, round(angle, 2)))
            if points is not None:
                holes.append(holes_in(draw(math.radians(asked), _BLACK), draw(math.radians(asked), _WHITE), points))
            if degrees % (FURTHEST_DEG / 2) == 0:
                shown.append(rgb)
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        write_image(sheet, np.concatenate(shown, axis=1))
    return {"yaw_deg": yaws, "holes": max(holes)}


def _yaw_of(person: Person, points: np.ndarray, shape: tuple[int, ...]) -> float:
    """Degrees beyond the clip's mean pose of a tracked face [478, 3]."""
    turns = _turns(person, [points], (shape[1], shape[0]))
    return float(np.asarray(euler_degrees(turns))[0, 0])


def _turns(person: Person, found: list[np.ndarray | None], size: tuple[int, int]) -> np.ndarray:
    """Rotations [T, 3, 3] of tracked faces beyond the mean pose of the clip."""
    track = fill_gaps(found, np.arange(1, len(found) + 1) / FPS, size)
    fit = fit_track(load_mesh478(), track, person.clip.fit.neutral)
    return fit.rotation @ person.manner.rest_pose.rotation.T


def holes_in(on_black: np.ndarray, on_white: np.ndarray, points: np.ndarray) -> float:
    """Share of pixels inside the oval of a tracked face [478, 3] where the same picture uint8 [H, W, 3] on black and on
    white lets more than a tenth of it through."""
    through = (on_white.astype(np.float32) - on_black).mean(-1) / 255
    oval = np.zeros(through.shape, np.uint8)
    cv2.fillPoly(oval, [np.round(points[list(FACE_OVAL), :2]).astype(np.int32)], (1,))
    return float((through[oval > 0] > 1 - COVERED).mean()) if oval.any() else 1.0


def _blinks(person: Person, job: TargetJob) -> dict[str, Any]:
    """Blinks of the clip, as the motion of a new voice asks for them, and as they are drawn and tracked."""
    controls = Controls(pose="source", size=SIZE, crop="head")
    motion = concatenate(person.system.motion_from_audio(person.avatar, iter([_voice(job)]), controls))
    assert motion.blink is not None
    drawn = motion if job.long else cut_motion(motion, 0, round(DRAWN_S * FPS))
    tracker, found, size = FaceTracker(None), list[np.ndarray | None](), (SIZE, SIZE)
    for piece in person.system.render(person.avatar, iter([drawn]), controls):
        size = (piece.rgb.shape[2], piece.rgb.shape[1])
        for rgb in piece.rgb:
            found.append(tracker.update(rgb, (len(found) + 1) / FPS))
    seen = fill_gaps(found, np.arange(1, len(found) + 1) / FPS, size).landmarks
    own = person.clip.track
    closures = {
        "clip": eye_closure(own.landmarks)[:, 0],
        "asked": motion.blink[:, 0],
        "asked of the drawn": drawn.blink[:, 0],  # type: ignore[index]
        "drawn": eye_closure(seen)[:, 0],
    }
    blinks = {name: find_blinks(closure, FPS) for name, closure in closures.items()}
    return {
        **{name: _told(blink) for name, blink in blinks.items()},
        "jerk of the clip": jerk(person.clip.fit.rotation, blinks["clip"].times_s),
        "jerk": jerk(_turns(person, found, size), blinks["drawn"].times_s),
    }


def _told(blinks: Blinks) -> dict[str, float]:
    length = float(blinks.lengths_s.mean()) if len(blinks.lengths_s) else 0.0
    return {"a minute": blinks.per_minute, "length_s": length, "count": len(blinks.times_s)}


def _blink_rows(name: str, blinks: dict[str, Any]) -> Iterator[Row]:
    clip = blinks["clip"]
    yield Row(name=f"{name}, clip: blinks a minute", value=clip["a minute"])
    for what, beside in (("asked", "clip"), ("drawn", "asked of the drawn")):
        for figure, words in (("a minute", "rate of blinks"), ("length_s", "length of blinks")):
            other = clip if figure == "length_s" else blinks[beside]
            over = blinks[what][figure] / other[figure] if other[figure] else float(blinks[what][figure] == 0)
            of = "the clip's" if other is clip else "the asked"
            yield between(f"{name}, {what}: {words} over {of}", over, *ALIVE)
    # a tracked head trembles with its lids in real clips too
    yield at_most(f"{name}: jerk of the head at blinks over elsewhere", blinks["jerk"], _most_jerk(blinks))


def _most_jerk(blinks: dict[str, Any]) -> float:
    return round(max(MOST_JERK, blinks["jerk of the clip"]), 2)


def jerk(rotations: np.ndarray, times_s: np.ndarray) -> float:
    """Angular acceleration of a head [T, 3, 3] within 0.2 s of some times [N] over that at other times, root mean
    squares; 1 where there is nothing to compare."""
    speed = transform.Rotation.from_matrix(rotations[1:]) * transform.Rotation.from_matrix(rotations[:-1]).inv()
    change = np.square(np.diff(speed.as_rotvec(), axis=0)).sum(1)
    at = (1 + np.arange(len(change))) / FPS
    near = (np.abs(at[:, None] - times_s) <= AT_BLINK_S).any(1)
    if not near.any() or near.all():
        return 1.0
    return float(np.sqrt(change[near].mean() / max(change[~near].mean(), 1e-12)))


def _voice(job: TargetJob) -> np.ndarray:
    """A minute of the speech of the data folder, or else of the shipped one: float32 [N] at 16 kHz."""
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        file = Path(folder) / "voice.wav"
        if job.data is not None and (job.data / "speech").is_dir():
            write_voice(job.data, VOICE_S, file)
        else:
            write_speech(sample("speech"), VOICE_S, file)
        return read_audio(file, RATE_HZ).samples.mean(axis=0)
