"""A clip taken apart: the parsing network, the parts and what lies behind them; the reconstruction network."""

from __future__ import annotations

import re

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from parity.fixtures import Fixture, load_fixture, search
from parity.formula import evaluate
from talkingface.nn.bisenet import BiSeNet
from talkingface.nn.reconstruction_net import ReconstructionNet
from talkingface.systems.geneface.official import parsing

NETWORK = 1e-3


@torch.no_grad()
def test_parsing_network():
    fixture = load_fixture("geneface", "face_parsing_bisenet")
    network = BiSeNet(fixture.config["n_classes"])
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == fixture.state
    network.load_state_dict(fixture.weights())
    made = network.eval().all_heads(fixture.input("image"))
    for name, logits in zip(("logits", "logits_16", "logits_32"), made, strict=True):
        fixture.assert_close(name, logits, NETWORK)
    labels = made[0].argmax(1).numpy()
    close = np.sort(made[0].numpy(), axis=1)
    sure = close[:, -1] - close[:, -2] > NETWORK * np.abs(close).max()
    assert sure.mean() > 0.9
    np.testing.assert_array_equal(labels[sure], fixture.stored("label")[sure])
    recorded = fixture.stored("label")
    fixture.assert_equal("parsing_bgr_item0", parsing.parsing_picture(recorded[0]))
    parts = parsing.parts_of_labels(recorded[0])
    assert (parts.head.astype(int) + parts.neck + parts.torso + parts.background == 1).all()


@torch.no_grad()
def test_reconstruction_network():
    fixture = load_fixture("geneface", "deep3d_reconnet")
    network = ReconstructionNet()
    network.load_state_dict(fixture.weights())
    network.eval()
    image = fixture.input("image")
    fixture.assert_close("layer4_pooled", network.backbone(image)[:, :, None, None], NETWORK)
    fixture.assert_close("coeff", network(image), NETWORK)


def stated_frames(fixture: Fixture) -> list[tuple[np.ndarray, parsing.Parts]]:
    """ "3 synthetic frames, 96x96, .. frame k with d = 6k-4: labels painted in order torso (..), neck (..), head (..);
    image channels clip(round(..)), ..": pictures and parts."""
    text = fixture.inputs["frames"]
    count, height, width = map(int, search(r"(\d+) synthetic frames, (\d+)x(\d+)", text).groups())
    y, x = np.mgrid[:height, :width].astype(np.float64)
    shift = search(r"with d = ([^:]+):", text)[1]
    torso, neck, head = search(r"torso \((.+)\), neck \((.+)\), head \((.+)\); image", text).groups()
    channels = re.findall(r"clip\(round\((.+?)\)\)(?=,|;|$)", text)
    frames = []
    for k in range(count):
        names = {"x": x, "y": y, "k": k, "d": evaluate(shift, k=k)}
        masks = [_region(region, names) for region in (torso, neck, head)]
        below, middle, top = masks
        parts = parsing.Parts(head=top, neck=middle & ~top, torso=below & ~middle & ~top)
        layers = [np.clip(np.round(evaluate(formula, **names)), 0, 255) for formula in channels]
        frames.append((np.stack(layers, -1).astype(np.uint8), parts))
    return frames


def _region(text: str, names: dict) -> np.ndarray:
    """ "(x-48)^2/1100+(y-92)^2/900 < 1", "|x-48-d/2| < 9 and 50 < y < 70"."""
    conditions = [re.sub(r"\|(.+?)\|", r"abs(\1)", part) for part in text.split(" and ")]
    return np.logical_and.reduce([evaluate(condition, **names) for condition in conditions])


def test_pictures_of_the_parts():
    fixture = load_fixture("geneface", "head_torso_masks")
    frames = stated_frames(fixture)
    plate = fixture.stored("background")
    for name in fixture.outputs:
        kind, _, number = name.partition(".")
        if not number:
            continue
        made = {
            "head": parsing.head_picture,
            "gt": parsing.without_background,
            "torso_bgra": parsing.torso_picture,
        }[kind](*frames[int(number)], plate)
        fixture.assert_equal(name, made)


def test_background_plate():
    """Equal where some frame shows the background well away from the person; elsewhere any of the nearest such pixels
    is as good as the one that a search tree happened to find. The original overwrites the first pixel by accident."""
    fixture = load_fixture("geneface", "head_torso_masks")
    frames = stated_frames(fixture)
    plate, recorded = parsing.background_plate(frames), fixture.stored("background")
    away = np.max([distance_transform_edt(parts.background) for _, parts in frames], axis=0)
    sure = away > parsing.SURE_PX
    sure[0, 0] = False
    np.testing.assert_array_equal(plate[sure], recorded[sure])
    sure[0, 0] = True
    known = np.argwhere(sure)
    for place in np.argwhere(~sure):
        distances = np.linalg.norm(known - place, axis=1)
        nearest = known[distances < distances.min() + 1e-6]
        colours = plate[nearest[:, 0], nearest[:, 1]]
        for made in (plate, recorded):
            assert (colours == made[tuple(place)]).all(-1).any(), place
