"""Trainings of the published networks on the features of any width: sync expert, audio to motion, adapter.

What is frozen is a network in no phase, which the trainer keeps in evaluation: dropout is off and batch statistics
stay. In the public program they are turned on again by each validation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.pitch import track_pitch
from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.geneface.landmarks3d import landmark_displacements
from talkingface.systems.geneface.official.audio2motion import (
    LANDMARKS,
    STRIDE,
    AudioToMotion,
    continuity_loss,
    masked_mse,
)
from talkingface.systems.geneface.official.postnet import (
    LOSS_WEIGHTS,
    MotionDiscriminator,
    PostNet,
    adapter_losses,
    judge_losses,
)
from talkingface.systems.geneface.official.sync_pairs import cut_pairs, draw_pairs
from talkingface.systems.geneface.official.syncnet import LandmarkSyncNet, sync_loss
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.sampling import person_shares
from talkingface.training.speaking_clips import SpeakingClip

FRAMES = 96
"""Frames of an excerpt, a multiple of the latent code's step."""
ROWS, PAIRS = 32, 256
SYNC_ON = 0.75
"""Validation loss of the sync expert on what is generated, under which its loss joins in, as published."""
_ADAM = (0.9, 0.999)
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenMotion:
    """A clip of T frames: `tokens` float16 [2 T, C], `f0` float32 [2 T] in Hz, `landmarks` float32 [T, 204] in cm and
    `weight` [T], 0 where the face was not seen. `speaker` tells people apart."""

    speaker: int
    tokens: np.ndarray
    f0: np.ndarray
    landmarks: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.weight)

    def cut(self, first: int, end: int) -> SpokenMotion:
        """Frames `first` to `end` - 1."""
        return SpokenMotion(
            speaker=self.speaker, tokens=self.tokens[2 * first : 2 * end], f0=self.f0[2 * first : 2 * end],
            landmarks=self.landmarks[first:end], weight=self.weight[first:end],
        )  # fmt: skip


def spoken_motion(clips: Sequence[SpeakingClip], model: LinearFaceModel, encoder: SpeechEncoder) -> list[SpokenMotion]:
    """The clips as landmarks without identity, with what is heard in each frame."""
    people = {person: k for k, person in enumerate(sorted({clip.person for clip in clips}))}
    return [
        SpokenMotion(
            speaker=people[clip.person],
            tokens=tokens_of(encoder, clip.samples, len(clip)),
            f0=pitch_rows(clip.samples, 2 * len(clip)),
            landmarks=landmark_displacements(model, None, clip.expression).reshape(len(clip), -1).astype(np.float32),
            weight=clip.weight,
        )
        for clip in clips
    ]


def tokens_of(encoder: SpeechEncoder, samples: np.ndarray, frames: int) -> np.ndarray:
    """Tokens float16 [2 T, width] of T frames; silence follows a voice that is shorter."""
    wanted = frames * 640
    heard = encoder.features(np.pad(samples[:wanted], (0, max(0, wanted - len(samples)))))
    return heard.reshape(2 * len(heard), -1).astype(np.float16)


def pitch_rows(samples: np.ndarray, rows: int) -> np.ndarray:
    """Pitch float32 [rows] in Hz, 50 a second, 0 without a voice, with the published limits."""
    padded = np.pad(samples, (0, -len(samples) % 320 or 320))
    found = track_pitch(padded, floor_hz=80, ceiling_hz=750, voicing=0.6)
    return np.pad(found[:rows], (0, max(0, rows - len(found))))


class _Excerpts:
    """Cuts of clips, drawn so that no person outweighs the others."""

    def __init__(self, clips: Sequence[SpokenMotion]) -> None:
        self.clips = [clip for clip in clips if clip.weight.sum() >= 2 * STRIDE]
        if not self.clips:
            raise ValueError("no clip shows a face for long enough")
        seen = [float(clip.weight.sum()) for clip in self.clips]
        share = person_shares([str(clip.speaker) for clip in self.clips], seen, power=0.75)
        self._share = share / share.sum()

    def draw(self, rng: np.random.Generator, rows: int) -> dict[str, Tensor]:
        """Tokens [B, 2 F, C], f0 [B, 2 F], landmarks [B, F, 204], mask [B, F] and speakers [B]; the rest is padding."""
        width = self.clips[0].tokens.shape[1]
        cut = {
            "tokens": np.zeros((rows, 2 * FRAMES, width), np.float32),
            "f0": np.zeros((rows, 2 * FRAMES), np.float32),
            "landmarks": np.zeros((rows, FRAMES, LANDMARKS), np.float32),
            "mask": np.zeros((rows, FRAMES), np.float32),
        }
        speakers = np.empty(rows, np.int64)
        for k, number in enumerate(rng.choice(len(self.clips), rows, p=self._share)):
            clip = self.clips[int(number)]
            first = int(rng.integers(max(0, len(clip) - FRAMES) + 1))
            end = min(first + FRAMES, len(clip))
            cut["tokens"][k, : 2 * (end - first)] = clip.tokens[2 * first : 2 * end]
            cut["f0"][k, : 2 * (end - first)] = clip.f0[2 * first : 2 * end]
            cut["landmarks"][k, : end - first] = clip.landmarks[first:end]
            cut["mask"][k, : end - first] = clip.weight[first:end]
            speakers[k] = clip.speaker
        return {name: torch.from_numpy(value) for name, value in cut.items()} | {"speakers": torch.from_numpy(speakers)}


