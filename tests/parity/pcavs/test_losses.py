"""Perceptual, adversarial and contrastive losses."""

from __future__ import annotations

import re

import torch
from torch.nn import functional

from parity.pcavs.recorded import draws, empty, load, load_into, subscripts
from talkingface.systems.pcavs.official.loss_terms import (
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
    recorded = load("vgg19_perceptual")
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
    recorded = load("vggface_perceptual")
    network = empty(vgg_face)
    load_into(network, vgg_names(recorded.weights()))
    slices = recorded.config["slices"]
    listed = [slices[level - 1][1] for level in recorded.config["returned_levels"]]
    assert list(network.ends) == [listed[0] + 1, *listed[1:]]
    x, y = recorded.input("x"), recorded.input("y")
    for name in recorded.fixture.outputs:
        if first := re.fullmatch(r"loss_layer(\d)", name):
            recorded.check(name, maps_distance(network, x, y, first=int(first[1])))
    for level, maps in enumerate(network(x)[:-1]):
        recorded.check(f"feature_x_{level}", maps)


def test_gan_losses():
    recorded = load("losses")
    a, b, c = recorded.draws("p")
    judged = [[a, b], [c]]
    for mode in ("ls", "original", "w"):
        recorded.check_scalar(f"{mode}_real", gan_loss(judged, True, mode))
        recorded.check_scalar(f"{mode}_fake", gan_loss(judged, False, mode))
    recorded.check_scalar("hinge_D_real", gan_loss(judged, True))
    recorded.check_scalar("hinge_D_fake", gan_loss(judged, False))
    recorded.check_scalar("hinge_G", gan_loss(judged, True, judging=False))


def test_feature_matching():
    recorded = load("losses")
    text = recorded.fixture.inputs["feature_matching"]
    fake, real = {}, {}
    for place in subscripts(text):
        fake.setdefault(place["i"], []), real.setdefault(place["i"], [])
        ours, theirs = draws(text, recorded.fixture.seed, **place)
        fake[place["i"]].append(ours)
        real[place["i"]].append(theirs)
    loss = feature_matching(list(fake.values()), list(real.values()), recorded.config["lambda_image"])
    recorded.check_scalar("feature_matching", recorded.config["lambda_feat"] * loss)


def test_contrastive():
    recorded = load("losses")
    first = recorded.input("f1")
    factor = float(re.match(r"([\d.]+)\*f1", recorded.fixture.inputs["f2"])[1])
    second = factor * first + recorded.input("f2")
    recorded.check_scalar("contrastive_f1_f2", contrastive(first, second, "distance"))
    recorded.check_scalar("contrastive_f2_f1", contrastive(second, first, "distance"))
    recorded.check("contrastive_logits", distance_logits(first, second))


def test_uniform_losses():
    recorded = load("losses")
    scores = recorded.input("z")
    recorded.check_scalar("l2softmax", uniform_distance(scores))
    recorded.check_scalar("sumlogsoftmax", uniform_divergence(scores))
