"""Training pictures for the refiner: face crops of clips, kept as JPEG."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkingface.clips.manifest import PreparedClip, manifest_rows, prepared_clips, prepared_file, write_index
from talkingface.core.arrays import save_arrays
from talkingface.core.errors import FaceError
from talkingface.photo.scene import Scene, make_scene
from talkingface.photo.window import FACE_IN_CROP, face_square
from talkingface.video.jpeg import from_jpeg

CROP_PX = 384
MAX_REGION_PX = 624
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceClip:
    """Frames of one clip at refiner scale: JPEG bytes, landmarks float32 [T, 478, 3] in their pixels.

    `face_px`: side of the face in the clip itself, which says how sharp the frames can be.
    """

    slug: str
    jpegs: list[bytes]
    landmarks: np.ndarray
    face_px: float = 0.0

    def frame(self, index: int) -> np.ndarray:
        """Frame as uint8 RGB."""
        return from_jpeg(self.jpegs[index])


def make_face_clip(path: Path, landmarks: np.ndarray, confidence: np.ndarray, keep: np.ndarray) -> FaceClip:
    """Cut the region that the face visits out of the frames numbered in `keep`, at refiner scale."""
    from talkingface.video.read import read_frames

    squares = [face_square(p) for p in landmarks[keep]]
    side = float(np.median([s for _, s in squares]))
    half = FACE_IN_CROP * side / 2
    low = np.min([c for c, _ in squares], axis=0) - half
    high = np.max([c for c, _ in squares], axis=0) + half
    scale = min(CROP_PX / (FACE_IN_CROP * side), MAX_REGION_PX / float((high - low).max()))
    size = tuple(int(v) for v in np.ceil((high - low) * scale))
    matrix = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale]])
    # pixel centres lie at integers plus one half here, at integers in OpenCV
    shift = matrix.copy()
    shift[:, 2] += 0.5 * scale - 0.5
    wanted, jpegs, kept = set(keep.tolist()), [], []
    for number, frame in enumerate(read_frames(path)):
        if number in wanted and confidence[number] > 0:
            rgb = frame.rgb
            if scale < 0.7:  # warpAffine does not filter
                rgb = cv2.GaussianBlur(rgb, (0, 0), 0.35 / scale)
            crop = cv2.warpAffine(rgb, shift, size, flags=cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA,
                                  borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
            ok, data = cv2.imencode(
                ".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            )
            assert ok
            jpegs.append(data.tobytes())
            kept.append(number)
    points = landmarks[kept].astype(np.float32)
    points = np.concatenate([points[..., :2] * scale + matrix[:, 2], points[..., 2:] * scale], -1).astype(np.float32)
    return FaceClip(slug=path.stem, jpegs=jpegs, landmarks=points, face_px=side)


def save_face_clip(path: Path, clip: FaceClip) -> None:
    """One .npz without pickles: all JPEGs end to end, and where each begins."""
    sizes = np.array([len(j) for j in clip.jpegs])
    data = np.frombuffer(b"".join(clip.jpegs), np.uint8)
    save_arrays(path, jpegs=data, sizes=sizes, landmarks=clip.landmarks, face_px=clip.face_px)


def load_face_clip(path: Path) -> FaceClip:
    """Read what `save_face_clip` wrote."""
    with np.load(path, allow_pickle=False) as file:
        ends = np.cumsum(file["sizes"])
        data = file["jpegs"].tobytes()
        jpegs = [data[end - size : end] for end, size in zip(ends, file["sizes"], strict=True)]
        return FaceClip(slug=path.stem, jpegs=jpegs, landmarks=file["landmarks"], face_px=float(file["face_px"]))


def free_portraits(data: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Picture uint8 [H, W, 3] and landmarks [478, 3] of each public-domain train portrait of a data folder."""
    from talkingface.face.track import track_image
    from talkingface.video.image import read_image

    for row in manifest_rows(data, kind="portrait", split="train"):
        if row["licence_class"] == "public-domain":
            try:
                face = track_image(read_image(data / row["file"]).rgb)
            except FaceError as problem:
                print(f"left out: {row['slug']}: {problem}")
            else:
                yield face.rgb, face.landmarks


def crop_prepared(prepared: Path, folder: Path) -> None:
    """Face clips for every prepared clip (`training.prepare`) and their index; those already there are skipped."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in prepared_clips(prepared):
        target = prepared_file(folder, clip.slug)
        if not target.is_file():
            track = clip.load_track()
            keep = _frames_to_keep(clip, len(track))
            save_face_clip(target, make_face_clip(clip.path, track.landmarks, track.confidence, keep))
    write_index(folder, prepared_clips(prepared))


def _frames_to_keep(clip: PreparedClip, count: int) -> np.ndarray:
    numbers = np.flatnonzero(clip.free(count))
    if clip.split == "val":
        return numbers[:125]
    most = 10 if count < 45 else 80
    return numbers[np.linspace(0, len(numbers) - 1, min(most, len(numbers))).astype(int)]


def source_scene(clip: FaceClip, index: int) -> Scene:
    """The stage that a frame of the clip gives."""
    return make_scene(clip.frame(index), clip.landmarks[index])
