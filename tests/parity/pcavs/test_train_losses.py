"""One step of the published training of stage 3: every loss, and where gradients end."""

from __future__ import annotations

import pytest
import torch

from parity.fixtures import load_fixture
from parity.pcavs.four_networks import networks
from parity.weights import empty, fill, filled, load_into
from talkingface.systems.pcavs.official.losses import StageBatch, StageNetworks, discriminator_losses, generator_losses
from talkingface.systems.pcavs.official.networks.identity import IdentityNet
from talkingface.systems.pcavs.official.networks.vgg import vgg19, vgg_names

NAMES = {
    "crossmodal": "G_CrossModal",
    "contrast_audio": "G_SoftmaxContrastive",
    "contrast_video": "G_SoftmaxContrastive_v2a",
    "match_video": "G_GAN_Feat",
    "match_audio": "G_GAN_Feat_audio",
    "adversarial_video": "G_GANv",
    "adversarial_audio": "G_GANa",
    "vgg_video": "G_VGGv",
    "vgg_audio": "G_VGGa",
    "person": "G_loss_cls",
    "discriminator_fake": "D_D_Fake",
    "discriminator_real": "D_D_real",
}
PARTS = {"netG": "generator", "netV": "identity", "netE": "nonidentity", "netA_sync": "speech", "netD": "discriminator"}
LAMBDAS = {"crossmodal": "crossmodal", "contrast": "contrastive", "match": "feat", "vgg": "vgg", "discriminator": "D"}
"""Kinds of our losses -> the recording's names of their weights; those of the others are 1."""


def check_gradients(recorded, nets: StageNetworks, prefix: str) -> None:
    for name in recorded.outputs:
        if name.startswith(prefix):
            part, _, tensor = name.removeprefix(prefix).partition(".")
            if part in PARTS:
                recorded.check(name, getattr(nets, PARTS[part]).get_parameter(tensor).grad.norm(), scalar=True)


@pytest.mark.slow
def test_stage_three():
    recorded = load_fixture("pcavs", "train_losses")
    config = recorded.config
    kinds = {name: LAMBDAS.get(name.partition("_")[0]) for name in NAMES}
    weights = {name: config[f"lambda_{kind}"] if kind else 1.0 for name, kind in kinds.items()}
    found = networks(recorded, "netE", "netA_sync", "netG", "netD")
    found["netV"] = fill(empty(IdentityNet), recorded.seed, recorded.rules("netV"))
    perceptual = empty(vgg19)
    pictures = load_fixture("pcavs", "vgg19_perceptual")
    load_into(perceptual, vgg_names(filled(pictures.state, recorded.seed, pictures.rules())))
    nets = StageNetworks(**{PARTS[name]: network for name, network in found.items()}, vgg=perceptual)
    batch = StageBatch(
        reference=recorded.input("reference"),
        target=recorded.input("target"),
        augmented=recorded.input("augmented"),
        windows=recorded.input("mel").reshape(-1, 1, *recorded.input("mel").shape[-2:]),
        person=torch.tensor(recorded.inputs["labels"]),
    )
    nets.discriminator.requires_grad_(False)
    losses, drawn = generator_losses(
        nets, batch, contrast="distance", audio_only=config["generate_from_audio_only"], noise="stored"
    )
    weighted = {name: weights[name] * loss for name, loss in losses.items()}
    for name, loss in weighted.items():
        recorded.check(NAMES[name], loss, scalar=True)
    torch.stack(list(weighted.values())).sum().backward()
    check_gradients(recorded, nets, "gradnorm_")
    nets.discriminator.requires_grad_(True)
    losses = discriminator_losses(nets, batch, drawn)
    for name, loss in losses.items():
        recorded.check(NAMES[name], loss, scalar=True)
    torch.stack(list(losses.values())).sum().backward()
    check_gradients(recorded, nets, "gradnorm_D_")
