"""The face models of the published data: the tracker's, and Deep3D's alignment, coefficients and landmarks."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from parity.fixtures import Fixture, load_fixture, search
from parity.formula import evaluate
from parity.recipe import Recipes
from talkingface.face import bfm
from talkingface.face.deep3d import CAMERA, before_camera, flipped, lit, placed, rotation_of, split_coefficients
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.geneface.landmarks3d import landmark_displacements
from talkingface.systems.geneface.official import deep3d, tracking


def tracker_model(fixture: Fixture) -> tracking.TrackerModel:
    def tensor(name: str) -> Tensor:
        return torch.from_numpy(np.asarray(fixture.array(name)))

    def numbers(name: str) -> Tensor:
        return tensor(name).double()

    return tracking.TrackerModel(
        mean=numbers("mu"),
        identity=numbers("base_id"),
        identity_std=numbers("sig_id"),
        expression=numbers("base_exp"),
        expression_std=numbers("sig_exp"),
        mean_texture=numbers("mu_tex"),
        texture=numbers("base_tex"),
        texture_std=numbers("sig_tex"),
        landmarks=tensor("keyinds"),
        left_jaw=tensor("left_contour"),
        right_jaw=tensor("right_contour"),
    )


def test_face_of_the_tracker():
    fixture = load_fixture("geneface", "tracking_geometry")
    config, model = fixture.config, tracker_model(fixture)

    def numbers(name: str) -> Tensor:
        return fixture.input(name).double()

    shape = model.shape(numbers("id_para"), numbers("exp_para"))
    fixture.assert_close("geometry", shape, 1e-5)
    before = tracking.placed(shape, numbers("euler"), numbers("trans"))
    projected = tracking.project(before, config["focal"], (config["cx"], config["cy"]))
    vertices = tracking.landmark_vertices(model, projected)
    fixture.assert_close("landmarks3d", tracking.at_vertices(shape, vertices), 1e-5)
    landmarks = tracking.at_vertices(projected, vertices)
    fixture.assert_close("landmarks_projected", landmarks, 1e-5)
    rigid = torch.from_numpy(fixture.array("rigid_ids"))
    fixture.assert_close("rigid_points", before[:, rigid], 1e-5)
    colours = model.colours(numbers("tex_para"))
    fixture.assert_close("texture", colours, 1e-5)
    around = torch.from_numpy(fixture.array("vert_tris"))
    normals = tracking.normals(shape, torch.from_numpy(fixture.array("tris")), around)
    fixture.assert_close("vertex_normals", normals, 1e-5)
    fixture.assert_close("shaded_colour", tracking.lit(colours, normals, numbers("light")), 1e-5)
    fixture.assert_close("landmark_loss", tracking.landmark_loss(landmarks, numbers("gt_landmarks"))[None], 1e-5)


def test_losses_of_the_tracker():
    fixture = load_fixture("geneface", "tracking_geometry")
    points = fixture.input("rigid_sequence").double().unflatten(-1, (-1, 3))
    fixture.assert_close("laplacian_loss", tracking.steadiness_loss(points)[None], 1e-5)
    above = float(search(r"mask = draw > ([\d.]+)", fixture.inputs["mask_draw"])[1])
    mask = fixture.input("mask_draw") > above
    drawn, seen = fixture.input("render").double(), fixture.input("image").double()
    fixture.assert_close("colour_loss", tracking.colour_loss(drawn, seen, mask)[None], 1e-5)


def stated_picture(fixture: Fixture) -> np.ndarray:
    """ "uint8 round of channels: 128+100 sin(x/9) cos(y/13); ..; (1.3x+0.7y) mod 256; H, W in config"."""
    text = search(r"channels: (.+); H, W in config", fixture.inputs["image"])[1]
    y, x = np.mgrid[: fixture.config["H"], : fixture.config["W"]].astype(np.float64)
    return np.stack([np.round(evaluate(part, x=x, y=y)) for part in text.split("; ")], -1).astype(np.uint8)


def stated_points(fixture: Fixture) -> np.ndarray:
    """ "float32 of ..; lm5 = [[60,70],..] * [W/160, H/180] + jitter (x, y down)"."""
    drawn, _, rest = fixture.inputs["lm5_jitter"].partition("; ")
    jitter = Recipes({"jitter": drawn}).value("jitter")
    points, factor = re.fullmatch(r"lm5 = (\[\[.+?\]\]) \* (\[.+?\]) \+ jitter.*", rest).groups()  # type: ignore[union-attr]
    size = {"W": fixture.config["W"], "H": fixture.config["H"]}
    return np.array(evaluate(points)) * np.array(evaluate(factor, **size)) + jitter


def test_alignment():
    fixture = load_fixture("geneface", "deep3d_geometry")
    width, height = fixture.config["W"], fixture.config["H"]
    assert deep3d.STANDARD_POINTS.tolist() == fixture.config["standard_points"]
    points = deep3d.upwards(stated_points(fixture), height)
    alignment = deep3d.align(points, (width, height))
    fixture.assert_close("trans_params_w0_h0_s_tx_ty", alignment.row(), 1e-5)
    fixture.assert_close("aligned_landmarks", deep3d.aligned_points(points, alignment), 1e-5)
    picture = deep3d.aligned_picture(stated_picture(fixture), alignment)
    fixture.assert_pixels("aligned_image", picture, 1)
    fixture.assert_close("five_from_68", deep3d.five_points(fixture.array("lm68")), 1e-5)


def recorded_model(fixture: Fixture) -> LinearFaceModel:
    """The synthetic model as `face/bfm.py` would read it: our axes, numbers from 0."""

    def vertices(name: str) -> np.ndarray:
        values = np.asarray(fixture.array(name), np.float64)
        return values.reshape(-1, 3) if len(values) == 1 else values.reshape(len(values) // 3, 3, -1)

    signs = np.array([1, -1, -1])
    keypoints = fixture.array("keypoints") - 1
    return LinearFaceModel(
        name=bfm.NAME,
        mean=vertices("meanshape") * signs,
        identity=vertices("idBase") * signs[:, None],
        expression=vertices("exBase") * signs[:, None],
        num_mouth=64,
        triangles=fixture.array("tri"),
        noise=bfm.NOISE,
        landmarks=keypoints,
        tracked=np.arange(68),
        landmarks68=keypoints,
        mean_texture=vertices("meantex"),
        texture=vertices("texBase"),
    )


def test_faces_of_coefficients():
    fixture = load_fixture("geneface", "deep3d_geometry")
    model = recorded_model(fixture)
    parts = split_coefficients(np.asarray(fixture.array("coeff"), np.float64))
    identity, expression, angles = (parts[name] for name in ("identity", "expression", "angles"))
    fixture.assert_close("rotation", rotation_of(angles), 1e-5)
    lifted = np.einsum("vde,te->tvd", model.identity, identity) + model.displacement(expression)
    shape = flipped(model.mean - model.mean.mean(0) + lifted)
    before = before_camera(placed(shape, angles, parts["translation"]))
    fixture.assert_close("vertex_camera", before * (1, -1, 1), 1e-5)
    pixels, _ = CAMERA.project(before)
    pixels[..., 1] = CAMERA.size[1] - pixels[..., 1]
    fixture.assert_close("landmarks_image", pixels[:, model.landmarks68], 1e-5)
    texture = np.stack([model.albedo(row) for row in parts["texture"]])
    fixture.assert_close("texture", texture / 255, 1e-5)
    triangles, around = (torch.from_numpy(fixture.array(name)) for name in ("tri", "point_buf"))
    normals = tracking.normals(torch.from_numpy(shape), triangles, around).numpy()
    fixture.assert_close("colour", lit(texture, normals, angles, parts["light"]) / 255, 1e-5)
    fixture.assert_close("idexp_lm3d", landmark_displacements(model, identity, expression, released=True), 1e-5)
