"""Crop, face model, renderer, reconstruction and identity networks against the recorded numbers of the original."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parity.fixtures import Fixture, load_fixture
from parity.headpose.inputs import picture, recorded_3d
from talkingface.face.deep3d import (
    CAMERA,
    CAMERA_Z,
    before_camera,
    lit,
    placed,
    rotation_of,
    shape_of,
    split_coefficients,
    unlit,
)
from talkingface.face.lighting import vertex_normals
from talkingface.nn.iresnet import IResNet
from talkingface.nn.reconstruction_net import ReconstructionNet
from talkingface.systems.headpose.official.face import crop, identity, render

PIXELS_OFF = 0.002  # of the silhouette's, which rounding decides
NETWORK = 1e-3


def test_face_crop():
    fixture = load_fixture("headpose", "face_crop")
    config = fixture.config
    assert crop.TEMPLATE.tolist() == config["template_points"]
    assert (config["rescale"], config["crop"]) == (crop.RESCALE, crop.CROP_PX)
    size = tuple(config["image_wh"])
    points = np.array([landmarks for name, landmarks in fixture.inputs.items() if name.startswith("landmarks")])
    first, *others = crop.fit_crops(points, size, reference=True)
    fixture.assert_close("trans_params0", first.row(), 1e-5)
    fixture.assert_close("lm_crop0", crop.to_crop(points[0], first), 1e-5)
    fixture.assert_pixels("crop0_rgb", crop.crop_picture(picture(fixture, "image0"), first), 1)
    for k, own in enumerate(others, 1):
        fixture.assert_close(f"trans_params{k}", own.row(), 1e-5)
        fixture.assert_close(f"lm_crop{k}_own", crop.to_crop(points[k], own), 1e-5)
        fixture.assert_close(f"lm_crop{k}_first", crop.to_crop(points[k], first), 1e-5)
        fixture.assert_close(f"shift{k}", crop.crop_shift(points[k], own, first), 1e-5)
        image = picture(fixture, f"image{k}")
        fixture.assert_pixels(f"crop{k}_own_rgb", crop.crop_picture(image, own), 1)
        fixture.assert_pixels(f"crop{k}_first_rgb", crop.crop_picture(image, first), 1)
    box = crop.paste_box(first, points[0])
    fixture.assert_equal("paste_back", box.row())
    inside = crop.to_crop(points[0], first)
    ratios = [np.ptp(points[0][pair, 0]) / np.ptp(inside[pair, 0]) for pair in ([0, 1], [3, 4])]
    fixture.assert_close("scale", np.array([np.mean(ratios)]), 1e-5)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_face_model(library):
    fixture = load_fixture("headpose", "face_model")
    recorded = recorded_3d(fixture)
    model, triangles = recorded.model, recorded.model.triangles
    parts = split_coefficients(recorded.coefficients)
    shape = shape_of(model, parts["identity"][0], parts["expression"])
    texture = model.albedo(parts["texture"][0])[None]
    if library == "torch":
        parts = {name: torch.from_numpy(values) for name, values in parts.items()}
        shape, texture, triangles = (torch.from_numpy(values) for values in (shape, texture, triangles))
    fixture.assert_close("shape", shape, 1e-5)
    fixture.assert_close("texture", texture, 1e-5)
    normals = vertex_normals(shape, triangles)
    fixture.assert_close("normals", normals, 1e-5)
    fixture.assert_close("rotation", rotation_of(parts["angles"]), 1e-5)
    colours = lit(texture, normals, parts["angles"], parts["light"])
    fixture.assert_close("color", colours, 1e-5)
    fixture.assert_close("lighting", 128 * colours / texture, 1e-5)
    fixture.assert_close("texture_from_color", unlit(colours, normals, parts["angles"], parts["light"]), 1e-5)
    points = placed(shape, parts["angles"], parts["translation"])
    fixture.assert_close("shape_camera", points, 1e-5)
    pixels, depth = CAMERA.project(before_camera(points))
    fixture.assert_close("depth", depth[..., None], 1e-5)
    fixture.assert_close("projection_image", pixels, 1e-5)
    fixture.assert_close("landmarks68", pixels[:, model.landmarks68], 1e-5)
    upwards = np.asarray(pixels).copy()
    upwards[..., 1] = CAMERA.size[1] - upwards[..., 1]
    fixture.assert_close("projection_yup", upwards, 1e-5)


def test_render():
    fixture = load_fixture("headpose", "render")
    assert (CAMERA_Z, CAMERA.size[0]) == (fixture.config["far"], fixture.config["size"])
    recorded = recorded_3d(fixture)
    model = recorded.model
    parts = split_coefficients(recorded.coefficients[0])
    shape = shape_of(model, parts["identity"], parts["expression"])
    points = before_camera(placed(shape, parts["angles"], parts["translation"]))
    texture = model.albedo(parts["texture"])
    colours = lit(texture, vertex_normals(shape, model.triangles), parts["angles"], parts["light"])
    drawing = render.draw(points, colours, model.triangles)
    assert_most_close(fixture, "rgba_float", drawing, 1e-4)
    assert_most_close(fixture, "alpha", np.packbits(drawing[..., 3] > 0), None)
    rounded, truncated = render.to_uint8(drawing), render.to_uint8(drawing, truncate=True)
    assert_most_close(fixture, "rgba_uint8_rounded", rounded, 1)
    assert_most_close(fixture, "rgba_uint8_truncated", truncated, 1)
    moved = render.shifted(rounded, tuple(fixture.inputs["shift_xy"]))
    assert_most_close(fixture, "shifted_rgba", moved, 1)
    assert_most_close(fixture, "shifted_alpha", np.packbits(moved[..., 3] > 0), None)
    assert_most_close(fixture, "filled_mask", np.packbits(render.filled(rounded[..., 3])), None)
    assert_most_close(fixture, "blended_rgb", render.blend(picture(fixture, "background"), rounded), 1)


def assert_most_close(fixture: Fixture, name: str, values: np.ndarray, tolerance: float | None) -> None:
    """All but 0.2 % of the numbers (None: of the bits) are within `tolerance`."""
    ours, theirs = fixture.pick(name, values), fixture.stored(name)
    if tolerance is None:
        off = np.unpackbits(ours) != np.unpackbits(theirs)
    else:
        off = np.abs(ours.astype(np.float64) - theirs) > tolerance
    assert off.mean() <= PIXELS_OFF, f"{name}: {off.mean():.2%} differ"


def test_reconstruction_net():
    fixture = load_fixture("headpose", "reconstruction_net")
    net = ReconstructionNet().eval()
    net.load_state_dict(fixture.weights())
    image = fixture.input("image")
    with torch.no_grad():
        pooled = net.backbone(image)
        fixture.assert_close("pooled", pooled[:, :, None, None], NETWORK)
        fixture.assert_close("coefficients", net(image), NETWORK)


def test_arcface_alignment():
    fixture = load_fixture("headpose", "arcface_alignment")
    assert identity.TEMPLATE.tolist() == fixture.config["template"]
    points = np.array(fixture.inputs["points"])
    fixture.assert_close("matrix", identity.alignment(points), 1e-5)
    fixture.assert_pixels("warped", identity.aligned_face(picture(fixture, "image"), points), 1)


@pytest.mark.slow
def test_arcface_iresnet100():
    fixture = load_fixture("headpose", "arcface_iresnet100")
    config = fixture.config
    net = IResNet(config["layers"], config["num_features"], config["bn_eps"]).eval()
    net.load_state_dict(fixture.weights())
    with torch.no_grad():
        embedding = net(fixture.input("image"))
    fixture.assert_close("embedding", embedding, NETWORK)
    fixture.assert_close("unit", torch.nn.functional.normalize(embedding), NETWORK)
