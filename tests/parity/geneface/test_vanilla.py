"""The paper's renderer and AD-NeRF: conditions, points, rays, a picture."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from parity.fixtures import Fixture, load_fixture
from parity.geneface.inputs import numbers
from talkingface.systems.geneface.official import camera, vanilla

NETWORK, PICTURE, DEPTH = 1e-4, 1e-3, 2e-3


def filled(network: torch.nn.Module, fixture: Fixture) -> torch.nn.Module:
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == fixture.state
    network.load_state_dict(fixture.weights())
    return network.eval()


def check_points(fixture: Fixture, network: torch.nn.Module, condition: torch.Tensor) -> None:
    for name in ("fine", "coarse"):
        made = getattr(network, f"model_{name}")(fixture.input("pos"), fixture.input("view"), condition)
        fixture.assert_close(f"rgb_sigma.{name}", made, NETWORK)


@torch.no_grad()
def test_ad_nerf():
    fixture = load_fixture("geneface", "adnerf")
    config = fixture.config
    network = vanilla.AdNerf(
        condition=config["cond_dim"],
        width=config["hidden_size"],
        window=config["cond_win_size"],
        smoothed=config["smo_win_size"],
    )
    filled(network, fixture)
    windows = fixture.input("deepspeech_wins")
    condition = network.encode_condition(windows)
    fixture.assert_close("cond_feat.attention", condition, NETWORK)
    fixture.assert_close("cond_feat.single", network.encode_condition(windows, attention=False), NETWORK)
    check_points(fixture, network, condition)


@torch.no_grad()
def test_torso_of_ad_nerf():
    fixture = load_fixture("geneface", "adnerf_torso")
    config = fixture.config
    network = vanilla.TorsoNerf(audio=config["cond_dim"], width=config["hidden_size"], aware=config["use_color"])
    filled(network, fixture)
    condition = network.encode_condition(
        fixture.input("deepspeech_wins"), fixture.input("euler"), fixture.input("trans"), fixture.input("head_rgb")
    )
    fixture.assert_close("cond_feat", condition, NETWORK)
    check_points(fixture, network, condition)


@torch.no_grad()
def test_landmark_nerf():
    fixture = load_fixture("geneface", "lm3d_nerf")
    config = fixture.config
    network = vanilla.LandmarkNerf(
        condition=config["cond_dim"],
        width=config["hidden_size"],
        window=config["cond_win_size"],
        smoothed=config["smo_win_size"],
    )
    filled(network, fixture)
    windows = fixture.input("cond_wins")
    condition = network.encode_condition(windows)
    fixture.assert_close("cond_feat.attention", condition, NETWORK)
    fixture.assert_close("cond_feat.single", network.encode_condition(windows, attention=False), NETWORK)
    check_points(fixture, network, condition)


@torch.no_grad()
def test_picture_of_the_landmark_nerf():
    fixture = load_fixture("geneface", "lm3d_nerf")
    config, stated = fixture.config["render"], fixture.inputs["render.c2w"]
    network = vanilla.LandmarkNerf()
    filled(network, fixture)
    network.double()
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("xyz", fixture.array("render.c2w_euler_xyz").astype(np.float64)).as_matrix()
    pose[:3, 3] = numbers("translation", stated)
    height, width = config["H"], config["W"]
    view = camera.Intrinsics(
        height=height, width=width, fx=config["focal"], fy=config["focal"], cx=config["cx"], cy=config["cy"]
    )
    origins, directions = (torch.from_numpy(rays.copy()).reshape(-1, 3) for rays in camera.vanilla_rays(pose, view))
    fine, coarse = vanilla.render_vanilla(
        network.model_coarse,
        network.model_fine,
        origins,
        directions,
        network.encode_condition(fixture.input("cond_wins").double()),
        fixture.input("render.bg").double().reshape(-1, 3),
        near=config["near"],
        far=config["far"],
        samples=config["N_samples"],
        important=config["N_importance"],
    )
    for name, values, most in (
        ("rgb_map", fine.rgb, PICTURE),
        ("rgb_map_fg", fine.foreground, PICTURE),
        ("rgb_map_coarse", coarse.rgb, PICTURE),
        ("last_weight", fine.last_weight, PICTURE),
        ("disp_map", fine.disparity, DEPTH),
    ):
        made = values.reshape(height, width, *values.shape[1:])
        off = np.abs(fixture.pick(f"render.{name}", made) - fixture.stored(f"render.{name}")).max()
        assert off <= most, f"{name} is off by {off}"


def test_volume_rendering():
    fixture = load_fixture("geneface", "nerf_volume_rendering")
    raw, directions, background = (torch.from_numpy(fixture.array(name)) for name in ("raw", "rays_d", "bg"))
    depths = torch.from_numpy(fixture.parts("z_draw")["z_vals"])
    made = vanilla.gather_colours(raw, depths, directions, background)
    for name, values in (
        ("weights", made.weights),
        ("rgb_map", made.rgb),
        ("rgb_map_fg", made.foreground),
        ("depth", made.depth),
        ("disparity", made.disparity),
        ("acc", made.opacity),
        ("last_weight", made.last_weight),
    ):
        fixture.assert_close(name, values, 1e-5)
    (name,) = (name for name in fixture.outputs if name.startswith("sample_pdf"))
    quantiles = torch.linspace(0, 1, fixture.outputs[name]["shape"][-1], dtype=torch.float64)
    found = vanilla.important_depths(depths, made.weights, quantiles)
    fixture.assert_close(name, found, 1e-5)
    fixture.assert_close("z_merged", vanilla.merged_depths(depths, found), 1e-5)
