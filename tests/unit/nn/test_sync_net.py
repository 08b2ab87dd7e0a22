"""The sync expert's network: shapes, what it must not see, and cosines against a loop."""

from __future__ import annotations

import torch

from talkingface.nn.sync_config import TINY, SyncConfig
from talkingface.nn.sync_net import SyncNet, cosines_at_lags


def make_inputs(frames: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(2, frames, 56, 3), torch.randn(2, frames, 24, 40), torch.randn(2, 4 * frames, 80)


def test_a_unit_vector_a_frame_and_a_weight():
    torch.manual_seed(0)
    network = SyncNet(TINY).eval()
    shape, crops, columns = make_inputs()
    mouth, weight = network.visual(shape, crops)
    sound = network.audio(columns)
    assert mouth.shape == sound.shape == (2, 12, TINY.dim)
    assert weight.shape == (2, 12) and bool(((weight > 0) & (weight < 1)).all())
    for vectors in (mouth, sound):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2, 12))


def test_who_speaks_does_not_matter_only_the_movement():
    torch.manual_seed(0)
    network = SyncNet(TINY).eval()
    shape, crops, _ = make_inputs()
    other = shape + torch.randn(2, 1, 56, 3)
    torch.testing.assert_close(network.visual(shape, crops)[0], network.visual(other, crops)[0], atol=1e-4, rtol=0)


def test_shape_and_picture_can_be_switched_off():
    torch.manual_seed(0)
    network = SyncNet(TINY).eval()
    shape, crops, _ = make_inputs()
    for switch, other in (((1.0, 0.0), (shape, -crops)), ((0.0, 1.0), (-shape, crops))):
        use = torch.tensor([switch, switch])
        torch.testing.assert_close(network.visual(shape, crops, use)[0], network.visual(*other, use)[0])


def test_many_frames_are_the_same_in_parts():
    torch.manual_seed(0)
    network = SyncNet(TINY).eval()
    crops = torch.randn(1, 300, 24, 40)
    whole = network._pictures(crops)
    torch.testing.assert_close(whole[:, 250:270], network._pictures(crops[:, 250:270]))


def test_cosines_at_lags_against_a_loop():
    mouth, sound = torch.randn(1, 5, 4), torch.randn(1, 11, 4)
    found = cosines_at_lags(mouth, sound, 3)
    assert found.shape == (1, 5, 7)
    for t in range(5):
        for lag in range(-3, 4):
            torch.testing.assert_close(found[0, t, lag + 3], mouth[0, t] @ sound[0, t + 3 + lag])


def test_the_full_size_fits_into_two_mebibytes_of_halves():
    count = sum(parameter.numel() for parameter in SyncNet(SyncConfig()).parameters())
    assert 2 * count < 2 * 2**20
