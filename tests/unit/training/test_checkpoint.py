from __future__ import annotations

import pickle

import pytest
import torch

from talkingface.core.errors import InputError
from talkingface.training.checkpoint import load_checkpoint, save_checkpoint


def test_round_trip_keeps_kinds_and_bits(tmp_path):
    shared, last = torch.randn(4, 3), torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state = {
        "networks": {"g": {"weight": shared, "tied": shared, "last": last}},
        "optimizer": {0: {"step": torch.tensor(3.0), "exp_avg": shared.T}, 7: {}},
        "numbers": (1, 2.5, None, True, float("inf"), "text", [torch.arange(3, dtype=torch.uint8)]),
        "a/b": torch.ones(1),
        "a": {"b": torch.zeros(1)},
    }
    save_checkpoint(tmp_path / "c.safetensors", state)
    back = load_checkpoint(tmp_path / "c.safetensors")
    assert back.keys() == state.keys() and back["optimizer"].keys() == {0, 7}
    assert torch.equal(back["networks"]["g"]["tied"], shared)
    assert torch.equal(back["networks"]["g"]["last"], last)
    assert torch.equal(back["optimizer"][0]["exp_avg"], shared.T) and back["optimizer"][0]["step"].shape == ()
    assert back["numbers"][:6] == state["numbers"][:6] and back["numbers"][6][0].dtype == torch.uint8
    assert (back["a/b"].item(), back["a"]["b"].item()) == (1, 0)


def test_a_failed_save_keeps_the_earlier_checkpoint(tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(TypeError, match="cannot hold extra/odd, a set"):
        save_checkpoint(path, {"step": 2, "extra": {"odd": {1}}})
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_pickles_damaged_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(InputError, match="no checkpoint"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps({"step": 1}))
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(path)
    save_checkpoint(path, {"x": torch.randn(100)})
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(path)
