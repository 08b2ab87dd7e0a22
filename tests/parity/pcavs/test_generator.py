"""The generator with every way of giving it styles, noise and a first map, and the layers it is made of."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from parity.fixtures import Fixture, fixture_names, load_fixture
from parity.weights import empty, filled, load_into
from talkingface.systems.pcavs.official.fast import FastGenerator
from talkingface.systems.pcavs.official.networks.generator import Generator, Noise, truncated
from talkingface.systems.pcavs.official.networks.identity import Identity
from talkingface.systems.pcavs.official.networks.style_layers import (
    Blur,
    ConvLayer,
    Downsample,
    ModulatedConv,
    ResidualBlock,
    Upsample,
    fused_leaky_relu,
    upfirdn2d,
)


def make_generator(recorded: Fixture) -> Generator:
    config = recorded.config
    network = empty(lambda: Generator(crop_px=config["crop_size"], style=config["style_dim"]))
    load_into(network, recorded.weights())
    return network


def noise_maps(recorded: Fixture) -> list[Tensor]:
    return [torch.from_numpy(each.astype("float32")) for each in recorded.array("noise")]


@torch.no_grad()
@pytest.mark.parametrize("name", fixture_names("pcavs", "netG_small_*"))
def test_small_generators(name):
    recorded = load_fixture("pcavs", name)
    network = make_generator(recorded)
    assert network.start == recorded.config["init_size"]
    assert len(network.noise_sides) == recorded.config["num_layers"]
    style, second, first = (recorded.input(key) for key in ("style", "style2", "identity_style"))
    noise = noise_maps(recorded)
    recorded.check("image", network(style, first, noise))
    recorded.check("image_const_input", network(style, None, noise))
    recorded.check("mapping", network.style(style))
    recorded.check("image_mapped", network(network.style(style), first, noise))
    for name in recorded.outputs:
        if mixed := re.fullmatch(r"image_mixed_inject(\d+)", name):
            recorded.check(name, network(network.slots(style, second, int(mixed[1])), first, noise))
    share = float(recorded.note(r"truncation ([\d.]+) toward style2")[1])
    recorded.check("image_truncated_half", network(truncated(style, second, share), first, noise))
    recorded.check("image", fast_pictures(network, style, first, noise))


def fast_pictures(network: Generator, style: Tensor, first: Tensor, noise: Noise) -> Tensor:
    """The same by the fast way, picture by picture, cutting the style somewhere."""
    of_identity = style.shape[1] // 2
    fast = FastGenerator(network, identity=of_identity)
    pictures = []
    for k in range(len(style)):
        maps = noise if isinstance(noise, str) else [each[k : k + 1] for each in noise]
        paint = fast.of(Identity(style[k : k + 1, :of_identity], first[k : k + 1]), maps)
        pictures.append(paint(style[k, of_identity:-1], style[k, -1:]))
    return torch.stack(pictures)


@pytest.mark.slow
@torch.no_grad()
def test_generator():
    recorded = load_fixture("pcavs", "netG")
    network = make_generator(recorded)
    style, first, noise = recorded.input("style"), recorded.input("identity_style"), noise_maps(recorded)
    maps = []
    hook = network.convs[1].register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    raw = network.before_tanh(style, first, noise)
    hook.remove()
    recorded.check("feature_after_convs_1", maps[0])
    recorded.check("image_pre_tanh", raw)
    recorded.check("image", torch.tanh(raw))
    recorded.check("image_buffer_noise", fast_pictures(network, style, first, "stored"))
    recorded.check("image_buffer_noise", network(style, first, "stored"))
    recorded.check("image_const_input", network(style, None, noise))
    for k, head in enumerate([network.to_rgb1, *network.to_rgbs]):
        recorded.check(f"style_rgb_{k}", head.conv.style(style))


@torch.no_grad()
def test_resampling():
    recorded = load_fixture("pcavs", "upfirdn2d")
    x, kernel = recorded.input("x"), recorded.input("kernel")
    for name in recorded.outputs:
        if found := re.fullmatch(r"(?:(up|down)(\d)_)?pad(\d)(\d)", name):
            by = {found[1]: int(found[2])} if found[1] else {}
            recorded.check(name, upfirdn2d(x, kernel, pad=(int(found[3]), int(found[4])), **by))
    recorded.check("padneg", upfirdn2d(x, kernel, pad=(-1, 2)))
    recorded.check("Upsample_1331", Upsample()(x))
    recorded.check("Downsample_1331", Downsample()(x))
    recorded.check("Blur_1331_pad11_gain4", Blur((1, 1), gain=4.0)(x))
    recorded.check("kernel_upsample", Upsample().kernel)
    recorded.check("kernel_downsample", Downsample().kernel)
    recorded.check("fused_leaky_relu", fused_leaky_relu(x, kernel[0, : x.shape[1], None, None]))


@torch.no_grad()
def test_style_layers():
    recorded = load_fixture("pcavs", "upfirdn2d")
    states = recorded.config["states"]
    x, style = recorded.input("modconv_x"), recorded.input("modconv_style_in")

    def load_layer(layer: torch.nn.Module, name: str) -> torch.nn.Module:
        load_into(layer, filled(dict(states[name]), recorded.seed, recorded.rules()))
        return layer

    options = {"plain": {}, "up": {"resample": "up"}, "down": {"resample": "down"}, "nodemod": {"demodulate": False}}
    for kind, settings in options.items():
        _, outputs, inputs, kernel, _ = dict(states[f"modconv_{kind}"])["weight"]
        layer = load_layer(ModulatedConv(inputs, outputs, kernel, style.shape[1], **settings), f"modconv_{kind}")
        recorded.check(f"modconv_{kind}", layer(x, style))
        if kind == "plain":
            recorded.check("modconv_style", layer.style(style))
    x = recorded.input("block_x")
    outputs, inputs, kernel, _ = dict(states["convlayer_down"])["1.weight"]
    recorded.check("resblock", load_layer(ResidualBlock(inputs, outputs), "resblock")(x))
    recorded.check("convlayer_down", load_layer(ConvLayer(inputs, outputs, kernel, down=True), "convlayer_down")(x))
