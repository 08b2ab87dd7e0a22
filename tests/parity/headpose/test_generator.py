"""The generators, in the small width and (slowly) in the published ones."""

from __future__ import annotations

import pytest
import torch

from parity.fixtures import Fixture, load_fixture
from talkingface.systems.headpose.official.convert import from_official, load_into, to_official
from talkingface.systems.headpose.official.fast import FastGenerator
from talkingface.systems.headpose.official.networks import UNetAC, UNetAdaIN, adaptive_norm


def make_generator(fixture: Fixture) -> UNetAdaIN:
    config = fixture.config
    with torch.device("meta"):
        network = UNetAdaIN(
            inputs=config["input_nc"], outputs=config["output_nc"], ngf=config["ngf"], feature=config["feat_dim"]
        )
    network = network.to_empty(device="cpu").eval()
    load_into(network, from_official("generator", fixture.weights()), fixture.name)
    return network


@torch.no_grad()
def compare(fixture: Fixture) -> None:
    network = make_generator(fixture)
    frames, feature = fixture.input("frames"), fixture.input("feature")
    style = network.style(feature)
    painted = network.generate(frames, style)
    fixture.assert_close("adain_params", style, 1e-4)
    fixture.assert_close("color", painted.colour, 1e-4)
    fixture.assert_close("attention", painted.mask, 1e-4)
    fixture.assert_close("composite", painted.picture, 1e-4)
    if "e2" in fixture.outputs:
        second = adaptive_norm(network.e2.body(network.e1(frames)), *network.split_style(style)["e2"])
        fixture.assert_close("e2", second, 1e-4)


@torch.no_grad()
def test_fast_generator_small():
    fixture = load_fixture("headpose", "memory_generator_small")
    fast = FastGenerator(make_generator(fixture))
    style = fast.style(fixture.input("feature"))
    painted = fast.generate(fixture.input("frames"), style)
    fixture.assert_close("adain_params", style, 1e-4)
    fixture.assert_close("color", painted.colour, 1e-4)
    fixture.assert_close("attention", painted.mask, 1e-4)
    fixture.assert_close("composite", painted.picture, 1e-4)


def test_memory_generator_small():
    compare(load_fixture("headpose", "memory_generator_small"))


@pytest.mark.slow
def test_memory_generator():
    compare(load_fixture("headpose", "memory_generator"))


def test_official_names_are_kept():
    fixture = load_fixture("headpose", "memory_generator_small")
    official = to_official("generator", make_generator(fixture).state_dict())
    assert {name: tuple(t.shape) for name, t in official.items()} == fixture.state
    for alias, name in fixture.aliases.items():
        assert official[alias] is official[name]


@torch.no_grad()
def test_journal_generator():
    fixture = load_fixture("headpose", "tmm_unetac_generator")
    config = fixture.config
    network = UNetAC(
        inputs=config["input_nc"], outputs=config["output_nc"], ngf=config["ngf"], levels=config["num_downs"]
    ).eval()
    load_into(network, from_official("journal_generator", fixture.weights()), fixture.name)
    painted = network(fixture.input("frames"))
    fixture.assert_close("color", painted.colour, 1e-4)
    fixture.assert_close("attention", painted.mask, 1e-4)
