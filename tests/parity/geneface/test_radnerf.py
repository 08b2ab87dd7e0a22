"""The radiance field of the head and the torso: point queries, pictures, gradients, occupancy."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from parity.fixtures import Fixture, load_fixture, search
from parity.geneface.inputs import ellipsoid, rule_weights, stated_camera
from parity.weights import empty
from talkingface.nn.ray_march import pack_bits
from talkingface.systems.geneface.config import RadNerfConfig
from talkingface.systems.geneface.official import camera, occupancy, render
from talkingface.systems.geneface.official.condition import WindowAttention, WindowEncoder
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField

NETWORK, PICTURE, DEPTH, GRADIENT, TABLES = 1e-4, 1e-3, 2e-3, 1e-3, 5e-3
BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
"""Recordings are of double precision. What is drawn in single may be farther off, which the loose tolerances allow."""
POINT_QUERIES = ["radnerf_head", "radnerf_head_hash_smoothstep", "radnerf_head_esperanto"]


Field = TypeVar("Field", bound=HeadField)


def make_field(fixture: Fixture, dtype: torch.dtype, kind: type[Field] = HeadField) -> Field:
    """The recorded field: its names and shapes are exactly those of the network."""
    field = empty(lambda: kind(RadNerfConfig.of(fixture.config)))
    state = field.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == fixture.state
    field.load_state_dict({**{name: state[name] for name in fixture.facts["kept"]}, **rule_weights(fixture)})
    if "density_bitfield" in fixture.inputs:
        field.density_bitfield.copy_(pack_bits(ellipsoid(fixture.inputs["density_bitfield"], field.config.side)))
    return field.to(dtype)


def individual_row(text: str) -> int:
    return int(search(r"row (\d+)", text)[1])


def recorded_rays(fixture: Fixture, dtype: torch.dtype) -> tuple[camera.Rays, camera.Intrinsics]:
    config = fixture.config["render"]
    text = fixture.inputs["c2w"]
    pose = camera.field_pose(
        stated_camera(fixture.array("c2w_euler_xyz"), text), float(search(r"at scale ([\d.]+)", text)[1])
    )
    view = camera.Intrinsics(
        height=config["H"], width=config["W"], **{name: config[name] for name in ("fx", "fy", "cx", "cy")}
    )
    return camera.pixel_rays(torch.from_numpy(pose).to(dtype), view), view


def check_rays(fixture: Fixture, rays: camera.Rays) -> None:
    fixture.assert_close("rays_o", rays.origins[None, :1], 1e-5)
    fixture.assert_close("rays_d", rays.directions[None], 1e-5)
    fixture.assert_close("bg_coords", rays.background[None], 1e-5)


def assert_within(fixture: Fixture, name: str, values: Tensor, most: float) -> None:
    off = float(np.abs(fixture.pick(name, values) - fixture.stored(name)).max())
    assert off <= most, f"{fixture.name}: {name} is off by {off} ({most})"


@torch.no_grad()
def test_condition_encoders():
    fixture = load_fixture("geneface", "cond_encoders")
    for name, config in fixture.config.items():
        encoder = WindowEncoder(config["in_dim"], window=config["window"])
        attention = WindowAttention(windows=config["smooth_window"])
        for prefix, network in (("cond_prenet", encoder), ("cond_att_net", attention)):
            prefix = f"{name}.{prefix}."
            network.load_state_dict({key.removeprefix(prefix): v for key, v in fixture.weights(prefix).items()})
        vectors = encoder(fixture.input(f"{name}.cond"))
        fixture.assert_close(f"{name}.prenet", vectors, NETWORK)
        fixture.assert_close(f"{name}.smoothed", attention(vectors), NETWORK)


@BOTH
@pytest.mark.parametrize("name", POINT_QUERIES)
@torch.no_grad()
def test_head_at_points(name, dtype):
    fixture = load_fixture("geneface", name)
    field = make_field(fixture, dtype)
    looser = 10 if dtype == torch.float32 else 1
    condition = field.encode_condition(fixture.input("cond_wins").to(dtype))
    fixture.assert_close("cond_feat", condition, NETWORK)
    sigma, ambient, geometry = field.density(fixture.input("position").to(dtype), condition)
    fixture.assert_each_close("sigma", sigma, looser * 1e-4)
    assert_within(fixture, "ambient_pos", ambient, looser * 1e-5)
    fixture.assert_close("geo_feat", geometry, looser * 1e-5)
    code = field.individual_embeddings[individual_row(fixture.inputs["individual_code"])]
    assert_within(fixture, "color", field.color(fixture.input("direction").to(dtype), geometry, code), looser * 1e-5)


@BOTH
def test_head_picture(dtype):
    fixture = load_fixture("geneface", "radnerf_head_render")
    field = make_field(fixture, dtype)
    rays, _ = recorded_rays(fixture, dtype)
    check_rays(fixture, rays)
    with torch.no_grad():
        condition = field.encode_condition(fixture.input("cond_wins").to(dtype))
    made = render.see_head(field, rays, condition, field.individual_embeddings[0])
    assert_within(fixture, "rgb_map", made.over(fixture.input("bg")[0].to(dtype))[None], PICTURE)
    assert_within(fixture, "depth_map", made.depth[None], DEPTH)


@BOTH
def test_head_in_training(dtype):
    fixture = load_fixture("geneface", "radnerf_head_render_train")
    field = make_field(fixture, dtype)
    rays, _ = recorded_rays(fixture, dtype)
    check_rays(fixture, rays)
    code = field.individual_embeddings[int(fixture.note(r"individual code row (\d+)")[1])]
    condition = field.encode_condition(fixture.input("cond_wins").to(dtype))
    background, noise = fixture.input("bg")[0].to(dtype), fixture.input("perturb_noise").to(dtype)
    rgb, depth, made = render.train_head(field, rays, condition, background, code, noise)
    assert_within(fixture, "rgb_map", rgb[None], PICTURE)
    assert_within(fixture, "depth_map", depth[None], DEPTH)
    fixture.assert_close("weights_sum", made.weights_sum, PICTURE)
    fixture.assert_close("ambient", made.ambient, PICTURE)
    face = fixture.input("face_mask_draw")[0] > float(
        search(r"face_mask = draw > ([\d.]+)", fixture.inputs["face_mask_draw"])[1]
    )
    losses = render.head_losses(rgb, made, fixture.input("gt_rgb")[0].to(dtype), face)
    names = {"mse": "mse_loss", "entropy": "weights_entropy_loss", "ambient": "ambient_loss"}
    for ours, theirs in names.items():
        fixture.assert_close(f"loss.{theirs}", losses[ours][None], GRADIENT)
    (total,) = (name for name in fixture.outputs if name.startswith("loss.total_at_step"))
    weights = render.loss_weights(int(total.rpartition("_")[2]))
    weighted = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
    fixture.assert_close(total, weighted[None], GRADIENT)


@BOTH
def test_gradients_of_the_head(dtype):
    fixture = load_fixture("geneface", "radnerf_head_train_grads")
    field = make_field(fixture, dtype)
    rays, _ = recorded_rays(fixture, dtype)
    row = fixture.config["render"]["individual_index"]
    condition = field.encode_condition(fixture.input("cond_wins").to(dtype))
    background, noise = fixture.input("bg")[0].to(dtype), fixture.input("perturb_noise").to(dtype)
    rgb, _, made = render.train_head(field, rays, condition, background, field.individual_embeddings[row], noise)
    entropy, ambient = fixture.note(r"\+ ([\d.]+)\*mean\(binary entropy.*\+ ([\d.]+)\*mean\(ambient\)").groups()
    nowhere = torch.zeros(len(rgb), dtype=torch.bool)
    losses = render.head_losses(rgb, made, fixture.input("gt_rgb")[0].to(dtype), nowhere)
    loss = losses["mse"] + float(entropy) * losses["entropy"] + float(ambient) * losses["ambient"]
    fixture.assert_close("loss", loss[None], GRADIENT)
    loss.backward()
    looser = 5 if dtype == torch.float32 else 1
    gradients = {name: parameter.grad for name, parameter in field.named_parameters() if parameter.grad is not None}
    order = fixture.config["grad_norms_order"]
    norms = torch.stack([gradients[name].norm() for name in order])
    fixture.assert_each_close("grad_norms", norms, looser * TABLES)
    for output in fixture.outputs:
        if (name := output.removeprefix("grad.")) in gradients:
            found = gradients[name][row] if name == "individual_embeddings" else gradients[name]
            fixture.assert_close(output, found, looser * GRADIENT)
    for kind in ("position", "ambient"):
        table = gradients[f"{kind}_embedder.embeddings"]
        offsets = getattr(field, f"{kind}_embedder").offsets.tolist()
        fixture.assert_close(f"grad.{kind}_embedder.level0", table[: offsets[1]], looser * TABLES)
        levels = torch.stack([table[a:b].norm() for a, b in pairwise(offsets)])
        fixture.assert_each_close(f"grad_norm_per_level.{kind}", levels, looser * TABLES)


def recorded_poses(fixture: Fixture, text: str) -> np.ndarray:
    return camera.field_pose(
        stated_camera(fixture.array("pose_euler_xyz"), text), float(search(r"scale (\d+)", text)[1])
    )


def test_occupancy():
    fixture = load_fixture("geneface", "occupancy_update")
    field = make_field(fixture, torch.float64)
    poses = recorded_poses(fixture, fixture.inputs["poses"])
    fixture.assert_close("ngp_poses", poses, 1e-5)
    fx, fy, cx, cy = fixture.config["intrinsics"]
    view = camera.Intrinsics(height=int(2 * cy), width=int(2 * cx), fx=fx, fy=fy, cx=cx, cy=cy)
    occupancy.mark_unseen(field, torch.from_numpy(poses), view)
    fixture.assert_equal("density_grid_after_mark", field.density_grid)
    frame, conds = fixture.inputs["rand_frame"], fixture.input("conds").double()
    reach = field.config.smoothed // 2
    with torch.no_grad():
        condition = field.encode_condition(conds[frame - reach : frame + reach + 1])
    mean = occupancy.update_occupancy(field, condition, fixture.input("noise").double())
    fixture.assert_close("mean_density", torch.tensor([mean]), GRADIENT)
    fixture.assert_close("density_grid", field.density_grid, GRADIENT)
    grid = fixture.stored("density_grid")[0]
    threshold = min(float(fixture.stored("mean_density")[0]), field.config.density_threshold)
    sure = np.abs(grid / threshold - 1) > 1e-3
    ours = np.unpackbits(field.density_bitfield.numpy(), bitorder="little")
    theirs = np.unpackbits(fixture.stored("bitfield"), bitorder="little")
    np.testing.assert_array_equal(ours[sure], theirs[sure])


@BOTH
@torch.no_grad()
def test_torso_at_places(dtype):
    fixture = load_fixture("geneface", "radnerf_torso")
    field = make_field(fixture, dtype, TorsoField)
    code = field.torso_individual_codes[int(fixture.note(r"row (\d+) of torso_individual_codes")[1])]
    looser = 10 if dtype == torch.float32 else 1
    alpha, colour, moved = field.torso(fixture.input("xy").to(dtype), fixture.input("pose6").to(dtype), code)
    assert_within(fixture, "alpha", alpha, looser * 4e-6)
    assert_within(fixture, "color", colour, looser * 4e-6)
    fixture.assert_close("deform", moved, NETWORK)


@torch.no_grad()
def test_torso_that_knows_the_head():
    fixture = load_fixture("geneface", "radnerf_torso_head_aware")
    field = make_field(fixture, torch.float64, TorsoField)
    head = fixture.input("head_rgb").double(), fixture.input("head_weight").double()
    for name, given in (("aware", head), ("unaware", None)):
        alpha, colour, moved = field.torso(
            fixture.input("xy").double(), fixture.input("pose6").double(), field.torso_individual_codes[2], given
        )
        assert_within(fixture, f"{name}.alpha", alpha, 4e-6)
        assert_within(fixture, f"{name}.color", colour, 4e-6)
        fixture.assert_close(f"{name}.deform", moved, NETWORK)


@BOTH
@torch.no_grad()
def test_torso_picture(dtype):
    fixture = load_fixture("geneface", "radnerf_torso_render")
    field = make_field(fixture, dtype, TorsoField)
    field.density_grid_torso.copy_(fixture.input("density_grid_torso"))
    rays, _ = recorded_rays(fixture, dtype)
    check_rays(fixture, rays)
    pose = camera.pose_numbers(
        camera.field_pose(stated_camera(fixture.array("c2w_euler_xyz"), fixture.inputs["c2w"]))[None]
    )
    behind = render.draw_torso(
        field,
        rays.background,
        torch.from_numpy(pose[0]).to(dtype),
        fixture.input("bg")[0].to(dtype),
        field.torso_individual_codes[0],
        threshold=render.torso_threshold(field, fixture.config["mean_density_torso"]),
    )
    fixture.assert_close("deform", behind.moved, NETWORK)
    assert_within(fixture, "torso_alpha_map", behind.alpha, PICTURE)
    assert_within(fixture, "torso_rgb_map", behind.rgb[None], PICTURE)
    condition = field.encode_condition(fixture.input("cond_wins").to(dtype))
    made = render.see_head(field, rays, condition, field.individual_embeddings[0])
    assert_within(fixture, "rgb_map", made.over(behind.rgb)[None], PICTURE)
    assert_within(fixture, "depth_map", made.depth[None], DEPTH)


@torch.no_grad()
def test_torso_occupancy():
    fixture = load_fixture("geneface", "torso_occupancy_update")
    field = make_field(fixture, torch.float64, TorsoField)
    field.density_grid_torso.copy_(fixture.input("density_grid_torso_before"))
    poses = recorded_poses(fixture, fixture.config["poses"])
    frame = fixture.inputs["rand_frame"]
    pose = torch.from_numpy(camera.pose_numbers(poses)[frame])
    code = field.torso_individual_codes[frame]
    mean = occupancy.update_torso_occupancy(field, pose, code, fixture.input("noise").double())
    fixture.assert_close("density_grid_torso", field.density_grid_torso, GRADIENT)
    fixture.assert_close("mean_density_torso", torch.tensor([mean]), GRADIENT)
