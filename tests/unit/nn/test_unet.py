from __future__ import annotations

import numpy as np
import pytest
import torch

from talkingface.nn.state import arrays
from talkingface.nn.unet import UNet
from talkingface.nn.unet_cpu import CpuNet


@pytest.mark.parametrize(("fold", "widths", "size"), [(2, (4, 6, 8, 10), (48, 32)), (4, (8, 12), (32, 64))])
def test_opencv_gives_what_torch_gives(fold: int, widths: tuple[int, ...], size: tuple[int, int]):
    torch.manual_seed(0)
    net = UNet(5, 3, fold, widths).eval()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    pictures = torch.rand(2, 5, *size)
    weights = {name: value.astype(np.float32) for name, value in arrays(net.state_dict()).items()}
    net.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    with torch.inference_mode():
        wanted = net(pictures).numpy()
    found = CpuNet(weights)(pictures.numpy())
    assert found.shape == wanted.shape == (2, 3, *size)
    assert np.abs(found - wanted).max() < 1e-3 * np.abs(wanted).max()
