"""One step of stage 3 as pure functions of networks and a batch (section 4.2 of the published method's description).

Names end in "seen" where the mouth came from the frame, and in "heard" where it came from speech.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.systems.pcavs.official.loss_terms import (
    contrastive,
    cross_modal,
    feature_matching,
    gan_loss,
    uniform_distance,
)
from talkingface.systems.pcavs.official.networks.discriminator import Discriminator, Judged
from talkingface.systems.pcavs.official.networks.generator import Generator, Noise
from talkingface.systems.pcavs.official.networks.identity import Identity, IdentityNet
from talkingface.systems.pcavs.official.networks.nonidentity import NonIdentityNet
from talkingface.systems.pcavs.official.networks.speech import SpeechNet
from talkingface.systems.pcavs.official.networks.vgg import VggMaps, maps_distance

VGG_FACE_FIRST = 2
"""The published loss leaves out the first levels of the face network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageNetworks:
    """All that a step uses; `vgg`, `vgg_face` and `words` (poses of a clip -> word) are optional."""

    identity: IdentityNet
    nonidentity: NonIdentityNet
    speech: SpeechNet
    generator: Generator
    judge: Discriminator
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


class Codes(NamedTuple):
    """What the encoders say of a batch: `identity`, codes of mouths `heard` and `seen`, and `pose`, one a frame."""

    identity: Identity
    heard: Tensor
    seen: Tensor
    pose: Tensor


def encode(networks: StageNetworks, batch: StageBatch) -> Codes:
    """Run the three encoders."""
    code = networks.nonidentity(batch.augmented)
    return Codes(
        identity=networks.identity(batch.reference),
        heard=networks.speech(batch.windows),
        seen=networks.nonidentity.mouth(code),
        pose=networks.nonidentity.pose(code),
    )


def draw(networks: StageNetworks, codes: Codes, mouth: Tensor, noise: Noise) -> Tensor:
    """Pictures by one of the mouth codes; speech is not amplified in training."""
    frames = len(mouth) // len(codes.identity.vector)
    vector, first = (part.repeat_interleave(frames, 0) for part in codes.identity)
    style = torch.cat([vector, networks.nonidentity.mouth_embed(mouth), codes.pose], 1)
    return networks.generator(style, first, noise).float()


def drawing_losses(
    networks: StageNetworks,
    batch: StageBatch,
    *,
    contrast: Literal["cosine", "distance"] = "cosine",
    heard_only: bool = False,
    noise: Noise = "random",
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Losses of all but the discriminator, and the pictures drawn (detached): by the frame unless `heard_only`, by
    speech."""
    codes = encode(networks, batch)
    mouths = {"heard": codes.heard} if heard_only else {"seen": codes.seen, "heard": codes.heard}
    drawn = {name: draw(networks, codes, mouth, noise) for name, mouth in mouths.items()}
    losses = mouth_losses(codes.seen, codes.heard, len(batch.reference), contrast)
    judged = split(networks.judge(torch.cat([*drawn.values(), batch.target])), len(drawn) + 1)
    for (name, picture), fake in zip(drawn.items(), judged, strict=False):
        losses[f"match_{name}"] = feature_matching(fake, judged[-1])
        losses[f"fool_{name}"] = gan_loss(fake, True, judging=False)
        if networks.vgg is not None:
            losses[f"vgg_{name}"] = maps_distance(networks.vgg, picture, batch.target)
        if networks.vgg_face is not None:
            losses[f"face_{name}"] = maps_distance(networks.vgg_face, picture, batch.target, VGG_FACE_FIRST)
    losses["person"] = functional.cross_entropy(networks.identity.scores(codes.identity.vector), batch.person)
    if networks.words is not None:
        losses["wordless"] = uniform_distance(networks.words(by_clip(codes.pose, len(batch.reference))))
    return losses, [picture.detach() for picture in drawn.values()]


def mouth_losses(seen: Tensor, heard: Tensor, clips: int, contrast: Literal["cosine", "distance"]) -> dict[str, Tensor]:
    """What brings speech and lips together. "contrast_heard" and "crossmodal" teach the ear, "contrast_seen" the eye.

    The public program compares whole clips, the paper moments, among which a clip's own other ones are negatives.
    """
    seen, heard = seen.float(), heard.float()
    if contrast == "distance":
        seen, heard = by_clip(seen, clips), by_clip(heard, clips)
    return {
        "crossmodal": cross_modal(seen, heard),
        "contrast_heard": contrastive(seen.detach(), heard, contrast),
        "contrast_seen": contrastive(heard.detach(), seen, contrast),
    }


def judging_losses(networks: StageNetworks, batch: StageBatch, drawn: list[Tensor]) -> dict[str, Tensor]:
    """Losses of the discriminator, and of the network that tries to read words off poses."""
    judged = split(networks.judge(torch.cat([*drawn, batch.target])), len(drawn) + 1)
    fakes = torch.stack([gan_loss(fake, False) for fake in judged[:-1]]).mean()
    losses = {"judge_fake": fakes, "judge_real": gan_loss(judged[-1], True)}
    if networks.words is not None:
        assert batch.word is not None
        with torch.no_grad():
            pose = networks.nonidentity.pose(networks.nonidentity(batch.augmented))
        losses["word"] = functional.cross_entropy(networks.words(by_clip(pose, len(batch.reference))), batch.word)
    return losses


def split(judged: Judged, parts: int) -> list[Judged]:
    """What a discriminator said of a joined batch, for each of its equal parts."""
    chunks = [[entry.chunk(parts) for entry in scale] for scale in judged]
    return [[[entry[k] for entry in scale] for scale in chunks] for k in range(parts)]


def by_clip(rows: Tensor, clips: int) -> Tensor:
    """Rows of all frames [B * L, C] as one row a clip [B, L * C]."""
    return rows.reshape(clips, -1)
