"""The whole way from pictures and sound to a frame."""

from __future__ import annotations

import pytest
import torch

from parity.fixtures import load_fixture
from parity.pcavs.four_networks import networks
from talkingface.systems.pcavs.official.style import SPEECH_GAIN, assemble, encode_identity


@pytest.mark.slow
@torch.no_grad()
def test_inference():
    recorded = load_fixture("pcavs", "inference")
    nets = networks(recorded, "netV", "netE", "netA_sync", "netG")
    assert recorded.config["mouth_feature_weight"] == SPEECH_GAIN
    reference = recorded.input("reference")
    windows = recorded.input("mel").flatten(0, 1)[:, None]
    identity = nets["netV"](reference)
    one = encode_identity(nets["netV"], list(reference[0]))
    torch.testing.assert_close(one.vector[0], identity.vector[0], rtol=1e-4, atol=1e-4)
    for name, pose in (("ref", reference[:, 0]), ("driven", recorded.input("driving"))):
        style = assemble(nets["netE"], nets["netA_sync"], identity, windows, pose).joined()
        raw = nets["netG"].before_tanh(style, identity.map, "stored")
        recorded.check(f"style_{name}_pose", style)
        recorded.check(f"pre_tanh_{name}_pose", raw)
        recorded.check(f"image_{name}_pose", torch.tanh(raw))
