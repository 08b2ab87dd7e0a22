"""The NumPy twin gives what the trained network gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.nn.sync_config import TINY, SyncConfig
from talkingface.nn.sync_net import SyncNet
from talkingface.nn.sync_net_cpu import SyncNetCpu, tensor_shapes


@pytest.mark.parametrize("config", [TINY, SyncConfig()], ids=["tiny", "full"])
@pytest.mark.parametrize("frames", [1, 11, 300])
def test_it_agrees_with_torch(config: SyncConfig, frames: int) -> None:
    torch.manual_seed(frames)
    network = SyncNet(config).eval()
    tensors = {name: value.numpy() for name, value in network.state_dict().items()}
    twin = SyncNetCpu(config, tensors)
    rng = np.random.default_rng(frames)
    columns = rng.normal(size=(4 * frames, 80)).astype(np.float32)
    shape = rng.normal(0, 0.05, (frames, config.points, 3)).astype(np.float32)
    crops = rng.normal(size=(frames, *config.crop_hw)).astype(np.float32)
    with torch.inference_mode():
        sound = network.audio(torch.from_numpy(columns)[None])[0]
        mouth, weight = network.visual(torch.from_numpy(shape)[None], torch.from_numpy(crops)[None])
    found, weights = twin.visual(shape, crops)
    np.testing.assert_allclose(twin.audio(columns), sound.numpy(), atol=2e-5)
    np.testing.assert_allclose(found, mouth[0].numpy(), atol=2e-5)
    np.testing.assert_allclose(weights, weight[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("config", [TINY, SyncConfig()], ids=["tiny", "full"])
def test_the_shapes_are_those_of_the_state_dict(config: SyncConfig) -> None:
    state = {name: tuple(value.shape) for name, value in SyncNet(config).state_dict().items()}
    assert tensor_shapes(config) == {name: shape for name, shape in state.items() if name != "log_scale"}
