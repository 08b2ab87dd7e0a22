from __future__ import annotations

import pytest
import torch
from torch import nn

from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.official.fast import (
    FastAtc,
    FastGenerator,
    FastInference,
    InferenceNets,
    atc_plain,
    run_plain,
)
from talkingface.systems.headpose.official.memory import MemoryBank, QueryNet, feature_frames, spread_features
from talkingface.systems.headpose.official.networks import UNetAdaIN


def shake(network: nn.Module) -> nn.Module:
    """Weights large enough that every layer matters, statistics that are not the initial ones."""
    torch.manual_seed(5)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, 0, 0.1)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.normal_(module.weight, 1, 0.1)
    return network.eval()


@pytest.fixture(scope="module")
def nets() -> InferenceNets:
    generator = shake(UNetAdaIN(ngf=2, feature=6, style_hidden=10))
    query = shake(QueryNet(feature=5, width=2))
    bank = MemoryBank.make(40, query=5, feature=6, generator=torch.Generator().manual_seed(1))
    bank.value.normal_(generator=torch.Generator().manual_seed(2))
    bank.own[:30] = True
    return InferenceNets(generator=generator, query=query, bank=bank, period=5)


def composites(count: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 3, 8, 8, generator=rng) * 2 - 1
    return list(nn.functional.interpolate(coarse, (256, 256), mode="bilinear"))


def test_folded_atcnet_is_equal_and_runs_in_pieces():
    network = shake(AtcNet(expression=5, pose=3, channels=(3, 4, 5, 5, 6), hidden_fc=9, hidden=7, layers=2))
    windows = torch.randn(2, 11, 28, 12, generator=torch.Generator().manual_seed(0)) * 5
    fast = FastAtc(network, batch=4)
    with torch.no_grad():
        plain, whole = atc_plain(network, windows), fast(windows)[0]
        assert torch.allclose(network(windows)[0], plain, atol=1e-5)
    assert torch.allclose(whole, plain, atol=1e-5)
    state, parts = None, []
    for start in range(0, 11, 3):
        numbers, state = fast(windows[:, start : start + 3], state)
        parts.append(numbers)
    assert torch.allclose(torch.cat(parts, 1), plain, atol=1e-5)


def test_fast_generator_is_equal(nets):
    frames = torch.stack([torch.cat(composites(5)[k : k + 3]) for k in range(3)])
    features = torch.randn(3, 6, generator=torch.Generator().manual_seed(4))
    fast = FastGenerator(nets.generator)
    with torch.no_grad():
        style = nets.generator.style(features)
        plain = nets.generator.generate(frames, style)
    assert plain.mask.std() > 0.05 and plain.colour.std() > 0.05
    assert torch.allclose(fast.style(features), style, atol=1e-5)
    for ours, theirs in zip(fast.generate(frames, style), plain, strict=True):
        assert (ours - theirs).abs().max() < 1e-4


def test_wrong_sizes_are_refused(nets):
    with pytest.raises(ValueError, match="multiples of 256"):
        FastGenerator(nets.generator).generate(torch.zeros(1, 9, 128, 256), torch.zeros(1, 312))


def test_bfloat16_is_close(nets):
    frames = torch.stack([torch.cat(composites(4)[k : k + 3]) for k in range(2)])
    features = torch.randn(2, 6, generator=torch.Generator().manual_seed(4))
    fast = FastGenerator(nets.generator, dtype=torch.bfloat16)
    with torch.no_grad():
        plain = nets.generator(frames, features).picture
    painted = fast.generate(frames, fast.style(features)).picture
    assert painted.dtype == torch.float32
    assert (painted - plain).abs().mean() < 0.02


@pytest.mark.parametrize("count", [0, 2, 3, 4, 7, 8, 9, 13, 14])
def test_both_ways_draw_the_same_pictures(nets, count):
    plain = list(run_plain(nets, composites(count)))
    fast = list(FastInference(nets, batch=2).run(iter(composites(count))))
    assert len(plain) == len(fast) == max(0, count - 2)
    for ours, theirs in zip(fast, plain, strict=True):
        assert (ours - theirs).abs().max() < 1e-4


def test_features_are_those_of_the_whole_file(nets):
    """Drawing a stream span by span interpolates as over the whole file at once."""
    pictures = composites(14)
    frames = torch.stack([torch.cat(pictures[k : k + 3]) for k in range(12)])
    with torch.no_grad():
        keys = feature_frames(12, nets.period)
        features = spread_features(torch.stack([nets.retrieve(pictures[k + 2]) for k in keys]), keys, 12)
        whole = nets.generator(frames, features).picture
    for ours, theirs in zip(FastInference(nets).run(pictures), whole, strict=True):
        assert (ours - theirs).abs().max() < 1e-4


def test_the_memory_is_asked_only_where_the_answer_is_used(nets, monkeypatch):
    asked = []
    retrieve = InferenceNets.retrieve
    monkeypatch.setattr(InferenceNets, "retrieve", lambda self, c: asked.append(1) or retrieve(self, c))
    list(FastInference(nets).run(composites(14)))
    assert len(asked) == len(feature_frames(12, nets.period)) == 4
    asked.clear()
    list(run_plain(nets, composites(14)))
    assert len(asked) == 12


def test_nothing_is_held_longer_than_needed(nets):
    """A span is drawn as soon as its end is known."""
    given = 0

    def stream():
        nonlocal given
        for picture in composites(20):
            given += 1
            yield picture

    next(FastInference(nets).run(stream()))
    assert given == 2 + nets.period + 1
