"""The networks around the generator: ATC-net, the discriminator, the journal version's motion networks, and losses."""

from __future__ import annotations

import torch

from parity.fixtures import load_fixture
from talkingface.systems.headpose.config import RendererConfig
from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.motion.head_motion_generator import BehaviourEncoder, MotionDecoder
from talkingface.systems.headpose.official.atc_recipe import ATC_WEIGHTS, atc_losses
from talkingface.systems.headpose.official.fast import FastAtc
from talkingface.systems.headpose.official.memory import feature_frames, spread_features
from talkingface.systems.headpose.official.networks import Discriminator
from talkingface.systems.headpose.official.recipe import DISCRIMINATOR_WEIGHTS, discriminator_losses, generator_losses

POSE = 6
ATC_LAMBDAS = {"pose": "pose", "pose_smoothness": "smooth_pose", "expression_smoothness": "smooth_expression"}
LAMBDAS = {"picture": "L1", "mask": "mask", "mask_smoothness": "mask_smooth"}
"""Our names of losses -> the recordings' names of their weights."""


@torch.no_grad()
def test_atcnet():
    fixture = load_fixture("headpose", "atcnet")
    network = AtcNet(expression=fixture.config["expression"], pose=fixture.config["pose"]).eval()
    network.load_state_dict(fixture.weights())
    windows = fixture.input("mfcc_windows")
    first = windows[:, 0]
    fixture.assert_close("encoder_first_step", network.audio_eocder(first[:, None]), 1e-4)
    fixture.assert_close("embedding_first_step", network.embed(first), 1e-4)
    fixture.assert_close("coefficients", network(windows)[0], 1e-4)
    fixture.assert_close("coefficients", FastAtc(network)(windows)[0], 1e-4)


def test_atcnet_in_training():
    fixture = load_fixture("headpose", "atcnet_train")
    network = AtcNet(expression=fixture.config["para_dim"] - POSE, pose=POSE, stepwise=True)
    network.load_state_dict(fixture.weights())
    numbers, _ = network(fixture.input("mfcc_windows"))
    losses = atc_losses(numbers, fixture.input("target"), fixture.config["para_dim"] - POSE)
    weights = ATC_WEIGHTS | {name: fixture.config[f"lambda_{key}"] for name, key in ATC_LAMBDAS.items()}
    total = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
    total.backward()
    fixture.assert_close("coefficients", numbers, 1e-4)
    fixture.assert_each_close("losses", torch.stack([*losses.values(), total]), 1e-4)
    names = fixture.note(r"norms of the gradients of (.+?)\.?$")[1].split(", ")
    norms = torch.stack([network.get_parameter(name).grad.norm() for name in names])
    fixture.assert_each_close("grad_norms", norms, 1e-4)
    state = network.state_dict()
    fixture.assert_close("running_mean_first_bn", state["audio_eocder.0.1.running_mean"], 1e-4)
    fixture.assert_close("running_var_last_bn", state["audio_eocder.5.1.running_var"], 1e-4)
    fixture.assert_equal("num_batches_tracked", state["audio_eocder.0.1.num_batches_tracked"][None])


@torch.no_grad()
def test_discriminator():
    fixture = load_fixture("headpose", "patch_discriminator")
    network = Discriminator(fixture.config["input_nc"], fixture.config["ndf"], fixture.config["n_layers"])
    network.load_state_dict(fixture.weights())
    picture = fixture.input("x")
    fixture.assert_close("logits_eval", network.eval()(picture), 1e-4)
    fixture.assert_close("logits_train", network.train()(picture), 1e-4)
    fixture.assert_close("running_mean_after_train", network.model[3].running_mean, 1e-4)


def test_gan_losses():
    fixture = load_fixture("headpose", "memory_gan_losses")
    width, inputs, *_ = fixture.state["model.0.weight"]
    discriminator = Discriminator(inputs, width)
    discriminator.load_state_dict(fixture.weights())
    frames, real = fixture.input("real_A"), fixture.input("real_B")
    colour, mask = (fixture.input(name).requires_grad_() for name in ("fake_B_img", "fake_B_mask"))
    fake = mask * frames[:, -3:] + (1 - mask) * colour
    fixture.assert_close("fake_B", fake, 1e-4)
    of_discriminator = discriminator_losses(discriminator, frames, real, fake)
    of_generator = generator_losses(discriminator, frames, real, fake, mask)
    recorded = {name: fixture.config[f"lambda_{key}"] for name, key in LAMBDAS.items()}
    weights = RendererConfig().loss_weights | recorded
    weighted = [weight * of_generator[name] for name, weight in weights.items()]
    total = torch.stack(weighted).sum()
    both = sum(weight * of_discriminator[name] for name, weight in DISCRIMINATOR_WEIGHTS.items())
    fixture.assert_each_close("losses", torch.stack([*weighted, total, *of_discriminator.values(), both]), 1e-4)
    total.backward()
    fixture.assert_close("grad_img", colour.grad, 1e-4)
    fixture.assert_close("grad_mask", mask.grad, 1e-4)


def test_feature_interpolation():
    fixture = load_fixture("headpose", "feature_interpolation")
    retrieved, count = fixture.input("retrieved"), fixture.config["frames"]
    frames = feature_frames(count, fixture.config["period"])
    fixture.assert_close("used", spread_features(retrieved[frames], frames, count), 1e-6)


@torch.no_grad()
def test_motion_networks():
    fixture = load_fixture("headpose", "tmm_motion_encoder")
    encoder = BehaviourEncoder(inputs=fixture.config["input_ch"], behaviour=fixture.config["idd_ch"]).eval()
    encoder.load_state_dict(fixture.weights())
    poses = fixture.input("pose")
    outputs, states = encoder.read(poses)
    behaviour = encoder(poses)
    fixture.assert_close("lstm_out", outputs, 1e-4)
    fixture.assert_close("state_vector", states, 1e-4)
    fixture.assert_close("behaviour", behaviour, 1e-4)

    fixture = load_fixture("headpose", "tmm_motion_decoder")
    decoder = MotionDecoder(inputs=fixture.config["audio_dim"], behaviour=fixture.config["idd_ch"]).eval()
    decoder.load_state_dict(fixture.weights())
    fixture.assert_close("pose", decoder(fixture.input("mfcc"), behaviour), 1e-4)
