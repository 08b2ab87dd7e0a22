"""Perceptual, adversarial and contrastive losses."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from parity.fixtures import load_fixture
from parity.weights import empty, load_into
from talkingface.systems.pcavs.official.losses import (
    contrastive,
    distance_logits,
    feature_matching,
    gan_loss,
    uniform_distance,
    uniform_divergence,
)
from talkingface.systems.pcavs.official.networks.vgg import WEIGHTS, maps_distance, vgg19, vgg_face, vgg_names


@torch.no_grad()
def test_vgg19():
    recorded = load_fixture("pcavs", "vgg19_perceptual")
    network = empty(vgg19)
    load_into(network, vgg_names(recorded.weights()))
    assert list(WEIGHTS) == recorded.config["weights"]
    assert list(network.ends) == [end for _, end in recorded.config["slices"]]
    x, y = recorded.input("x"), recorded.input("y")
    recorded.check("loss", maps_distance(network, x, y))
    for level, (ours, theirs) in enumerate(zip(network(x), network(y), strict=True)):
        recorded.check(f"feature_x_level{level}", ours)
        recorded.check(f"l1_level{level}", functional.l1_loss(ours, theirs))


@torch.no_grad()
def test_vgg_face():
    recorded = load_fixture("pcavs", "vggface_perceptual")
    network = empty(vgg_face)
    load_into(network, vgg_names(recorded.weights()))
    slices = recorded.config["slices"]
    listed = [slices[level - 1][1] for level in recorded.config["returned_levels"]]
    assert list(network.ends) == [listed[0] + 1, *listed[1:]]
    x, y = recorded.input("x"), recorded.input("y")
    for name in recorded.outputs:
        if first := re.fullmatch(r"loss_layer(\d)", name):
            recorded.check(name, maps_distance(network, x, y, first=int(first[1])))
    for level, maps in enumerate(network(x)[:-1]):
        recorded.check(f"feature_x_{level}", maps)


def tensors(arrays: list[np.ndarray]) -> list[Tensor]:
    return [torch.from_numpy(array.astype(np.float32)) for array in arrays]


def test_gan_losses():
    recorded = load_fixture("pcavs", "losses")
    outputs = [tensors(scale) for scale in recorded.array("p")]
    for mode in ("ls", "original", "w"):
        recorded.check(f"{mode}_real", gan_loss(outputs, True, mode), scalar=True)
        recorded.check(f"{mode}_fake", gan_loss(outputs, False, mode), scalar=True)
    recorded.check("hinge_D_real", gan_loss(outputs, True), scalar=True)
    recorded.check("hinge_D_fake", gan_loss(outputs, False), scalar=True)
    recorded.check("hinge_G", gan_loss(outputs, True, discriminator=False), scalar=True)


def test_feature_matching():
    recorded = load_fixture("pcavs", "losses")
    parts = recorded.parts("feature_matching")
    fake, real = ([tensors(scale) for scale in parts[name]] for name in ("fake", "real"))
    loss = feature_matching(fake, real, recorded.config["lambda_image"])
    recorded.check("feature_matching", recorded.config["lambda_feat"] * loss, scalar=True)


def test_contrastive():
    recorded = load_fixture("pcavs", "losses")
    first, second = recorded.input("f1"), recorded.input("f2")
    recorded.check("contrastive_f1_f2", contrastive(first, second, "distance"), scalar=True)
    recorded.check("contrastive_f2_f1", contrastive(second, first, "distance"), scalar=True)
    recorded.check("contrastive_logits", distance_logits(first, second))


def test_uniform_losses():
    recorded = load_fixture("pcavs", "losses")
    scores = recorded.input("z")
    recorded.check("l2softmax", uniform_distance(scores), scalar=True)
    recorded.check("sumlogsoftmax", uniform_divergence(scores), scalar=True)
