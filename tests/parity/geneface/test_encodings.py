"""Grids, frequency and direction encodings, and rays through a grid of occupied cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from parity.fixtures import Fixture, load_fixture
from parity.geneface.inputs import ellipsoid
from talkingface.nn.direction_encoding import frequency_features, harmonic_features
from talkingface.nn.grid_encoder import GridEncoder
from talkingface.nn.ray_march import (
    Samples,
    box_range,
    composite,
    dilate,
    march,
    morton_code,
    pack_bits,
    step_length,
    unpack_bits,
)
from talkingface.systems.geneface.official.march import RayState, round_of_march

FEATURES, GRADIENTS = 1e-3, 5e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
def test_grid_encoder(dtype):
    fixture = load_fixture("geneface", "grid_encoder")
    for name, config in fixture.config.items():
        encoder = GridEncoder(
            config["input_dim"],
            levels=config["num_levels"],
            features=config["level_dim"],
            base=config["base_resolution"],
            finest=config["desired_resolution"],
            log2_rows=config["log2_table"],
            kind=config["type"],
            interpolation=config["interpolation"],
        ).to(dtype)
        assert encoder.offsets.tolist() == fixture.inputs[f"{name}.offsets"]
        encoder.load_state_dict(
            {"embeddings": fixture.weights()[f"{name}.embeddings"], "offsets": encoder.offsets}, strict=True
        )
        x = fixture.input(f"{name}.x").to(dtype).requires_grad_()
        encoded = encoder(x)
        (encoded * fixture.input(f"{name}.grad_out").to(dtype)).sum().backward()
        off = np.abs(fixture.pick(f"{name}.features", encoded) - fixture.stored(f"{name}.features")).max()
        assert off < (FEATURES if dtype == torch.float32 else 1e-6), f"{name}: features are off by {off}"
        assert x.grad is not None
        fixture.assert_close(f"{name}.grad_x", x.grad, GRADIENTS)


def test_frequency_and_direction_encodings():
    fixture = load_fixture("geneface", "sh_freq_encoders")
    fixture.assert_close("sh_degree4", harmonic_features(fixture.input("dirs")), 1e-5)
    fixture.assert_close("freq_6d_4", frequency_features(fixture.input("pose"), 4), 1e-5)
    fixture.assert_close("freq_2d_10", frequency_features(fixture.input("xy"), 10), 1e-4)
    fixture = load_fixture("geneface", "nerf_freq_embedder")
    for name, width in fixture.config.items():
        octaves = int(name.removeprefix("multires"))
        encoded = frequency_features(fixture.input("x"), octaves)
        assert encoded.shape[-1] == width
        fixture.assert_close(name, encoded, 1e-4)


def test_cells_in_morton_order():
    fixture = load_fixture("geneface", "raymarching")
    fixture.assert_equal("morton_index", morton_code(torch.from_numpy(fixture.array("morton_coords"))))
    density = fixture.input("density").flatten()
    (name,) = (name for name in fixture.outputs if name.startswith("packbits"))
    packed = pack_bits(density > np.float32(name.rpartition("_")[2]))
    fixture.assert_equal(name, packed)
    assert torch.equal(pack_bits(unpack_bits(packed)), packed)
    fixture.assert_equal("dilated", dilate(density, fixture.config["grid_size"])[None])


def _rays(fixture: Fixture) -> tuple[Tensor, Tensor]:
    origins, target = fixture.input("rays_o"), fixture.input("ray_target")
    return origins, torch.nn.functional.normalize(target - origins, dim=-1)


def _marched(fixture: Fixture) -> tuple[Samples, Tensor, Tensor]:
    config = fixture.config
    origins, directions = _rays(fixture)
    near, far = box_range(origins.double(), directions.double(), torch.tensor(config["aabb"]), config["min_near"])
    near, far = near.float(), far.float()
    start = near.double() + step_length(config["grid_size"]) * fixture.input("perturb_noise").double()
    occupied = ellipsoid(fixture.inputs["bitfield"], config["grid_size"])
    samples, _ = march(origins.double(), directions.double(), start, far.double(), occupied, config["max_steps"])
    return samples, near, far


def test_march_in_training():
    fixture = load_fixture("geneface", "raymarching")
    samples, near, far = _marched(fixture)
    fixture.assert_each_close("near", near, 1e-5)
    fixture.assert_each_close("far", far, 1e-5)
    counts = samples.counts
    table = torch.stack([torch.arange(len(counts)), counts.cumsum(0) - counts, counts], -1)
    fixture.assert_equal("rays_id_offset_count", table)
    fixture.assert_close("points", samples.points, 1e-5)
    fixture.assert_close("deltas_dt_t", torch.stack([samples.lengths, samples.ends], -1), 1e-5)


def test_composite_and_its_gradients():
    fixture = load_fixture("geneface", "raymarching")
    samples, _, _ = _marched(fixture)
    number = len(samples.ends)
    sigma, rgb, ambient = (
        fixture.input(name, M=number)[:number].double().requires_grad_() for name in ("sigma", "rgb", "ambient")
    )
    made = composite(samples, sigma, rgb, ambient)
    fixture.assert_close("image", made.image, 1e-5)
    fixture.assert_close("weights_sum", made.weights_sum, 1e-5)
    fixture.assert_close("depth", made.depth, 1e-5)
    fixture.assert_close("ambient_sum", made.ambient, 1e-5)
    sent = ((made.weights_sum, "weights_sum"), (made.ambient, "ambient_sum"), (made.image, "image"))
    torch.stack([(values * fixture.input(f"grad_{name}")).sum() for values, name in sent]).sum().backward()
    for name, values in (("sigma", sigma), ("rgb", rgb), ("ambient", ambient)):
        assert values.grad is not None
        fixture.assert_close(f"grad_{name}", values.grad, 1e-4)


def test_march_in_rounds():
    """Inference: each round goes on from where the rays stopped, with what they gathered."""
    fixture = load_fixture("geneface", "raymarching")
    config = fixture.config
    origins, directions = (rays.double() for rays in _rays(fixture))
    near, far = box_range(origins, directions, torch.tensor(config["aabb"]), config["min_near"])
    state = RayState.begin(near.float().double(), far.float().double())
    occupied = ellipsoid(fixture.inputs["bitfield"], config["grid_size"])
    steps = len(fixture.outputs["infer.round0.points"]) and (
        fixture.outputs["infer.round0.points"]["shape"][0] // len(origins)
    )
    sigma, rgb = fixture.input("infer_sigma").double(), fixture.input("infer_rgb").double()
    rounds = sorted(name for name in fixture.outputs if name.endswith(".points"))
    for number, name in enumerate(rounds):
        alive = state.alive
        rows = slice(number * steps, (number + 1) * steps)

        def field(_points: Tensor, rays: Tensor, places: Tensor, rows: slice = rows) -> tuple[Tensor, Tensor]:
            return sigma[rows][places, rays], rgb[rows][places, rays]

        samples = round_of_march(state, origins, directions, occupied, steps, field)
        points = torch.zeros(len(alive), steps, 3, dtype=torch.float64)
        deltas = torch.zeros(len(alive), steps, 2, dtype=torch.float64)
        points[samples.rays, samples.places] = samples.points
        deltas[samples.rays, samples.places] = torch.stack([samples.lengths, samples.ends], -1)
        fixture.assert_close(name, points.flatten(0, 1), 1e-5)
        fixture.assert_close(name.replace("points", "deltas"), deltas.flatten(0, 1), 1e-5)
        left = torch.where(torch.isin(alive, state.alive), alive, -1)
        fixture.assert_equal(name.replace("points", "alive_after"), left)
    fixture.assert_close("infer.weights_sum", state.weights_sum, 1e-5)
    fixture.assert_close("infer.depth", state.depth, 1e-5)
    fixture.assert_close("infer.image", state.image, 1e-5)
    fixture.assert_close("infer.rays_t", state.t, 1e-5)
