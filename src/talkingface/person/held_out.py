"""Evaluation of an avatar: held-out frames of its clip, rendered from their own sound and head pose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from talkingface.core.digest import array_digest
from talkingface.core.errors import FaceError
from talkingface.core.types import Audio, Frames, Motion, Track
from talkingface.face.mesh478_space import MESH478
from talkingface.face.mouth_measures import mouth_measures
from talkingface.face.topology import FACE_OVAL
from talkingface.face.track import FaceTracker, fill_gaps
from talkingface.metrics.landmarks import lmd_aligned
from talkingface.metrics.mouth import MEASURES, compare_mouths
from talkingface.metrics.picture import luma, picture_scores
from talkingface.person.clip import FPS, RATE_HZ
from talkingface.trust.credentials import Statement, sign_result
from talkingface.trust.mark import ALGORITHM, Marker, mark_key, mark_payload
from talkingface.video.stored import StoredFrames
from talkingface.video.write import write_result

PICTURE_FIGURES = ("psnr", "ssim", "ms_ssim", "gradient_error")
PART_FIGURES = ("square_psnr", "face_psnr", "mouth_psnr")
DETAIL_FIGURES = ("detail", "mouth_detail")
LIP_POINTS = (61, 291, 0, 17)
SCORED_PX = 256
FACE_EDGE = 0.06  # width of the face beyond its landmarks, in distances between the eyes
SCORED = 1.3  # side of the scored square over that of the bounding square of the real frame's 478 points


def held_out_motion(expression: np.ndarray, rows: np.ndarray) -> Motion:
    """Predicted expression and true head pose of some frames, without `source`: the renderer chooses the clip's
    frames."""
    return Motion(
        space=MESH478.name, expression=expression.astype(np.float32), pose=rows.astype(np.float32), blink=None, fps=FPS
    )


def scored_matrix(points: np.ndarray) -> np.ndarray:
    """Pixels of a picture to those of `scored_square`, [2, 3]."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side, centre = SCORED * float((high - low).max()), (low + high) / 2
    factor = SCORED_PX / side
    shift = SCORED_PX / 2 - factor * centre + factor / 2 - 0.5
    return np.array([[factor, 0, shift[0]], [0, factor, shift[1]]])


