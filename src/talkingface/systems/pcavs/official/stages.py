"""Stages 1 and 2 of the published training: V as a classifier of people; A_sync and E's mouth code brought together.

The public code has no trainer: rates and steps are ours. Encoders begin trained, so their rate is low.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.errors import InputError
from talkingface.systems.pcavs.alignment.crop import loader_crop
from talkingface.systems.pcavs.official.config import OfficialConfig
from talkingface.systems.pcavs.official.data import (
    ClipSet,
    TrainingClip,
    apart,
    driving_pictures,
    evenly,
    sized,
    to_planes,
    to_signed,
)
from talkingface.systems.pcavs.official.losses import mouth_losses
from talkingface.systems.pcavs.official.networks.build import (
    State,
    load_earlier,
    make_identity,
    make_nonidentity,
    make_speech,
)
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

ENCODER_LR = 1e-4
MOST_CLIPS = 24
"""Clips that figures are taken from while training."""
_MOST_PEOPLE, _MOMENTS, _PIECE = 256, 64, 16


class IdentityRecipe(Recipe):
    """Stage 1: V as a classifier of the people in `clips`, by plain cross entropy.

    `validation`: clips of the same people, for `evaluate`; others among them are left out. `begin`: states to go on
    from ("identity", or ImageNet's ResNeXt as "imagenet").
    """

    name = "pcavs.identity"
    phases = (Phase("classify", ("identity",)),)
    loss_weights: Mapping[str, float] = {"person": 1.0}
    optimizers = {"identity": OptimizerConfig(lr=ENCODER_LR, weight_decay=1e-4)}

    def __init__(
        self, clips: Sequence[TrainingClip], config: OfficialConfig, *, validation: Sequence[TrainingClip] = (),
        begin: Mapping[str, State] | None = None,
    ) -> None:  # fmt: skip
        self.clip_set, self._config, self._begin = ClipSet(clips, speaking=False), config, begin or {}
        if len(self.clip_set.people) < 2:
            raise InputError("a classifier of people needs clips of two of them or more")
        self._validation = evenly([clip for clip in validation if clip.person in self.clip_set.people], _MOST_PEOPLE)

    def networks(self) -> dict[str, nn.Module]:
        """V."""
        self.identity = make_identity(self._config.sizes, len(self.clip_set.people))
        # ImageNet first, so that an earlier stage 1 wins
        load_earlier(self.identity.model, self._begin.get("imagenet"), "the ImageNet network to begin with")
        load_earlier(self.identity, self._begin.get("identity"), "the identity network to begin with")
        return {"identity": self.identity}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Pictures uint8 [B, 3, S, S] for V, half of them mirrored, and the number of the person [B]."""
        rng = make_rng(seed, step)
        chosen = self.clip_set.choose(rng, self._config.training.identity_batch)
        pictures = [self._picture(self.clip_set.clips[k], int(rng.choice(self.clip_set.usable[k]))) for k in chosen]
        mirrored = [picture[:, ::-1] if rng.random() < 0.5 else picture for picture in pictures]
        return {"pictures": to_planes(np.stack(mirrored)), "person": torch.from_numpy(self.clip_set.labels[chosen])}

    def _picture(self, clip: TrainingClip, number: int) -> np.ndarray:
        return sized(loader_crop(clip.frames([number])), self._config.sizes.crop_px)[0]

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        vector = self.identity(to_signed(batch["pictures"])[:, None]).vector
        return {"person": functional.cross_entropy(self.identity.scores(vector).float(), batch["person"])}

    def evaluate(self) -> dict[str, float]:
        """Share of validation clips whose middle frame is given to the right person."""
        device = next(self.identity.parameters()).device
        right = 0
        for clip in self._validation:
            picture = to_planes(self._picture(clip, len(clip.weight) // 2)[None]).to(device)
            scores = self.identity.scores(self.identity(to_signed(picture)[None]).vector)
            right += self.clip_set.people[int(scores.argmax())] == clip.person
        return {"right": right / len(self._validation)} if self._validation else {}


class SyncRecipe(Recipe):
    """Stage 2: A_sync and E's mouth code meet, contrastively in both directions.

    Negatives are the other clips of a batch and, with the paper's similarity, other moments of the same clip.
    `begin`: states to go on from ("nonidentity", "speech", or a "fan" for the former's backbone).
    """

    name = "pcavs.sync"
    phases = (Phase("sync", ("speech", "nonidentity")),)
    optimizers = dict.fromkeys(("speech", "nonidentity"), OptimizerConfig(lr=ENCODER_LR))

    def __init__(
        self, clips: Sequence[TrainingClip], config: OfficialConfig, *, validation: Sequence[TrainingClip] = (),
        begin: Mapping[str, State] | None = None,
    ) -> None:  # fmt: skip
        self._config, self._begin, training = config, begin or {}, config.training
        needed = (training.sync_windows - 1) * training.apart_frames + 1
        self.clip_set = ClipSet(clips, speaking=True, least_frames=needed)
        if len(self.clip_set) * training.sync_windows < 2:
            raise InputError("training on synchrony needs two moments or more; give more clips or sync_windows")
        self._validation = evenly([c for c in validation if c.speaks and (c.weight > 0).sum() >= needed], MOST_CLIPS)
        weights = training.all_loss_weights()
        self.loss_weights = {name: weights[name] for name in ("crossmodal", "contrast_audio", "contrast_video")}

    def networks(self) -> dict[str, nn.Module]:
        """A_sync and E; what the stage does not train is frozen."""
        self.speech, self.nonidentity = make_speech(self._config.sizes), make_nonidentity(self._config.sizes)
        load_earlier(self.speech, self._begin.get("speech"), "the speech network to begin with")
        if "fan" in self._begin:  # a FAN for landmarks lacks the last layers
            self.nonidentity.model.load_state_dict(self._begin["fan"], strict=False)
        load_earlier(self.nonidentity, self._begin.get("nonidentity"), "the non-identity network to begin with")
        trained = ("to_mouth.", "model.") if self._config.training.sync_backbone else ("to_mouth.",)
        for name, param in self.nonidentity.named_parameters():
            param.requires_grad_(name.startswith(trained))
        return {"speech": self.speech, "nonidentity": self.nonidentity}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """`sync_windows` moments of each clip: pictures uint8 [N, 3, S, S] and mel windows [N, 1, 80, 20]."""
        rng, training = make_rng(seed, step), self._config.training
        chosen = self.clip_set.choose(rng, min(training.sync_clips, len(self.clip_set)))
        pictures, windows = [], []
        for k in chosen:
            numbers = apart(rng, self.clip_set.usable[k], training.sync_windows, training.apart_frames)
            pictures.append(self._driving(rng, self.clip_set.clips[k], numbers, training.augment))
            windows.append(self.clip_set.clips[k].mel_windows(numbers))
        return {"pictures": to_planes(np.concatenate(pictures)), "windows": torch.from_numpy(np.concatenate(windows))}

    def _driving(self, rng: np.random.Generator, clip: TrainingClip, numbers: np.ndarray, augment: bool) -> np.ndarray:
        return driving_pictures(rng, clip, numbers, crop_px=self._config.sizes.crop_px, augment=augment)[1]

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `official.losses.mouth_losses`."""
        mouth = self.nonidentity.mouth(self.nonidentity(to_signed(batch["pictures"])))
        clips = len(mouth) // self._config.training.sync_windows
        return mouth_losses(mouth, self.speech(batch["windows"]), clips, self._config.training.contrast)

    def evaluate(self) -> dict[str, float]:
        """Share of moments of a clip at which its speech finds its own frame among all of them, mean of the clips.

        Chance is one over `moments`.
        """
        device = next(self.speech.parameters()).device
        found, moments = [], 0
        for clip in self._validation:
            numbers = np.flatnonzero(clip.weight > 0)[:: self._config.training.apart_frames][:_MOMENTS]
            # not augmented: the figure is of pictures as they are in use
            pictures = to_planes(self._driving(make_rng(0, 0), clip, numbers, augment=False)).to(device)
            video = [self.nonidentity.mouth(self.nonidentity(to_signed(piece))) for piece in pictures.split(_PIECE)]
            audio = self.speech(torch.from_numpy(clip.mel_windows(numbers)).to(device))
            likeness = functional.normalize(audio, dim=1) @ functional.normalize(torch.cat(video), dim=1).T
            own = torch.arange(len(numbers), device=device)
            found.append(float((likeness.argmax(1) == own).float().mean()))
            moments = max(moments, len(numbers))
        return {"found": float(np.mean(found)), "moments": float(moments)} if found else {}
