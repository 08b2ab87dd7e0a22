"""Speech learns the mouth's language: from sound to the codes that the mouth network reads in pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.metrics.sync import best_lag
from talkingface.systems.pcavs.compact.data import Facts, clip_facts
from talkingface.systems.pcavs.compact.networks import MouthNet, SpeechNet, signed_mouths
from talkingface.systems.pcavs.compact.views import mouth_view, on_square, shifted, square_matrix, view
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip
from talkingface.systems.pcavs.data.mel import mel_windows
from talkingface.systems.pcavs.official.loss_terms import cosine_logits
from talkingface.training.mouth_targets import correlation_loss
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

SEGMENT = 20
"""Frames in a row from one clip."""
NEAR = 5
"""Frames of one clip that are closer than this sound alike: they are no negatives for each other."""
LEAST_FRAMES = 40
"""Of a clip on which speech is judged."""
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class HeardClip:
    """A clip in the mouth network's language: `mel` [T4, 80], `codes` [T, M], mouth `facts` [T, 3], `weight` [T]."""

    slug: str
    person: str
    mel: np.ndarray
    codes: np.ndarray
    facts: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


def read_mouths(clips: Sequence[CropClip], net: MouthNet, config: PcavsConfig) -> Iterator[HeardClip]:
    """The speaking clips of `clips` as `net` sees them."""
    for clip in clips:
        if not clip.speaks:
            continue
        facts = clip_facts(clip)
        yield HeardClip(
            slug=clip.slug,
            person=clip.person,
            mel=clip.mel,
            codes=np.concatenate(list(_codes(clip, facts, net, config))),
            facts=facts.mouth,
            weight=clip.weight,
        )


@torch.no_grad()
def _codes(clip: CropClip, facts: Facts, net: MouthNet, config: PcavsConfig) -> Iterator[np.ndarray]:
    size = config.compact.size_px
    device = next(net.parameters()).device
    for start in range(0, len(clip), _CHUNK):
        numbers = range(start, min(start + _CHUNK, len(clip)))
        mouths = []
        for number, frame in zip(numbers, clip.frames(numbers), strict=True):
            matrix = square_matrix(size)
            square = view(frame, shifted(matrix, facts.shift[number]), size)
            mouths.append(mouth_view(square, on_square(facts.points[number], matrix, size), config.compact.mouth_px))
        yield net(signed_mouths(torch.from_numpy(np.stack(mouths)).to(device))).float().cpu().numpy()


