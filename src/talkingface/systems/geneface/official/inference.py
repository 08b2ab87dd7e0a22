"""The published networks in use: speech features to landmarks, landmarks and poses to frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from talkingface.systems.geneface.official.audio2motion import STRIDE, AudioToMotion
from talkingface.systems.geneface.official.camera import Intrinsics, pixel_rays, pose_numbers
from talkingface.systems.geneface.official.landmarks import CLAMP_STD, clamp, normalise, smooth
from talkingface.systems.geneface.official.postnet import PostNet
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField
from talkingface.systems.geneface.official.render import draw_torso, mean_torso_density, see_head, torso_threshold
from talkingface.systems.geneface.official.windows import windows

_WHOLE = 2 * STRIDE
"""Rows of speech features come in so many: what one step of the latent code lasts."""


@torch.no_grad()
def generate_landmarks(
    audio2motion: AudioToMotion,
    postnet: PostNet | None,
    features: np.ndarray,
    f0: np.ndarray | None = None,
    *,
    seed: int = 0,
    temperature: float = 1.0,
) -> np.ndarray:
    """Landmarks float32 [N // 2, 204] of speech features [N, C] at 50 a second, and its pitch [N] in Hz.

    `postnet`: the person's adapter. The voice is one sequence. Equal seeds give equal landmarks, which the published
    program cannot; `temperature` 0 takes the middle of what it would draw. Rows are padded to whole steps with the last
    one, not with zeros, which make the end of a clip flicker.
    """
    rows = len(features)
    if not rows:
        return np.zeros((0, 204), np.float32)
    missing = -rows % _WHOLE
    audio = torch.from_numpy(np.pad(np.asarray(features, np.float32), ((0, missing), (0, 0)), mode="edge"))[None]
    pitch = None
    if f0 is not None:
        kept = np.asarray(f0, np.float32)[:rows]
        pitch = torch.from_numpy(np.pad(kept, (0, rows + missing - len(kept))))[None]
    condition = audio2motion.encode_condition(audio, pitch)
    drawn = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, audio2motion.latent, condition.shape[-1] // STRIDE, generator=drawn) * temperature
    motion = audio2motion.generate(condition, noise)
    if postnet is not None:
        motion = postnet(motion, None if pitch is None else audio2motion.embed_pitch(pitch))
    return motion[0, : rows // 2].numpy()


def conditions(
    landmarks: np.ndarray, mean: np.ndarray, std: np.ndarray, *, limit: float = CLAMP_STD, smoothed: int = 5
) -> np.ndarray:
    """What drives the field at each frame: float32 [T, smoothed, 1, 204] of landmarks [T, 204].

    `mean` and `std` [1, 68, 3] of the person; movements beyond `limit` deviations are cut.
    """
    kept = smooth(clamp(normalise(landmarks, mean, std), limit))
    return windows(windows(kept, 1, "edge"), smoothed, "edge").astype(np.float32)


@torch.no_grad()
def draw_frames(
    field: HeadField,
    driven: Iterable[np.ndarray],
    poses: Iterable[np.ndarray],
    view: Intrinsics,
    background: np.ndarray,
) -> Iterator[np.ndarray]:
    """Frames uint8 [H, W, 3], one after the other, of conditions (`conditions`) and field poses [4, 4].

    `background` uint8 [H, W, 3]. Fields of a torso show it, too. Values are cut off to whole numbers, as published.
    """
    plate = torch.from_numpy(background).reshape(-1, 3).float() / 255
    threshold = torso_threshold(field, mean_torso_density(field)) if isinstance(field, TorsoField) else 0.0
    for given, pose in zip(driven, poses, strict=False):
        rays = pixel_rays(torch.from_numpy(pose).float(), view)
        head = see_head(field, rays, field.encode_condition(torch.from_numpy(given)), field.individual_embeddings[0])
        behind = plate
        if isinstance(field, TorsoField):
            numbers = torch.from_numpy(pose_numbers(pose[None])[0]).float()
            code = field.torso_individual_codes[0]
            behind = draw_torso(field, rays.background, numbers, plate, code, threshold=threshold, head=head).rgb
        picture = head.over(behind) * 255
        yield picture.reshape(view.height, view.width, 3).to(torch.uint8).numpy()
