from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from talkingface.training.optim import OptimizerConfig, lr_at, make_optimizer, set_lr


def test_learning_rate_warms_up_and_falls_to_its_end():
    config = OptimizerConfig(lr=1.0, warmup_steps=10, final_ratio=0.1)
    rates = [lr_at(config, step, 100) for step in range(101)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[100] == pytest.approx(0.1) == lr_at(config, 500, 100)


def test_weight_decay_spares_biases_and_frozen_parameters_are_left_out():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    network[1].requires_grad_(False)
    optimizer = make_optimizer(network, OptimizerConfig(weight_decay=0.1))
    assert [(g["weight_decay"], [p.shape for p in g["params"]]) for g in optimizer.param_groups] == [
        (0.1, [torch.Size([3, 2])]),
        (0.0, [torch.Size([3])]),
    ]
    with pytest.raises(ValueError, match="no parameters"):
        make_optimizer(nn.ReLU(), OptimizerConfig())


def test_the_rate_may_be_held_before_it_falls():
    config = OptimizerConfig(lr=1.0, warmup_steps=0, final_ratio=0.0, hold=0.5)
    rates = [lr_at(config, step, 100) for step in range(101)]
    assert set(rates[:51]) == {1.0} and rates[75] == pytest.approx(0.5) and rates[100] == pytest.approx(0)
    with pytest.raises(ValueError, match="hold"):
        OptimizerConfig(hold=1.0)


def test_parts_of_a_network_have_rates_of_their_own():
    network = nn.ModuleDict({"grid": nn.Linear(2, 3), "net": nn.Linear(3, 1)})
    optimizer = make_optimizer(network, OptimizerConfig(factors={"grid": 10.0}))
    set_lr(optimizer, 0.1)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: rates[id(p)] for name, p in network.named_parameters()} == {
        "grid.weight": 1.0, "grid.bias": 1.0, "net.weight": 0.1, "net.bias": 0.1,
    }  # fmt: skip


def test_the_rate_may_fall_exponentially():
    config = OptimizerConfig(lr=1.0, warmup_steps=0, final_ratio=0.01, decay="exponential")
    assert [lr_at(config, step, 100) for step in (0, 50, 100)] == pytest.approx([1.0, 0.1, 0.01])
    with pytest.raises(ValueError, match="final_ratio"):
        OptimizerConfig(decay="exponential", final_ratio=0.0)
