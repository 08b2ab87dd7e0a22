"""How fast the published head of `geneface` is drawn on a processor: plain torch against ours, in turns, in one
process, on one thread, whole pictures of the size that persons are learned in.

Networks have the published sizes and random weights. Two heads: one whose surface is opaque, as learned heads are, and
one that is a haze, in which every sample counts and nothing can be left out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.targets import Finding, Row, TargetJob
from talkingface.core.device import tune_allocator
from talkingface.core.progress import report_progress
from talkingface.nn import ray_march
from talkingface.nn.grid_encoder import GridEncoder
from talkingface.nn.ray_march import morton_cells, pack_bits
from talkingface.systems.geneface.config import RadNerfConfig
from talkingface.systems.geneface.official.camera import Intrinsics, Rays, field_pose, pixel_rays
from talkingface.systems.geneface.official.fast import FastHead
from talkingface.systems.geneface.official.march import render_rays
from talkingface.systems.geneface.official.radnerf import HeadField
from talkingface.systems.geneface.official.render import SeenHead

ROUNDS, SIDE_PX = 3, 512
LEAST_RATIO, AIM_HALF, MOST_DIFFERENCE = 2.7, 4.5, 1e-3
_AXES = (0.55, 0.45, 0.40)  # of the head, in the field's units: up, to the viewer, aside
_AWAY, _FOCAL = 0.84, 1365.0
_BLOCK = 16384  # samples at a time in plain torch; more are slower, as they leave the cache
_DENSE = 0.3
_SPREAD = 0.3


def geneface_speed(job: TargetJob) -> Finding:
    """Seconds a picture in plain torch, by our kernels in float32 and in bfloat16, ratios and differences."""
    return measure_head(RadNerfConfig(codes=1), SIDE_PX, min(ROUNDS, job.limit or ROUNDS))


def measure_head(config: RadNerfConfig, side_px: int, rounds: int) -> Finding:
    """The same for other sizes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tune_allocator()
    try:
        found = {name: _compare(name, make_head(config, dense), side_px, rounds) for name, dense in
                 (("opaque", True), ("haze", False))}  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    rows = [row for name, each in found.items() for row in _rows(name, each)]
    return Finding(rows=rows, details={"threads": 1, "side_px": side_px, **found})


def make_head(config: RadNerfConfig, dense: bool) -> HeadField:
    """An ellipsoid with random contents; `dense`: a crust around nothing, hardly transparent."""
    torch.manual_seed(0)
    field = HeadField(config).eval().requires_grad_(False)
    for grid in (field.position_embedder, field.ambient_embedder):
        grid.embeddings.uniform_(-_SPREAD, _SPREAD)
    for network in (field.ambient_net, field.sigma_net, field.color_net):
        for layer in network.net:
            nn.init.kaiming_normal_(layer.get_parameter("weight"))
    if dense:
        field.sigma_net.net[-1].get_parameter("weight")[0] = _DENSE
    cells = (2 * morton_cells(config.side).float() + 1) / config.side - 1
    far = (cells / torch.tensor(_AXES)).square().sum(-1)
    field.density_bitfield.copy_(pack_bits((far < 1) & (far > 0.6) if dense else far < 1))
    return field


def scene(side_px: int) -> Rays:
    """The rays of a picture in which the head fills as much as in the published clips."""
    camera = np.eye(4)
    camera[2, 3] = _AWAY
    focal = _FOCAL * side_px / SIDE_PX
    middle = side_px / 2
    view = Intrinsics(height=side_px, width=side_px, fx=focal, fy=focal, cx=middle, cy=middle)
    return pixel_rays(torch.from_numpy(field_pose(camera[None])[0]).float(), view)


@torch.inference_mode()
def see_plain(field: HeadField, rays: Rays, condition: Tensor, code: Tensor) -> tuple[SeenHead, int]:
    """The head in torch's own operations, and how many samples were asked for."""
    near, far = ray_march.box_range(rays.origins, rays.directions, field.aabb_infer, field.config.min_near)
    asked = [0]

    def look(points: Tensor, ids: Tensor, _places: Tensor) -> tuple[Tensor, Tensor]:
        asked[0] += len(points)
        made = []
        for some, numbers in zip(points.split(_BLOCK), ids.split(_BLOCK), strict=True):
            sigma, _, geometry = field.density(some, condition)
            made.append((sigma, field.color(rays.directions[numbers], geometry, code)))
        return torch.cat([sigma for sigma, _ in made]), torch.cat([colour for _, colour in made])

    with _plain():
        made = render_rays(near, far, rays.origins, rays.directions, field.occupied(), look, field.config.max_steps)
    depth = (made.depth - near).clamp_min(0) / (far - near)
    return SeenHead(rgb=made.image, depth=depth, opacity=made.weights_sum), asked[0]


@contextmanager
def _plain() -> Iterator[None]:
    """Without the compiled kernels."""
    forward, march = GridEncoder.forward, ray_march._find_compiled
    GridEncoder.forward = GridEncoder.encode_plain  # type: ignore[method-assign]
    ray_march._find_compiled = ray_march._find
    try:
        yield
    finally:
        GridEncoder.forward, ray_march._find_compiled = forward, march  # type: ignore[method-assign]


def _compare(name: str, field: HeadField, side_px: int, rounds: int) -> dict[str, Any]:
    """Processor seconds a picture of each way in each round, samples, and the largest differences of the colours."""
    rays = scene(side_px)
    condition, code = torch.randn(field.config.condition), field.individual_embeddings[0]
    exact, half = FastHead(field), FastHead(field, torch.bfloat16)
    samples = [0]

    def plain() -> Tensor:
        made, samples[0] = see_plain(field, rays, condition, code)
        return made.rgb

    ways: dict[str, Callable[[], Tensor]] = {
        "plain": plain,
        "fast": lambda: exact.see(rays, condition, code).rgb,
        "fast, bfloat16": lambda: half.see(rays, condition, code).rgb,
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    differences: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        report_progress(f"geneface, {name}", number, rounds + 1)
        made: dict[str, Tensor] = {}
        for way in ways if number % 2 else reversed(ways):
            if not number and way == "plain":
                continue  # the first round warms up what is compiled
            started = time.process_time()
            made[way] = ways[way]()
            if number:
                times[way].append(time.process_time() - started)
        for way in list(ways)[1:] if number else ():
            apart = (made["plain"] - made[way]).abs()
            differences[way] = [float(apart.max()), float(apart.mean())]
    return {"seconds": times, "samples": samples[0], "difference": differences}


def _rows(name: str, found: dict[str, Any]) -> list[Row]:
    times, samples = found["seconds"], found["samples"]
    rows = [
        Row(name=f"{name}: {way}, s a picture of {samples / 1e6:.2f} M samples", value=statistics.median(times[way]))
        for way in times
    ]
    for way, (most, mean) in found["difference"].items():
        ratios = sorted(plain / fast for plain, fast in zip(times["plain"], times[way], strict=True))
        ratio, exact = statistics.median(ratios), way == "fast"
        least = LEAST_RATIO if exact else AIM_HALF
        rows.append(
            Row(
                name=f"{name}: plain over {way} ({ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} rounds)",
                value=ratio,
                target=f">= {least:g}",
                met=ratio >= least,
            )
        )
        rows.append(
            Row(
                name=f"{name}: largest difference of colours, {way} (mean {mean:.1e})",
                value=most,
                target=f"<= {MOST_DIFFERENCE:g}" if exact else "",
                met=most <= MOST_DIFFERENCE if exact else None,
            )
        )
    return rows
