"""From sound to the codes that the mouth network gives for pictures: the speech network's training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.lags import best_lag
from talkingface.face.morphable import load_mesh478
from talkingface.systems.pcavs.compact.mouth_recipe import LEAST_FRAMES, clip_codes
from talkingface.systems.pcavs.compact.mouths import MouthClip
from talkingface.systems.pcavs.compact.networks import NUM_MOUTH, MouthNet, make_speech
from talkingface.systems.pcavs.config import CompactConfig
from talkingface.systems.pcavs.official.losses import cosine_logits
from talkingface.training.augment_speech import SPEEDS
from talkingface.training.mouth_targets import correlation_loss, retime
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.sampling import person_shares
from talkingface.training.speech_recipe import measure_rows, spread_loss
from talkingface.training.speech_tokens import TokenSource

SEGMENT = 48
"""Frames in a row from one clip."""
SILENT_ROWS, SILENT_COPIES = 1, 16
"""Segments of a batch that are no speech, in which the mouth rests, and how many are made beforehand."""
NEAR = 5
"""Frames of one clip that are closer than this sound alike: they are no negatives for each other."""
LEAST_KNOWN = 20
"""Frames of a clip that are known, to learn from it."""
DROPOUT = 0.25


@dataclass(frozen=True, slots=True)
class _Heard:
    """A clip as another listener hears it: `tokens` float16 [2 T, width], `targets` [T, C + 16 + 3], `weight` [T]."""

    tokens: np.ndarray
    targets: np.ndarray
    weight: np.ndarray


class SpeechRecipe(Recipe):
    """The speech network on tokens of the encoder, which stays as it is; `mouth`: the trained mouth network.

    `copies`: how many augmented versions of each clip are made beforehand.
    """

    name = "pcavs.speech"
    phases = (Phase("speak", ("speech",)),)
    loss_weights: Mapping[str, float] = {
        "codes": 0.5, "contrast": 0.1, "measures": 2.0, "shape": 0.5, "speed": 0.5, "correlation": 1.0, "spread": 0.1,
    }  # fmt: skip
    optimizers = {"speech": OptimizerConfig(lr=2e-3, weight_decay=0.05, warmup_steps=50, final_ratio=0.005)}

    def __init__(
        self, clips: Sequence[MouthClip], config: CompactConfig, mouth: MouthNet, *,
        held_out: Sequence[MouthClip] = (), batch_size: int = 16, copies: int = 3, seed: int = 0,
    ) -> None:  # fmt: skip
        self._config, self._batch_size = config, batch_size
        clips = [clip for clip in clips if clip.samples is not None and clip.weight.sum() >= LEAST_KNOWN]
        self._held_out = [c for c in held_out if c.samples is not None and c.weight.sum() >= LEAST_FRAMES]
        codes = [clip_codes(clip, mouth, config) for clip in clips]
        # codes in units of their deviation: all of them count alike
        everything = np.concatenate([own[clip.weight > 0] for own, clip in zip(codes, clips, strict=True)])
        self._scale = torch.from_numpy(everything.std(axis=0) + 1e-3)
        self._decode = mouth.decode.weight.detach().cpu()
        model = load_mesh478()
        effect = np.sqrt((model.expression[..., :NUM_MOUTH] ** 2).sum((0, 1)))
        self._effect, self._measures = torch.from_numpy(effect / np.linalg.norm(effect)), measure_rows(model)
        share = person_shares([clip.person for clip in clips], [len(clip) for clip in clips])
        self._share = share / share.sum()
        self._tokens = TokenSource(config.encoder, [_voice(clip) for clip in clips], seed)
        rng = make_rng(seed, 1 << 30)
        self._copies = [
            [self._hear(clip, own, rng) for clip, own in zip(clips, codes, strict=True)] for _ in range(copies)
        ]
        self._silent = [self._no_speech(rng) for _ in range(SILENT_COPIES)]

    def _hear(self, clip: MouthClip, codes: np.ndarray, rng: np.random.Generator) -> _Heard:
        speed = SPEEDS[int(rng.integers(len(SPEEDS)))]
        rows, known = retime(np.concatenate([codes, clip.targets, clip.weight[:, None]], axis=1), speed, 0.0)
        weight = ((rows[:, -1] > 0.99) * known).astype(np.float32)
        tokens = self._tokens.otherwise(_voice(clip), speed, len(rows), rng)
        return _Heard(tokens, rows[:, :-1].astype(np.float32), weight)

    def _no_speech(self, rng: np.random.Generator) -> _Heard:
        tokens = self._tokens.silence(rng)
        frames = len(tokens) // 2
        width = self._config.code + NUM_MOUTH + 3
        return _Heard(tokens, np.zeros((frames, width), np.float32), np.ones(frames, np.float32))

    def networks(self) -> dict[str, nn.Module]:
        """The speech network."""
        self.speech = make_speech(self._config, DROPOUT)
        return {"speech": self.speech}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """`tokens` [B, 2 L, W], `targets` [B, L, C + 16 + 3], `known` [B, L, 1], `clip` and `frame` [B * L]; the last
        segments are no speech."""
        rng = make_rng(seed, step)
        rows: dict[str, list[np.ndarray]] = {name: [] for name in ("tokens", "targets", "known", "clip", "frame")}
        for place in range(self._batch_size + SILENT_ROWS):
            if place < self._batch_size:
                number = int(rng.choice(len(self._share), p=self._share))
                heard = self._copies[int(rng.integers(len(self._copies)))][number]
            else:
                number = -1  # all that is no speech is alike
                heard = self._silent[int(rng.integers(len(self._silent)))]
            first = int(rng.integers(max(0, len(heard.weight) - SEGMENT) + 1))
            tokens, known = self._tokens.cut(heard.tokens, heard.weight, first, SEGMENT)
            part = heard.targets[first : first + SEGMENT]
            rows["tokens"].append(tokens)
            rows["targets"].append(np.pad(part, ((0, SEGMENT - len(part)), (0, 0))))
            rows["known"].append(known[:, None])
            rows["clip"].append(np.full(SEGMENT, number))
            rows["frame"].append(np.arange(first, first + SEGMENT) if number >= 0 else np.zeros(SEGMENT, np.int64))
        joined = {name: np.concatenate(rows[name]) for name in ("clip", "frame")}
        stacked = {name: np.stack(rows[name]) for name in ("tokens", "targets", "known")}
        return {name: torch.from_numpy(values) for name, values in {**joined, **stacked}.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        codes, known = self.speech(batch["tokens"]).float(), batch["known"]
        true_codes, true_shape, true = batch["targets"].split([self._config.code, NUM_MOUTH, 3], dim=-1)
        shape = codes @ self._decode.to(codes).T
        predicted = shape @ self._measures.to(codes).T
        count, both = known.sum().clamp(min=1), known[:, 1:] * known[:, :-1]
        scale = self._scale.to(codes)
        away = functional.smooth_l1_loss(codes / scale, true_codes / scale, reduction="none")
        wrong = functional.smooth_l1_loss(predicted, true, reduction="none")
        used = known.reshape(-1) > 0  # frames that are held back or were not seen have no partner
        near = (batch["clip"][:, None] == batch["clip"][None]) & (
            (batch["frame"][:, None] - batch["frame"][None]).abs() < NEAR
        )
        audio, video = ((part / scale).flatten(0, 1)[used] for part in (codes, true_codes))
        return {
            "codes": (away * known).sum() / count / codes.shape[-1],
            "contrast": contrast_loss(audio, video, near[used][:, used]),
            "measures": (wrong * known).sum() / count / 3,
            "shape": (((shape - true_shape) * self._effect.to(codes)) ** 2 * known).sum() / count,
            "speed": ((predicted.diff(dim=1) - true.diff(dim=1)) ** 2 * both).sum() / count,
            "correlation": correlation_loss(predicted, true, known),
            "spread": spread_loss(predicted, true, known),
        }

    def evaluate(self) -> dict[str, float]:
        """Correlation of gap, width and jaw with the true mouths of held-out people, best within 3 frames of 0, and how
        far each moves beside the true one (`gap_ratio`, ...): medians."""
        rows, moved = [], []
        device = next(self.speech.parameters()).device
        for clip in self._held_out:
            tokens = torch.from_numpy(self._tokens.plain(_voice(clip), len(clip)).astype(np.float32))[None]
            shape = self.speech(tokens.to(device))[0].float().cpu() @ self._decode.T
            known, true = clip.weight > 0, clip.targets[:, NUM_MOUTH:]
            predicted = (shape @ self._measures.T).numpy()
            rows.append([best_lag(predicted[known, k], true[known, k], 3)[1] for k in range(3)])
            moved.append(predicted[known].std(axis=0) / np.maximum(true[known].std(axis=0), 1e-6))
        if not rows:
            return {}
        names = ("gap", "width", "jaw")
        ratios = {f"{name}_ratio": float(v) for name, v in zip(names, np.median(moved, axis=0), strict=True)}
        return {name: float(v) for name, v in zip(names, np.nanmean(rows, axis=0), strict=True)} | ratios


def contrast_loss(audio: Tensor, video: Tensor, near: Tensor) -> Tensor:
    """Cross entropy of finding each moment's partner, both ways (paper, section 3.2); what is `near` bool [N, N] does
    not count."""
    logits = cosine_logits(audio, video)
    own = torch.arange(len(audio), device=audio.device)
    logits = logits.masked_fill(near & (own[:, None] != own[None]), -torch.inf)
    return functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)


def _voice(clip: MouthClip) -> np.ndarray:
    assert clip.samples is not None
    return clip.samples
