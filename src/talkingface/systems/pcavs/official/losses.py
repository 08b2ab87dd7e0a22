"""Losses of the published networks: plain functions of tensors, and the losses of one step of stage 3.

Nothing here has a weight (see `training.recipe`). Names of losses end in "video" where the mouth code came from the
frame, and in "audio" where it came from speech. Where gradients end is the public program's; parity tests hold it by
recorded gradient norms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.systems.pcavs.official.networks.build import OfficialNetworks
from talkingface.systems.pcavs.official.networks.discriminator import Discriminator, Outputs
from talkingface.systems.pcavs.official.networks.generator import Noise
from talkingface.systems.pcavs.official.networks.identity import Identity
from talkingface.systems.pcavs.official.networks.vgg import VggMaps, maps_distance

GanMode = Literal["hinge", "ls", "original", "w"]
"""hinge (used), least squares, logistic, Wasserstein."""
Contrast = Literal["cosine", "distance"]
IMAGE_WEIGHT = 1.0
TEMPERATURE = 0.1
"""Of the cosine in `contrastive`; not published. Without one, right and wrong among 32 rows of cosines cannot differ by
more than a factor of seven."""
VGG_FACE_FIRST = 2
"""The published loss leaves out the first levels of the face network."""
_CLOSEST = 1e-2


def score_loss(scores: Tensor, real: bool, mode: GanMode = "hinge", *, discriminator: bool = True) -> Tensor:
    """The loss of raw `scores` whose target is `real`. `discriminator` False: for the generator, which wants its own
    pictures to pass (`real` is True then)."""
    if mode == "ls":
        return (scores - float(real)).square().mean()
    if mode == "original":
        return functional.softplus(-scores if real else scores).mean()
    signed = scores if real else -scores
    if mode == "hinge" and discriminator:
        return functional.relu(1 - signed).mean()
    return -signed.mean()


def gan_loss(outputs: Outputs, real: bool, mode: GanMode = "hinge", *, discriminator: bool = True) -> Tensor:
    """`score_loss` of each scale's last entry, averaged over the scales."""
    return torch.stack([score_loss(scale[-1], real, mode, discriminator=discriminator) for scale in outputs]).mean()


def feature_matching(fake: Outputs, real: Outputs, image_weight: float = IMAGE_WEIGHT) -> Tensor:
    """Mean L1 distances of a discriminator's entries but the scores, summed over layers, averaged over scales.

    Entry 0 is the picture itself, so this is also the pixel loss of the paper. No gradient to `real`.
    """
    total = []
    for ours, theirs in zip(fake, real, strict=True):
        for k, (a, b) in enumerate(zip(ours[:-1], theirs[:-1], strict=True)):
            total.append((image_weight if k == 0 else 1.0) * functional.l1_loss(a, b.detach()))
    return torch.stack(total).sum() / len(fake)


def distance_logits(x: Tensor, y: Tensor) -> Tensor:
    """The original's similarity of rows [N, C] and [M, C]: one over the distance of the unit vectors, [N, M].

    Distances under 0.01 count as that: the original grew without bound as a pair came together.
    """
    unit_x, unit_y = functional.normalize(x, dim=1), functional.normalize(y, dim=1)
    squared = (unit_x[:, None] - unit_y[None]).square().sum(2)
    return torch.rsqrt(squared.clamp_min(_CLOSEST**2))


