"""The networks of one whole recording, each filled under its own names."""

from __future__ import annotations

from typing import Any

from parity.fixtures import Fixture
from parity.weights import empty, fill
from talkingface.systems.pcavs.official.networks.discriminator import Discriminator
from talkingface.systems.pcavs.official.networks.generator import Generator
from talkingface.systems.pcavs.official.networks.identity import IdentityNet
from talkingface.systems.pcavs.official.networks.nonidentity import NonIdentityNet
from talkingface.systems.pcavs.official.networks.speech import SpeechNet

MAKERS: dict[str, Any] = {
    # what takes part in nothing that is recorded is left out: filling it takes seconds
    "netV": IdentityNet,
    "netE": lambda: NonIdentityNet(classes=0),
    "netA_sync": lambda: SpeechNet(people=0),
    "netG": lambda: Generator(mapping=0),
    "netD": Discriminator,
}


def networks(recorded: Fixture, *names: str) -> dict[str, Any]:
    """The named networks in their published sizes, in evaluation mode."""
    return {name: fill(empty(MAKERS[name]), recorded.seed, recorded.rules(name)) for name in names}
