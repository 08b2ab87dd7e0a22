"""Stage 3 of the published training: a frame drawn again from a distant picture of the person, its own pose, and the
mouth code of its picture and of its sound, against a discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.core.errors import InputError
from talkingface.systems.pcavs.alignment.crop import loader_crop
from talkingface.systems.pcavs.official.config import OfficialConfig
from talkingface.systems.pcavs.official.data import (
    ClipSet,
    TrainingClip,
    distant,
    driving_pictures,
    evenly,
    sized,
    to_planes,
    to_signed,
)
from talkingface.systems.pcavs.official.losses import (
    StageBatch,
    StageNetworks,
    discriminator_losses,
    draw,
    encode,
    generator_losses,
)
from talkingface.systems.pcavs.official.networks.build import (
    State,
    load_earlier,
    make_discriminator,
    make_generator,
    make_identity,
    make_nonidentity,
    make_speech,
)
from talkingface.systems.pcavs.official.networks.vgg import VggMaps
from talkingface.systems.pcavs.official.stages import ENCODER_LR, MOST_CLIPS
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

GENERATOR_LR, DISCRIMINATOR_LR = 5e-4, 4e-4
"""Higher than the encoders': equalised weights have unit deviation."""
BETAS = (0.0, 0.99)
"""Of all that plays against the discriminator."""
DRAWING = ("generator", "nonidentity", "speech", "identity")
SHOWN, EVALUATED = 4, 16


