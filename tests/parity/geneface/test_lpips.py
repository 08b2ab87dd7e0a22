"""LPIPS (AlexNet) as the lpips package computes it, which GeneFace trains with and `evaluate` measures."""

from __future__ import annotations

import torch

from parity.fixtures import Fixture, load_fixture
from talkingface.nn.lpips import Lpips


def _network(fixture: Fixture) -> Lpips:
    network = Lpips("alex")
    scaling = {name: value for name, value in network.state_dict().items() if name.startswith("scaling_layer.")}
    network.load_state_dict(fixture.weights("net.") | fixture.weights("lin") | scaling)
    return network


def test_lpips_alex():
    fixture = load_fixture("geneface", "lpips_alex")
    network = _network(fixture)
    a, b = fixture.input("pred"), fixture.input("gt")
    with torch.inference_mode():
        fixture.assert_close("distance", network(a, b), 1e-5)
        fixture.assert_close("per_layer", network.by_layer(a, b), 1e-5)
        fixture.assert_close("relu5_pred", network.features(a)[-1], 1e-5)
        fixture.assert_close("distance_normalize_true", network(2 * a - 1, 2 * b - 1), 1e-5)
        assert network(a, a).abs().max() == 0
