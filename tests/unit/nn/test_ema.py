from __future__ import annotations

import pytest
import torch
from torch import nn

from talkingface.nn.ema import Ema


def test_average_follows_and_copies_buffers():
    network = nn.BatchNorm1d(2)
    ema = Ema({"n": network}, 0.5)
    with torch.no_grad():
        network.weight.fill_(11.0)
    network.num_batches_tracked.fill_(7)
    ema.update()
    # the first decay is 1 / 10
    assert torch.allclose(ema.state_dict()["n"]["weight"], torch.full((2,), 10.0))
    assert ema.state_dict()["n"]["num_batches_tracked"] == 7


def test_applied_swaps_and_restores_tied_weights_exactly():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    ema = Ema({"n": network}, 0.9)
    before = network[0].weight.clone()
    with torch.no_grad():
        network[0].weight.add_(1.0)
    own = network[0].weight.clone()
    with pytest.raises(RuntimeError, match="inside"), ema.applied():
        assert torch.equal(network[0].weight, before)
        raise RuntimeError("inside")
    assert torch.equal(network[0].weight, own) and network[1].weight is network[0].weight


def test_decay_out_of_range_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        Ema({}, 1.0)