def cosine_logits(x: Tensor, y: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The paper's similarity (section 3.2): the cosine, here over a temperature, [N, M]."""
    with torch.autocast(x.device.type, enabled=False):  # over a temperature, half precision's third digit counts
        return functional.normalize(x.float(), dim=1) @ functional.normalize(y.float(), dim=1).T / temperature


def contrastive(x: Tensor, y: Tensor, kind: Contrast = "cosine") -> Tensor:
    """Cross entropy of finding each row's partner of `y` among all rows: [N, C] twice -> scalar, one direction.

    Rows of other clips and, if a clip has several rows, its own at other times are the negatives. Call it both ways.
    """
    logits = cosine_logits(x, y) if kind == "cosine" else distance_logits(x, y)
    return functional.cross_entropy(logits, torch.arange(len(x), device=x.device))


def uniform_distance(scores: Tensor) -> Tensor:
    """Mean squared distance of the softmax of `scores` [N, K] from the uniform distribution: takes words out of poses.

    The public program computed it without gradients, so that it trained nothing.
    """
    return (torch.softmax(scores, 1) - 1 / scores.shape[1]).square().mean()


def uniform_divergence(scores: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the softmax of `scores` [N, K] from the uniform distribution, mean over N."""
    return -torch.log_softmax(scores, 1).mean() - math.log(scores.shape[1])


def cross_modal(video: Tensor, audio: Tensor) -> Tensor:
    """Mean L1 distance of speech codes from the visual mouth codes; no gradient to the visual ones."""
    return functional.l1_loss(audio, video.detach())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNetworks(OfficialNetworks):
    """All that a step uses; `vgg`, `vgg_face` and `words` (poses of a clip -> word) are optional."""

    discriminator: Discriminator
    vgg: VggMaps | None = None
    vgg_face: VggMaps | None = None
    words: nn.Module | None = None


class StageBatch(NamedTuple):
    """Pictures in [-1, 1]: `reference` [B, N, 3, S, S] of the identity, `target` and `augmented` [B * L, 3, S, S];
    `windows` [B * L, 1, 80, 20]; numbers of the `person` and `word` [B]."""

    reference: Tensor
    target: Tensor
    augmented: Tensor
    windows: Tensor
    person: Tensor
    word: Tensor | None = None


class StageCodes(NamedTuple):
    """Codes of a batch: `identity`, those of mouths from `audio` and `video`, and `pose`, one a frame."""

    identity: Identity
    audio: Tensor
    video: Tensor
    pose: Tensor


def encode(networks: StageNetworks, batch: StageBatch) -> StageCodes:
    """Run the three encoders."""
    code = networks.nonidentity(batch.augmented)
    return StageCodes(
        identity=networks.identity(batch.reference),
        audio=networks.speech(batch.windows),
        video=networks.nonidentity.mouth(code),
        pose=networks.nonidentity.pose(code),
    )


def draw(networks: StageNetworks, codes: StageCodes, mouth: Tensor, noise: Noise) -> Tensor:
    """Pictures by one of the mouth codes; speech is not amplified in training."""
    frames = len(mouth) // len(codes.identity.vector)
    vector, first = (part.repeat_interleave(frames, 0) for part in codes.identity)
    style = torch.cat([vector, networks.nonidentity.mouth_embed(mouth), codes.pose], 1)
    return networks.generator(style, first, noise).float()


def generator_losses(
    networks: StageNetworks,
    batch: StageBatch,
    *,
    contrast: Contrast = "cosine",
    audio_only: bool = False,
    noise: Noise = "random",
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Losses of all but the discriminator, and the pictures drawn (detached): by the frame unless `audio_only`, by
    speech."""
    codes = encode(networks, batch)
    mouths = {"audio": codes.audio} if audio_only else {"video": codes.video, "audio": codes.audio}
    drawn = {name: draw(networks, codes, mouth, noise) for name, mouth in mouths.items()}
    losses = mouth_losses(codes.video, codes.audio, len(batch.reference), contrast)
    # one batch for fake and real, as published: spectral norms and instance norms see them together
    outputs = split(networks.discriminator(torch.cat([*drawn.values(), batch.target])), len(drawn) + 1)
    for (name, picture), fake in zip(drawn.items(), outputs, strict=False):
        losses[f"match_{name}"] = feature_matching(fake, outputs[-1])
        losses[f"adversarial_{name}"] = gan_loss(fake, True, discriminator=False)
        if networks.vgg is not None:
            losses[f"vgg_{name}"] = maps_distance(networks.vgg, picture, batch.target)
        if networks.vgg_face is not None:
            losses[f"face_{name}"] = maps_distance(networks.vgg_face, picture, batch.target, VGG_FACE_FIRST)
    losses["person"] = functional.cross_entropy(networks.identity.scores(codes.identity.vector), batch.person)
    if networks.words is not None:
        losses["wordless"] = uniform_distance(networks.words(by_clip(codes.pose, len(batch.reference))))
    return losses, [picture.detach() for picture in drawn.values()]


def mouth_losses(video: Tensor, audio: Tensor, clips: int, contrast: Contrast) -> dict[str, Tensor]:
    """What brings speech and lips together. "contrast_audio" and "crossmodal" train the speech encoder towards fixed
    lips, "contrast_video" the visual one towards fixed speech.

    The public program compares whole clips, the paper moments, among which a clip's own other ones are negatives.
    """
    video, audio = video.float(), audio.float()
    if contrast == "distance":
        video, audio = by_clip(video, clips), by_clip(audio, clips)
    return {
        "crossmodal": cross_modal(video, audio),
        "contrast_audio": contrastive(video.detach(), audio, contrast),
        "contrast_video": contrastive(audio.detach(), video, contrast),
    }


def discriminator_losses(networks: StageNetworks, batch: StageBatch, drawn: list[Tensor]) -> dict[str, Tensor]:
    """Losses of the discriminator, and of the network that predicts words from poses.

    `drawn` comes from the same step: the public program draws everything again, which costs two of four passes of the
    generator and differs by one small step.
    """
    outputs = split(networks.discriminator(torch.cat([*drawn, batch.target])), len(drawn) + 1)
    fakes = torch.stack([gan_loss(fake, False) for fake in outputs[:-1]]).mean()
    losses = {"discriminator_fake": fakes, "discriminator_real": gan_loss(outputs[-1], True)}
    if networks.words is not None:
        assert batch.word is not None
        with torch.no_grad():
            pose = networks.nonidentity.pose(networks.nonidentity(batch.augmented))
        losses["word"] = functional.cross_entropy(networks.words(by_clip(pose, len(batch.reference))), batch.word)
    return losses


def split(outputs: Outputs, parts: int) -> list[Outputs]:
    """A discriminator's outputs for a joined batch, for each of its equal parts."""
    chunks = [[entry.chunk(parts) for entry in scale] for scale in outputs]
    return [[[entry[k] for entry in scale] for scale in chunks] for k in range(parts)]


def by_clip(rows: Tensor, clips: int) -> Tensor:
    """Rows of all frames [B * L, C] as one row a clip [B, L * C]."""
    return rows.reshape(clips, -1)