def scored_square(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The square around the face of landmarks [478, 3], at 256 pixels: uint8 [256, 256, 3]."""
    matrix = scored_matrix(points)
    if matrix[0, 0] < 0.75:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / matrix[0, 0])
    return cv2.warpAffine(picture, matrix, (SCORED_PX, SCORED_PX), borderMode=cv2.BORDER_REPLICATE)


def part_errors(made: np.ndarray, real: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Mean squared errors [3] of a picture uint8 [H, W, 3] beside the real one with landmarks [478, 3], of values in
    [0, 1]: over the `scored_square`, the oval of the face in it, and the box of the mouth."""
    square = [scored_square(picture, points) for picture in (made, real)]
    return _square_errors(square[0], square[1], scored_parts(points))


def _square_errors(made: np.ndarray, real: np.ndarray, parts: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    wrong = np.square((made.astype(np.float32) - real) / 255).mean(-1)
    return np.array([wrong.mean(), *(wrong[part].mean() for part in parts)])


def decibels(errors: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratios in dB of mean squared errors of values in [0, 1]."""
    return -10 * np.log10(np.maximum(errors, 1e-12))


def scored_parts(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The oval of the face and the box of the mouth in a `scored_square`, bool [256, 256] each."""
    matrix = scored_matrix(points)
    inside = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    oval, mouth = np.zeros((2, SCORED_PX, SCORED_PX), np.uint8)
    cv2.fillPoly(oval, [np.round(inside[list(FACE_OVAL)]).astype(np.int32)], (1,))
    x0, y0, x1, y1 = square_about(inside[list(LIP_POINTS)])
    mouth[y0:y1, x0:x1] = 1
    return oval > 0, mouth > 0


def square_about(points: np.ndarray) -> tuple[int, int, int, int]:
    """The square x0, y0, x1, y1 about points [K, 2], half as large again as they reach."""
    centre, reach = points.mean(0), 0.75 * np.ptp(points, 0).max()
    x0, y0 = np.maximum(centre - reach, 0).astype(int)
    x1, y1 = (centre + reach).astype(int) + 1
    return int(x0), int(y0), int(x1), int(y1)


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
    made: Mapping[str, Iterator[Frames]],
    frames: StoredFrames,
    track: Track,
    first: int,
    samples: np.ndarray,
    video: Path | None,
    made_by: str,
) -> dict[str, dict[str, float]]:
    """Figures of the pictures `made`, by name, of frames `first` on, against the clip's own; by the same names.

    Writes `video` (.mp4, unless None), signed and marked, as `made_by` that system: real frames on the left, made ones
    beside them in their order, with the sound `samples` float32 [N] at 16 kHz of those frames. Picture figures are over
    `scored_square`, means of the frames' own; `square_psnr`, `face_psnr` (the oval of the face in it) and `mouth_psnr`
    (the box of the mouth) are of the mean error of all frames; `detail` and `mouth_detail` are the energy of gradients
    in the oval and in the box over that of the real frames. `lmd` is
    `metrics.landmarks.lmd_aligned`, gap, width and jaw are correlations with the true mouth. `still_...`: frame 0 in
    place of what was made; `paper_...`: the made face over the held-out frame's own background, which is how the paper
    rebuilds such frames.
    """
    still = frames[0].copy()
    scored = {name: _Scored(still) for name in made}
    size = ((1 + len(made)) * still.shape[1], still.shape[0])
    with nullcontext(None) if video is None else _side_by_side(video, size, samples, made_by) as write:
        series = (_single(pieces, (still.shape[1], still.shape[0])) for pieces in made.values())
        for count, pictures in enumerate(zip(*series, strict=True)):
            real, points = frames[first + count], track.landmarks[first + count]
            if write is not None:
                write(np.concatenate([real, *pictures], axis=1))
            for score, rgb in zip(scored.values(), pictures, strict=True):
                score.add(rgb, real, points)
    return {name: score.figures(track, first) for name, score in scored.items()}


class _Scored:
    """Figures of one series of pictures, gathered frame by frame; `still` stands for what does not move."""

    def __init__(self, still: np.ndarray) -> None:
        self._still, self._tracker = still, FaceTracker(None)
        self._rows: list[list[float]] = []
        self._errors: list[np.ndarray] = []
        self._details: list[list[float]] = []
        self._points: list[np.ndarray | None] = []

    def add(self, rgb: np.ndarray, real: np.ndarray, points: np.ndarray) -> None:
        """The next picture, the real frame uint8 [H, W, 3] and the landmarks [478, 3] of that."""
        truth, own, parts = scored_square(real, points), scored_square(rgb, points), scored_parts(points)
        rebuilt = over_own_background(rgb, real, points)
        seen = (
            picture_scores(shown, truth)
            for shown in (own, *(scored_square(other, points) for other in (self._still, rebuilt)))
        )
        self._rows.append([getattr(score, name) for score in seen for name in PICTURE_FIGURES])
        self._errors.append(_square_errors(own, truth, parts))
        self._details.append(_details(own, truth, parts))
        self._points.append(self._tracker.update(rgb, (len(self._points) + 1) / FPS))

    def figures(self, track: Track, first: int) -> dict[str, float]:
        """The means, and what the tracked faces say beside frames `first` on of the clip's `track`, if there are any
        faces."""
        names = [prefix + name for prefix in ("", "still_", "paper_") for name in PICTURE_FIGURES]
        figures = {
            **dict(zip(names, np.mean(self._rows, axis=0), strict=True)),
            **dict(zip(PART_FIGURES, decibels(np.mean(self._errors, axis=0)), strict=True)),
            **dict(zip(DETAIL_FIGURES, np.mean(self._details, axis=0), strict=True)),
            **self._movement(track, first),
            "frames": len(self._rows),
        }
        return {name: round(float(value), 4) for name, value in figures.items()}

    def _movement(self, track: Track, first: int) -> dict[str, float]:
        count, size = len(self._points), (self._still.shape[1], self._still.shape[0])
        try:
            found = fill_gaps(self._points, np.arange(1, count + 1) / FPS, size)
        except FaceError:
            return {}
        true = track.landmarks[first : first + count]
        mouths = compare_mouths(mouth_measures(found.landmarks), mouth_measures(true))
        return {
            "lmd": lmd_aligned(found.landmarks, true)[0],
            **dict(zip(MEASURES, mouths.correlation, strict=True)),
            "gap_ratio": mouths.gap_ratio,
            "still_lmd": lmd_aligned(np.repeat(track.landmarks[:1], count, axis=0), true)[0],
        }


def _details(made: np.ndarray, real: np.ndarray, parts: tuple[np.ndarray, np.ndarray]) -> list[float]:
    """`DETAIL_FIGURES` of two scored squares uint8 [256, 256, 3]."""
    own, true = (_gradient_energy(picture) for picture in (made, real))
    return [float(own[part].mean()) / max(float(true[part].mean()), 1e-9) for part in parts]


def _gradient_energy(rgb: np.ndarray) -> np.ndarray:
    """Squared differences of neighbouring pixels of luma, float32 [H, W]."""
    grey = luma(rgb).astype(np.float32)
    energy = np.zeros_like(grey)
    energy[:, 1:] += np.square(np.diff(grey, axis=1))
    energy[1:] += np.square(np.diff(grey, axis=0))
    return energy


@contextmanager
def _side_by_side(
    video: Path, size: tuple[int, int], samples: np.ndarray, made_by: str
) -> Iterator[Callable[[np.ndarray], None]]:
    """A signed, marked video of `size` (width, height) with a sound; what writes its pictures."""
    sound = Audio(samples=np.clip(samples, -1, 1)[None].astype(np.float32), rate_hz=RATE_HZ)
    job = array_digest([samples])
    payload = mark_payload(job)
    said = Statement(system=made_by, job=job, is_composite=True, mark=(ALGORITHM, payload))
    marker = Marker(size, FPS, payload, mark_key())
    sign = partial(sign_result, statement=said)
    with write_result(video, FPS, system=made_by, weights="", sound=sound, sign=sign) as writer:
        yield lambda picture: writer.write(marker.apply(picture))


def _single(pieces: Iterator[Frames], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """The pictures one by one, in the clip's `size`: those of a renderer that draws smaller ones are enlarged."""
    for piece in pieces:
        for rgb in piece.rgb:
            yield rgb if rgb.shape[1::-1] == size else cv2.resize(rgb, size, interpolation=cv2.INTER_CUBIC)