def _lengths(mask: Tensor) -> np.ndarray:
    """Frames [B] from the start of each row up to its first one that was not seen."""
    return mask.cumprod(1).sum(1).long().numpy()


def _agreement(sync: nn.Module, motion: Tensor, tokens: Tensor, mask: Tensor, seed: int) -> Tensor:
    """How far mouths of `motion` [B, T, 204] are from those that a frozen expert finds right for the speech."""
    lengths = _lengths(mask)
    if lengths.max() < 5:
        return motion.sum() * 0
    rng = np.random.default_rng(seed)
    pairs = draw_pairs(lengths, np.zeros(len(lengths), np.int64), PAIRS, rng)
    together = type(pairs)(
        clips=pairs.clips, starts=pairs.starts, speech_clips=pairs.clips, speech_starts=pairs.starts,
        labels=np.ones_like(pairs.labels),
    )  # fmt: skip
    speech, mouths, _ = cut_pairs(motion, tokens, together)
    return sync_loss(*sync(speech, mouths))


class SyncRecipe(Recipe):
    """`geneface.syncnet`: whether half a second of speech goes with five frames of mouth landmarks.

    Of the pairs that do not, a quarter have the speech of another speaker (`official.sync_pairs`).
    """

    name = "geneface.syncnet"
    phases = (Phase("fit", ("sync",)),)
    loss_weights: Mapping[str, float] = {"sync": 1.0}
    optimizers = {"sync": OptimizerConfig(lr=5e-4, betas=_ADAM, warmup_steps=0, final_ratio=0.0)}

    def __init__(self, clips: Sequence[SpokenMotion], validation: Sequence[SpokenMotion] = ()) -> None:
        self._excerpts = _Excerpts(clips)
        self._width = clips[0].tokens.shape[1]
        self._validation = _Excerpts(validation) if validation else None

    def networks(self) -> dict[str, nn.Module]:
        """The expert."""
        self.sync = LandmarkSyncNet(audio=self._width)
        return {"sync": self.sync}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Pairs of excerpts: speech [N, 10, C], mouths [N, 5, 60], labels [N]."""
        return _pairs(self._excerpts, make_rng(seed, step), PAIRS)

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """Binary cross entropy."""
        speech, mouths = self.sync(batch["speech"], batch["mouths"])
        return {"sync": sync_loss(speech, mouths, batch["labels"])}

    def evaluate(self) -> dict[str, float]:
        """Loss on unseen people's pairs, and how many of them are told right."""
        if self._validation is None:
            return {}
        batch = _pairs(self._validation, make_rng(0, 0), 1024)
        speech, mouths = self.sync(batch["speech"], batch["mouths"])
        right = (functional.cosine_similarity(speech, mouths) > 0.5).float() == batch["labels"]
        return {
            "sync_loss": float(sync_loss(speech, mouths, batch["labels"])),
            "right": float(right.float().mean()),
        }


def _pairs(excerpts: _Excerpts, rng: np.random.Generator, count: int) -> dict[str, Tensor]:
    cut = excerpts.draw(rng, ROWS)
    lengths = _lengths(cut["mask"])
    while lengths.max() < 5:
        cut = excerpts.draw(rng, ROWS)
        lengths = _lengths(cut["mask"])
    pairs = draw_pairs(lengths, cut["speakers"].numpy(), count, rng)
    speech, mouths, labels = cut_pairs(cut["landmarks"], cut["tokens"], pairs)
    return {"speech": speech, "mouths": mouths, "labels": labels}


