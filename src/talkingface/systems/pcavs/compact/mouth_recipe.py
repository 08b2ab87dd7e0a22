"""From pictures of mouths to codes, and from codes to the coefficients of `mesh478` that the tracker measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.lags import correlation
from talkingface.face.morphable import load_mesh478
from talkingface.systems.pcavs.compact.mouths import MouthClip
from talkingface.systems.pcavs.compact.networks import NUM_MOUTH, MouthNet, signed_mouths
from talkingface.systems.pcavs.config import CompactConfig
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.sampling import person_shares
from talkingface.training.speech_recipe import measure_rows

BATCH = 96
CANDIDATES = 4
"""Of so many frames the most open mouth is taken, for every other pair: they are rare."""
TURN, GROWTH, SHIFT = 0.06, 0.06, 0.012
"""Deviations of how training pictures are moved: radians and relative size of both of a pair, shift in sides of each.
With more for each the jaw was lost, whose place in the picture is what shows it."""
GAIN, OFFSET, MOST_BLUR = 0.2, 12.0, 1.2
"""Deviations of a pair's contrast and brightness (grey levels), and the widest blur in pixels."""
LEAST_FRAMES = 40
"""Of a held-out clip."""
_PICTURES = 64
"""Pictures encoded at a time."""


class MouthRecipe(Recipe):
    """Pairs of pictures of one mouth, one of them at rest: only what differs has to be explained, so that the shape of
    a person's lips is no movement."""

    name = "pcavs.mouth"
    phases = (Phase("look", ("mouth",)),)
    loss_weights: Mapping[str, float] = {"shape": 1.0, "measures": 2.0, "code_norm": 1e-3}
    optimizers = {"mouth": OptimizerConfig(lr=2e-3, weight_decay=0.02, warmup_steps=100, final_ratio=0.01)}

    def __init__(
        self, clips: Sequence[MouthClip], config: CompactConfig, *, held_out: Sequence[MouthClip] = (),
        batch_size: int = BATCH,
    ) -> None:  # fmt: skip
        self._clips, self._config, self._batch_size = clips, config, batch_size
        self._held_out = [clip for clip in held_out if clip.weight.sum() >= LEAST_FRAMES]
        self._usable = [np.flatnonzero(clip.weight > 0) for clip in clips]
        share = person_shares([clip.person for clip in clips], [len(usable) for usable in self._usable])
        self._share = share / share.sum()
        model = load_mesh478()
        effect = np.sqrt((model.expression[..., :NUM_MOUTH] ** 2).sum((0, 1)))
        self._effect, self._measures = torch.from_numpy(effect / np.linalg.norm(effect)), measure_rows(model)

    def networks(self) -> dict[str, nn.Module]:
        """The mouth network."""
        self.mouth = MouthNet(self._config)
        return {"mouth": self.mouth}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """`pictures` uint8 [2 B, M, M], those at rest last, and `targets` [B, 16 + 3]."""
        rng = make_rng(seed, step)
        shown, rests, targets = [], [], []
        for place in range(self._batch_size):
            number = int(rng.choice(len(self._clips), p=self._share))
            clip = self._clips[number]
            chosen = rng.choice(self._usable[number], CANDIDATES if place % 2 else 1)
            frame = int(chosen[np.argmax(clip.targets[chosen, NUM_MOUTH])])
            view = _draw_view(rng)
            for pictures, which in ((shown, frame), (rests, int(rng.choice(clip.quiet)))):
                pictures.append(view.seen(clip.pictures[which], self._config.mouth_px, rng.normal(size=2) * SHIFT))
            targets.append(clip.targets[frame])
        return {"pictures": torch.from_numpy(np.stack(shown + rests)), "targets": torch.from_numpy(np.stack(targets))}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        codes, rest = self.mouth(signed_mouths(batch["pictures"])).float().chunk(2)
        true, true_measures = batch["targets"].split([NUM_MOUTH, 3], dim=1)
        shape = (codes - rest) @ self.mouth.decode.weight.float().T  # in single precision
        away = (shape - true) * self._effect.to(shape)
        return {
            "shape": functional.smooth_l1_loss(away, torch.zeros_like(away), beta=0.2) * NUM_MOUTH,
            "measures": functional.smooth_l1_loss(shape @ self._measures.to(shape).T, true_measures),
            "code_norm": codes.square().mean() + rest.square().mean(),
        }

    def evaluate(self) -> dict[str, float]:
        """Correlation of gap, width and jaw with the tracked ones on held-out people; `spread`: how far the gap moves
        beside the tracked one."""
        rows, spread = [], []
        for clip in self._held_out:
            shape = clip_codes(clip, self.mouth, self._config) @ self.mouth.decode.weight.float().numpy().T
            found, known = shape @ self._measures.numpy().T, clip.weight > 0
            rows.append([correlation(found[known, k], clip.targets[known, NUM_MOUTH + k]) for k in range(3)])
            spread.append(found[known, 0].std() / max(1e-6, clip.targets[known, NUM_MOUTH].std()))
        if not rows:
            return {}
        gap, width, jaw = np.nanmean(np.array(rows, np.float64), axis=0)
        return {"gap": float(gap), "width": float(width), "jaw": float(jaw), "spread": float(np.median(spread))}


@torch.no_grad()
def clip_codes(clip: MouthClip, net: MouthNet, config: CompactConfig, *, about_rest: bool = True) -> np.ndarray:
    """Mouth codes float32 [T, C] of a clip, about that of its mouth at rest unless told otherwise."""
    edge = (clip.pictures.shape[1] - config.mouth_px) // 2
    middle = slice(edge, edge + config.mouth_px)
    parts = [
        net(signed_mouths(torch.from_numpy(np.ascontiguousarray(clip.pictures[k : k + _PICTURES, middle, middle]))))
        for k in range(0, len(clip), _PICTURES)
    ]
    codes = torch.cat(parts).float().numpy()
    return codes - codes[clip.quiet].mean(axis=0) if about_rest else codes


@dataclass(frozen=True, slots=True)
class _View:
    """How both pictures of a pair are seen."""

    turn: float
    scale: float
    gain: float
    offset: float
    blur_px: float

    def seen(self, picture: np.ndarray, size_px: int, shift: np.ndarray) -> np.ndarray:
        """A stored picture uint8 [S, S], moved by `shift` [2] sides: uint8 [size_px, size_px]."""
        sine, cosine = self.scale * np.sin(self.turn), self.scale * np.cos(self.turn)
        linear = np.array([[cosine, -sine], [sine, cosine]])
        away = (size_px - 1) / 2 + shift * size_px - linear @ np.full(2, (len(picture) - 1) / 2)
        matrix = np.column_stack([linear, away])
        moved = cv2.warpAffine(picture, matrix, (size_px, size_px), borderMode=cv2.BORDER_REPLICATE)
        if self.blur_px > 0.4:
            moved = cv2.GaussianBlur(moved, (0, 0), self.blur_px)
        return np.clip((moved.astype(np.float32) - 128) * self.gain + 128 + self.offset, 0, 255).astype(np.uint8)


def _draw_view(rng: np.random.Generator) -> _View:
    turn, growth, gain, offset = (rng.normal(size=4) * (TURN, GROWTH, GAIN, OFFSET)).tolist()
    return _View(turn, float(np.exp(growth)), float(np.exp(gain)), offset, float(rng.uniform(0, MOST_BLUR)))