class SpeechRecipe(Recipe):
    """The speech network. `readout`: weight [3, M] and bias [3] that turn codes into gap, width and jaw."""

    name = "pcavs.speech"
    phases = (Phase("listen", ("speech",)),)
    loss_weights: Mapping[str, float] = {"codes": 1.0, "contrast": 0.1, "facts": 1.0, "correlation": 0.5}
    optimizers = {"speech": OptimizerConfig(lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02, final_ratio=0.01)}

    def __init__(
        self, clips: Sequence[HeardClip], config: PcavsConfig, readout: tuple[np.ndarray, np.ndarray], *,
        held_out: Sequence[HeardClip] = (), batch_size: int = 16,
    ) -> None:  # fmt: skip
        self._config, self._batch_size = config, batch_size
        self._clips = [clip for clip in clips if clip.weight.sum() >= SEGMENT]
        self._held_out = [clip for clip in held_out if clip.weight.sum() >= LEAST_FRAMES]
        everything = np.concatenate([clip.codes[clip.weight > 0] for clip in self._clips])
        self._scale = torch.from_numpy(everything.std(axis=0) + 1e-3)
        self._weight, self._bias = (torch.from_numpy(part) for part in readout)
        people: dict[str, float] = {}
        for clip in self._clips:
            people[clip.person] = people.get(clip.person, 0) + len(clip)
        share = np.array([len(clip) * people[clip.person] ** -0.5 for clip in self._clips])
        self._share = share / share.sum()

    def networks(self) -> dict[str, nn.Module]:
        """The speech network."""
        self.speech = SpeechNet(self._config.codes, self._config.compact)
        return {"speech": self.speech}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """`mel` [B*L, 1, 80, W], `codes` [B*L, M], `facts` [B, L, 3], `known` [B, L, 1], `clip` and `frame` [B*L]."""
        rng = make_rng(seed, step)
        rows: dict[str, list[np.ndarray]] = {name: [] for name in ("mel", "codes", "facts", "known", "clip", "frame")}
        for _ in range(self._batch_size):
            number = int(rng.choice(len(self._clips), p=self._share))
            clip = self._clips[number]
            first = int(rng.integers(len(clip) - SEGMENT + 1))
            frames = np.arange(first, first + SEGMENT)
            mel = disturbed(clip.mel, rng)
            rows["mel"].append(mel_windows(mel, frames, columns=self._config.compact.mel_frames))
            rows["codes"].append(clip.codes[frames])
            rows["facts"].append(clip.facts[frames])
            rows["known"].append(clip.weight[frames][:, None])
            rows["clip"].append(np.full(SEGMENT, number))
            rows["frame"].append(frames)
        joined = {name: np.concatenate(rows[name]) for name in ("mel", "codes", "clip", "frame")}
        stacked = {name: np.stack(rows[name]) for name in ("facts", "known")}
        return {name: torch.from_numpy(values) for name, values in {**joined, **stacked}.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        heard = self.speech(batch["mel"]).float()
        known = batch["known"]
        flat = known.reshape(-1, 1)
        scale = self._scale.to(heard.device)
        away = functional.smooth_l1_loss(heard / scale, batch["codes"] / scale, reduction="none")
        said = self._read(heard).reshape(batch["facts"].shape)
        wrong = functional.smooth_l1_loss(said, batch["facts"], reduction="none")
        used = flat[:, 0] > 0  # what is held back or was not seen is nobody's partner
        near = (batch["clip"][:, None] == batch["clip"][None]) & (
            (batch["frame"][:, None] - batch["frame"][None]).abs() < NEAR
        )
        return {
            "codes": (away * flat).mean(),
            "contrast": _contrast(heard[used] / scale, batch["codes"][used] / scale, near[used][:, used]),
            "facts": (wrong * known).mean(),
            "correlation": correlation_loss(said, batch["facts"], known),
        }

    def _read(self, codes: Tensor) -> Tensor:
        return codes @ self._weight.to(codes.device).T + self._bias.to(codes.device)

    def evaluate(self) -> dict[str, float]:
        """Correlation of gap, width and jaw with the true mouths of people never heard, best within 3 frames of 0;
        `spread`: how much the gap moves beside the true one."""
        rows, spread = [], []
        device = next(self.speech.parameters()).device
        for clip in self._held_out:
            windows = mel_windows(clip.mel, np.arange(len(clip)), columns=self._config.compact.mel_frames)
            said = self._read(self.speech(torch.from_numpy(windows).to(device)).float()).cpu().numpy()
            seen = clip.weight > 0
            found = []
            for k in range(3):
                found.append(best_lag(said[seen, k], clip.facts[seen, k], 3)[1])
            rows.append(found)
            spread.append(said[seen, 0].std() / max(1e-6, clip.facts[seen, 0].std()))
        if not rows:
            return {}
        gap, width, jaw = np.nanmean(np.array(rows, np.float64), axis=0)
        return {"gap": float(gap), "width": float(width), "jaw": float(jaw), "spread": float(np.median(spread))}


def _contrast(heard: Tensor, seen: Tensor, near: Tensor) -> Tensor:
    """Cross entropy of finding each moment's partner, both ways (paper, section 3.2); what is `near` bool [N, N] does
    not count."""
    logits = cosine_logits(heard, seen)
    own = torch.arange(len(heard), device=heard.device)
    logits = logits.masked_fill(near & (own[:, None] != own[None]), -torch.inf)
    return functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)


def disturbed(mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another room and microphone: mel [T, 80] in [0, 1] (100 dB) with another level, tone, noise and gaps."""
    bands = np.linspace(-1, 1, mel.shape[1], dtype=np.float32)
    tone = rng.normal() * 0.04 * bands + rng.normal() * 0.03 * np.cos(np.pi * bands * rng.uniform(1, 3))
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
