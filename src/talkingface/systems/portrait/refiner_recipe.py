"""Train the refiner's `FaceNet` on pairs of frames of one clip: the photo is one frame, the truth another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.errors import InputError
from talkingface.face.blink import eye_aspect
from talkingface.face.eyelids import meeting_lids
from talkingface.photo.composite import Drawer, hidden_mouth
from talkingface.photo.config import RefinerConfig
from talkingface.photo.refine import SOFT_PX, WEAK, within_person
from talkingface.photo.refiner_networks import FaceNet
from talkingface.photo.scene import rigid_between
from talkingface.photo.window import (
    away_from_ghosts,
    cut,
    eye_discs,
    face_area,
    mouth_corner,
    openings,
    read_skin,
    stillness,
    window_at,
    window_side,
)
from talkingface.systems.portrait.data import FaceClip, load_face_clip, source_scene
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.sampling import person_shares
from talkingface.video.resize import shrink

SAMPLES, EACH = 6000, 4  # made once and kept, so many with the same photo
BLINK_SHARE = 0.35  # of the photos for which one of them is the frame with the most closed eyes
EVALUATED_FRAMES = 4


def face_changes(face: FaceNet, batch: dict[str, Tensor], config: RefinerConfig) -> Tensor:
    """What to change: share of the resting picture and colour to add [B, 4, S/2, S/2]."""
    seen = functional.avg_pool2d(torch.cat([batch["warped"], batch["still"], batch["masks"]], 1), 2)
    share, colour = face(seen)
    away = away_from_ghosts(batch["corner"].cpu().numpy(), batch["eyes"].cpu().numpy(), config)
    allowed = torch.from_numpy(away)[:, None].to(share)
    padded = functional.pad(colour, (SOFT_PX // 2,) * 4, mode="reflect")
    soft = functional.avg_pool2d(padded, SOFT_PX, stride=1).clamp(-WEAK, WEAK)  # see `refine.confine`
    colour = soft + batch["face"][:, None].to(colour) * (colour - soft)
    within = np.stack([within_person(alpha) for alpha in seen[:, 6].cpu().numpy()])
    colour = colour * torch.from_numpy(within)[:, None].to(colour) * (1 - seen[:, 8:9])
    return torch.cat([share * allowed * batch["stillness"][:, None, None, None], colour], 1)


def refine(face: FaceNet, batch: dict[str, Tensor], config: RefinerConfig) -> Tensor:
    """The refined crop [B, 3, S, S] in [0, 1] (not clamped)."""
    warped, still = batch["warped"], batch["still"]
    change = functional.interpolate(
        face_changes(face, batch, config), scale_factor=2, mode="bilinear", align_corners=False
    )
    return warped + change[:, :1] * (still - warped) + change[:, 1:]


def make_sample(
    drawer: Drawer, photo: np.ndarray, target: np.ndarray, truth: np.ndarray, config: RefinerConfig
) -> dict[str, np.ndarray]:
    """What the networks see of one frame, and the true frame: uint8 [S, S, C] each, and `corner` [2] (see `refine`).

    Irises go where those of `target` [478, 3] are.
    """
    source = drawer.scene.points
    square = (config.crop_px, config.crop_px)
    window = window_at(target, window_side(source), config.crop_px)
    out, rigid = np.empty_like(photo), rigid_between(source, target)
    alpha = drawer.draw(target, rigid, out, gaze=drawer.scene.eyes.followed(rigid.inverse(target)))
    points = window.to_crop(target)
    mouth, eyes = openings(points, square)
    return {
        "warped": shrink(cut(out, window.box()), square),
        "still": shrink(cut(photo, window.box()), square),
        "masks": np.dstack([shrink(cut(alpha, window.box()), square), eyes, mouth]),
        "corner": np.array(mouth_corner(points, config.crop_px, config.mouth_px), np.int64),
        "eyes": eye_discs(window.to_crop(source)),
        "face": face_area(points / 2, config.crop_px // 2),
        "stillness": np.array(stillness(source, target, window), np.float32),
        "balance": read_skin(photo, source).balance,
        "truth": shrink(cut(truth, window.box()), square),
    }


def to_tensors(samples: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """A batch: pictures as float32 [B, C, H, W] in [0, 1], in the refiner's tint."""
    batch = {}
    for name in samples[0]:
        values = torch.from_numpy(np.stack([s[name] for s in samples]))
        batch[name] = values if values.dim() < 4 else values.permute(0, 3, 1, 2).float().div_(255)
    for name in ("warped", "still", "truth"):
        batch[name] *= batch["balance"][:, :, None, None]
    return batch


