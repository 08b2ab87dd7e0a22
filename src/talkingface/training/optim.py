"""Optimizers and their learning-rate schedule, described by one small record per network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """AdamW for one network: a linear warm-up, the full rate for the share `hold`, and then down to
    `lr * final_ratio` at the last step, by a cosine or exponentially."""

    lr: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    """Applied to matrices and kernels only, never to biases and scales."""
    warmup_steps: int = 100
    final_ratio: float = 0.01
    hold: float = 0.0
    """Share of the steps after the warm-up that keep the full rate."""
    decay: Literal["cosine", "exponential"] = "cosine"
    eps: float = 1e-8
    factors: Mapping[str, float] = field(default_factory=dict)
    """Beginning of a parameter's name -> factor of its rate; of several that fit the first counts."""

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.warmup_steps < 0 or not 0 <= self.final_ratio <= 1 or not 0 <= self.hold < 1:
            raise ValueError("lr must be positive, warmup_steps at least 0, final_ratio and hold between 0 and 1")
        if self.decay == "exponential" and not self.final_ratio:
            raise ValueError("an exponential decay never reaches 0; give a final_ratio above it")


def make_optimizer(network: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the parameters of `network` that require gradients; call `set_lr` before every step."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("the network has no parameters to train")
    groups = []
    for factor in dict.fromkeys([1.0, *config.factors.values()]):
        params = [p for name, p in named if _factor(name, config) == factor]
        decays = {"weight_decay": config.weight_decay, "factor": factor}
        groups.append({"params": [p for p in params if p.ndim > 1], **decays})
        groups.append({"params": [p for p in params if p.ndim <= 1], **decays, "weight_decay": 0.0})
    fused = all(p.device.type in ("cpu", "cuda") and p.dtype.is_floating_point for _, p in named)
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=config.lr, betas=config.betas, eps=config.eps, fused=fused
    )


def _factor(name: str, config: OptimizerConfig) -> float:
    return next((factor for start, factor in config.factors.items() if name.startswith(start)), 1.0)


def lr_at(config: OptimizerConfig, step: int, steps: int) -> float:
    """Learning rate of `step` (from 0) in a run of `steps`: a pure function, so that resuming needs no state.

    Example: `lr_at(OptimizerConfig(lr=1.0, warmup_steps=10), 9, 1000)` is 1.0.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    progress = min(1.0, (step - config.warmup_steps) / max(1, steps - config.warmup_steps))
    progress = max(0.0, progress - config.hold) / (1 - config.hold)
    if config.decay == "exponential":
        return config.lr * config.final_ratio**progress
    return config.lr * (config.final_ratio + (1 - config.final_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the learning rate `lr`, times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]
