"""Train the refiner on pairs of frames of one clip: the photo is one frame, the truth another."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.errors import InputError
from talkingface.nn.gan import PatchDiscriminator
from talkingface.photo.composite import Drawer, hidden_mouth
from talkingface.photo.config import RefinerConfig
from talkingface.photo.refine import own_mouth, within_person
from talkingface.photo.refiner_networks import FaceNet, MouthNet
from talkingface.photo.scene import rigid_between
from talkingface.photo.window import (
    away_from_ghosts,
    colour_balance,
    cut,
    eye_discs,
    mouth_corner,
    openings,
    stillness,
    window_at,
    window_side,
)
from talkingface.systems.portrait.data import FaceClip, load_face_clip, source_scene
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.video.resize import shrink

SOURCES_PER_CLIP = {45: 2, 10**9: 6}  # clips up to so many frames offer so many source frames
EVALUATED_FRAMES = 4


def refiner_changes(
    face: FaceNet, mouth: MouthNet, batch: dict[str, Tensor], config: RefinerConfig
) -> tuple[Tensor, Tensor]:
    """What to change: the face's share and colour [B, 4, S/2, S/2], the colour to add at the mouth [B, 3, h, w]."""
    seen = functional.avg_pool2d(torch.cat([batch["warped"], batch["still"], batch["masks"]], 1), 2)
    share, colour = face(seen)
    away = away_from_ghosts(batch["corner"].cpu().numpy(), batch["eyes"].cpu().numpy(), config)
    allowed = torch.from_numpy(away)[:, None].to(share)
    within = np.stack([within_person(alpha) for alpha in seen[:, 6].cpu().numpy()])
    colour = colour * torch.from_numpy(within)[:, None].to(colour)
    change = torch.cat([share * allowed * batch["stillness"][:, None, None, None], colour], 1)
    large = functional.interpolate(change, scale_factor=2, mode="bilinear", align_corners=False)
    part = mouth_patches(large, batch, config)
    warped, still, masks = (mouth_patches(batch[name], batch, config) for name in ("warped", "still", "masks"))
    refined = warped + part[:, :1] * (still - warped) + part[:, 1:]
    return change, mouth(torch.cat([refined, masks[:, 2:], batch["own_mouth"]], 1))


def refine(face: FaceNet, mouth: MouthNet, batch: dict[str, Tensor], config: RefinerConfig) -> tuple[Tensor, Tensor]:
    """The refined crop before and after the mouth, [B, 3, S, S] in [0, 1] each (not clamped)."""
    warped, still = batch["warped"], batch["still"]
    small, patches = refiner_changes(face, mouth, batch, config)
    change = functional.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    refined = warped + change[:, :1] * (still - warped) + change[:, 1:]
    full = refined.clone()
    width, height = config.mouth_px
    for k, (x, y) in _corners(batch):
        full[k, :, y : y + height, x : x + width] += patches[k]
    return refined, full


def _corners(batch: dict[str, Tensor]) -> list[tuple[int, tuple[int, int]]]:
    return [(k, (int(x), int(y))) for k, (x, y) in enumerate(batch["corner"].tolist())]


def mouth_patches(pictures: Tensor, batch: dict[str, Tensor], config: RefinerConfig) -> Tensor:
    """The mouth patch of each picture [B, C, S, S]."""
    width, height = config.mouth_px
    return torch.stack([pictures[k, :, y : y + height, x : x + width] for k, (x, y) in _corners(batch)])


def make_sample(
    drawer: Drawer, photo: np.ndarray, target: np.ndarray, truth: np.ndarray, config: RefinerConfig
) -> dict[str, np.ndarray]:
    """What the networks see of one frame, and the true frame: uint8 [S, S, C] each, and `corner` [2] (see `refine`)."""
    source = drawer.scene.points
    square = (config.crop_px, config.crop_px)
    window = window_at(target, window_side(source), config.crop_px)
    out = np.empty_like(photo)
    alpha = drawer.draw(target, rigid_between(source, target), out)
    points = window.to_crop(target)
    mouth, eyes = openings(points, square)
    return {
        "warped": shrink(cut(out, window.box()), square),
        "still": shrink(cut(photo, window.box()), square),
        "masks": np.dstack([shrink(cut(alpha, window.box()), square), eyes, mouth]),
        "own_mouth": own_mouth(photo, source, window_at(source, window.side, window.crop), config.mouth_px),
        "corner": np.array(mouth_corner(points, config.crop_px, config.mouth_px), np.int64),
        "eyes": eye_discs(window.to_crop(source)),
        "stillness": np.array(stillness(source, target, window), np.float32),
        "balance": colour_balance(photo, source),
        "truth": shrink(cut(truth, window.box()), square),
    }


