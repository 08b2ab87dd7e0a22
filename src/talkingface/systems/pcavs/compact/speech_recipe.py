"""From sound to the codes that the mouth network gives for pictures: the speech network's training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.lags import best_lag
from talkingface.face.morphable import CLOSED_GAP
from talkingface.systems.pcavs.alignment.align import shifted
from talkingface.systems.pcavs.alignment.crop import on_square, square_matrix, view
from talkingface.systems.pcavs.compact.data import ClipFeatures, clip_features
from talkingface.systems.pcavs.compact.networks import MouthNet, make_speech, signed_mouths
from talkingface.systems.pcavs.compact.views import mouth_view
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip, moved_sound
from talkingface.systems.pcavs.official.losses import cosine_logits
from talkingface.training.augment_speech import SPEEDS
from talkingface.training.mouth_targets import MEASURE_SCALE, correlation_loss, retime
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.sampling import person_shares
from talkingface.training.speech_recipe import spread_loss
from talkingface.training.speech_tokens import TokenSource

SEGMENT = 48
"""Frames in a row from one clip."""
SILENT_ROWS, SILENT_COPIES = 1, 16
"""Segments of a batch that are no speech, in which the mouth rests, and how many are made beforehand."""
NEAR = 5
"""Frames of one clip that are closer than this sound alike: they are no negatives for each other."""
LEAST_KNOWN = 20
"""Frames of a clip that are known, to learn from it."""
LEAST_FRAMES = 40
"""Of a held-out clip."""
DROPOUT = 0.25
_PICTURES = 64
"""Pictures encoded at a time."""


@dataclass(frozen=True, slots=True)
class SpeechClip:
    """A clip with its mouth codes: `samples` float32 [N] at 16 kHz, as late as the lips, `codes` [T, M], mouth
    `features` [T, 3], `weight` [T]."""

    slug: str
    person: str
    samples: np.ndarray
    codes: np.ndarray
    features: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True)
class _Heard:
    """A clip as another listener hears it: `tokens` float16 [2 T, width], `targets` [T, M + 3], `weight` [T]."""

    tokens: np.ndarray
    targets: np.ndarray
    weight: np.ndarray


def encode_mouths(
    clips: Sequence[CropClip], net: MouthNet, config: PcavsConfig, voice: Callable[[CropClip], np.ndarray]
) -> Iterator[SpeechClip]:
    """The speaking clips of `clips`, their mouths encoded by `net`; `voice` gives a clip's sound, float32 [N] at 16 kHz
    from its first frame on."""
    for clip in clips:
        if not clip.speaks:
            continue
        features = clip_features(clip)
        yield SpeechClip(
            slug=clip.slug,
            person=clip.person,
            samples=moved_sound(voice(clip), clip.late_s, len(clip)),
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
    """The speech network on tokens of the encoder, which stays as it is.

    `readout`: weight [3, M] and bias [3] that turn codes into gap, width and jaw; `copies`: how many augmented versions
    of each clip are made beforehand.
    """

    name = "pcavs.speech"
    phases = (Phase("speak", ("speech",)),)
    loss_weights: Mapping[str, float] = {
        "codes": 1.0, "contrast": 0.1, "features": 1.0, "correlation": 0.5, "spread": 0.1,
    }  # fmt: skip
    optimizers = {"speech": OptimizerConfig(lr=2e-3, weight_decay=0.05, warmup_steps=50, final_ratio=0.005)}

    def __init__(
        self, clips: Sequence[SpeechClip], config: PcavsConfig, readout: tuple[np.ndarray, np.ndarray], *,
        held_out: Sequence[SpeechClip] = (), batch_size: int = 16, copies: int = 5, seed: int = 0,
    ) -> None:  # fmt: skip
        self._config, self._batch_size = config, batch_size
        clips = [clip for clip in clips if clip.weight.sum() >= LEAST_KNOWN]
        self._held_out = [clip for clip in held_out if clip.weight.sum() >= LEAST_FRAMES]
        # codes in units of their deviation: all of them count alike
        everything = np.concatenate([clip.codes[clip.weight > 0] for clip in clips])
        self._scale = torch.from_numpy(everything.std(axis=0) + 1e-3)
        self._weight, self._bias = (torch.from_numpy(part) for part in readout)
        share = person_shares([clip.person for clip in clips], [len(clip) for clip in clips])
        self._share = share / share.sum()
        self._tokens = TokenSource(config.compact.encoder, [clip.samples for clip in clips], seed)
        rng = make_rng(seed, 1 << 30)
        self._copies = [[self._hear(clip, rng) for clip in clips] for _ in range(copies)]
        rest = _resting(clips)
        self._silent = [self._no_speech(rest, rng) for _ in range(SILENT_COPIES)]

    def _hear(self, clip: SpeechClip, rng: np.random.Generator) -> _Heard:
        speed = SPEEDS[int(rng.integers(len(SPEEDS)))]
        rows, known = retime(np.concatenate([clip.codes, clip.features, clip.weight[:, None]], axis=1), speed, 0.0)
        weight = ((rows[:, -1] > 0.99) * known).astype(np.float32)
        tokens = self._tokens.otherwise(clip.samples, speed, len(rows), rng)
        return _Heard(tokens, rows[:, :-1].astype(np.float32), weight)

    def _no_speech(self, rest: np.ndarray, rng: np.random.Generator) -> _Heard:
        tokens = self._tokens.silence(rng)
        frames = len(tokens) // 2
        return _Heard(tokens, np.tile(rest, (frames, 1)), np.ones(frames, np.float32))

    def networks(self) -> dict[str, nn.Module]:
        """The speech network."""
        self.speech = make_speech(self._config.codes, self._config.compact, DROPOUT)
        return {"speech": self.speech}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """`tokens` [B, 2 L, W], `codes` [B * L, M], `features` [B, L, 3], `known` [B, L, 1], `clip` and `frame`
        [B * L]; the last segments are no speech."""
        rng = make_rng(seed, step)
        names = ("tokens", "codes", "features", "known", "clip", "frame")
        rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for place in range(self._batch_size + SILENT_ROWS):
            if place < self._batch_size:
                number = int(rng.choice(len(self._share), p=self._share))
                heard = self._copies[int(rng.integers(len(self._copies)))][number]
            else:
                number = -1  # all that is no speech is alike
                heard = self._silent[int(rng.integers(len(self._silent)))]
            first = int(rng.integers(max(0, len(heard.weight) - SEGMENT) + 1))
            tokens, known = self._tokens.cut(heard.tokens, heard.weight, first, SEGMENT)
            targets = np.zeros((SEGMENT, heard.targets.shape[1]), np.float32)
            part = heard.targets[first : first + SEGMENT]
            targets[: len(part)] = part
            rows["tokens"].append(tokens)
            rows["codes"].append(targets[:, :-3])
            rows["features"].append(targets[:, -3:])
            rows["known"].append(known[:, None])
            rows["clip"].append(np.full(SEGMENT, number))
            rows["frame"].append(np.arange(first, first + SEGMENT) if number >= 0 else np.zeros(SEGMENT, np.int64))
        joined = {name: np.concatenate(rows[name]) for name in ("codes", "clip", "frame")}
        stacked = {name: np.stack(rows[name]) for name in ("tokens", "features", "known")}
        return {name: torch.from_numpy(values) for name, values in {**joined, **stacked}.items()}

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        codes = self.speech(batch["tokens"]).float().flatten(0, 1)
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
            "codes": (away * flat).sum() / flat.sum().clamp(min=1) / codes.shape[1],
            "contrast": contrast_loss(codes[used] / scale, batch["codes"][used] / scale, near[used][:, used]),
            "features": (wrong * known).sum() / known.sum().clamp(min=1) / 3,
            "correlation": correlation_loss(predicted, batch["features"], known),
            "spread": spread_loss(predicted, batch["features"], known),
        }

    def _features(self, codes: Tensor) -> Tensor:
        return codes @ self._weight.to(codes.device).T + self._bias.to(codes.device)

    def evaluate(self) -> dict[str, float]:
        """Correlation of gap, width and jaw with the true mouths of held-out people, best within 3 frames of 0;
        `spread`: how much the gap moves beside the true one."""
        rows, spread = [], []
        device = next(self.speech.parameters()).device
        for clip in self._held_out:
            tokens = torch.from_numpy(self._tokens.plain(clip.samples, len(clip)).astype(np.float32))[None]
            predicted = self._features(self.speech(tokens.to(device))[0].float()).cpu().numpy()
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


def _resting(clips: Sequence[SpeechClip]) -> np.ndarray:
    """Codes and features of a closed mouth: float32 [M + 3]."""
    rows = np.concatenate([np.concatenate([clip.codes, clip.features], axis=1)[clip.weight > 0] for clip in clips])
    shut = rows[:, -3] < CLOSED_GAP / MEASURE_SCALE[0]
    return rows[shut if shut.any() else rows[:, -3] <= rows[:, -3].min()].mean(axis=0)
