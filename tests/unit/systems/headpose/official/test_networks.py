from __future__ import annotations

import math

import pytest
import torch

from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.motion.head_motion_generator import BehaviourEncoder, MotionDecoder
from talkingface.systems.headpose.official.atc_recipe import atc_losses
from talkingface.systems.headpose.official.memory import feature_frames, spread_features
from talkingface.systems.headpose.official.networks import (
    Discriminator,
    UNetAC,
    UNetAdaIN,
    adaptive_norm,
    init_published,
)
from talkingface.systems.headpose.official.recipe import (
    discriminator_losses,
    generator_losses,
    logistic_loss,
    total_variation,
)

SMALL = {"channels": (2, 3, 4, 4, 5), "hidden_fc": 8, "hidden": 6, "layers": 2}


def millions(network: torch.nn.Module) -> float:
    return sum(p.numel() for p in network.parameters()) / 1e6


def test_published_sizes():
    with torch.device("meta"):
        assert millions(AtcNet()) == pytest.approx(29.43, abs=0.01)
        assert millions(UNetAdaIN()) == pytest.approx(259.06, abs=0.01)
        assert millions(UNetAdaIN().mlp) == pytest.approx(204.50, abs=0.01)
        assert millions(UNetAC()) == pytest.approx(54.56, abs=0.01)
        assert millions(Discriminator()) == pytest.approx(2.77, abs=0.01)
        assert millions(BehaviourEncoder()) == pytest.approx(1.76, abs=0.01)
        assert millions(MotionDecoder()) == pytest.approx(10.66, abs=0.01)
        assert millions(UNetAdaIN(style_hidden=256)) < 58


def test_speech_in_pieces_gives_the_same_numbers():
    torch.manual_seed(0)
    network = AtcNet(expression=5, pose=3, **SMALL).eval()
    windows = torch.randn(2, 40, 28, 12)
    with torch.no_grad():
        whole, _ = network(windows)
        state, parts = None, []
        for piece in windows.split((1, 12, 27), 1):
            numbers, state = network(piece, state)
            parts.append(numbers)
    assert whole.shape == (2, 40, 8)
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-6)


def test_stepwise_statistics_count_steps():
    windows = torch.randn(3, 4, 28, 12)
    for stepwise, updates in ((True, 4), (False, 1)):
        network = AtcNet(stepwise=stepwise, **SMALL)
        network(windows)
        assert network.audio_eocder[0][1].num_batches_tracked == updates


@pytest.mark.parametrize("shape", [(1, 28, 12), (1, 2, 28, 13), (1, 2, 12, 28)])
def test_wrong_windows_are_refused(shape):
    with pytest.raises(ValueError, match="28, 12"):
        AtcNet(**SMALL)(torch.zeros(shape))
    with pytest.raises(ValueError, match="five"):
        AtcNet(channels=(1, 2))


def test_published_start():
    torch.manual_seed(0)
    network = Discriminator(3, 16)
    init_published(network)
    assert network.model[2].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert network.model[3].weight.mean().item() == pytest.approx(1, abs=0.02)
    assert not network.model[0].bias.any()


def test_adaptive_norm_sets_mean_and_deviation_of_each_item():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 10) * 4 + 7
    bias, scale = torch.randn(2, 3), torch.rand(2, 3) + 0.5
    for layout in (torch.contiguous_format, torch.channels_last):
        y = adaptive_norm(x.contiguous(memory_format=layout), bias, scale)
        assert torch.allclose(y.mean((2, 3)), bias, atol=1e-5)
        assert torch.allclose(y.std((2, 3), correction=0), scale, atol=1e-4)


@pytest.mark.parametrize(
    "make", [lambda noisy: UNetAdaIN(ngf=1, feature=4, noisy=noisy), lambda n: UNetAC(ngf=1, noisy=n)]
)
def test_dropout_is_an_option_outside_training(make):
    torch.manual_seed(0)
    frames, feature = torch.rand(2, 9, 256, 256) * 2 - 1, torch.randn(2, 4)
    arguments = (frames, feature) if isinstance(make(False), UNetAdaIN) else (frames,)
    with torch.no_grad():
        still, noisy = make(False).eval(), make(True).eval()
        assert torch.equal(still(*arguments).picture, still(*arguments).picture)
        assert not torch.equal(noisy(*arguments).picture, noisy(*arguments).picture)
        still.train()
        assert not torch.equal(still(*arguments).picture, still(*arguments).picture)