def to_tensors(samples: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
    """A batch: pictures as float32 [B, C, H, W] in [0, 1], in the refiner's tint."""
    batch = {}
    for name in samples[0]:
        values = torch.from_numpy(np.stack([s[name] for s in samples]))
        batch[name] = values if values.dim() < 4 else values.permute(0, 3, 1, 2).float().div_(255)
    for name in ("warped", "still", "own_mouth", "truth"):
        batch[name][:, :3] *= batch["balance"][:, :, None, None]
    return batch


def source_drawer(clip: FaceClip, index: int) -> Drawer:
    """The drawer that takes a frame of the clip for the photo."""
    return Drawer(source_scene(clip, index), hidden_mouth(clip.frame(index), clip.landmarks[index]))


class RefinerRecipe(Recipe):
    """FaceNet and MouthNet against the true frame, the mouth also against a patch discriminator.

    `train` and `held_out` are files of face clips (see `data.save_face_clip`); `start` holds networks to go on from.
    """

    name = "portrait.refiner"
    phases = (Phase("refine", ("face", "mouth")), Phase("discriminate", ("discriminator",)))
    loss_weights = {
        "face": 1.0,
        "mouth": 1.5,
        "inside": 0.5,
        "squared": 6.0,
        "edges": 1.0,
        "adversarial": 0.1,
        "features": 0.5,
        "sparse": 0.02,
        "discriminator": 1.0,
    }
    optimizers = {
        "face": OptimizerConfig(lr=1e-3, warmup_steps=100),
        "mouth": OptimizerConfig(lr=2e-3, warmup_steps=100),
        "discriminator": OptimizerConfig(lr=4e-4, betas=(0.5, 0.99), warmup_steps=100),
    }

    def __init__(
        self,
        train: list[Path],
        held_out: list[Path],
        config: RefinerConfig,
        *,
        batch_size: int = 8,
        start: Mapping[str, Mapping[str, Tensor]] | None = None,
    ) -> None:
        self.config = config
        self.start = start or {}
        self.batch_size = batch_size
        self.clips = [load_face_clip(path) for path in train]
        self.held_out = [load_face_clip(path) for path in held_out]
        usable = np.array([np.sqrt(min(len(c.jpegs), 80)) if len(c.jpegs) > 1 else 0.0 for c in self.clips])
        if not usable.any():
            raise InputError("the refiner needs pairs of frames; no clip has two that show its face")
        self.chance = usable / usable.sum()
        self.drawer_of = functools.lru_cache(maxsize=700)(self._make_drawer)

    def networks(self) -> dict[str, nn.Module]:
        self.face, self.mouth = FaceNet(self.config), MouthNet(self.config)
        self.discriminator = PatchDiscriminator(4, (32, 64, 128))
        networks = {"face": self.face, "mouth": self.mouth, "discriminator": self.discriminator}
        for name, state in self.start.items():
            networks[name].load_state_dict(state)
        return networks

    def _make_drawer(self, clip: int, source: int) -> Drawer:
        return source_drawer(self.clips[clip], source)

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        rng = make_rng(seed, step)
        samples = [self._sample(rng) for _ in range(self.batch_size)]
        return to_tensors(samples)

    def _sample(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        number = int(rng.choice(len(self.clips), p=self.chance))
        clip = self.clips[number]
        offers = next(count for most, count in SOURCES_PER_CLIP.items() if len(clip.jpegs) <= most)
        places = np.linspace(0, len(clip.jpegs) - 1, min(offers, len(clip.jpegs))).astype(int)
        source = int(places[rng.integers(len(places))])
        target = int(rng.integers(len(clip.jpegs)))
        drawer = self.drawer_of(number, source)
        sample = make_sample(drawer, clip.frame(source), clip.landmarks[target], clip.frame(target), self.config)
        return _augment(sample, rng, self.config)

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        truth = batch["truth"]
        if phase == "discriminate":
            real = self.discriminator(_with_opening(truth, batch, self.config))[0]
            made = shared["fake"].detach()
            fake = self.discriminator(made)[0]
            doubts = functional.relu(1 - real) + functional.relu(1 + fake)
            return {"discriminator": mean_at_opening(doubts, made[:, 3:])}
        refined, full = refine(self.face, self.mouth, batch, self.config)
        fake = _with_opening(full, batch, self.config)
        shared["fake"] = fake
        real_mouth = _with_opening(truth, batch, self.config)
        scores, features = self.discriminator(fake)
        with torch.no_grad():
            wanted = self.discriminator(real_mouth)[1]
        return {
            "face": (full - truth).abs().mean() + 0.3 * (refined - truth).abs().mean(),
            "squared": (full - truth).square().mean(),
            "mouth": (fake[:, :3] - real_mouth[:, :3]).abs().mean(),
            "inside": _inside(fake, real_mouth),
            "edges": _edge_loss(fake[:, :3], real_mouth[:, :3]) + 0.5 * _edge_loss(full, truth),
            "adversarial": -mean_at_opening(scores, fake[:, 3:]),
            "features": torch.stack(
                [mean_at_opening((f - w).abs(), fake[:, 3:]) for f, w in zip(features, wanted, strict=True)]
            ).mean(),
            "sparse": (refined - batch["warped"]).abs().mean(),
        }

    def evaluate(self) -> dict[str, float]:
        """Mean PSNR in dB of held-out clips over the refiner's square: still photo, bare warp, refined; {} without."""
        rows = []
        for clip in self.held_out:
            if len(clip.jpegs) < 2:
                continue
            drawer = source_drawer(clip, 0)
            picked = np.linspace(1, len(clip.jpegs) - 1, EVALUATED_FRAMES).astype(int)
            batch = to_tensors(
                [make_sample(drawer, clip.frame(0), clip.landmarks[i], clip.frame(i), self.config) for i in picked]
            )
            full = refine(self.face, self.mouth, batch, self.config)[1].clamp(0, 1)
            rows.append(
                [_psnr(batch[name], batch["truth"]) for name in ("still", "warped")] + [_psnr(full, batch["truth"])]
            )
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
            drawer, last = source_drawer(clip, 0), len(clip.jpegs) * 2 // 3
            batch = to_tensors(
                [make_sample(drawer, clip.frame(0), clip.landmarks[last], clip.frame(last), self.config)]
            )
            full = refine(self.face, self.mouth, batch, self.config)[1]
            rows.append(torch.cat([batch["still"], batch["warped"], full, batch["truth"]], 3)[0])
        if not rows:
            return {}
        picture = torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0).numpy()
        return {"still_warp_refined_truth": np.round(picture * 255).astype(np.uint8)}


def _psnr(a: Tensor, b: Tensor) -> float:
    return float((-10 * (a - b).square().mean((1, 2, 3)).clamp_min(1e-9).log10()).mean())


def _with_opening(pictures: Tensor, batch: dict[str, Tensor], config: RefinerConfig) -> Tensor:
    return mouth_patches(torch.cat([pictures, batch["masks"][:, 2:]], 1), batch, config)


def mean_at_opening(values: Tensor, opening: Tensor) -> Tensor:
    """Mean of [B, C, h, w] that counts the open mouth in full and the rest hardly.

    Without it almost all of its input is skin, which is never wrong; its loss stays flat and teeth stay soft.
    """
    weight = functional.adaptive_avg_pool2d(opening, (values.shape[-2], values.shape[-1])) + 0.02
    return (values.mean(1, keepdim=True) * weight).sum() / weight.sum()


def _inside(fake: Tensor, real: Tensor) -> Tensor:
    """Mean difference where the mouth is open: few pixels, but the most visible ones."""
    opening = fake[:, 3:]
    return ((fake[:, :3] - real[:, :3]).abs() * opening).sum() / (3 * opening.sum() + 1)


def _edge_loss(a: Tensor, b: Tensor) -> Tensor:
    """Mean difference of the gradients in x and y."""
    d = a - b
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def _augment(sample: dict[str, np.ndarray], rng: np.random.Generator, config: RefinerConfig) -> dict[str, np.ndarray]:
    """One random mirror image and colour change for all pictures of a sample."""
    gamma, gain = np.exp(rng.normal(0, 0.2)), np.exp(rng.normal(0, 0.1, 3))
    table = np.clip((np.arange(256)[:, None] / 255) ** gamma * gain * 255, 0, 255).round().astype(np.uint8)[:, None]
    grey, mirror = rng.random() < 0.08, rng.random() < 0.5

    def colour(rgb: np.ndarray) -> np.ndarray:
        rgb = cv2.LUT(rgb, table)
        return cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) if grey else rgb

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
        if name == "own_mouth":
            values = np.dstack([colour(np.ascontiguousarray(values[..., :3])), values[..., 3]])
        elif name != "masks":
            values = colour(np.ascontiguousarray(values))
        out[name] = np.ascontiguousarray(values[:, ::-1]) if mirror else values
    return out
