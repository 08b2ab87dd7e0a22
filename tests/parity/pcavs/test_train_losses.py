"""One step of the published training of stage 3: every loss, and where gradients end."""

from __future__ import annotations

import pytest
import torch

from parity.fixtures import load_fixture
from parity.pcavs.four_networks import networks
from parity.weights import empty, fill, filled, load_into
from talkingface.systems.pcavs.official.losses import StageBatch, StageNetworks, drawing_losses, judging_losses
from talkingface.systems.pcavs.official.networks.identity import IdentityNet
from talkingface.systems.pcavs.official.networks.vgg import vgg19, vgg_names

NAMES = {
    "crossmodal": "G_CrossModal",
    "contrast_heard": "G_SoftmaxContrastive",
    "contrast_seen": "G_SoftmaxContrastive_v2a",
    "match_seen": "G_GAN_Feat",
    "match_heard": "G_GAN_Feat_audio",
    "fool_seen": "G_GANv",
    "fool_heard": "G_GANa",
    "vgg_seen": "G_VGGv",
    "vgg_heard": "G_VGGa",
    "person": "G_loss_cls",
    "judge_fake": "D_D_Fake",
    "judge_real": "D_D_real",
}
PARTS = {"netG": "generator", "netV": "identity", "netE": "nonidentity", "netA_sync": "speech", "netD": "judge"}
LAMBDAS = {"crossmodal": "crossmodal", "contrast": "contrastive", "match": "feat", "vgg": "vgg", "judge": "D"}
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
    nets.judge.requires_grad_(False)
    losses, drawn = drawing_losses(
        nets, batch, contrast="distance", heard_only=config["generate_from_audio_only"], noise="stored"
    )
    weighted = {name: weights[name] * loss for name, loss in losses.items()}
    for name, loss in weighted.items():
        recorded.check(NAMES[name], loss, scalar=True)
    torch.stack(list(weighted.values())).sum().backward()
    check_gradients(recorded, nets, "gradnorm_")
    nets.judge.requires_grad_(True)
    judged = judging_losses(nets, batch, drawn)
    for name, loss in judged.items():
        recorded.check(NAMES[name], loss, scalar=True)
    torch.stack(list(judged.values())).sum().backward()
    check_gradients(recorded, nets, "gradnorm_D_")
