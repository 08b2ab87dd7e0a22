"""The style of a picture: identity, mouth and pose, concatenated in this order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from talkingface.systems.pcavs.official.networks.identity import Identity, IdentityNet
from talkingface.systems.pcavs.official.networks.nonidentity import NonIdentityNet
from talkingface.systems.pcavs.official.networks.speech import SpeechNet

SPEECH_GAIN = 1.2
"""Factor on speech codes when drawing, as published; not in training."""


class StyleParts(NamedTuple):
    """`identity` vector [B or 1, 2048], `mouth` embedding [B, 500], `pose` code [B or 1, 12]."""

    identity: Tensor
    mouth: Tensor
    pose: Tensor

    def joined(self) -> Tensor:
        """The style [B, 2560]."""
        batch = max(len(part) for part in self)
        return torch.cat([part.expand(batch, -1) for part in self], 1)


def embed_mouth(encoder: NonIdentityNet, speech: Tensor, gain: float = SPEECH_GAIN) -> Tensor:
    """Speech codes [B, 512] as the style's mouth part [B, 500]. `gain` above 1 opens the mouth wider."""
    return encoder.mouth_embed(gain * speech)


@torch.no_grad()
def encode_identity(network: IdentityNet, pictures: Sequence[Tensor] | Tensor) -> Identity:
    """The identity of one person from a few pictures [3, H, W] in [-1, 1]."""
    stacked = pictures if isinstance(pictures, Tensor) else torch.stack(list(pictures))
    return network(stacked[None])


@torch.no_grad()
def assemble(
    encoder: NonIdentityNet,
    speech: SpeechNet,
    identity: Identity,
    windows: Tensor,
    pose_pictures: Tensor,
    *,
    gain: float = SPEECH_GAIN,
) -> StyleParts:
    """Style parts of frames from mel windows [B, 1, 80, 20] and pictures [B or 1, 3, H, W] that show the poses."""
    mouth = embed_mouth(encoder, speech(windows), gain)
    return StyleParts(identity.vector, mouth, encoder.pose(encoder(pose_pictures)))
