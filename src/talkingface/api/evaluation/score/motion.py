"""Figures from face points and sound: mouth, head, eyes, synchrony, speech and silence."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import transform

from talkingface.api.evaluation.score.phones import PhoneJob
from talkingface.api.evaluation.subject import CLOCK_FPS, Subject
from talkingface.core.errors import DependencyError
from talkingface.face.blink import eye_closure
from talkingface.face.camera import euler_degrees
from talkingface.face.morphable import fit_track, load_mesh478
from talkingface.face.pose import STABLE_POINTS, fit_similarity
from talkingface.metrics import behaviour, landmarks
from talkingface.metrics.definitions import STYLE
from talkingface.metrics.mouth import compare_mouths, mouth_measures
from talkingface.metrics.style import head_figures, mouth_figures
from talkingface.metrics.sync import mouth_offset, offset_per_minute, speech_envelope

NEUTRAL_FRAMES = 500
"""The neutral shape that head rotations are measured with comes from about so many frames."""
REAL_MOUTH_MOTION = 0.43
"""`mouth_motion` of real speakers, inter-ocular distances per second: the median of 38 people in 153 clips of the
development data's train split; nine in ten lie between 0.19 and 0.69. It stands in where there is no reference."""
LEAST_STYLE_S = 2.0
MIN_CORRELATION = 0.2
"""Below it the lag of mouth and loudness says nothing."""


