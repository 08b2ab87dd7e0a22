"""What a face does over time: blinks, head motion and its beats, jitter, stillness, silence and speech, leakage.

Signals are arrays with time first, on one clock of `fps` from time 0. Lip gaps are those of `mouth.mouth_measures`,
in inter-ocular distances; sound is mono float32 [N] at 16 kHz. Where a figure has no meaning (no silence in the clip,
no bilabial, too short) it is nan, never a zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numba import types
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.signal import find_peaks, peak_widths
from scipy.spatial import transform
from scipy.stats import wasserstein_distance

from talkingface.audio.mel import MEL_FPS, WINDOW, log_mel
from talkingface.audio.phones import PhoneSpan
from talkingface.core.kernels import kernel
from talkingface.core.lags import best_lag
from talkingface.face.camera import euler_degrees
from talkingface.face.pose import STABLE_POINTS, undo_similarity
from talkingface.metrics.landmarks import rigid_motion
from talkingface.metrics.mouth import BILABIALS, CLOSED_GAP, OPEN_VOWELS, open_share, reached_gaps
from talkingface.metrics.pose import angle_speeds
from talkingface.metrics.sync import VOICE_BANDS, speech_envelope

_VECTORS = types.Array(types.float32, 3, "C", readonly=True)
SHUT = 0.5
BLINK_PROMINENCE = 0.3
LONGEST_BLINK_S = 1.0
STILL_LEVELS = 0.05
"""A frame that differs from the one before by less, on average over the face box, shows no motion."""
OCCLUSION_SHARE, OCCLUSION_PX2 = 0.01, 0.5
BEAT_SIGMA_FRAMES, BEAT_FPS = 3.0, 25.0
BEAT_SMOOTH_S = 0.08
BEAT_DEG_S = 1.0
ONSET_DB, ONSET_APART_S = 2.0, 0.1
CHANCE_SHIFTS = 100
PAUSE_DB, QUIET_DB = 25.0, -70.0
SPEECH_MARGIN_S = 0.2
OPEN_GAP = 0.03
"""A gap that is seen as open; `mouth.CLOSED_GAP` is one that is seen as closed."""
REAL_MOUTH_MOTION = (0.19, 0.39, 0.66)
"""5th percentile, median and 95th of `mouth_motion` over 51 real clips of 2.4 to 71 s, at most three a person."""
LEAK_LAG_S = 0.2
LEAK_SHIFT_S = 1.0
SHORTEST_LEAK_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Blinks:
    """Blinks of a clip: times of their peaks [N] in s, lengths [N] in s, how many a minute, share of time shut."""

    times_s: np.ndarray
    lengths_s: np.ndarray
    per_minute: float
    closed_share: float


def find_blinks(closure: np.ndarray, fps: float) -> Blinks:
    """Blinks in eye closure [T] (0 open, 1 closed; `face.blink.eye_closure`).

    A blink is a peak that shuts the eye by more than half, stands out by 0.3 and is at most 1 s long; its length is
    the width at half its prominence. `closed_share` counts frames shut by more than half, of any length.
    """
    peaks, _ = find_peaks(closure, height=SHUT, prominence=BLINK_PROMINENCE)
    lengths = peak_widths(closure, peaks, rel_height=0.5)[0] / fps
    kept = lengths <= LONGEST_BLINK_S
    return Blinks(
        times_s=peaks[kept] / fps,
        lengths_s=lengths[kept],
        per_minute=float(kept.sum() * 60 * fps / max(len(closure), 1)),
        closed_share=float((closure > SHUT).mean()) if len(closure) else 0.0,
    )


def blink_distance(generated: np.ndarray, reference: np.ndarray) -> float:
    """Wasserstein-1 distance of the distributions of eye closure [T] and [T'], in [0, 1]."""
    return float(wasserstein_distance(generated, reference))


def pose_error(generated: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """Geodesic angle between head rotations [T, 3, 3] in degrees: (mean, per frame [T])."""
    turn = transform.Rotation.from_matrix(generated) * transform.Rotation.from_matrix(reference).inv()
    per_frame = np.degrees(turn.magnitude())
    return float(per_frame.mean()), per_frame


def pose_distance(generated: np.ndarray, reference: np.ndarray, fps: float) -> tuple[float, float]:
    """How unlike two head motions are, frame order apart, from rotations [T, 3, 3] and [T', 3, 3].

    Wasserstein-1 distances of yaw, pitch and roll about their means (degrees), and of their speeds over two frames
    (degrees per second), each the mean of the three; the speeds' is nan for fewer than three frames.
    """
    angles = [np.asarray(euler_degrees(np.asarray(r, np.float64))) for r in (generated, reference)]
    speeds = [angle_speeds(values, fps) for values in angles]
    return _distance([values - values.mean(0) for values in angles]), _distance(speeds)


def _distance(pair: list[np.ndarray]) -> float:
    a, b = pair
    if not (len(a) and len(b)):
        return float("nan")
    return float(np.mean([wasserstein_distance(a[:, k], b[:, k]) for k in range(a.shape[1])]))


def jitter(points: np.ndarray) -> tuple[float, np.ndarray]:
    """Trembling of points [T, 478, 3] that speech hardly moves, rigid motion and scale removed: (value, per frame [T]).

    Root mean square over those points' x and y of the second difference over sqrt(6), in inter-ocular distances: of
    points that jitter with independent noise it is the noise's standard deviation, and steady motion counts nothing.
    The first and last frame repeat their neighbour's. nan for fewer than three frames. Depends on the frame rate.
    """
    if len(points) < 3:
        return float("nan"), np.full(len(points), np.nan)
    pose, eyes = rigid_motion(points)
    steady = undo_similarity(points[:, STABLE_POINTS].astype(np.float64), *pose)[..., :2] / eyes
    second = (steady[2:] - 2 * steady[1:-1] + steady[:-2]) / np.sqrt(6)
    squares = (second**2).mean((1, 2))
    return float(np.sqrt(squares.mean())), np.pad(np.sqrt(squares), 1, mode="edge")


def frame_change(previous: np.ndarray, current: np.ndarray) -> float:
    """Mean absolute difference of two uint8 pictures of one shape, grey levels."""
    return cv2.norm(previous, current, cv2.NORM_L1) / previous.size


def still_share(changes: np.ndarray) -> float:
    """Share of `frame_change` values [T - 1] below 0.05 grey levels: the face stands still; nan without any."""
    return float((changes < STILL_LEVELS).mean()) if len(changes) else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Where pixels go: `target` float32 [H, W, 2], the place (x, y) in the second picture of each of the first's, and
    `seen` bool [H, W], whether in both."""

    target: np.ndarray
    seen: np.ndarray


def flow_between(first: np.ndarray, second: np.ndarray) -> Flow:
    """DIS optical flow (Kroeger et al. 2016, preset "fast") of two uint8 RGB pictures [H, W, 3].

    Pixels are not seen in both if the flow leaves the picture, or if the flow back does not return to them (Ruder,
    Dosovitskiy & Brox 2016: |w + w'|^2 > 0.01 (|w|^2 + |w'|^2) + 0.5).
    """
    a, b = cv2.cvtColor(first, cv2.COLOR_RGB2GRAY), cv2.cvtColor(second, cv2.COLOR_RGB2GRAY)
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    forward = search.calc(a, b, np.zeros((*a.shape, 2), np.float32))
    backward = search.calc(b, a, np.zeros((*a.shape, 2), np.float32))
    target = forward + _grid(a.shape)
    return Flow(target=target, seen=_seen_in_both(forward, target, _taken(backward, target)))


@kernel(types.boolean[:, ::1](_VECTORS, _VECTORS, _VECTORS))
def _seen_in_both(forward: np.ndarray, target: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Whether each pixel's target lies inside and the flow taken there leads back."""
    height, width = forward.shape[:2]
    seen = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            inside = 0 <= target[y, x, 0] <= width - 1 and 0 <= target[y, x, 1] <= height - 1
            dx, dy = forward[y, x, 0] + back[y, x, 0], forward[y, x, 1] + back[y, x, 1]
            length = forward[y, x, 0] ** 2 + forward[y, x, 1] ** 2 + back[y, x, 0] ** 2 + back[y, x, 1] ** 2
            seen[y, x] = inside and dx**2 + dy**2 <= OCCLUSION_SHARE * length + OCCLUSION_PX2
    return seen


def warp_error(first: np.ndarray, second: np.ndarray, flow: Flow | None = None) -> float:
    """Temporal warp error of two consecutive uint8 pictures [H, W, 3] (Lai et al. 2018); 0: all change is motion.

    The second is warped back along `flow` (the reference's own, or else that of these two); mean squared difference
    to the first, of values in [0, 1], over the pixels seen in both. nan where there is none.
    """
    flow = flow_between(first, second) if flow is None else flow
    if not flow.seen.any():
        return float("nan")
    warped = _taken(second, flow.target)
    squares = cv2.norm(warped, first, cv2.NORM_L2SQR, flow.seen.astype(np.uint8))
    return squares / (255**2 * first.shape[2] * np.count_nonzero(flow.seen))


def _taken(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values [H, W, C] at places [H, W, 2] (x, y), bilinear."""
    return cv2.remap(values, places, None, cv2.INTER_LINEAR)  # type: ignore[call-overload]


@lru_cache(maxsize=8)
def _grid(shape: tuple[int, int]) -> np.ndarray:
    """Each pixel's own place (x, y), float32 [H, W, 2]."""
    return np.stack(np.meshgrid(np.arange(shape[1]), np.arange(shape[0])), -1).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatAlignment:
    """Beat alignment in [0, 1], what beats at random times would reach (both nan without beats), and their number."""

    score: float
    chance: float
    num_beats: int


def beat_alignment(rotations: np.ndarray, samples: np.ndarray, fps: float) -> BeatAlignment:
    """How closely beats of the head, rotations [T, 3, 3] at `fps`, follow onsets of sound (Li et al. 2021, AIST++).

    Mean over the head's beats of exp(-d^2 / 2 sigma^2), d the time to the nearest onset, sigma 3 frames of 25 fps.
    A beat is a minimum of the head's smoothed angular speed that is at least 1 degree/s deep; an onset a peak of the
    voice band's rise in level. Speech has so many onsets that random beats score high: `chance` is the mean score of
    the same beats moved round the clip, and only the difference speaks for a head that follows the voice.
    """
    turns = (
        transform.Rotation.from_matrix(rotations[1:]) * transform.Rotation.from_matrix(rotations[:-1]).inv()
        if len(rotations) > 1
        else None
    )
    speed = np.degrees(turns.magnitude()) * fps if turns is not None else np.zeros(0)
    smooth = gaussian_filter1d(speed, BEAT_SMOOTH_S * fps) if len(speed) else speed
    beats = (find_peaks(-smooth, prominence=BEAT_DEG_S)[0] + 0.5) / fps
    onsets = _onsets(samples)
    length = len(rotations) / fps
    onsets = onsets[onsets < length]
    if not len(beats) or not len(onsets):
        return BeatAlignment(score=float("nan"), chance=float("nan"), num_beats=len(beats))
    shifts = length * np.arange(1, CHANCE_SHIFTS) / CHANCE_SHIFTS
    chance = np.mean([_beat_score((beats + shift) % length, onsets) for shift in shifts])
    return BeatAlignment(score=_beat_score(beats, onsets), chance=float(chance), num_beats=len(beats))


def _beat_score(beats: np.ndarray, onsets: np.ndarray) -> float:
    sigma = BEAT_SIGMA_FRAMES / BEAT_FPS
    nearest = np.abs(beats[:, None] - onsets).min(1)
    return float(np.exp(-(nearest**2) / (2 * sigma**2)).mean())


def _onsets(samples: np.ndarray) -> np.ndarray:
    """Times in s at which the voice band's level rises fastest."""
    bands = np.maximum(log_mel(samples)[:, VOICE_BANDS], -80.0)
    if len(bands) < 3:
        return np.zeros(0)
    rise = gaussian_filter1d(np.maximum(np.diff(bands, axis=0), 0).mean(1), 1.5)
    peaks, _ = find_peaks(rise, height=ONSET_DB, distance=max(round(ONSET_APART_S * MEL_FPS), 1))
    return (peaks + 0.5) / MEL_FPS + WINDOW / 2 / 16000


def speech_frames(samples: np.ndarray, fps: float, num_frames: int) -> np.ndarray:
    """Frames in which there is speech or has been, or will be, within 0.2 s: bool [num_frames].

    Loud is what lies less than 25 dB under the clip's 95th percentile in the voice band, and above -70 dB; lips open
    before a word and close after it, so silence begins 0.2 s after the last loud frame and ends as early. What lies
    past the end of the sound is silent.
    """
    level = speech_envelope(samples, fps)[:num_frames]
    loud = np.zeros(num_frames, bool)
    if len(level):
        loud[: len(level)] = level > max(float(np.percentile(level, 95)) - PAUSE_DB, QUIET_DB)
    return maximum_filter1d(loud, 2 * round(SPEECH_MARGIN_S * fps) + 1)


def silent_open_share(gap: np.ndarray, speech: np.ndarray) -> float:
    """Share of frames without speech (bool [T]) whose lip gap [T] exceeds 0.03; nan without silence."""
    silent = gap[~speech]
    return open_share(silent, OPEN_GAP) if len(silent) else float("nan")


def mouth_motion(gap: np.ndarray, speech: np.ndarray, fps: float) -> float:
    """Mean speed of the lip gap [T] during speech (bool [T]), inter-ocular distances per second; nan without speech.

    Over two frames, so that tracking noise counts less.
    """
    speed = np.abs(gap[2:] - gap[:-2]) * fps / 2
    spoken = speed[speech[1:-1]]
    return float(spoken.mean()) if len(spoken) else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosureContrast:
    """Lip gaps at /p b m/ against those at open vowels, inter-ocular distances; nan where a kind does not occur.

    `closed_share`: of the bilabials, how many close the lips (gap under 0.02); `bilabial_gap`, `vowel_gap`: the mean
    of the least gap in each bilabial, of the largest in each open vowel; `contrast`: the second minus the first.
    """

    closed_share: float
    bilabial_gap: float
    vowel_gap: float
    contrast: float
    num_bilabials: int
    num_vowels: int


def closure_contrast(gap: np.ndarray, fps: float, spans: list[PhoneSpan]) -> ClosureContrast:
    """Does the mouth (gap [T] from time 0) close where it must and open where it should? One frame of tolerance."""
    lips = reached_gaps(gap, fps, spans, BILABIALS, lowest=True)
    vowels = reached_gaps(gap, fps, spans, OPEN_VOWELS, lowest=False)
    bilabial_gap = float(lips.mean()) if len(lips) else float("nan")
    vowel_gap = float(vowels.mean()) if len(vowels) else float("nan")
    return ClosureContrast(
        closed_share=float((lips < CLOSED_GAP).mean()) if len(lips) else float("nan"),
        bilabial_gap=bilabial_gap,
        vowel_gap=vowel_gap,
        contrast=vowel_gap - bilabial_gap,
        num_bilabials=len(lips),
        num_vowels=len(vowels),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """Correlation with a signal that was not given, what chance reaches, and the excess over it (0 or more)."""

    correlation: float
    chance: float
    excess: float


def leakage(gap: np.ndarray, hidden: np.ndarray, fps: float) -> Leakage:
    """How much information a generated lip gap [T] has about a signal [T'] that was not its input.

    `hidden` is the true mouth's gap, or `sync.speech_envelope` of the original speech, on the same clock. The best
    correlation within 0.2 s; `chance` is the 95th percentile of the same for the hidden signal moved round the clip
    by 1 s or more. All nan for less than 4 s; a mouth that does not move has correlation 0.
    """
    length = min(len(gap), len(hidden))
    if length < SHORTEST_LEAK_S * fps:
        return Leakage(correlation=float("nan"), chance=float("nan"), excess=float("nan"))
    gap, hidden, max_lag = gap[:length], hidden[:length], round(LEAK_LAG_S * fps)
    shortest = round(LEAK_SHIFT_S * fps)
    shifts = np.unique(np.linspace(shortest, length - shortest, CHANCE_SHIFTS).astype(int))
    found = best_lag(gap, hidden, max_lag)[1]
    chance = float(np.percentile([best_lag(gap, np.roll(hidden, shift), max_lag)[1] for shift in shifts], 95))
    return Leakage(correlation=found, chance=chance, excess=max(0.0, found - chance))
