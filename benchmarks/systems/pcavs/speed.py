"""How fast `pcavs` draws by its published networks: the original's order of work against ours, in turns, in one
process.

Sizes are the published ones, weights are random: speed does not depend on them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.targets import Finding, Row, TargetJob
from talkingface.core.device import tune_allocator
from talkingface.core.progress import report_progress
from talkingface.systems.pcavs.official.config import NetworkSizes
from talkingface.systems.pcavs.official.fast import FastRenderer, draw_plain
from talkingface.systems.pcavs.official.networks.build import OfficialNetworks, make_official

ROUNDS, FRAMES = 3, 4
LEAST_RATIO, LEAST_RATIO_STILL, MOST_DIFFERENCE = 2.9, 3.5, 1e-3


def pcavs(job: TargetJob) -> Finding:
    """Milliseconds a frame of both ways on one thread, and their ratio, in float32 and bfloat16: with another pose
    picture for each frame, and with one for all."""
    return measure_pcavs(NetworkSizes(), rounds=min(ROUNDS, job.limit or ROUNDS), frames=FRAMES)


def measure_pcavs(sizes: NetworkSizes, *, rounds: int, frames: int) -> Finding:
    """The same for any sizes: `rounds` of `frames` drawn frames for each way. V runs once in ours: in each round, so
    its share is that of a clip of so many frames."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tune_allocator()
    try:
        nets = make_nets(sizes)
        moving = _compare("moving head", nets, _scene(sizes, frames, list(range(frames))), rounds)
        still = _compare("one pose", nets, _scene(sizes, frames, [0] * frames), rounds)
    finally:
        torch.set_num_threads(threads)
    rows = [
        *_rows("moving head", moving, LEAST_RATIO),
        *_rows("one pose", still, LEAST_RATIO_STILL),
    ]
    return Finding(rows=rows, details={"frames": frames, "threads": 1, "moving head": moving, "one pose": still})


def make_nets(sizes: NetworkSizes) -> OfficialNetworks:
    """Networks with random weights under which every layer matters."""
    torch.manual_seed(0)
    nets = make_official(sizes)
    for network in (nets.identity, nets.nonidentity, nets.speech):
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
    for network in (nets.identity, nets.nonidentity, nets.speech, nets.generator):
        network.eval().requires_grad_(False)
    layers: list[Any] = [nets.generator.conv1, *nets.generator.convs]
    for layer in layers:
        layer.noise.weight.fill_(0.1)
        layer.activate.bias.normal_(0, 0.1)
    _unsaturated(nets, sizes)
    return nets


def _unsaturated(nets: OfficialNetworks, sizes: NetworkSizes) -> None:
    """Scale the RGB heads so that pictures lie in the middle of the range, where differences can be seen."""
    side = sizes.crop_px
    with torch.inference_mode():
        identity = nets.identity(torch.rand(1, 1, 3, side, side) * 2 - 1)
        style = torch.cat([identity.vector, torch.randn(1, sizes.code)], 1)
        spread = float(nets.generator.before_tanh(style, identity.map, "stored").std())
    heads: list[Any] = [nets.generator.to_rgb1, *nets.generator.to_rgbs]
    for head in heads:
        head.conv.weight.mul_(0.5 / spread)


def _scene(sizes: NetworkSizes, frames: int, order: list[int]) -> dict[str, Any]:
    side = sizes.crop_px
    pictures = torch.rand(len(set(order)) + 1, 3, side, side) * 2 - 1
    windows = torch.rand(frames, 1, 80, 20)
    return {"pictures": pictures[:1], "windows": windows, "poses": list(pictures[1:]), "order": order}


def _compare(what: str, nets: OfficialNetworks, scene: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Milliseconds a frame of each way in each round, and the largest differences of the pictures."""
    exact, short = FastRenderer(nets), FastRenderer(nets, torch.bfloat16)
    ways: dict[str, Callable[[], list[Tensor]]] = {
        "plain": lambda: list(draw_plain(nets, **scene)),
        "fast": lambda: list(exact.draw(**scene)),
        "fast, bfloat16": lambda: list(short.draw(**scene)),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    differences: dict[str, float] = dict.fromkeys(list(ways)[1:], 0.0)
    for number in range(rounds + 1):
        report_progress(f"pcavs, {what}", number, rounds + 1)
        made: dict[str, list[Tensor]] = {}
        for way in ways if number % 2 else reversed(ways):
            started = time.perf_counter()
            made[way] = ways[way]()
            if number:  # the first round warms up
                times[way].append((time.perf_counter() - started) * 1000 / len(scene["windows"]))
        for way in differences:
            pairs = zip(made["plain"], made[way], strict=True)
            differences[way] = max(differences[way], *(float((a - b).abs().max()) for a, b in pairs))
    return {"ms": times, "largest_difference": differences}


def _rows(what: str, found: dict[str, Any], least: float) -> list[Row]:
    times, differences = found["ms"], found["largest_difference"]
    rows = [Row(name=f"{what}: {way}, ms a frame", value=statistics.median(times[way])) for way in times]
    for way in differences:
        ratios = sorted(plain / fast for plain, fast in zip(times["plain"], times[way], strict=True))
        ratio, exact = statistics.median(ratios), way == "fast"
        rows.append(
            Row(
                name=f"{what}: plain over {way} ({ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} rounds)",
                value=ratio,
                target=f">= {least:g}" if exact else "",
                met=ratio >= least if exact else None,
            )
        )
        rows.append(
            Row(
                name=f"{what}: largest difference, {way}",
                value=differences[way],
                target=f"<= {MOST_DIFFERENCE:g}" if exact else "",
                met=differences[way] <= MOST_DIFFERENCE if exact else None,
            )
        )
    return rows
