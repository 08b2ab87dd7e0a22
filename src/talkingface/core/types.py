"""The values passed between the stages, as frozen dataclasses whose constructors check them.

Arrays are NumPy, C-contiguous where it matters. Dims: T time, C channels, N samples, V vertices,
H height, W width. Image coordinates: x right, y down, pixel centres at integers plus one half;
depth z grows away from the viewer, in the same pixel unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from talkingface.core.errors import ArgumentError, SpeechError
from talkingface.core.style import Style

NUM_POINTS = 478  # lm478: the face mesh with irises
MAX_FRAMES = 5_000_000
"""Of a motion: more than eleven hours at 120 frames per second."""
MAX_MOTION_FPS = 1000
MAX_PIXELS = 170_000_000  # of a picture; Pillow itself refuses a little more
MAX_LEVEL = 100.0  # of a sample, whose full scale is 1: what is louder was not divided by the range of its numbers
MAX_SAMPLES = 1 << 31
MAX_SEED = 2**64 - 1


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ArgumentError(message)


def _finite(name: str, values: np.ndarray) -> None:
    # smallest and largest value: no array of the same length is made, and what is not a number shows in both
    good = not values.size or bool(np.isfinite(values.min()) and np.isfinite(values.max()))
    _check(good, f"{name} has values that are not finite")


def described(value: object) -> str:
    """What stands where another array should."""
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_rows(name: str, values: object, num_rows: int | None = None, num_columns: int | None = None) -> None:
    """Float32 rows; None for any number of them. Values are looked at last: shapes cost nothing, however large."""
    wanted = f"[{'T' if num_rows is None else num_rows}, {'any' if num_columns is None else num_columns}]"
    if (
        not isinstance(values, np.ndarray)
        or values.dtype != np.float32
        or values.ndim != 2
        or num_rows not in (None, len(values))
        or num_columns not in (None, values.shape[1])
    ):
        raise ArgumentError(f"{name} must be a float32 array {wanted}, not {described(values)}")
    _check(len(values) <= MAX_FRAMES, f"{name} has {len(values)} rows; a motion has at most {MAX_FRAMES}")
    _finite(name, values)


def check_number(name: str, value: object, low: float, high: float = math.inf, *, whole: bool = False) -> None:
    """Raise ArgumentError unless `value` is a number from `low` to `high`, and a `whole` one where that is asked."""
    kinds = (int, np.integer) if whole else (int, float, np.number, Fraction)
    good = isinstance(value, kinds) and not isinstance(value, bool)
    if not good or not low <= value <= high:  # type: ignore[operator]
        limits = f"at least {low:g}" if high == math.inf else f"between {low:g} and {high:g}"
        raise ArgumentError(f"{name} must be {'a whole number ' if whole else ''}{limits}, not {value!r}")


def check_level(samples: np.ndarray) -> None:
    """Refuse samples far above full scale, as those of 16-bit sound are that was only converted. Raises SpeechError."""
    if samples.size and max(samples.max(), -samples.min()) > MAX_LEVEL:
        raise SpeechError("the sound has values far beyond [-1, 1]; divide 16-bit samples by 32768")


def check_seed(seed: object) -> int:
    """`seed` if every random generator takes it: a whole number from 0 to 2^64 - 1. Raises ArgumentError."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= MAX_SEED:
        raise ArgumentError(f"seed must be a whole number from 0 to {MAX_SEED}, not {seed!r}")
    return int(seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Sound: `samples` float32 [C, N] in [-1, 1] at `rate_hz`."""

    samples: np.ndarray
    rate_hz: int

    def __post_init__(self) -> None:
        good = isinstance(self.samples, np.ndarray) and self.samples.ndim == 2 and self.samples.dtype == np.float32
        good = good and 0 < self.samples.shape[0] <= 64 and self.samples.shape[1] <= MAX_SAMPLES
        _check(good, f"samples must be float32 [channels, N], not {described(self.samples)}")
        good = isinstance(self.rate_hz, (int, np.integer)) and 1000 <= self.rate_hz <= 768_000
        _check(good, f"rate_hz must be a whole number from 1000 to 768000, not {self.rate_hz!r}")
        _finite("samples", self.samples)
        check_level(self.samples)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.rate_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFeatures:
    """Speech features on a clock: `values` maps kind to float32 [T, ...] at `fps`, first row at frame `start`."""

    values: Mapping[str, np.ndarray]
    fps: float
    start: int = 0

    def __post_init__(self) -> None:
        _check(self.fps > 0, "fps must be positive")
        for kind, rows in self.values.items():
            _check(rows.dtype == np.float32, f"{kind} must be float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What a media file or folder holds. Without pictures (`has_video` False) the picture fields are zero.

    `size` is (width, height) as seen: upright, pixels square. `num_frames` is what the file states or else an estimate.
    """

    size: tuple[int, int]
    fps: Fraction
    duration_s: float
    num_frames: int
    has_audio: bool
    has_video: bool
    rotation_deg: int
    variable_rate: bool
    hdr: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A still picture: `rgb` uint8 [H, W, 3], upright, in sRGB, not multiplied by `alpha` uint8 [H, W] (None: opaque).

    `path` is where it was read from (None: handed over as an array), `notes` are sentences for the user about reading.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        good = isinstance(self.rgb, np.ndarray) and self.rgb.ndim == 3 and self.rgb.shape[-1] == 3
        good = good and self.rgb.dtype == np.uint8 and 0 < self.rgb.size <= 3 * MAX_PIXELS
        _check(good, f"rgb must be uint8 [H, W, 3], not {described(self.rgb)}")
        if self.alpha is not None:
            matches = self.alpha.shape == self.rgb.shape[:2] and self.alpha.dtype == np.uint8
            _check(matches, "alpha must be uint8 [H, W]")

    def opaque(self) -> np.ndarray:
        """The picture over white: uint8 [H, W, 3]."""
        if self.alpha is None:
            return self.rgb
        share = self.alpha[..., None] / 255
        return np.round(self.rgb * share + 255 * (1 - share)).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A video, or folder of numbered pictures, at `path`; `info` is what `video.read.probe` found in it."""

    path: Path
    info: VideoInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One face followed through T frames.

    `landmarks` float32 [T, 478, 3] pixels of the upright frame (gaps are filled); `times_s` float64 [T];
    `confidence` float32 [T] in [0, 1] (0: filled in, not seen); `size` (width, height) of the frames.
    `spans`: runs of frames [first, end) in which the face is there, within one shot; frames missed inside are bridged.
    Outside of them it is not: a title card, another person. None given: one span over everything.
    """

    landmarks: np.ndarray
    times_s: np.ndarray
    confidence: np.ndarray
    size: tuple[int, int]
    scheme: str = "lm478"
    spans: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        t = len(self.times_s)
        if not self.spans:
            object.__setattr__(self, "spans", ((0, t),))
        edges = [edge for span in self.spans for edge in span]
        _check(edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= t, f"spans must rise within 0 to {t}")
        _check(self.landmarks.shape == (t, NUM_POINTS, 3), f"landmarks must be [{t}, {NUM_POINTS}, 3]")
        _check(self.confidence.shape == (t,), f"confidence must be [{t}]")
        _finite("landmarks", self.landmarks)

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def present(self) -> np.ndarray:
        """Frames within the spans, bool [T]."""
        present = np.zeros(len(self), bool)
        for first, end in self.spans:
            present[first:end] = True
        return present

    def part(self, first: int, end: int) -> Track:
        """Frames `first` to `end` (not included) as a track of their own."""
        rows = slice(first, end)
        clipped = ((max(a, first) - first, min(b, end) - first) for a, b in self.spans)
        return replace(
            self, landmarks=self.landmarks[rows], times_s=self.times_s[rows], confidence=self.confidence[rows],
            spans=tuple((a, b) for a, b in clipped if a < b),
        )  # fmt: skip

    def joined(self, fps: float) -> Track:
        """The frames within the spans, one span after the other, at `fps`; the same track where they are everything."""
        rows = self.present
        if rows.all():
            return self
        ends = np.cumsum([end - first for first, end in self.spans]).tolist()
        return replace(
            self, landmarks=self.landmarks[rows], times_s=np.arange(ends[-1]) / fps, confidence=self.confidence[rows],
            spans=tuple(zip([0, *ends], ends, strict=False)),
        )  # fmt: skip

    @classmethod
    def still(cls, landmarks: np.ndarray, size: tuple[int, int]) -> Track:
        """The track of a single picture of `size` with `landmarks` [478, 3]."""
        return cls(landmarks=landmarks[None], times_s=np.zeros(1), confidence=np.ones(1, np.float32), size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceCoeffs:
    """Coefficients of a linear face model per frame; absent parts are None.

    `identity` [K], `expression` [T, E], `pose` [T, 6] (rotation vector in radians, translation in pixels x, y,
    and scale in pixels per model unit), `texture` [K2], `lighting` [T, L], `camera` [P].
    """

    model: str
    identity: np.ndarray
    expression: np.ndarray
    pose: np.ndarray
    texture: np.ndarray | None = None
    lighting: np.ndarray | None = None
    camera: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check(self.expression.ndim == 2 and self.pose.shape == (len(self.expression), 6), "pose must be [T, 6]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What a face does, apart from whose face it is: the hand-over point between systems.

    `space` names the meaning of the columns (a `core.motion_space.MotionSpace`, in its `space_version`); only equal
    spaces may be mixed. `expression` float32 [T, E] is
    absolute (0: the person's neutral, mouth closed). `pose` float32 [T, P] or None, relative to the avatar's rest pose.
    `blink` float32 [T, 1] in [0, 1] (1: closed) or None. `gaze` float32 [T, 2] or None: where the eyes look, in radians
    to the viewer's right and down of where they look at rest. These are angles in the room: at 0 the eyes keep to their
    object however the head turns; None: they turn with the head. `source` float32 [T, 1] or None: which
    frame of the avatar's own clip is seen, between two for a fraction; systems that show no clip ignore it, and without
    it the renderer chooses. Row 0 is frame `start`.
    """

    space: str
    expression: np.ndarray
    pose: np.ndarray | None
    blink: np.ndarray | None
    fps: float
    start: int = 0
    source: np.ndarray | None = None
    space_version: int = 1
    gaze: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check(isinstance(self.space, str) and self.space != "", "space must be the name of a motion space")
        check_number("fps", self.fps, 1, MAX_MOTION_FPS)
        check_number("start", self.start, 0, MAX_FRAMES)
        check_number("space_version", self.space_version, 1, 1000)
        _check_rows("expression", self.expression)
        rows = len(self.expression)
        if self.pose is not None:
            _check_rows("pose", self.pose, rows)
        if self.blink is not None:
            _check_rows("blink", self.blink, rows, 1)
        if self.gaze is not None:
            _check_rows("gaze", self.gaze, rows, 2)
        if self.source is not None:
            _check_rows("source", self.source, rows, 1)

    def __len__(self) -> int:
        return len(self.expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Finished pictures: `rgb` uint8 [T, H, W, 3], optional `mask` uint8 [T, H, W] (255: person), first at `start`."""

    rgb: np.ndarray
    mask: np.ndarray | None = None
    start: int = 0

    def __post_init__(self) -> None:
        _check(
            self.rgb.ndim == 4 and self.rgb.shape[-1] == 3 and self.rgb.dtype == np.uint8,
            "rgb must be uint8 [T, H, W, 3]",
        )
        if self.mask is not None:
            _check(
                self.mask.shape == self.rgb.shape[:3] and self.mask.dtype == np.uint8, "mask must be uint8 [T, H, W]"
            )

    def __len__(self) -> int:
        return len(self.rgb)


@dataclass(frozen=True, slots=True, kw_only=True)
class Avatar:
    """A face prepared for animation: what `fit` returns and `animate` uses; saved like weights.

    `card` is JSON-ready (format version, system, weights, source, licence); `tensors` are arrays by name.
    `files` are paths that it needs beside it (the source video of a dubbing avatar).
    """

    system: str
    card: Mapping[str, object]
    tensors: Mapping[str, np.ndarray]
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """Settings of one animation; the same record goes to every stage.

    `blink` scales the blink rate (0: none), `gaze` how far eyes look about (0: they keep to the viewer),
    `expression_scale` the mouth and brows, `pose_scale` the head motion.
    `style`: whose way of moving motion from speech gets; None: the average speaker's. `pose`: "still", "generated" or
    "source" (the clip's own; only for avatars made from a clip). `pose_origin`: what head motion from a video is
    measured from: "first" (its first frame), "mean" (its mean), "none" (the head goes where the video's is in the
    picture, in its size too), or None for the system's default. `background`: "keep", "transparent", a colour
    ("#rrggbb" or a name) or the path of a picture. `crop`: "full" or "head". `size`: the longest side in pixels,
    "native" (the source's own), or None (at most 1280). `fps`: output rate, None for the source's rate or else the
    system's clock. `delay`: how much of the speech after a frame is heard, "best" for files or "low" for live use.
    `own`: the record of the system's own options (`SystemSpec.options`).
    """

    seed: int = 0
    blink: float = 1.0
    gaze: float = 1.0
    expression_scale: float = 1.0
    pose_scale: float = 1.0
    style: Style | None = None
    pose: Literal["still", "generated", "source"] = "generated"
    pose_origin: Literal["first", "mean", "none"] | None = None
    background: str = "keep"
    crop: Literal["full", "head"] = "full"
    size: int | Literal["native"] | None = None
    fps: float | None = None
    delay: Literal["best", "low"] = "best"
    own: object = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for name in ("blink", "gaze", "expression_scale", "pose_scale"):
            check_number(name, getattr(self, name), 0, 10)
        _check(
            self.style is None or isinstance(self.style, Style), "style must be a Style, from talkingface.read_style"
        )
        _check(self.pose in ("still", "generated", "source"), "pose must be still, generated or source")
        _check(self.pose_origin in (None, "first", "mean", "none"), "pose_origin must be first, mean or none")
        _check(self.crop in ("full", "head"), "crop must be full or head")
        _check(self.delay in ("best", "low"), "delay must be best or low")
        _check(
            self.size in (None, "native") or (isinstance(self.size, int) and 64 <= self.size <= 8192),
            "size must be native or a number of pixels from 64 to 8192",
        )
        if self.fps is not None:
            check_number("fps", self.fps, 1, 120)
