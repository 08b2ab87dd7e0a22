"""Train the refiner's `MouthNet` on pairs of frames of one clip; a third one, or another person, shows the open mouth.

What is drawn before it (warp, `FaceNet`) does not change while it learns, so every sample is made once and kept.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.clips.manifest import prepared_clips
from talkingface.core.errors import InputError
from talkingface.face.morphable import inner_lip_gap
from talkingface.photo.composite import Drawer, hidden_mouth
from talkingface.photo.config import RefinerConfig
from talkingface.photo.mouth import LEAST_GAP, OpenMouth, fitted, open_mouth, open_mouth_cost, shows_inside, teeth_area
from talkingface.photo.refine import (
    LIPS_PX,
    SHADE,
    SHADE_PX,
    Drawn,
    Refiner,
    lips_before,
    look_at,
    make_view,
    mouth_seen,
)
from talkingface.photo.refiner_networks import MouthNet
from talkingface.photo.scene import make_scene, rigid_between
from talkingface.photo.window import window_at, window_side
from talkingface.systems.portrait.data import FaceClip, free_portraits, load_face_clip
from talkingface.systems.portrait.refiner_recipe import edge_loss, light, mean_psnr, other_colours
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

OPEN_GAP = 0.02  # of the lips, from which a frame counts in full; closed mouths are drawn a quarter as often
CLOSED_SHARE = 0.25
OTHER_LIGHT = 0.5  # of the open mouths are seen in another light
OTHERS_SHARE = 0.5  # of those that show another person's mouth: any but the first example's
OWN_SHARE = 0.6  # of the samples that show the person's own open mouth, where there is one
EVALUATED_FRAMES = 6
EXAMPLES_EACH = 3
WIDE = 0.6  # areas of smiles, over the largest
MIN_TEETH_PX = 150.0
TEETH_TINT = np.array([1.15, 0.98, 0.87])  # beside skin of the usual tint (`window.Skin`)


def make_sample(
    drawer: Drawer, photo: np.ndarray, target: np.ndarray, truth: np.ndarray, mouth: OpenMouth, refiner: Refiner
) -> dict[str, np.ndarray]:
    """What `MouthNet` sees of one frame and the true patch: uint8 [h, w, 6] and [h, w, 3]; the picture's gains, and the
    tint of shadows in the mouth."""
    source, config = drawer.scene.points, refiner.config
    window = window_at(target, window_side(source), config.crop_px)
    out = np.empty_like(photo)
    alpha = drawer.draw(target, rigid_between(source, target), out)
    drawn = Drawn(picture=out, alpha=alpha, source=source, target=target)
    view = make_view(drawn, look_at(photo, source, config, mouth=mouth), window, config.mouth_px)
    return {
        "seen": mouth_seen(view, lips_before(view, refiner.face_changes([view])[0])),
        "truth": np.ascontiguousarray(view.patch.cut(truth)),
        "balance": view.balance,
        "shade_tint": view.shade_tint,
    }


def to_tensors(samples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Tensor]:
    """A batch: `seen` [B, 6, h, w] and `truth` [B, 3, h, w] in [0, 1], in the refiner's tint; `shade_tint`
    [B, 3, 1, 1]."""
    batch = {
        name: torch.from_numpy(np.stack([sample[name] for sample in samples])).permute(0, 3, 1, 2).float().div_(255)
        for name in ("seen", "truth")
    }
    gains, tints = (
        torch.from_numpy(np.stack([sample[name] for sample in samples]))[:, :, None, None].float()
        for name in ("balance", "shade_tint")
    )
    for pictures in batch.values():
        pictures[:, :3] *= gains
    return {**batch, "shade_tint": tints}


def refine_mouth(net: MouthNet, seen: Tensor, tint: Tensor) -> Tensor:
    """The refined patch [B, 3, h, w] (not clamped); see `refine.shaded`."""
    drawn = net(seen)
    colour, shade = (
        functional.avg_pool2d(part, side, 1, side // 2, count_include_pad=False)
        for part, side in ((drawn[:, :3], LIPS_PX), (drawn[:, 3:], SHADE_PX))
    )
    return seen[:, :3] + colour + seen[:, 3:4] * (tint * shade.clamp(*SHADE) * seen[:, :3] - colour)


@dataclass(frozen=True, slots=True)
class _Clip:
    """A clip with the gap between its lips [T], its open mouths by frame, and the drawers of some of its frames."""

    clip: FaceClip
    gaps: np.ndarray
    mouths: Mapping[int, OpenMouth]
    drawers: Mapping[int, Drawer]


class MouthRecipe(Recipe):
    """`MouthNet` against the true frame.

    `train` and `held_out` are files of face clips (see `data.save_face_clip`); `refiner` holds the finished `FaceNet`;
    `examples` are the open mouths of others. Clips whose faces are smaller than `least_face_px` are left out.
    """

    name = "portrait.mouth"
    phases = (Phase("shade", ("mouth",)),)
    loss_weights = {"patch": 1.5, "inside": 1.0, "edges": 1.0}
    optimizers = {"mouth": OptimizerConfig(lr=2e-3, warmup_steps=100)}

    def __init__(
        self,
        train: Sequence[Path],
        held_out: Sequence[Path],
        refiner: Refiner,
        examples: Sequence[OpenMouth],
        *,
        batch_size: int = 16,
        least_face_px: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.refiner, self.examples, self.batch_size, self.seed = refiner, list(examples), batch_size, seed
        clips = (load_face_clip(path) for path in train)
        self.clips = [self._open(clip) for clip in clips if clip.face_px >= least_face_px]
        self.held_out = [self._open(load_face_clip(path)) for path in held_out]
        frames = [(c, t) for c, clip in enumerate(self.clips) for t in range(len(clip.gaps)) if len(clip.gaps) > 1]
        if not frames:
            raise InputError("the mouth needs pairs of frames; no clip has two that show its face")
        chance = np.array([1.0 if self.clips[c].gaps[t] > OPEN_GAP else CLOSED_SHARE for c, t in frames])
        chance /= np.sqrt([len(self.clips[c].gaps) for c, _ in frames])  # long clips do not drown the short ones
        self.frames, self.chance = frames, chance / chance.sum()
        self._kept: dict[int, dict[str, np.ndarray]] = {}
        self._locks = [threading.Lock() for _ in self.clips]

    def _open(self, clip: FaceClip) -> _Clip:
        config, gaps = self.refiner.config, np.array([float(inner_lip_gap(points)) for points in clip.landmarks])
        widest = np.argsort(-gaps)[:8]
        mouths = {int(t): open_mouth(clip.frame(t), clip.landmarks[t], config) for t in widest if gaps[t] > LEAST_GAP}
        places = np.unique(np.linspace(0, len(gaps) - 1, min(2, len(gaps))).astype(int))
        drawers = {int(t): mouth_drawer(clip, int(t)) for t in places}
        return _Clip(clip, gaps, mouths, drawers)

    def networks(self) -> dict[str, nn.Module]:
        self.mouth = MouthNet(self.refiner.config)
        return {"mouth": self.mouth}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        rng = make_rng(seed, step)
        picked = rng.choice(len(self.frames), self.batch_size, p=self.chance)
        return to_tensors([_augment(self._sample(int(k)), rng) for k in picked])

    def _sample(self, number: int) -> dict[str, np.ndarray]:
        if number not in self._kept:
            c, target = self.frames[number]
            with self._locks[c]:  # a drawer is for one thread at a time
                self._kept[number] = self._make(self.clips[c], target, make_rng(self.seed, number))
        return self._kept[number]

    def _make(self, clip: _Clip, target: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        source = int(rng.choice(list(clip.drawers)))
        own = [mouth for t, mouth in clip.mouths.items() if abs(t - target) > 1]
        mouth = own[rng.integers(len(own))] if own and rng.random() < OWN_SHARE else None
        if mouth is None:
            others = rng.random() < OTHERS_SHARE
            mouth = self._example(clip, source, int(rng.integers(len(self.examples))) if others else 0)
        if rng.random() < OTHER_LIGHT:
            table = light(np.exp(rng.normal(0, 0.25)), np.exp(rng.normal(0, 0.15, 3)))
            upper, lower = (
                np.dstack([cv2.LUT(np.ascontiguousarray(half[..., :3]), table), half[..., 3]])
                for half in (mouth.upper, mouth.lower)
            )
            mouth = replace(mouth, upper=upper, lower=lower)
        frames = clip.clip.frame(source), clip.clip.landmarks[target], clip.clip.frame(target)
        return make_sample(clip.drawers[source], *frames, mouth, self.refiner)

    def _example(self, clip: _Clip, source: int, number: int) -> OpenMouth:
        return fitted(self.examples[number], clip.clip.landmarks[source], self.refiner.config)

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        seen, truth = batch["seen"], batch["truth"]
        opening, made = seen[:, 3:4], refine_mouth(self.mouth, seen, batch["shade_tint"])
        return {
            "patch": (made - truth).abs().mean(),
            "inside": ((made - truth).abs() * opening).sum() / (3 * opening.sum() + 1),
            "edges": edge_loss(made, truth),
        }

    def evaluate(self) -> dict[str, float]:
        """Mean PSNR in dB of held-out mouth patches before, with an example's mouth and with the person's own."""
        rows = []
        for clip in self.held_out:
            samples = self._held_out_samples(clip)
            if samples is not None:
                rows.append([mean_psnr(made, batch["truth"]) for batch, made in samples for made in made])
        if not rows:
            return {}
        before, example, _, own = np.mean(rows, axis=0)
        return {"before_db": float(before), "example_db": float(example), "own_db": float(own)}

    def _held_out_samples(self, clip: _Clip) -> list[tuple[dict[str, Tensor], tuple[Tensor, Tensor]]] | None:
        """Batches of frames with open mouths, with an example's mouth and the person's own; patch before and after."""
        picked = [t for t in np.flatnonzero(clip.gaps > OPEN_GAP) if t not in clip.drawers]
        if len(picked) < 2 or not clip.mouths:
            return None
        picked = picked[:: max(1, len(picked) // EVALUATED_FRAMES)][:EVALUATED_FRAMES]
        source, drawer = next(iter(clip.drawers.items()))
        found = []
        for own in (False, True):
            samples = []
            for t in picked:
                near = [mouth for k, mouth in clip.mouths.items() if abs(k - t) > 2]
                mouth = near[0] if own and near else self._example(clip, source, 0)
                frames = clip.clip.frame(source), clip.clip.landmarks[t], clip.clip.frame(int(t))
                samples.append(make_sample(drawer, *frames, mouth, self.refiner))
            batch = to_tensors(samples)
            before = batch["seen"][:, :3]
            found.append((batch, (before, refine_mouth(self.mouth, batch["seen"], batch["shade_tint"]).clamp(0, 1))))
        return found

    def preview(self, step: int) -> dict[str, np.ndarray]:
        rows = []
        for clip in self.held_out:
            samples = self._held_out_samples(clip)
            if samples is not None:
                (batch, (before, example)), (_, (_, own)) = samples
                rows.append(torch.cat([before, example, own, batch["truth"]], 2))
        if not rows:
            return {}
        count = min(len(row) for row in rows)
        picture = torch.cat([torch.cat(list(row[:count]), 2) for row in rows[:: max(1, len(rows) // 8)]], 1)
        shown = np.round(picture.clamp(0, 1).permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        return {"before_example_own_truth": shown}


def example_mouths(data: Path, crops: Path, config: RefinerConfig) -> list[OpenMouth]:
    """Open mouths that anyone may use: of public-domain train clips and portraits. The first one is what photos are
    given that show none: the upper teeth of a wide smile, and what the one with most lower teeth shows below them."""
    portraits, found = list(free_portraits(data)), []
    for clip in prepared_clips(crops, "train"):
        if clip.licence_class == "public-domain":
            frames = load_face_clip(clip.file)
            best = np.argsort(open_mouth_cost(frames.landmarks))[:EXAMPLES_EACH]
            found += [(frames.frame(int(t)), frames.landmarks[t]) for t in best]
    found += portraits
    shown = [(open_mouth(rgb, points, config), points) for rgb, points in found if shows_inside(points)]
    if not shown:
        raise InputError("no public-domain clip or portrait shows an open mouth, which photos with a closed one need")
    mouths = [mouth for mouth, _ in shown]
    sharp = mouths[-sum(shows_inside(points) for _, points in portraits) :]  # photos are sharper than frames
    areas = [int(mouth.upper[..., 3].sum()) for mouth in sharp]
    wide = [mouth for mouth, area in zip(sharp, areas, strict=True) if area > WIDE * max(areas)]
    smile = min(wide, key=lambda mouth: float(np.abs(np.log(mouth.balance)).sum()))  # in the usual light
    below = fitted(max(mouths, key=_lower_teeth), next(points for mouth, points in shown if mouth is smile), config)
    balance = _neutral(smile.upper)
    lower = np.dstack(
        [cv2.convertScaleAbs(below.lower[..., :3] * (_neutral(below.lower) / balance)), below.lower[..., 3]]
    )
    return [replace(smile, lower=lower, balance=balance), *mouths]


def _neutral(half: np.ndarray) -> np.ndarray:
    """Gains float32 [3] that give the brighter part of a half [h, w, 4] the tint of teeth, and keep its brightness."""
    colours = half[half[..., 3] > 127, :3].astype(np.float64)
    bright = colours[colours.mean(1) >= np.median(colours.mean(1))].mean(0)
    return (TEETH_TINT * bright.mean() / bright).astype(np.float32)


def _lower_teeth(mouth: OpenMouth) -> float:
    """Pixels of lower teeth, if there are upper ones too: else the cut lies too high."""
    return teeth_area(mouth, mouth.lower) if teeth_area(mouth, mouth.upper) > MIN_TEETH_PX else 0.0


def mouth_drawer(clip: FaceClip, index: int) -> Drawer:
    """The drawer that takes a frame of the clip for the photo; there is no background near a mouth, so none is made."""
    rgb, points = clip.frame(index), clip.landmarks[index]
    return Drawer(make_scene(rgb, points, np.ones(rgb.shape[:2], np.float32)), hidden_mouth(rgb, points))


def _augment(sample: Mapping[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A random mirror image and colour change."""
    colour, mirror = other_colours(rng), rng.random() < 0.5
    out = dict(sample)
    for name in ("seen", "truth"):
        values = np.dstack([colour(sample[name][..., :3]), sample[name][..., 3:]])
        out[name] = np.ascontiguousarray(values[:, ::-1]) if mirror else values
    return out
