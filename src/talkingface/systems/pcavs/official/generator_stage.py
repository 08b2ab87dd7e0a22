"""Stage 3 of the published training: a frame drawn again from a distant picture of the person, its own pose, and its
mouth as seen and as heard, against a discriminator."""

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
    Material,
    TrainingClip,
    distant,
    driving_pictures,
    evenly,
    seen,
    to_planes,
)
from talkingface.systems.pcavs.official.losses import (
    StageBatch,
    StageNetworks,
    draw,
    drawing_losses,
    encode,
    judging_losses,
)
from talkingface.systems.pcavs.official.networks.build import (
    State,
    go_on_from,
    make_generator,
    make_identity,
    make_judge,
    make_nonidentity,
    make_speech,
)
from talkingface.systems.pcavs.official.networks.vgg import VggMaps
from talkingface.systems.pcavs.official.stages import ENCODER_LR, MOST_JUDGED, to_signed
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

GENERATOR_LR, JUDGE_LR = 5e-4, 4e-4
BETAS = (0.0, 0.99)
"""Of all that plays against the discriminator."""
DRAWERS = ("generator", "nonidentity", "speech", "identity")
SHOWN, EVALUATED = 4, 16


class GeneratorRecipe(Recipe):
    """G, D and the three encoders together.

    `begin`: states to go on from ("identity", "nonidentity", "speech", "generator", "judge"). `vgg`, `vgg_face`:
    networks of others; without them the discriminator's features and the picture itself are all that is matched.
    `words`: what is said in each of `clips` as a number, to take words out of poses (optional). `validation`: clips of
    anybody, for previews and figures.
    """

    name = "pcavs.generator"
    phases: tuple[Phase, ...]

    def __init__(
        self,
        clips: Sequence[TrainingClip],
        config: OfficialConfig,
        *,
        validation: Sequence[TrainingClip] = (),
        begin: Mapping[str, State] | None = None,
        vgg: VggMaps | None = None,
        vgg_face: VggMaps | None = None,
        words: Sequence[int] | None = None,
    ) -> None:
        self._config, self._begin = config, begin or {}
        training = config.training
        self._span = (training.frames - 1) * training.frame_interval + 1
        self.material = Material(clips, speaking=True, least_frames=max(2, self._span))
        self._validation = evenly([c for c in validation if c.speaks and (c.weight > 0).sum() > 1], MOST_JUDGED)
        self._vgg, self._vgg_face = vgg, vgg_face
        self._words = self._words_of(clips, words)
        judges = ("judge",) if self._words is None else ("judge", "words")
        self.phases = (Phase("draw", DRAWERS), Phase("judge", judges))
        self.loss_weights = {name: training.loss_weights[name] for name in self._loss_names()}
        encoder = OptimizerConfig(lr=ENCODER_LR, betas=BETAS, warmup_steps=0, final_ratio=0.1)
        self.optimizers = {
            **dict.fromkeys(("nonidentity", "speech", "identity"), encoder),
            "generator": OptimizerConfig(lr=GENERATOR_LR, betas=BETAS, warmup_steps=0, final_ratio=0.1),
            **dict.fromkeys(judges, OptimizerConfig(lr=JUDGE_LR, betas=BETAS, warmup_steps=0, final_ratio=0.1)),
        }

    def _words_of(self, clips: Sequence[TrainingClip], words: Sequence[int] | None) -> np.ndarray | None:
        if words is None:
            return None
        if len(words) != len(clips):
            raise InputError(f"{len(words)} words are given for {len(clips)} clips")
        by_clip = {id(clip): word for clip, word in zip(clips, words, strict=True)}
        return np.array([by_clip[id(clip)] for clip in self.material.clips])

    def _loss_names(self) -> list[str]:
        kinds = ["match", "fool", *["vgg"] * (self._vgg is not None), *["face"] * (self._vgg_face is not None)]
        sides = ["heard"] if self._config.training.heard_only else ["seen", "heard"]
        names = ["crossmodal", "contrast_heard", "contrast_seen", "person", "judge_fake", "judge_real"]
        names += [f"{kind}_{side}" for kind in kinds for side in sides]
        return names + (["wordless", "word"] if self._words is not None else [])

    def networks(self) -> dict[str, nn.Module]:
        """The five networks; also the perceptual ones, frozen, and the reader of words, where they are given."""
        sizes = self._config.sizes
        made: dict[str, Any] = {
            "identity": make_identity(sizes, len(self.material.people)),
            "nonidentity": make_nonidentity(sizes),
            "speech": make_speech(sizes),
            "generator": make_generator(sizes),
            "judge": make_judge(sizes),
        }
        for name, network in made.items():
            go_on_from(network, self._begin.get(name), f"the {name} network to begin with")
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
        chosen = self.material.choose(rng, training.clips)
        parts = [self._sample(rng, k) for k in chosen]
        names = ("reference", "target", "augmented", "windows")
        batch = {name: torch.cat([part[k] for part in parts]) for k, name in enumerate(names)}
        batch["person"] = torch.from_numpy(self.material.labels[chosen])
        if self._words is not None:
            batch["word"] = torch.from_numpy(self._words[chosen])
        return batch

    def _sample(self, rng: np.random.Generator, k: int) -> tuple[Tensor, ...]:
        clip, usable, training = self.material.clips[k], self.material.usable[k], self._config.training
        first = int(rng.integers(len(usable) - self._span + 1))
        numbers = usable[first : first + self._span : training.frame_interval]
        size = self._config.sizes.crop_px
        target, augmented = driving_pictures(rng, clip, numbers, crop_px=size, augment=training.augment)
        reference = clip.frames([distant(rng, usable, numbers, training.distant_frames)])
        return (
            to_planes(seen(loader_crop(reference), size))[None],
            to_planes(target),
            to_planes(augmented),
            torch.from_numpy(clip.heard(numbers)),
        )

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `official_losses`. The discriminator sees what was drawn in this step before anything learned from it."""
        if "batch" not in shared:
            shared["batch"] = signed_batch(batch)
        if phase == "draw":
            losses, shared["drawn"] = drawing_losses(
                self.nets,
                shared["batch"],
                contrast=self._config.training.contrast,
                heard_only=self._config.training.heard_only,
            )
            return losses
        return judging_losses(self.nets, shared["batch"], shared["drawn"])

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB of frames of validation clips, drawn from a distant picture of the person, by speech and by
        sight."""
        errors: dict[str, list[float]] = {"heard_db": [], "seen_db": []}
        for clip in self._validation:
            batch = self._validation_batch(clip, EVALUATED)
            for name, drawn in zip(errors, self._drawn(batch), strict=True):
                error = ((drawn - batch.target) / 2).square().mean((1, 2, 3)).clamp_min(1e-9)
                errors[name] += (-10 * error.log10()).tolist()
        return {name: float(np.mean(values)) for name, values in errors.items() if values}

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Of the first validation clip, top to bottom: identity, frame, as E sees it, drawn by speech, by sight."""
        if not self._validation:
            return {}
        batch = self._validation_batch(self._validation[0], SHOWN)
        rows = [batch.reference[:, 0].expand(len(batch.target), -1, -1, -1), batch.target, batch.augmented]
        rows += self._drawn(batch)
        stacked = torch.cat([torch.cat(list(row), 2) for row in rows], 1)
        return {"faces": ((stacked + 1) * 127.5).clamp(0, 255).round().byte().permute(1, 2, 0).cpu().numpy()}

    def _drawn(self, batch: StageBatch) -> list[Tensor]:
        codes = encode(self.nets, batch)
        return [draw(self.nets, codes, mouth, "none") for mouth in (codes.heard, codes.seen)]

    def _validation_batch(self, clip: TrainingClip, count: int) -> StageBatch:
        rng, usable = make_rng(0, 0), np.flatnonzero(clip.weight > 0)
        numbers = usable[np.unique(np.linspace(len(usable) // 2, len(usable) - 1, count).astype(int))]
        size = self._config.sizes.crop_px
        augment = self._config.training.augment
        target, augmented = driving_pictures(rng, clip, numbers, crop_px=size, augment=augment)
        batch = {
            "reference": to_planes(seen(loader_crop(clip.frames(usable[:1])), size))[None],
            "target": to_planes(target),
            "augmented": to_planes(augmented),
            "windows": torch.from_numpy(clip.heard(numbers)),
            "person": torch.zeros(1, dtype=torch.long),
        }
        device = next(self.nets.generator.parameters()).device
        return signed_batch({name: value.to(device) for name, value in batch.items()})


def signed_batch(batch: Mapping[str, Tensor]) -> StageBatch:
    """The batch with pictures as the networks take them."""
    pictures = {name: to_signed(batch[name]) for name in ("reference", "target", "augmented")}
    return StageBatch(**pictures, windows=batch["windows"].float(), person=batch["person"], word=batch.get("word"))
