"""The published networks of a config, for training, and how they go on from earlier ones."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from talkingface.core.errors import WeightsError
from talkingface.systems.pcavs.discriminator import Discriminator
from talkingface.systems.pcavs.generator import Generator
from talkingface.systems.pcavs.identity_net import IdentityNet
from talkingface.systems.pcavs.nonidentity_net import NonIdentityNet
from talkingface.systems.pcavs.official_config import NetworkSizes
from talkingface.systems.pcavs.speech_net import SpeechNet

State = Mapping[str, Tensor]


def make_identity(sizes: NetworkSizes, people: int = 0) -> IdentityNet:
    """V, with a classifier of so many people."""
    return IdentityNet(
        people=people,
        width=sizes.identity_width,
        blocks=sizes.identity_blocks,
        map_channels=sizes.most_channels,
    )


def make_nonidentity(sizes: NetworkSizes) -> NonIdentityNet:
    """E, without the classifiers that nothing here uses."""
    return NonIdentityNet(
        code=sizes.code,
        pose=sizes.pose,
        classes=0,
        crop_px=sizes.crop_px,
        width=sizes.fan_width,
        depth=sizes.fan_depth,
    )


def make_speech(sizes: NetworkSizes) -> SpeechNet:
    """A_sync, without its classifier."""
    return SpeechNet(outputs=sizes.code, people=0, widths=sizes.speech_widths, blocks=sizes.speech_blocks)


def make_generator(sizes: NetworkSizes) -> Generator:
    """G as it is used: no mapping network, no constant first map."""
    return Generator(
        crop_px=sizes.crop_px, style=sizes.style, mapping=0, most_channels=sizes.most_channels, constant=False
    )


def make_judge(sizes: NetworkSizes) -> Discriminator:
    """D."""
    return Discriminator(width=sizes.judge_width)


def go_on_from(network: nn.Module, state: State | None, what: str) -> None:
    """Load an earlier state; a classifier (`fc`) of other people begins anew, everything else must fit.

    None leaves the network as it is. Raises WeightsError that names what does not fit.
    """
    if state is None:
        return
    own = network.state_dict()
    wrong = [
        name
        for name, value in own.items()
        if name not in state or state[name].shape != value.shape
        if not name.startswith("fc.")
    ]
    if wrong:
        raise WeightsError(f"{what} does not fit these settings: {wrong[0]} and {len(wrong) - 1} more differ")
    taken = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    network.load_state_dict({**own, **taken})
