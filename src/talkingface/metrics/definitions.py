"""Every figure that `evaluate` can report: version of its definition, unit, which way is better, what it means.

Whoever changes what a figure measures raises its version, so that old reports are not compared with new ones and
clips that were scored by the old definition are scored again. The full definitions, with their sources, are the
docstrings of the functions in this package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from talkingface.core.style import FIGURES

Better = Literal["higher", "lower", "real", "none"]
STYLE = ("opening", "width", "jaw", "pace", "pitch", "yaw", "roll", "head_pace")
"""Figures of a style that need no place in the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A figure: `meaning` in one line, `unit` ("" for a pure number), and which way is better.

    `better`: "higher", "lower", "real": the nearer to what real video has, or "none": it only informs.
    """

    meaning: str
    unit: str
    better: Better
    version: int = 1


IOD = "inter-ocular distances"
_PLACES = {"frame": "whole frame", "face": "face box (reference's face x 1.3)", "mouth": "mouth box (its lips x 1.5)"}
_PICTURE: dict[str, tuple[str, str, Better]] = {
    "psnr": ("peak signal-to-noise ratio of RGB", "dB", "higher"),
    "ssim": ("structural similarity of luma", "", "higher"),
    "ms_ssim": ("multi-scale structural similarity of luma", "", "higher"),
    "gradient_error": ("multi-scale gradient error of luma", "grey levels", "lower"),
}
_MEASURES = {"gap": "inner-lip gap", "width": "mouth width", "jaw": "distance of chin and nose"}


def _families() -> Iterator[tuple[str, Definition]]:
    """Figures that exist for several places or measures."""
    for name, (meaning, unit, better) in _PICTURE.items():
        for place, where in _PLACES.items():
            yield f"picture.{name}.{place}", Definition(meaning=f"{meaning}, {where}", unit=unit, better=better)
    for name, what in _MEASURES.items():
        yield (
            f"mouth.correlation.{name}",
            Definition(meaning=f"correlation of {what} with the true, best within 3 frames", unit="", better="higher"),
        )
        yield (
            f"mouth.correlation_lag0.{name}",
            Definition(meaning=f"correlation of {what} with the true, frame by frame", unit="", better="higher"),
        )
        yield (
            f"mouth.lag.{name}",
            Definition(
                meaning=f"lag of best correlation of {what}; positive: the true one is late",
                unit="frames",
                better="real",
            ),
        )


def _rows(group: str, rows: dict[str, tuple[str, str, Better]]) -> dict[str, Definition]:
    return {
        f"{group}.{name}": Definition(meaning=meaning, unit=unit, better=better)
        for name, (meaning, unit, better) in rows.items()
    }


_LATER_VERSIONS = {
    "motion.warp_error": 2,  # boxes at the picture's edge are scaled to whole pixels
    "speech.closed_share": 2,  # phones are recognised in all of the speech, not only in what the video shows
    "speech.closure_contrast": 2,
}
"""Figures whose definition has changed since the first one."""

_FIRST: dict[str, Definition] = {
    **dict(_families()),
    **_rows(
        "picture",
        {
            "cpbd": ("cumulative probability of blur detection in the face box; 1: sharp", "", "higher"),
            "sharpness": ("variance of luma's Laplacian in the face box", "squared grey levels", "real"),
            "cpbd_ratio": ("the same over the source photo's, faces of one size", "", "real"),
            "sharpness_ratio": ("the same over the source photo's, faces of one size", "", "real"),
            "lpips": ("learned perceptual distance (AlexNet) of face boxes at 256; imported weights", "", "lower"),
            "lpips_vgg": ("the same by VGG-16; imported weights", "", "lower"),
            "fid": ("Frechet distance of Inception features of face boxes; imported weights", "", "lower"),
        },
    ),
    **_rows(
        "identity",
        {"csim": ("cosine of ArcFace features to the reference's, or the photo's; imported weights", "", "higher")},
    ),
    **_rows(
        "landmarks",
        {
            "lmd_mouth_512": ("distance of 20 mouth points, means removed, shorter side 512", "px", "lower"),
            "lmd_face_512": ("distance of 68 face points, means removed, shorter side 512", "px", "lower"),
            "lmd_256": ("distance of 20 mouth points in one fixed crop of 256", "px", "lower"),
            "lmd_aligned": ("distance of 40 lip points after similarity alignment", IOD, "lower"),
            "lve": ("lip vertex error: largest distance of a lip point, aligned", IOD, "lower"),
            "identity_drift": ("change of the neutral face shape since the first 2 s", IOD, "real"),
        },
    ),
    **_rows(
        "mouth",
        {
            "gap_ratio": ("standard deviation of the lip gap over the true one's", "", "real"),
            "width_ratio": ("standard deviation of the mouth width over the true one's", "", "real"),
            "jaw_ratio": ("standard deviation of the distance of chin and nose over the true one's", "", "real"),
            "mean_gap": ("mean inner-lip gap", IOD, "real"),
            "mean_gap_error": ("mean inner-lip gap minus the true one's", IOD, "real"),
        },
    ),
    **_rows(
        "pose",
        {
            "error": ("mean geodesic angle between head rotations", "degrees", "lower"),
            "distance": ("Wasserstein distance of yaw, pitch and roll about their means", "degrees", "lower"),
            "speed_distance": ("Wasserstein distance of their speeds", "degrees/s", "lower"),
        },
    ),
    **_rows(
        "blink",
        {
            "per_minute": ("blinks a minute", "1/min", "real"),
            "length": ("mean blink length at half its depth", "s", "real"),
            "closed_share": ("share of time with eyes shut by more than half", "", "real"),
            "distance": ("Wasserstein distance of eye closure", "", "lower"),
        },
    ),
    **_rows(
        "motion",
        {
            "jitter": ("jitter of points that speech does not move, rigid motion removed", IOD, "real"),
            "frame_change": ("mean absolute change of the face box between frames", "grey levels", "real"),
            "still_share": ("share of frames in which the face box does not change", "", "real"),
            "warp_error": ("squared change of the face box that is no motion, values in [0, 1]", "", "real"),
            "beat_alignment": ("nearness of head beats to sound onsets", "", "real"),
            "beat_chance": ("the same of beats at random times", "", "none"),
        },
    ),
    **_rows(
        "sync",
        {
            "offset_frames": ("how late the mouth is by the sync expert, frames of 25 fps", "frames", "real"),
            "confidence": ("median minus least distance of mouth and sound over lags", "", "higher"),
            "distance": ("least distance of mouth and sound over lags", "", "lower"),
            "mouth_offset_ms": ("how late the lip gap is against loudness", "ms", "real"),
            "mouth_correlation": ("correlation of lip gap and loudness at that offset", "", "real"),
            "drift": ("slope of that offset over the clip", "ms/min", "real"),
            "lse_d": ("least distance by the official SyncNet (LSE-D); imported weights", "", "lower"),
            "lse_c": ("median minus least distance by the official SyncNet (LSE-C); imported weights", "", "higher"),
            "av_offset": ("how late the mouth is by the official SyncNet; imported weights", "frames", "real"),
        },
    ),
    **_rows(
        "speech",
        {
            "silent_open_share": ("share of frames without speech with lips open (gap over 0.03)", "", "real"),
            "mouth_motion": ("mean speed of the lip gap in speech", f"{IOD}/s", "real"),
            "mouth_motion_ratio": ("mouth motion over the true mouth's, or else over real speakers'", "", "real"),
            "closed_share": ("share of /p b m/ that close the lips (gap under 0.02)", "", "higher"),
            "closure_contrast": ("lip gap at open vowels minus that at /p b m/", IOD, "real"),
        },
    ),
    **_rows(
        "style", {name: (f"in speech: {FIGURES[name]['meaning']}", FIGURES[name]["unit"], "none") for name in STYLE}
    ),
    **_rows(
        "leak",
        {
            name: (
                f"what the mouth shares with {what} although driven by {told}: correlation above chance x size",
                "",
                "lower",
            )
            for name, what, told in (
                ("silence", "the true mouth", "silence"),
                ("silence_envelope", "the loudness of the clip's speech", "silence"),
                ("other_speech", "the true mouth", "other speech"),
                ("other_speech_envelope", "the loudness of the clip's speech", "other speech"),
            )
        },
    ),
    **_rows("track", {"seen_share": ("share of frames in which a face was seen", "", "higher")}),
}

DEFINITIONS: dict[str, Definition] = {
    key: replace(definition, version=_LATER_VERSIONS.get(key, 1)) for key, definition in _FIRST.items()
}
VERSIONS: dict[str, int] = {key: definition.version for key, definition in DEFINITIONS.items()}
