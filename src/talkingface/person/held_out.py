"""Evaluation of an avatar: held-out frames of its clip, rendered from their own sound and head pose."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from talkingface.core.digest import array_digest
from talkingface.core.types import Audio, Frames, Motion, Track
from talkingface.face.mesh478_space import MESH478
from talkingface.face.mouth_measures import mouth_measures
from talkingface.face.track import track_frames
from talkingface.metrics.landmarks import lmd_aligned
from talkingface.metrics.mouth import compare_mouths
from talkingface.metrics.picture import picture_scores
from talkingface.person.clip import FPS
from talkingface.trust.credentials import Statement, sign_result
from talkingface.trust.mark import ALGORITHM, Marker, mark_key, mark_payload
from talkingface.video.stored import StoredFrames
from talkingface.video.write import write_result

PICTURE_FIGURES = ("psnr", "ssim", "ms_ssim", "gradient_error")
SCORED_PX = 256
FACE_EDGE = 0.06  # width of the face beyond its landmarks, in distances between the eyes
SCORED = 1.3  # side of the scored square over that of the bounding square of the real frame's 478 points


def held_out_motion(expression: np.ndarray, rows: np.ndarray) -> Motion:
    """Predicted expression and true head pose of some frames, without `source`: the renderer chooses the clip's
    frames."""
    return Motion(
        space=MESH478.name, expression=expression.astype(np.float32), pose=rows.astype(np.float32), blink=None, fps=FPS
    )


def scored_square(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The square around the face of landmarks [478, 3], at 256 pixels: uint8 [256, 256, 3]."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side, centre = SCORED * float((high - low).max()), (low + high) / 2
    factor = SCORED_PX / side
    shift = SCORED_PX / 2 - factor * centre + factor / 2 - 0.5
    if factor < 0.75:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / factor)
    matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]])
    return cv2.warpAffine(picture, matrix, (SCORED_PX, SCORED_PX), borderMode=cv2.BORDER_REPLICATE)


def over_own_background(made: np.ndarray, real: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The face of `made` blended into the `real` frame uint8 [H, W, 3], whose landmarks are `points` [478, 3]."""
    unit = float(np.linalg.norm(points[33] - points[263]))
    reach = max(1, round(FACE_EDGE * unit))
    face = np.zeros(real.shape[:2], np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(np.round(points[:, :2]).astype(np.int32)), (255,))
    face = cv2.dilate(face, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    share = cv2.GaussianBlur(face, (0, 0), 0.7 * reach).astype(np.float32) / 255
    return cv2.blendLinear(made, real, share, 1 - share)


def score_held_out(
    made: Iterator[Frames],
    frames: StoredFrames,
    track: Track,
    first: int,
    samples: np.ndarray,
    video: Path,
    made_by: str,
) -> dict[str, float]:
    """Figures of the pictures `made` of frames `first` on, against the clip's own.

    Writes `video` (.mp4), signed and marked, as `made_by` that system: real frames on the left, made ones on the right,
    with the sound `samples` float32 [N] at 16 kHz of those frames. Picture figures are over `scored_square`, `lmd` is
    `metrics.landmarks.lmd_aligned`, gap, width and jaw are correlations with the true mouth. `still_...`: frame 0 in
    place of what was made; `paper_...`: the made face over the held-out frame's own background, which is how the paper
    rebuilds such frames.
    """
    still = frames[0].copy()
    scores: list[list[float]] = []
    count = 0

    def watched() -> Iterator[tuple[np.ndarray, float]]:
        nonlocal count
        sound = Audio(samples=np.clip(samples, -1, 1)[None].astype(np.float32), rate_hz=16000)
        job = array_digest([samples])
        payload = mark_payload(job)
        said = Statement(system=made_by, job=job, is_composite=True, mark=(ALGORITHM, payload))
        marker = Marker((2 * still.shape[1], still.shape[0]), FPS, payload, mark_key())
        sign = partial(sign_result, statement=said)
        with write_result(video, FPS, system=made_by, weights="", sound=sound, sign=sign) as writer:
            for piece in made:
                for rgb in piece.rgb:
                    number = first + count
                    real, points = frames[number], track.landmarks[number]
                    writer.write(marker.apply(np.concatenate([real, rgb], axis=1)))
                    truth = scored_square(real, points)
                    rebuilt = over_own_background(rgb, real, points)
                    seen = (picture_scores(scored_square(shown, points), truth) for shown in (rgb, still, rebuilt))
                    scores.append([getattr(score, name) for score in seen for name in PICTURE_FIGURES])
                    count += 1
                    yield rgb, count / FPS

    found = track_frames(watched())
    true = track.landmarks[first : first + count]
    resting = np.repeat(track.landmarks[:1], count, axis=0)
    mouths = compare_mouths(mouth_measures(found.landmarks), mouth_measures(true))
    means = np.mean(scores, axis=0)
    names = [prefix + name for prefix in ("", "still_", "paper_") for name in PICTURE_FIGURES]
    figures = {
        **dict(zip(names, means, strict=True)),
        "lmd": lmd_aligned(found.landmarks, true)[0],
        "gap": mouths.correlation[0],
        "width": mouths.correlation[1],
        "jaw": mouths.correlation[2],
        "gap_ratio": mouths.gap_ratio,
        "still_lmd": lmd_aligned(resting, true)[0],
        "frames": count,
    }
    return {name: round(float(value), 4) for name, value in figures.items()}
