"""How fast `headpose` draws by its published networks: the plain way against the fast one, in turns, in one process.

Sizes are the published ones, weights are random: speed does not depend on them.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.targets import Finding, Row, TargetJob
from talkingface.core.device import tune_allocator
from talkingface.core.progress import report_progress
from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.official.fast import FastAtc, FastInference, InferenceNets, atc_plain, run_plain
from talkingface.systems.headpose.official.memory import PERIOD, SLOTS, MemoryBank, QueryNet
from talkingface.systems.headpose.official.networks import UNetAdaIN

ROUNDS = 5
FRAMES = 2 * PERIOD  # what follows the first key frame: two full turns of what happens once a second
LEAST_RATIO, MOST_DIFFERENCE = 1.3, 1e-3
SIDE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Widths of the networks; the defaults are the published ones."""

    ngf: int = 64
    feature: int = 512
    style_hidden: int | None = None
    query_width: int = 64
    atc_channels: tuple[int, ...] = (64, 128, 256, 256, 512)
    atc_hidden: int = 256
    atc_hidden_fc: int = 2048
    slots: int = SLOTS


def headpose(job: TargetJob) -> Finding:
    """Milliseconds a frame of both ways on one thread, and their ratio, in float32 and bfloat16."""
    return measure_headpose(Sizes(), rounds=min(ROUNDS, job.limit or ROUNDS), frames=FRAMES)


def measure_headpose(sizes: Sizes, *, rounds: int, frames: int) -> Finding:
    """The same for any sizes: `rounds` of `frames` drawn frames for each way and precision."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tune_allocator()
    try:
        atc, nets = make_networks(sizes)
        rows, exact = _both_ways(atc, nets, torch.float32, rounds, frames)
        more_rows, short = _both_ways(atc, nets, torch.bfloat16, rounds, frames)
    finally:
        torch.set_num_threads(threads)
    details = {"frames": frames, "threads": 1, "float32": exact, "bfloat16": short}
    return Finding(rows=[*rows, *more_rows], details=details)


def make_networks(sizes: Sizes) -> tuple[AtcNet, InferenceNets]:
    """Networks with random weights under which every layer matters."""
    torch.manual_seed(0)
    atc = AtcNet(channels=sizes.atc_channels, hidden=sizes.atc_hidden, hidden_fc=sizes.atc_hidden_fc)
    generator = UNetAdaIN(ngf=sizes.ngf, feature=sizes.feature, style_hidden=sizes.style_hidden)
    query = QueryNet(feature=sizes.feature, width=sizes.query_width)
    for network in (atc, generator, query):
        network.eval().requires_grad_(False)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
    bank = MemoryBank.make(sizes.slots, query=sizes.feature, feature=sizes.feature)
    bank.value.normal_()
    bank.own.fill_(True)
    return atc, InferenceNets(generator=generator, query=query, bank=bank)


def _both_ways(
    atc: AtcNet, nets: InferenceNets, dtype: torch.dtype, rounds: int, frames: int
) -> tuple[list[Row], dict[str, Any]]:
    composites = [torch.tanh(torch.randn(3, SIDE, SIDE)) for _ in range(frames + 2)]
    windows = 10 * torch.randn(1, frames, 28, 12)
    fast_atc, name = FastAtc(atc, dtype=dtype), str(dtype).removeprefix("torch.")
    atc, nets = _in_precision(atc, nets, dtype)
    inference = FastInference(nets, dtype=dtype)

    def plain() -> list[Tensor]:
        with torch.inference_mode():
            numbers = atc_plain(atc, windows.to(dtype))
        return [numbers, *run_plain(nets, (picture.to(dtype) for picture in composites))]

    def fast() -> list[Tensor]:
        return [fast_atc(windows)[0], *inference.run(composites)]

    times: dict[str, list[float]] = {"plain": [], "fast": []}
    differences: list[float] = []
    for number in range(rounds + 1):
        report_progress(f"headpose, {name}", number, rounds + 1)
        ways: list[tuple[str, Callable[[], list[Tensor]]]] = [("plain", plain), ("fast", fast)]
        made: dict[str, list[Tensor]] = {}
        for way, draw in ways if number % 2 else reversed(ways):
            started = time.perf_counter()
            made[way] = draw()
            if number:  # the first round warms up
                times[way].append((time.perf_counter() - started) * 1000 / frames)
        differences += [float((a.float() - b.float()).abs().max()) for a, b in zip(*made.values(), strict=True)]
    return _rows(name, times, max(differences)), {**times, "largest_difference": max(differences)}


def _in_precision(atc: AtcNet, nets: InferenceNets, dtype: torch.dtype) -> tuple[AtcNet, InferenceNets]:
    """The networks in `dtype`; the generator, a gigabyte, in place."""
    if dtype == torch.float32:
        return atc, nets
    query = copy.deepcopy(nets.query).to(dtype)
    return copy.deepcopy(atc).to(dtype), replace(nets, generator=nets.generator.to(dtype), query=query)


def _rows(name: str, times: dict[str, list[float]], difference: float) -> list[Row]:
    ratios = sorted(plain / fast for plain, fast in zip(times["plain"], times["fast"], strict=True))
    ratio, exact = statistics.median(ratios), name == "float32"
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} rounds"
    return [
        *(Row(name=f"{way}, {name}, ms a frame", value=statistics.median(times[way])) for way in times),
        Row(
            name=f"plain over fast, {name} ({spread})",
            value=ratio,
            target=f">= {LEAST_RATIO:g}",
            met=ratio >= LEAST_RATIO,
        ),
        Row(
            name=f"largest difference, {name}",
            value=difference,
            target=f"<= {MOST_DIFFERENCE:g}" if exact else "",
            met=difference <= MOST_DIFFERENCE if exact else None,
        ),
    ]