def test_the_picture_is_the_last_composite_where_the_mask_is_high():
    network = UNetAC(ngf=1, levels=5).eval()
    torch.nn.init.constant_(network.model.attention_reg[0].bias, 50)
    frames = torch.rand(1, 9, 64, 32) * 2 - 1
    with torch.no_grad():
        painted = network(frames)
    assert torch.allclose(painted.picture, frames[:, 6:], atol=1e-6)
    assert painted.colour.shape == (1, 3, 64, 32) and painted.mask.shape == (1, 1, 64, 32)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="multiples of 256"):
        UNetAdaIN(ngf=1, feature=2).eval()(torch.zeros(1, 9, 128, 256), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="multiples of 32"):
        UNetAC(ngf=1, levels=5).eval()(torch.zeros(1, 9, 48, 32))
    with pytest.raises(ValueError, match="levels"):
        UNetAC(ngf=1, levels=4)


def test_gradients_reach_all_of_the_generator():
    network = UNetAdaIN(ngf=1, feature=3, style_hidden=5)
    network(torch.rand(1, 9, 256, 256), torch.randn(1, 3)).picture.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_motion_networks_of_other_sizes():
    torch.manual_seed(0)
    encoder = BehaviourEncoder(inputs=3, behaviour=4, hidden=5, layers=2, widths=(6,)).eval()
    decoder = MotionDecoder(behaviour=4, outputs=3, hidden=5, layers=1, widths=(6, 7)).eval()
    behaviour = encoder(torch.randn(2, 30, 3))
    assert behaviour.shape == (2, 4)
    for rows, frames in ((28, 1), (31, 1), (32, 2), (108, 21)):
        assert decoder(torch.randn(2, rows, 13), behaviour).shape == (2, frames, 3)


def test_smoothness_is_summed_and_errors_are_averaged():
    predicted = torch.zeros(2, 3, 5)
    predicted[0, 1, 4] = 2.0  # up and down again: two changes of 2
    losses = atc_losses(predicted, torch.zeros(2, 3, 5), expression=3)
    assert losses["pose"].item() == pytest.approx(4 / 12) and losses["expression"] == 0
    assert losses["pose_smoothness"].item() == pytest.approx((4 + 4) / 2)
    assert losses["expression_smoothness"] == 0


def test_losses_reach_whom_they_should():
    discriminator = Discriminator(12, 2)
    frames, real = torch.rand(1, 9, 64, 64), torch.rand(1, 3, 64, 64)
    fake, mask = torch.rand(1, 3, 64, 64, requires_grad=True), torch.rand(1, 1, 64, 64, requires_grad=True)
    sum(discriminator_losses(discriminator, frames, real, fake).values()).backward()
    assert fake.grad is None and discriminator.model[0].weight.grad is not None
    sum(generator_losses(discriminator, frames, real, fake, mask).values()).backward()
    assert fake.grad is not None and mask.grad is not None


def test_logistic_loss_and_total_variation():
    scores = torch.tensor([[0.0, 0.0]])
    assert logistic_loss(scores, True).item() == pytest.approx(math.log(2))
    sure = torch.tensor([100.0])
    assert logistic_loss(sure, True).item() == pytest.approx(0, abs=1e-9) and logistic_loss(sure, False) == 100
    step = torch.zeros(1, 1, 4, 6)
    step[..., 3:] = 1.0
    assert total_variation(step) == 4


@pytest.mark.parametrize(
    ("count", "frames"), [(0, []), (1, [0]), (25, [0, 24]), (26, [0, 25]), (51, [0, 25, 50]), (52, [0, 25, 50, 51])]
)
def test_feature_frames(count, frames):
    assert feature_frames(count) == frames


def test_features_are_spread_evenly():
    spread = spread_features(torch.tensor([[0.0], [10.0], [12.0]]), [0, 5, 6], 7)
    assert spread.flatten().tolist() == pytest.approx([0, 2, 4, 6, 8, 10, 12])
    assert spread_features(torch.ones(1, 2), [0], 3).shape == (3, 2)
    with pytest.raises(ValueError, match="features for"):
        spread_features(torch.ones(2, 2), [0], 3)
