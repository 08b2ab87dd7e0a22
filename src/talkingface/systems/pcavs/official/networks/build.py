"""The published networks in the sizes of a config, from stored tensors or new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.core.errors import WeightsError
from talkingface.nn.seeding import seeded
from talkingface.systems.pcavs.official.config import NetworkSizes
from talkingface.systems.pcavs.official.networks.discriminator import Discriminator
from talkingface.systems.pcavs.official.networks.generator import Generator
from talkingface.systems.pcavs.official.networks.identity import IdentityNet
from talkingface.systems.pcavs.official.networks.nonidentity import NonIdentityNet
from talkingface.systems.pcavs.official.networks.speech import SpeechNet

State = Mapping[str, Tensor]
PARTS = ("identity", "nonidentity", "speech", "generator")
"""The networks that drawing needs."""
RENAMED_PARTS = {"judge": "discriminator"}
"""Names of version 1 -> names of today, for trainings and weights made before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialNetworks:
    """V, E, A_sync and G; and A, if identities are inferred from voices."""

    identity: IdentityNet
    nonidentity: NonIdentityNet
    speech: SpeechNet
    generator: Generator
    voice: SpeechNet | None = None


def make_official(sizes: NetworkSizes, *, constant: bool = False) -> OfficialNetworks:
    """New networks; `constant`: see `make_generator`."""
    return OfficialNetworks(
        identity=make_identity(sizes),
        nonidentity=make_nonidentity(sizes),
        speech=make_speech(sizes),
        generator=make_generator(sizes, constant=constant),
    )


def make_identity(sizes: NetworkSizes, people: int = 0) -> IdentityNet:
    """V, with a classifier of so many people."""
    return IdentityNet(
        people=people, width=sizes.identity_width, blocks=sizes.identity_blocks, map_channels=sizes.most_channels
    )


def make_nonidentity(sizes: NetworkSizes) -> NonIdentityNet:
    """E, without the classifiers that nothing here uses.

    A new one begins with its single-channel map above zero: the ReLU behind it would else be shut for many seeds, and
    nothing could open it again. FAN weights have no such layer.
    """
    network = NonIdentityNet(
        code=sizes.code, pose=sizes.pose, classes=0, crop_px=sizes.crop_px, width=sizes.fan_width, depth=sizes.fan_depth
    )
    assert network.model.conv6.bias is not None
    nn.init.constant_(network.model.conv6.bias, 1.0)
    return network


def make_speech(sizes: NetworkSizes) -> SpeechNet:
    """A_sync, without its classifier."""
    return SpeechNet(outputs=sizes.code, people=0, widths=sizes.speech_widths, blocks=sizes.speech_blocks)


def make_generator(sizes: NetworkSizes, *, constant: bool = False) -> Generator:
    """G as it is used: no mapping network, and a `constant` first map only for identities inferred from voices."""
    return Generator(
        crop_px=sizes.crop_px, style=sizes.style, mapping=0, most_channels=sizes.most_channels, constant=constant
    )


def make_discriminator(sizes: NetworkSizes) -> Discriminator:
    """D."""
    return Discriminator(width=sizes.discriminator_width)


def speech_sizes(state: Mapping[str, np.ndarray] | State) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Widths and numbers of blocks of the four stages of A or A_sync, read off its state. Raises KeyError."""
    return tuple(len(state[f"model.layer{k}.0.conv1.weight"]) for k in range(1, 5)), stage_blocks(state)


def stage_blocks(state: Mapping[str, np.ndarray] | State) -> tuple[int, int, int, int]:
    """Blocks in each of the four stages of V, A or A_sync, read off its state."""
    one, two, three, four = (
        len({name.split(".")[2] for name in state if name.startswith(f"model.layer{k}.")}) for k in range(1, 5)
    )
    return one, two, three, four


def make_voice(state: Mapping[str, np.ndarray] | State) -> SpeechNet:
    """A of the sizes in its state."""
    widths, blocks = speech_sizes(state)
    attention, features = state["model.attention.0.weight"].shape[:2]
    height = 8 * int(features) // widths[-1]
    outputs = len(state["model.fc.weight"])
    return SpeechNet(outputs=outputs, height=height, people=0, widths=widths, blocks=blocks, attention=int(attention))


def parts_of(tensors: Mapping[str, np.ndarray]) -> dict[str, dict[str, Tensor]]:
    """Arrays "part.name" as a state dict of each part."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, values in tensors.items():
        part, _, rest = name.partition(".")
        made = values.astype(np.float32) if values.dtype.kind == "f" else values.copy()
        parts.setdefault(RENAMED_PARTS.get(part, part), {})[rest] = torch.from_numpy(made)
    return parts


def load_official(tensors: Mapping[str, np.ndarray], sizes: NetworkSizes) -> OfficialNetworks:
    """The networks of stored arrays "identity.…", "nonidentity.…", "speech.…", "generator.…" and perhaps "voice.…", in
    evaluation mode. Fixed noise that is not stored is drawn from a seed.

    Raises WeightsError for what is missing or has other sizes.
    """
    parts = parts_of(tensors)
    if lacking := [part for part in PARTS if part not in parts]:
        raise WeightsError(
            f"these weights hold no {', '.join(lacking)} network; import all of the authors' files in one command"
        )
    with seeded(0):  # noise that is not stored must be the same each time: it is seen in the picture
        nets = make_official(sizes, constant="input.input" in parts["generator"])
        if "voice" in parts:
            nets = replace(nets, voice=make_voice(parts["voice"]))
    for part in (*PARTS, *(["voice"] if nets.voice is not None else [])):
        network: nn.Module = getattr(nets, part)
        try:
            lacking, _ = network.load_state_dict(parts[part], strict=False)
        except RuntimeError as error:
            raise WeightsError(f"the {part} network has other sizes than the card says") from error
        needed = [name for name in lacking if not is_made_here(name)]
        if needed:
            raise WeightsError(f"the {part} network lacks {needed[0]} and {len(needed) - 1} more tensors")
        network.eval().requires_grad_(False)
    return nets


def load_earlier(network: nn.Module, state: State | None, what: str) -> None:
    """Load an earlier state; a classifier (`fc`) of other people starts untrained, everything else must fit.

    None leaves the network as it is. Raises WeightsError that names what does not fit.
    """
    if state is None:
        return
    own = network.state_dict()
    taken = {name: state[name] for name, value in own.items() if name in state and state[name].shape == value.shape}
    wrong = [name for name in own if name not in taken and not name.startswith("fc.") and not is_made_here(name)]
    if wrong:
        raise WeightsError(f"{what} does not fit these settings: {wrong[0]} and {len(wrong) - 1} more differ")
    network.load_state_dict({**own, **taken})


def is_made_here(name: str) -> bool:
    """Whether a tensor need not be stored: FIR kernels, counters of batches, and fixed noise."""
    return name.endswith((".kernel", "num_batches_tracked")) or name.startswith("noises.")
