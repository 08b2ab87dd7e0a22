"""Generated landmarks against the reference's, in the published conventions and in ours.

Points are tracks [T, 478, 3] in pixels (face mesh; the published figures use x and y only), both videos on one clock.
Each function returns (value, per_frame float64 [T]); the value is the mean over frames. Raises ValueError when the
shapes differ or no frame is given.
"""

from __future__ import annotations

import numpy as np

from talkingface.face.morphable import quiet_shape
from talkingface.face.pose import STABLE_POINTS, fit_similarity, undo_similarity
from talkingface.face.topology import FACE_68, LIPS

Size = tuple[int, int]
"""Width and height in pixels."""

MOUTH_20 = FACE_68[48:]
OUTER_EYE_CORNERS = (33, 263)
MESH_SKIN = 468
"""The points after these are irises, which look about."""
CROP_SCALE = 1.3
DRIFT_WINDOW_S = 2.0


def lmd_mouth_512(
    generated: np.ndarray, reference: np.ndarray, generated_size: Size, reference_size: Size
) -> tuple[float, np.ndarray]:
    """Mouth landmark distance (M-LMD), each mouth's mean removed, in pixels of pictures whose shorter side is 512.

    Mean distance of the 20 mouth points (Chen et al. 2018, 2019). As they are published, head turns and the size of
    the face in the picture count: only videos framed alike may be compared.
    """
    return _mean_removed(generated, reference, generated_size, reference_size, MOUTH_20)


def lmd_face_512(
    generated: np.ndarray, reference: np.ndarray, generated_size: Size, reference_size: Size
) -> tuple[float, np.ndarray]:
    """Face landmark distance (F-LMD) of 68 points, each face's mean removed, in pixels as above."""
    return _mean_removed(generated, reference, generated_size, reference_size, FACE_68)


def lmd_256(
    generated: np.ndarray, reference: np.ndarray, generated_size: Size, reference_size: Size
) -> tuple[float, np.ndarray]:
    """Mouth landmark distance in pixels of one fixed 256-pixel crop around the reference's face; nothing removed.

    The crop stands still for the whole clip: 1.3 times the median bounding square of the reference's face, at its
    median place. The generated picture is first scaled to the reference's width; head motion counts.
    """
    _check(generated, reference)
    flat = reference[..., :2]
    span = np.median((flat.max(1).astype(np.float64) - flat.min(1)).max(1))
    pixels = 256 / (CROP_SCALE * max(span, 1e-9))
    chosen = list(MOUTH_20)
    scaled = generated[:, chosen, :2] * (reference_size[0] / generated_size[0])
    return _summary(pixels * _distances(scaled, flat[:, chosen]).mean(1))


def lmd_aligned(generated: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """Mouth landmark distance after alignment, in the reference's inter-ocular distances (outer eye corners).

    Each generated face is brought onto the reference's by the similarity (turn, scale, shift in 3D) that best fits the
    points which speech and blinks hardly move; then the mean distance of the 40 lip points. Head pose, framing and
    picture size do not count.
    """
    return _summary(_lip_distances(generated, reference).mean(1))


def lve(generated: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """Lip vertex error: the largest distance of any of the 40 lip points in a frame (Richard et al. 2021).

    Not squared; aligned and in the unit of `lmd_aligned`, since tracked meshes have a pose and no metres.
    """
    return _summary(_lip_distances(generated, reference).max(1))


def identity_drift(points: np.ndarray, fps: float) -> tuple[float, np.ndarray]:
    """How far a face's neutral shape wanders from the one it began with, in inter-ocular distances.

    The neutral of each 2 s of points [T, 478, 3]: pose removed, mean of the 15 % of frames with the least open mouth.
    Per frame: root mean square distance of its window's neutral to the first one's; the value is the mean over all
    later windows, nan if there is none. Tracking noise and turns of the head leave about as much as a real video has.
    """
    _check(points, points)
    pose, eyes = rigid_motion(points)
    count = max(len(points) // max(round(DRIFT_WINDOW_S * fps), 1), 1)
    windows = np.array_split(np.arange(len(points)), count)
    shapes = []
    for window in windows:
        upright = undo_similarity(points[window].astype(np.float64), *(part[window] for part in pose))
        shapes.append(quiet_shape(upright)[:MESH_SKIN] / eyes)
    drift = [float(np.sqrt((_distances(shape, shapes[0]) ** 2).mean())) for shape in shapes]
    value = float(np.mean(drift[1:])) if count > 1 else float("nan")
    return value, np.repeat(drift, [len(window) for window in windows])


def _check(generated: np.ndarray, reference: np.ndarray) -> None:
    if generated.shape != reference.shape or generated.ndim != 3 or not len(generated):
        raise ValueError(f"cannot compare tracks of shapes {generated.shape} and {reference.shape}")


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.asarray(a, np.float64) - b, axis=-1)


def _summary(per_frame: np.ndarray) -> tuple[float, np.ndarray]:
    return float(per_frame.mean()), per_frame


def _mean_removed(
    generated: np.ndarray, reference: np.ndarray, generated_size: Size, reference_size: Size, chosen: tuple[int, ...]
) -> tuple[float, np.ndarray]:
    _check(generated, reference)
    shapes = []
    for points, size in ((generated, generated_size), (reference, reference_size)):
        part = points[:, list(chosen), :2].astype(np.float64) * (512 / min(size))
        shapes.append(part - part.mean(1, keepdims=True))
    return _summary(_distances(*shapes).mean(1))


def _lip_distances(generated: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Distances [T, 40] of the aligned lips in inter-ocular distances."""
    _check(generated, reference)
    pose = fit_similarity(reference[:, STABLE_POINTS], generated[:, STABLE_POINTS])
    lips = list(LIPS)
    aligned = undo_similarity(generated[:, lips].astype(np.float64), *pose)
    right, left = OUTER_EYE_CORNERS
    eyes = _distances(reference[:, right], reference[:, left])
    return _distances(aligned, reference[:, lips]) / np.maximum(eyes, 1e-9)[:, None]


def rigid_motion(points: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], float]:
    """Rigid motion and scale of points [T, 478, 3]: ((rotation, scale, translation) by frame, inter-ocular distance).

    They bring the clip's mean shape of the points that speech hardly moves onto each frame; `undo_similarity` takes
    them away. The distance is the mean shape's.
    """
    steady = points[:, STABLE_POINTS].astype(np.float64)
    pose = fit_similarity(steady[0], steady)
    pose = fit_similarity(undo_similarity(steady, *pose).mean(0), steady)
    shape = undo_similarity(steady, *pose).mean(0)
    right, left = (int(np.flatnonzero(corner == STABLE_POINTS)[0]) for corner in OUTER_EYE_CORNERS)
    return pose, max(float(_distances(shape[right], shape[left])), 1e-9)
