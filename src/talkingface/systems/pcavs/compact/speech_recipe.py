"""From sound to the codes that the mouth network gives for pictures: the speech network's training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.lags import best_lag
from talkingface.systems.pcavs.alignment.align import shifted
from talkingface.systems.pcavs.alignment.crop import on_square, square_matrix, view
from talkingface.systems.pcavs.compact.data import ClipFeatures, clip_features, person_shares
from talkingface.systems.pcavs.compact.networks import MouthNet, SpeechNet, signed_mouths
from talkingface.systems.pcavs.compact.views import mouth_view
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip
from talkingface.systems.pcavs.data.mel import mel_windows
from talkingface.systems.pcavs.official.losses import cosine_logits
from talkingface.training.mouth_targets import correlation_loss
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

SEGMENT = 20
"""Frames in a row from one clip."""
NEAR = 5
"""Frames of one clip that are closer than this sound alike: they are no negatives for each other."""
LEAST_FRAMES = 40
"""Of a held-out clip."""
_PICTURES = 64
"""Pictures encoded at a time."""


@dataclass(frozen=True, slots=True)
class SpeechClip:
    """A clip with its mouth codes: `mel` [T4, 80], `codes` [T, M], mouth `features` [T, 3], `weight` [T]."""

    slug: str
    person: str
    mel: np.ndarray
    codes: np.ndarray
    features: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


def encode_mouths(clips: Sequence[CropClip], net: MouthNet, config: PcavsConfig) -> Iterator[SpeechClip]:
    """The speaking clips of `clips`, their mouths encoded by `net`."""
    for clip in clips:
        if not clip.speaks:
            continue
        features = clip_features(clip)
        yield SpeechClip(
            slug=clip.slug,
            person=clip.person,
            mel=clip.mel,
            codes=np.concatenate(list(_codes(clip, features, net, config))),
            features=features.mouth,
            weight=clip.weight,
        )


@torch.no_grad()
def _codes(clip: CropClip, features: ClipFeatures, net: MouthNet, config: PcavsConfig) -> Iterator[np.ndarray]:
    size = config.compact.size_px
    matrix = square_matrix(size)
    device = next(net.parameters()).device
    for start in range(0, len(clip), _PICTURES):
        numbers = range(start, min(start + _PICTURES, len(clip)))
        mouths = []
        for number, frame in zip(numbers, clip.frames(numbers), strict=True):
            square = view(frame, shifted(matrix, features.shift[number]), size)
            mouths.append(mouth_view(square, on_square(features.points[number], matrix, size), config.compact.mouth_px))
        yield net(signed_mouths(torch.from_numpy(np.stack(mouths)).to(device))).float().cpu().numpy()


class SpeechRecipe(Recipe):
    """The speech network. `readout`: weight [3, M] and bias [3] that turn codes into gap, width and jaw."""

    name = "pcavs.speech"
    phases = (Phase("speak", ("speech",)),)
    loss_weights: Mapping[str, float] = {"codes": 1.0, "contrast": 0.1, "features": 1.0, "correlation": 0.5}
    optimizers = {"speech": OptimizerConfig(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02, final_ratio=0.01)}

    def __init__(
        self, clips: Sequence[SpeechClip], config: PcavsConfig, readout: tuple[np.ndarray, np.ndarray], *,
        held_out: Sequence[SpeechClip] = (), batch_size: int = 16,
    ) -> None:  # fmt: skip
        self._config, self._batch_size = config, batch_size
        self._clips = [clip for clip in clips if clip.weight.sum() >= SEGMENT]
        self._held_out = [clip for clip in held_out if clip.weight.sum() >= LEAST_FRAMES]
        # codes in units of their deviation: all of them count alike
        everything = np.concatenate([clip.codes[clip.weight > 0] for clip in self._clips])
        self._scale = torch.from_numpy(everything.std(axis=0) + 1e-3)
        self._weight, self._bias = (torch.from_numpy(part) for part in readout)
        share = person_shares([clip.person for clip in self._clips], [len(clip) for clip in self._clips])
        self._share = share / share.sum()

    def networks(self) -> dict[str, nn.Module]:
        """The speech network."""
        self.speech = SpeechNet(self._config.codes, self._config.compact)
        return {"speech": self.speech}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """`mel` [B * L, 1, 80, W], `codes` [B * L, M], `features` [B, L, 3], `known` [B, L, 1], `clip` and `frame`
        [B * L]."""
        rng = make_rng(seed, step)
        names = ("mel", "codes", "features", "known", "clip", "frame")
        rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for _ in range(self._batch_size):
            number = int(rng.choice(len(self._clips), p=self._share))
            clip = self._clips[number]
            first = int(rng.integers(len(clip) - SEGMENT + 1))
            frames = np.arange(first, first + SEGMENT)
            # another one for each segment: the same words in another room
            mel = disturbed(clip.mel, rng)
            rows["mel"].append(mel_windows(mel, frames, columns=self._config.compact.mel_frames))
            rows["codes"].append(clip.codes[frames])
            rows["features"].append(clip.features[frames])
            rows["known"].append(clip.weight[frames][:, None])
            rows["clip"].append(np.full(SEGMENT, number))
            rows["frame"].append(frames)
        joined = {name: np.concatenate(rows[name]) for name in ("mel", "codes", "clip", "frame")}
        stacked = {name: np.stack(rows[name]) for name in ("features", "known")}
        return {name: torch.from_numpy(values) for name, values in {**joined, **stacked}.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        codes = self.speech(batch["mel"]).float()
        known = batch["known"]
        flat = known.reshape(-1, 1)
        scale = self._scale.to(codes.device)
        away = functional.smooth_l1_loss(codes / scale, batch["codes"] / scale, reduction="none")
        predicted = self._features(codes).reshape(batch["features"].shape)
        wrong = functional.smooth_l1_loss(predicted, batch["features"], reduction="none")
        used = flat[:, 0] > 0  # frames that are held back or were not seen have no partner
        near = (batch["clip"][:, None] == batch["clip"][None]) & (
            (batch["frame"][:, None] - batch["frame"][None]).abs() < NEAR
        )
        return {
            "codes": (away * flat).mean(),
            "contrast": contrast_loss(codes[used] / scale, batch["codes"][used] / scale, near[used][:, used]),
            "features": (wrong * known).mean(),
            "correlation": correlation_loss(predicted, batch["features"], known),
        }

    def _features(self, codes: Tensor) -> Tensor:
        return codes @ self._weight.to(codes.device).T + self._bias.to(codes.device)

    def evaluate(self) -> dict[str, float]:
        """Correlation of gap, width and jaw with the true mouths of held-out people, best within 3 frames of 0;
        `spread`: how much the gap moves beside the true one."""
        rows, spread = [], []
        device = next(self.speech.parameters()).device
        for clip in self._held_out:
            windows = mel_windows(clip.mel, np.arange(len(clip)), columns=self._config.compact.mel_frames)
            predicted = self._features(self.speech(torch.from_numpy(windows).to(device)).float()).cpu().numpy()
            known = clip.weight > 0
            rows.append([best_lag(predicted[known, k], clip.features[known, k], 3)[1] for k in range(3)])
            spread.append(predicted[known, 0].std() / max(1e-6, clip.features[known, 0].std()))
        if not rows:
            return {}
        gap, width, jaw = np.nanmean(np.array(rows, np.float64), axis=0)
        return {"gap": float(gap), "width": float(width), "jaw": float(jaw), "spread": float(np.median(spread))}


def contrast_loss(audio: Tensor, video: Tensor, near: Tensor) -> Tensor:
    """Cross entropy of finding each moment's partner, both ways (paper, section 3.2); what is `near` bool [N, N] does
    not count."""
    logits = cosine_logits(audio, video)
    own = torch.arange(len(audio), device=audio.device)
    logits = logits.masked_fill(near & (own[:, None] != own[None]), -torch.inf)
    return functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)


def disturbed(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another room and microphone: mel [T, 80] in [0, 1] (100 dB) with another level, tone, noise and gaps."""
    bands = np.linspace(-1, 1, mel.shape[1], dtype=np.float32)
    tone = rng.normal() * 0.04 * bands + rng.normal() * 0.03 * np.cos(np.pi * bands * rng.uniform(1, 3))
    # exact zeros are silence that was made, in front of and behind a recording: no microphone changes them
    changed = np.where(mel > 0, mel + np.float32(rng.normal() * 0.04) + tone.astype(np.float32), 0)
    if rng.random() < 0.6:
        floor = np.float32(rng.uniform(0.15, 0.55)) + rng.normal(scale=0.05, size=mel.shape).astype(np.float32)
        power = 10 ** (10 * changed) + 10 ** (10 * np.clip(floor - 0.15 * (bands + 1), 0, 1))
        changed = np.log10(power) / 10
    if rng.random() < 0.5:
        first = int(rng.integers(0, 70))
        changed = changed.copy()
        changed[:, first : first + int(rng.integers(2, 10))] = float(changed.mean())
    return np.clip(changed, 0, 1).astype(np.float32)