class MotionRecipe(Recipe):
    """`geneface.motion`, published: the variational network whose prior is a flow, with or without pitch.

    `sync`: state of a trained expert; it stays as it is, in evaluation, and joins in once what is generated agrees with
    unseen people's speech to a loss of `SYNC_ON`.
    """

    name = "geneface.motion"
    phases = (Phase("fit", ("motion",)),)
    loss_weights: Mapping[str, float] = {"mse": 1.0, "continuity": 3.0, "kl": 0.4, "sync": 0.01}

    def __init__(
        self,
        clips: Sequence[SpokenMotion],
        sync: Mapping[str, Tensor] | None,
        *,
        pitch: bool = True,
        validation: Sequence[SpokenMotion] = (),
        warmup: int = 1000,
        **sizes: Any,
    ) -> None:
        self._excerpts, self._sync_state, self._pitch, self._sizes = _Excerpts(clips), sync, pitch, sizes
        self._width = clips[0].tokens.shape[1]
        self._validation = _Excerpts(validation) if validation else None
        self._sync_on = False
        # a tenth in 250 000 steps, as published: by a third in the published 40 000
        self.optimizers = {
            "motion": OptimizerConfig(
                lr=5e-4, betas=_ADAM, warmup_steps=warmup, final_ratio=0.1 ** (40_000 / 250_000), decay="exponential"
            )
        }

    def networks(self) -> dict[str, nn.Module]:
        """The network, and the frozen expert."""
        self.motion = AudioToMotion(self._width, pitch=self._pitch, **self._sizes)
        if self._sync_state is None:
            return {"motion": self.motion}
        self.sync = _frozen(LandmarkSyncNet(audio=self._width), self._sync_state)
        return {"motion": self.motion, "sync": self.sync}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Excerpts, and the noise of their codes."""
        rng = make_rng(seed, step)
        cut = self._excerpts.draw(rng, ROWS)
        noise = rng.standard_normal((ROWS, self.latent, FRAMES // STRIDE), np.float32)
        return cut | {"noise": torch.from_numpy(noise)}

    @property
    def latent(self) -> int:
        """Channels of the codes."""
        return int(self._sizes.get("latent", 16))

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        condition = self.motion.encode_condition(batch["tokens"], batch["f0"] if self._pitch else None)
        made = self.motion.reconstruct(batch["landmarks"], batch["mask"], condition, batch["noise"])
        found = {
            "mse": masked_mse(made.motion, batch["landmarks"], batch["mask"]),
            "continuity": continuity_loss(made.motion, batch["landmarks"], batch["mask"]),
            "kl": made.kl,
        }
        if self._sync_state is not None and self._sync_on:
            found["sync"] = _agreement(self.sync, made.motion, batch["tokens"], batch["mask"], shared["step"])
        return found

    def evaluate(self) -> dict[str, float]:
        """Errors of what is generated for unseen people from the prior, and the expert's loss."""
        if self._validation is None:
            return {}
        rng = make_rng(1, 0)
        cut = self._validation.draw(rng, ROWS)
        noise = torch.from_numpy(rng.standard_normal((ROWS, self.latent, FRAMES // STRIDE), np.float32))
        condition = self.motion.encode_condition(cut["tokens"], cut["f0"] if self._pitch else None)
        made = self.motion.generate(condition, noise, cut["mask"])
        figures = {"mse": float(masked_mse(made, cut["landmarks"], cut["mask"]))}
        if self._sync_state is not None:
            figures["sync"] = float(_agreement(self.sync, made, cut["tokens"], cut["mask"], 0))
            self._sync_on |= figures["sync"] <= SYNC_ON
        return figures

    def extra_state(self) -> dict[str, Any]:
        """Whether the expert has joined in."""
        return {"sync_on": self._sync_on}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """See `extra_state`."""
        self._sync_on = bool(state["sync_on"])


class PostnetRecipe(Recipe):
    """`geneface.postnet`, published: the adapter and its judge.

    `general` and `sync` are states of trained networks, which stay as they are. Only `person`'s frames of training are
    given. The adapter has a rate of its own: in the public program the general network's schedule overwrites it.
    """

    name = "geneface.postnet"
    phases = (Phase("adapt", ("postnet",)), Phase("judge", ("judge",)))
    loss_weights: Mapping[str, float] = {**LOSS_WEIGHTS, "made": 1.0, "real": 1.0}
    optimizers = {
        name: OptimizerConfig(lr=1e-4, betas=(0.0, 0.99), warmup_steps=0, final_ratio=1.0)
        for name in ("postnet", "judge")
    }

    def __init__(
        self,
        clips: Sequence[SpokenMotion],
        person: SpokenMotion,
        general: Mapping[str, Tensor],
        sync: Mapping[str, Tensor],
        *,
        pitch: bool = True,
        test: SpokenMotion | None = None,
        **sizes: Any,
    ) -> None:
        self._excerpts, self._person, self._test = _Excerpts(clips), person, test
        self._general_state, self._sync_state, self._pitch, self._sizes = general, sync, pitch, sizes
        self._width = person.tokens.shape[1]

    def networks(self) -> dict[str, nn.Module]:
        """Adapter, judge, and the two frozen networks."""
        self.general = _frozen(AudioToMotion(self._width, pitch=self._pitch, **self._sizes), self._general_state)
        self.sync = _frozen(LandmarkSyncNet(audio=self._width), self._sync_state)
        self.postnet, self.judge = PostNet(64 if self._pitch else 0), MotionDiscriminator()
        return {"postnet": self.postnet, "judge": self.judge, "general": self.general, "sync": self.sync}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Excerpts of many people, the person's whole clip, and noise for both."""
        rng = make_rng(seed, step)
        batch = self._excerpts.draw(rng, ROWS // 2) | _whole(self._person)
        latent = int(self._sizes.get("latent", 16))
        for name, like in (("noise", batch["mask"]), ("own_noise", batch["own_mask"])):
            drawn = rng.standard_normal((len(like), latent, like.shape[1] // STRIDE), np.float32)
            batch[name] = torch.from_numpy(drawn)
        return batch

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """The adapter's, then the judge's."""
        if phase == "judge":
            made = self.judge(shared["adapted"])
            real = self.judge(batch["own_landmarks"] * batch["own_mask"][..., None])
            return judge_losses(made, real)
        general, adapted = self._adapt(batch["tokens"], batch["f0"], batch["noise"], batch["mask"])
        _, own = self._adapt(batch["own_tokens"], batch["own_f0"], batch["own_noise"], batch["own_mask"])
        shared["adapted"] = (adapted * batch["mask"][..., None]).detach()
        mask = batch["own_mask"][..., None]
        scale = mask.numel() / mask.sum().clamp(min=1)  # frames that were not seen do not count
        found = adapter_losses(
            self.judge(adapted * batch["mask"][..., None]), adapted, general, batch["mask"], own * mask,
            batch["own_landmarks"] * mask,
        )  # fmt: skip
        found["person"] = found["person"] * scale
        found["sync"] = _agreement(self.sync, adapted, batch["tokens"], batch["mask"], shared["step"])
        return found

    def _adapt(self, tokens: Tensor, f0: Tensor, noise: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        pitch = f0 if self._pitch else None
        with torch.no_grad():
            general = self.general.generate(self.general.encode_condition(tokens, pitch), noise, mask)
            embedded = self.general.embed_pitch(f0) if self._pitch else None
        return general, self.postnet(general, embedded)

    def evaluate(self) -> dict[str, float]:
        """Held-out error before and after, the expert's loss, and what the judge says of made and real."""
        if self._test is None:
            return {}
        own = _whole(self._test)
        latent = int(self._sizes.get("latent", 16))
        noise = torch.zeros(1, latent, own["own_mask"].shape[1] // STRIDE)
        general, adapted = self._adapt(own["own_tokens"], own["own_f0"], noise, own["own_mask"])
        mask, real = own["own_mask"], own["own_landmarks"]
        return {
            "general_mse": float(masked_mse(general, real, mask)),
            "mse": float(masked_mse(adapted, real, mask)),
            "sync": float(_agreement(self.sync, adapted, own["own_tokens"], mask, 0)),
            "judged_made": float(self.judge(adapted * mask[..., None]).mean()),
            "judged_real": float(self.judge(real * mask[..., None]).mean()),
        }


def _whole(clip: SpokenMotion) -> dict[str, Tensor]:
    """A whole clip as a batch of one, cut to whole steps of the code."""
    count = len(clip) // STRIDE * STRIDE
    found = {
        "own_tokens": clip.tokens[: 2 * count].astype(np.float32),
        "own_f0": clip.f0[: 2 * count],
        "own_landmarks": clip.landmarks[:count],
        "own_mask": clip.weight[:count],
    }
    return {name: torch.from_numpy(np.ascontiguousarray(value[None])) for name, value in found.items()}


def _frozen(network: Network, state: Mapping[str, Tensor]) -> Network:
    network.load_state_dict(dict(state))
    network.eval().requires_grad_(False)
    return network