@dataclass(slots=True)
class Figures:
    """Figures of one clip as they are found: values, why others are missing, values by frame [T] for plots, and the
    offset of mouth and loudness by minute."""

    metrics: dict[str, float] = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)
    per_frame: dict[str, np.ndarray] = field(default_factory=dict)
    minutes: list[dict[str, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def put(
        self, key: str, value: float, per_frame: np.ndarray | None = None, reason: str = "the clip is too short"
    ) -> None:
        """Note a figure, and its values by frame; `reason`: why it is missing if the value is nan."""
        if np.isnan(value):
            self.miss(reason, key)
            return
        self.metrics[key] = float(value)
        if per_frame is not None:
            self.per_frame[key] = per_frame

    def miss(self, reason: str, *keys: str) -> None:
        """Note why figures are missing."""
        self.gaps |= dict.fromkeys(keys, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """What a face did on the clock: gap, width, jaw [T, 3]; eye closure [T]; head rotations [T, 3, 3]."""

    mouth: np.ndarray
    closure: np.ndarray
    rotations: np.ndarray

    @property
    def angles_deg(self) -> np.ndarray:
        """Yaw, pitch and roll [T, 3]."""
        return np.asarray(euler_degrees(self.rotations))


def moves_of(subject: Subject, neutral: np.ndarray | None = None) -> tuple[Moves, np.ndarray]:
    """What a face did, and the neutral shape [478, 3] that its head rotations were measured with."""
    if neutral is None:
        step = max(1, len(subject) // NEUTRAL_FRAMES)
        neutral = fit_track(load_mesh478(), subject.track(step)).neutral
    stable = subject.points[:, STABLE_POINTS]
    rotations = fit_similarity(neutral[STABLE_POINTS], stable)[0]
    closure = eye_closure(subject.points)[:, 0]
    return Moves(mouth=mouth_measures(subject.points), closure=closure, rotations=rotations), neutral


def score_motion(figures: Figures, subject: Subject, moves: Moves) -> None:
    """What needs neither reference nor sound."""
    gap = moves.mouth[:, 0]
    figures.put("mouth.mean_gap", gap.mean(), gap)
    figures.per_frame["mouth.width"], figures.per_frame["mouth.jaw"] = moves.mouth[:, 1], moves.mouth[:, 2]
    figures.per_frame["eyes.closure"] = moves.closure
    for k, name in enumerate(("yaw", "pitch", "roll")):
        figures.per_frame[f"pose.{name}"] = moves.angles_deg[:, k]
    blinks = behaviour.find_blinks(moves.closure, CLOCK_FPS)
    figures.put("blink.per_minute", blinks.per_minute)
    figures.put("blink.closed_share", blinks.closed_share)
    length = blinks.lengths_s.mean() if len(blinks.lengths_s) else np.nan
    figures.put("blink.length", length, reason="there is no blink")
    figures.put("motion.jitter", *behaviour.jitter(subject.points))
    figures.put("landmarks.identity_drift", *landmarks.identity_drift(subject.points, CLOCK_FPS))
    figures.put("track.seen_share", subject.seen.mean())


def score_against(figures: Figures, subject: Subject, moves: Moves, reference: Subject, true: Moves) -> None:
    """Motion against the reference's; both of one length. Frames in which a face was not seen are left out."""
    both = subject.seen & reference.seen
    made, real = (s.points if both.all() else s.points[both] for s in (subject, reference))
    sizes = (subject.size, reference.size)
    found = {
        "lmd_mouth_512": landmarks.lmd_mouth_512(made, real, *sizes),
        "lmd_face_512": landmarks.lmd_face_512(made, real, *sizes),
        "lmd_256": landmarks.lmd_256(made, real, *sizes),
        "lmd_aligned": landmarks.lmd_aligned(made, real),
        "lve": landmarks.lve(made, real),
    }
    for name, (value, rows) in found.items():
        figures.put(f"landmarks.{name}", value, _spread(rows, both))
    agreement = compare_mouths(moves.mouth, true.mouth)
    for k, name in enumerate(("gap", "width", "jaw")):
        figures.put(f"mouth.correlation.{name}", agreement.correlation[k])
        figures.put(f"mouth.correlation_lag0.{name}", agreement.aligned[k])
        figures.put(f"mouth.lag.{name}", agreement.lag_frames[k])
        figures.put(f"mouth.{name}_ratio", agreement.ratios[k])
    figures.put("mouth.mean_gap_error", moves.mouth[:, 0].mean() - true.mouth[:, 0].mean())
    figures.per_frame |= {"mouth.gap.reference": true.mouth[:, 0], "eyes.closure.reference": true.closure}
    for k, name in enumerate(("yaw", "pitch", "roll")):
        figures.per_frame[f"pose.{name}.reference"] = true.angles_deg[:, k]
    _, rows = behaviour.pose_error(moves.rotations, true.rotations)
    figures.put("pose.error", rows[both].mean(), np.where(both, rows, np.nan))
    degrees, speed = behaviour.pose_distance(moves.rotations, true.rotations, CLOCK_FPS)
    figures.put("pose.distance", degrees)
    figures.put("pose.speed_distance", speed)
    figures.put("blink.distance", behaviour.blink_distance(moves.closure, true.closure))


def score_speech(figures: Figures, moves: Moves, samples: np.ndarray, real_motion: float | None) -> None:
    """Motion against the sound, mono float32 [N] at 16 kHz; `real_motion`: `mouth_motion` of the reference, if any."""
    gap = moves.mouth[:, 0]
    envelope = speech_envelope(samples, CLOCK_FPS)[: len(gap)]
    figures.per_frame["speech.envelope"] = np.pad(envelope, (0, len(gap) - len(envelope)), constant_values=np.nan)
    offset_s, agreement = mouth_offset(gap, samples, CLOCK_FPS)
    figures.put("sync.mouth_correlation", agreement)
    if agreement >= MIN_CORRELATION:
        figures.put("sync.mouth_offset_ms", 1000 * offset_s)
    else:
        figures.miss(f"mouth and loudness hardly go together (correlation {agreement:.2f})", "sync.mouth_offset_ms")
    drift = offset_per_minute(gap, samples, CLOCK_FPS)
    figures.put("sync.drift", drift.slope_ms_per_min)
    figures.minutes = [
        {"start_s": minute.start_s, "offset_ms": 1000 * minute.offset_s, "correlation": minute.correlation}
        for minute in drift.minutes
    ]
    spoken = behaviour.speech_frames(samples, CLOCK_FPS, len(gap))
    silent = behaviour.silent_open_share(gap, spoken)
    figures.put("speech.silent_open_share", silent, reason="there is no silence")
    motion = behaviour.mouth_motion(gap, spoken, CLOCK_FPS)
    figures.put("speech.mouth_motion", motion, reason="there is no speech")
    real_motion = REAL_MOUTH_MOTION if real_motion is None else real_motion
    ratio = motion / real_motion if real_motion > 0 else np.nan
    figures.put("speech.mouth_motion_ratio", ratio, reason="the real mouth does not move in speech")
    beats = behaviour.beat_alignment(moves.rotations, samples, CLOCK_FPS)
    figures.put("motion.beat_alignment", beats.score, reason="head or sound has no beats")
    figures.put("motion.beat_chance", beats.chance, reason="head or sound has no beats")


def score_style(figures: Figures, moves: Moves, samples: np.ndarray, suffix: str = "") -> None:
    """How far, how wide and how fast mouth and head move in speech; `suffix` ".reference" for the real video's."""
    spoken = behaviour.speech_frames(samples, CLOCK_FPS, len(moves.mouth))
    if spoken.sum() < LEAST_STYLE_S * CLOCK_FPS:
        figures.miss(f"there are less than {LEAST_STYLE_S:g} s of speech", *(f"style.{name}{suffix}" for name in STYLE))
        return
    turns = transform.Rotation.from_matrix(moves.rotations)
    pose = np.zeros((len(moves.rotations), 6))
    pose[:, :3] = (turns * turns.mean().inv()).as_rotvec()
    found = mouth_figures(moves.mouth, spoken) | head_figures(pose, spoken)
    for name in STYLE:
        figures.put(f"style.{name}{suffix}", found[name])


CLOSURE_KEYS = ("speech.closed_share", "speech.closure_contrast")


def score_closures(figures: Figures, moves: Moves, phones: PhoneJob) -> None:
    """Lip gaps at the phones of the speech."""
    gap = moves.mouth[:, 0]
    try:
        spans = phones.spans()
    except DependencyError as error:
        figures.miss(str(error), *CLOSURE_KEYS)
        return
    found = behaviour.closure_contrast(gap, CLOCK_FPS, spans)
    reason = "no /p b m/, or no open vowel, was recognised (English only)"
    figures.put(CLOSURE_KEYS[0], found.closed_share, reason=reason)
    figures.put(CLOSURE_KEYS[1], found.contrast, reason=reason)


def _spread(rows: np.ndarray, where: np.ndarray) -> np.ndarray:
    full = np.full(len(where), np.nan)
    full[where] = rows
    return full