class GeneratorRecipe(Recipe):
    """G, D and the three encoders together.

    `begin`: states to go on from ("identity", "nonidentity", "speech", "generator", "discriminator"). `vgg`,
    `vgg_face`: networks of others; without them the discriminator's features and the picture itself are all that is
    matched. `words`: the word of each of `clips` as a number, to take words out of poses (optional). `validation`:
    clips of anybody, for previews and figures.
    """

    name = "pcavs.generator"
    phases: tuple[Phase, ...]

    def __init__(
        self, clips: Sequence[TrainingClip], config: OfficialConfig, *, validation: Sequence[TrainingClip] = (),
        begin: Mapping[str, State] | None = None, vgg: VggMaps | None = None, vgg_face: VggMaps | None = None,
        words: Sequence[int] | None = None,
    ) -> None:  # fmt: skip
        self._config, self._begin = config, begin or {}
        training = config.training
        self._span = (training.frames - 1) * training.frame_interval + 1
        self.clip_set = ClipSet(clips, speaking=True, least_frames=max(2, self._span))
        # two frames: one is the identity's
        self._validation = evenly([c for c in validation if c.speaks and (c.weight > 0).sum() > 1], MOST_CLIPS)
        self._vgg, self._vgg_face = vgg, vgg_face
        self._words = self._words_of(clips, words)
        against = ("discriminator",) if self._words is None else ("discriminator", "words")
        self.phases = (Phase("draw", DRAWING), Phase("discriminate", against))
        weights = training.all_loss_weights()
        self.loss_weights = {name: weights[name] for name in self._loss_names()}
        rates = {**dict.fromkeys(DRAWING, ENCODER_LR), **dict.fromkeys(against, DISCRIMINATOR_LR)}
        self.optimizers = {
            name: OptimizerConfig(lr=rate, betas=BETAS, warmup_steps=0, final_ratio=0.1)
            for name, rate in {**rates, "generator": GENERATOR_LR}.items()
        }

    def _words_of(self, clips: Sequence[TrainingClip], words: Sequence[int] | None) -> np.ndarray | None:
        if words is None:
            return None
        if len(words) != len(clips):
            raise InputError(f"{len(words)} words are given for {len(clips)} clips")
        by_clip = {id(clip): word for clip, word in zip(clips, words, strict=True)}
        return np.array([by_clip[id(clip)] for clip in self.clip_set.clips])

    def _loss_names(self) -> list[str]:
        kinds = ["match", "adversarial", *["vgg"] * (self._vgg is not None), *["face"] * (self._vgg_face is not None)]
        sides = ["audio"] if self._config.training.audio_only else ["video", "audio"]
        names = ["crossmodal", "contrast_audio", "contrast_video", "person", "discriminator_fake", "discriminator_real"]
        names += [f"{kind}_{side}" for kind in kinds for side in sides]
        return names + (["wordless", "word"] if self._words is not None else [])

    def networks(self) -> dict[str, nn.Module]:
        """The five networks; also the perceptual ones, frozen, and the one that predicts words, where they are
        given."""
        sizes = self._config.sizes
        made: dict[str, Any] = {
            "identity": make_identity(sizes, len(self.clip_set.people)),
            "nonidentity": make_nonidentity(sizes),
            "speech": make_speech(sizes),
            "generator": make_generator(sizes),
            "discriminator": make_discriminator(sizes),
        }
        for name, network in made.items():
            load_earlier(network, self._begin.get(name), f"the {name} network to begin with")
        if self._words is not None:
            poses = sizes.pose * self._config.training.frames
            made["words"] = nn.Sequential(nn.ReLU(), nn.Linear(poses, int(self._words.max()) + 1))
        made |= {"vgg": self._vgg} if self._vgg is not None else {}
        made |= {"vgg_face": self._vgg_face} if self._vgg_face is not None else {}
        self.nets = StageNetworks(**made)
        return made

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """`StageBatch` with pictures in uint8."""
        rng, training = make_rng(seed, step), self._config.training
        chosen = self.clip_set.choose(rng, training.clips)
        parts = [self._sample(rng, k) for k in chosen]
        names = ("reference", "target", "augmented", "windows")
        batch = {name: torch.cat([part[k] for part in parts]) for k, name in enumerate(names)}
        batch["person"] = torch.from_numpy(self.clip_set.labels[chosen])
        if self._words is not None:
            batch["word"] = torch.from_numpy(self._words[chosen])
        return batch

    def _sample(self, rng: np.random.Generator, k: int) -> tuple[Tensor, ...]:
        clip, usable, training = self.clip_set.clips[k], self.clip_set.usable[k], self._config.training
        first = int(rng.integers(len(usable) - self._span + 1))
        numbers = usable[first : first + self._span : training.frame_interval]
        # drawn in this order: another one would be other random numbers
        target, augmented = self._driving(rng, clip, numbers)
        reference = self._reference(clip, distant(rng, usable, numbers, training.distant_frames))
        return reference, target, augmented, torch.from_numpy(clip.mel_windows(numbers))

    def _driving(self, rng: np.random.Generator, clip: TrainingClip, numbers: np.ndarray) -> list[Tensor]:
        size, augment = self._config.sizes.crop_px, self._config.training.augment
        return [to_planes(p) for p in driving_pictures(rng, clip, numbers, crop_px=size, augment=augment)]

    def _reference(self, clip: TrainingClip, number: int) -> Tensor:
        return to_planes(sized(loader_crop(clip.frames([number])), self._config.sizes.crop_px))[None]

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `official.losses`. The discriminator gets what was drawn in this step before any update."""
        if "batch" not in shared:
            shared["batch"] = signed_batch(batch)
        if phase == "draw":
            training = self._config.training
            losses, shared["drawn"] = generator_losses(
                self.nets, shared["batch"], contrast=training.contrast, audio_only=training.audio_only
            )
            return losses
        return discriminator_losses(self.nets, shared["batch"], shared["drawn"])

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB of frames of validation clips, drawn from a distant picture of the person, by sound and by
        video. Without noise, so that figures of one network do not differ."""
        errors: dict[str, list[float]] = {"audio_db": [], "video_db": []}
        for clip in self._validation:
            batch = self._validation_batch(clip, EVALUATED)
            for name, drawn in zip(errors, self._drawn(batch), strict=True):
                error = ((drawn - batch.target) / 2).square().mean((1, 2, 3)).clamp_min(1e-9)
                errors[name] += (-10 * error.log10()).tolist()
        return {name: float(np.mean(values)) for name, values in errors.items() if values}

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Of the first validation clip, top to bottom: identity, frame, augmented frame, drawn by sound, by video."""
        if not self._validation:
            return {}
        batch = self._validation_batch(self._validation[0], SHOWN)
        rows = [batch.reference[:, 0].expand(len(batch.target), -1, -1, -1), batch.target, batch.augmented]
        rows += self._drawn(batch)
        stacked = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
        return {"faces": ((stacked + 1) * 127.5).clamp(0, 255).round().byte().permute(1, 2, 0).cpu().numpy()}

    def _drawn(self, batch: StageBatch) -> list[Tensor]:
        codes = encode(self.nets, batch)
        return [draw(self.nets, codes, mouth, "none") for mouth in (codes.audio, codes.video)]

    def _validation_batch(self, clip: TrainingClip, count: int) -> StageBatch:
        usable = np.flatnonzero(clip.weight > 0)
        # from the second half, far from the identity picture, which is the first frame
        numbers = usable[np.unique(np.linspace(len(usable) // 2, len(usable) - 1, count).astype(int))]
        target, augmented = self._driving(make_rng(0, 0), clip, numbers)
        batch = {
            "reference": self._reference(clip, int(usable[0])),
            "target": target,
            "augmented": augmented,
            "windows": torch.from_numpy(clip.mel_windows(numbers)),
            "person": torch.zeros(1, dtype=torch.long),
        }
        device = next(self.nets.generator.parameters()).device
        return signed_batch({name: value.to(device) for name, value in batch.items()})


def signed_batch(batch: Mapping[str, Tensor]) -> StageBatch:
    """The batch with pictures as the networks take them."""
    pictures = {name: to_signed(batch[name]) for name in ("reference", "target", "augmented")}
    return StageBatch(**pictures, windows=batch["windows"].float(), person=batch["person"], word=batch.get("word"))