def source_drawer(clip: FaceClip, index: int) -> Drawer:
    """The drawer that takes a frame of the clip for the photo."""
    return Drawer(source_scene(clip, index), hidden_mouth(clip.frame(index), clip.landmarks[index]))


@dataclass(frozen=True, slots=True)
class _Photo:
    """A frame of a clip that serves as the photo, and the frames that are drawn from it."""

    clip: int
    source: int
    targets: tuple[int, ...]


class FaceRecipe(Recipe):
    """`FaceNet` against the true frame, but for the inside of the mouth, which is `MouthNet`'s (see `mouth_recipe`).

    `train` and `held_out` are files of face clips (see `data.save_face_clip`) of `people`, by whose number clips count;
    `start` holds networks to go on from. What is drawn before does not change, so samples are made once and kept.
    """

    name = "portrait.face"
    phases = (Phase("refine", ("face",)),)
    loss_weights = {"face": 1.3, "squared": 6.0, "edges": 0.5, "eyes": 0.1, "sparse": 0.02}
    optimizers = {"face": OptimizerConfig(lr=1e-3, warmup_steps=100)}

    def __init__(
        self,
        train: list[Path],
        held_out: list[Path],
        config: RefinerConfig,
        *,
        people: Sequence[str] | None = None,
        samples: int = SAMPLES,
        batch_size: int = 16,
        seed: int = 1,
        start: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.config = config
        self.start = start or {}
        self.batch_size = batch_size
        self.clips = [load_face_clip(path) for path in train]
        self.held_out = [load_face_clip(path) for path in held_out]
        frames = [len(clip.jpegs) if len(clip.jpegs) > 1 else 0 for clip in self.clips]
        if not any(frames):
            raise InputError("the refiner needs pairs of frames; no clip has two that show its face")
        shares = person_shares(people or [str(path) for path in train], frames)
        rng = np.random.default_rng(seed)
        drawn = rng.choice(len(self.clips), max(1, samples // EACH), p=shares / shares.sum())
        self.photos = [self._photo(int(clip), rng) for clip in drawn]
        self._kept: dict[int, list[dict[str, np.ndarray]]] = {}
        self._held: dict[str, list[dict[str, np.ndarray]]] = {}
        self._locks = [threading.Lock() for _ in self.photos]

    def _photo(self, number: int, rng: np.random.Generator) -> _Photo:
        clip = self.clips[number]
        source, *targets = (int(t) for t in rng.integers(len(clip.jpegs), size=EACH + 1))
        if rng.random() < BLINK_SHARE:
            targets[0] = int(eye_aspect(clip.landmarks).argmin())
        return _Photo(number, source, tuple(targets))

    def networks(self) -> dict[str, nn.Module]:
        self.face = FaceNet(self.config)
        if "face" in self.start:
            self.face.load_state_dict(self.start["face"])
        return {"face": self.face}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        rng = make_rng(seed, step)
        picked = [(int(rng.integers(len(self.photos))), int(rng.integers(EACH))) for _ in range(self.batch_size)]
        return to_tensors([_augment(self._samples(number)[k], rng, self.config) for number, k in picked])

    def _samples(self, number: int) -> list[dict[str, np.ndarray]]:
        with self._locks[number]:
            if number not in self._kept:
                photo = self.photos[number]
                self._kept[number] = _samples(self.clips[photo.clip], photo.source, photo.targets, self.config)
        return self._kept[number]

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        outside = 1 - batch["masks"][:, 2:]
        truth = batch["truth"] * outside
        refined = refine(self.face, batch, self.config) * outside
        eyes = near_eyes(batch["eyes"], self.config.crop_px)
        return {
            "face": (refined - truth).abs().mean(),
            "squared": (refined - truth).square().mean(),
            "edges": edge_loss(refined, truth),
            "eyes": ((refined - truth).abs() * eyes).mean() / eyes.mean().clamp_min(1e-6),
            "sparse": (refined - batch["warped"] * outside).abs().mean(),
        }

    def evaluate(self) -> dict[str, float]:
        """Mean PSNR in dB of held-out clips over the refiner's square: still photo, bare warp, refined; {} without."""
        rows = []
        for clip in self.held_out:
            if len(clip.jpegs) < 2:
                continue
            if clip.slug not in self._held:
                picked = np.linspace(1, len(clip.jpegs) - 1, EVALUATED_FRAMES).astype(int).tolist()
                self._held[clip.slug] = _samples(clip, 0, picked, self.config)
            batch = to_tensors(self._held[clip.slug])
            full = refine(self.face, batch, self.config).clamp(0, 1)
            stages = (batch["still"], batch["warped"], full)
            rows.append([mean_psnr(pictures, batch["truth"]) for pictures in stages])
        if not rows:
            return {}
        still, warped, refined = np.mean(rows, axis=0)
        worst = float(min(row[2] - row[0] for row in rows))
        return {
            "still_db": float(still),
            "warp_db": float(warped),
            "refined_db": float(refined),
            "worst_gain_db": worst,
        }

    def preview(self, step: int) -> dict[str, np.ndarray]:
        rows = []
        for clip in self.held_out[:: max(1, len(self.held_out) // 6)][:6]:
            batch = to_tensors(_samples(clip, 0, [len(clip.jpegs) * 2 // 3], self.config))
            full = refine(self.face, batch, self.config)
            rows.append(torch.cat([batch["still"], batch["warped"], full, batch["truth"]], 3)[0])
        if not rows:
            return {}
        picture = torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0).numpy()
        return {"still_warp_refined_truth": np.round(picture * 255).astype(np.uint8)}


def _samples(clip: FaceClip, source: int, targets: Sequence[int], config: RefinerConfig) -> list[dict[str, np.ndarray]]:
    drawer, photo, landmarks = source_drawer(clip, source), clip.frame(source), meeting_lids(clip.landmarks)
    return [make_sample(drawer, photo, landmarks[t], clip.frame(t), config) for t in targets]


def near_eyes(eyes: Tensor, side: int) -> Tensor:
    """[B, 1, side, side]: 1 within the discs `eyes` [B, 2, 3], else 0."""
    place = torch.arange(side, device=eyes.device) + 0.5
    x, y, radius = (eyes[..., k, None, None] for k in range(3))
    inside = (place[None, None, :, None] - y) ** 2 + (place[None, None, None] - x) ** 2 < radius**2
    return inside.any(1, keepdim=True).to(torch.float32)


def mean_psnr(a: Tensor, b: Tensor) -> float:
    """Mean PSNR in dB of pictures [B, C, H, W] in [0, 1]."""
    return float((-10 * (a - b).square().mean((1, 2, 3)).clamp_min(1e-9).log10()).mean())


def edge_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean difference of the gradients in x and y."""
    d = a - b
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def _augment(sample: dict[str, np.ndarray], rng: np.random.Generator, config: RefinerConfig) -> dict[str, np.ndarray]:
    """One random mirror image and colour change for all pictures of a sample."""
    colour, mirror = other_colours(rng), rng.random() < 0.5
    out = {}
    for name, values in sample.items():
        if name in ("stillness", "balance"):
            out[name] = values
            continue
        if name == "corner":
            out[name] = np.array([config.crop_px - config.mouth_px[0] - values[0] if mirror else values[0], values[1]])
            continue
        if name == "eyes":
            out[name] = values * (-1, 1, 1) + (config.crop_px, 0, 0) if mirror else values
            continue
        if name not in ("masks", "face"):
            values = colour(values)
        out[name] = np.ascontiguousarray(values[:, ::-1]) if mirror else values
    return out


def other_colours(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """One random change of light for pictures uint8 [H, W, 3]; now and then it makes them grey."""
    table = light(np.exp(rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.1, 3)))
    grey = rng.random() < 0.08

    def colour(rgb: np.ndarray) -> np.ndarray:
        rgb = cv2.LUT(np.ascontiguousarray(rgb), table)
        return cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) if grey else rgb

    return colour


def light(gamma: float, gain: np.ndarray) -> np.ndarray:
    """A table uint8 [256, 1, 3] for `cv2.LUT`: values to the power of `gamma`, times `gain` [3]."""
    curve = (np.arange(256)[:, None] / 255) ** gamma
    return np.clip(curve * gain * 255, 0, 255).round().astype(np.uint8)[:, None]
