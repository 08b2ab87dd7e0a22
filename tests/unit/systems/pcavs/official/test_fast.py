"""Fast drawing gives the pictures of the plain way, with less work."""

from __future__ import annotations

import pytest
import torch

from talkingface.systems.pcavs.official.config import tiny_official
from talkingface.systems.pcavs.official.fast import FastGenerator, FastRenderer, draw_plain
from talkingface.systems.pcavs.official.networks.build import OfficialNetworks, make_official
from talkingface.systems.pcavs.official.networks.identity import Identity

SIZES = tiny_official().sizes


@pytest.fixture(scope="module")
def nets() -> OfficialNetworks:
    """Networks under which every layer, noise included, matters."""
    torch.manual_seed(5)
    nets = make_official(SIZES)
    for network in (nets.identity, nets.nonidentity, nets.speech, nets.generator):
        network.eval().requires_grad_(False)
    for layer in (nets.generator.conv1, *nets.generator.convs):
        layer.noise.weight.fill_(0.3)
        layer.activate.bias.normal_(0, 0.2)
    return nets


@pytest.fixture(scope="module")
def scene() -> dict[str, object]:
    torch.manual_seed(6)
    pictures, poses = (torch.rand(2, 3, SIZES.crop_px, SIZES.crop_px) * 2 - 1 for _ in range(2))
    return {"pictures": pictures, "windows": torch.rand(3, 1, 80, 20), "poses": list(poses), "order": [0, 1, 0]}


def test_same_pictures(nets, scene):
    for plain, fast in zip(draw_plain(nets, **scene), FastRenderer(nets).draw(**scene), strict=True):
        assert plain.std() > 0.05
        torch.testing.assert_close(fast, plain, rtol=0, atol=1e-4)


def test_bfloat16_is_near(nets, scene):
    made = FastRenderer(nets, torch.bfloat16).draw(**scene)
    for plain, fast in zip(draw_plain(nets, **scene), made, strict=True):
        assert (fast - plain).abs().mean() < 0.03


def test_networks_run_once_for_what_repeats(nets, scene):
    renderer = FastRenderer(nets)
    calls = {"identity": 0, "pose": 0}

    def count(name: str):
        def hook(*_: object) -> None:
            calls[name] += 1

        return hook

    hooks = [
        renderer._identity.register_forward_hook(count("identity")),
        renderer._fan.register_forward_hook(count("pose")),
    ]
    assert len(list(renderer.draw(**scene))) == 3
    for hook in hooks:
        hook.remove()
    assert calls == {"identity": 1, "pose": 2}


@torch.no_grad()
@pytest.mark.parametrize("noise", ["none", "stored"])
def test_noise_as_asked(nets, noise):
    identity = Identity(torch.randn(1, 32 * SIZES.identity_width), torch.randn(1, SIZES.most_channels, 7, 7))
    rest = torch.randn(SIZES.code)
    fast = FastGenerator(nets.generator, identity=identity.vector.shape[1]).of(identity, noise)
    style = torch.cat([identity.vector[0], rest])[None]
    plain = nets.generator(style, identity.map, noise)[0]
    torch.testing.assert_close(fast(rest[: -SIZES.pose], rest[-SIZES.pose :]), plain, rtol=0, atol=1e-4)


def test_speech_is_heard_alike_however_it_is_cut(nets):
    renderer, windows = FastRenderer(nets), torch.rand(11, 1, 80, 20)
    whole = renderer.mouths(windows)
    assert torch.equal(torch.cat([renderer.mouths(windows[:8]), renderer.mouths(windows[8:])]), whole)
