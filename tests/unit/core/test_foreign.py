"""Foreign checkpoints: what fits is taken, what does not is named, what could run code is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.foreign import fit_tensors, module_shapes, origin_of, read_foreign, source_files

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrapped",
    [STATE, {"state_dict": STATE, "epoch": 3}, {f"module.{name}": value for name, value in STATE.items()}],
    ids=["plain", "nested", "parallel"],
)
def test_state_dicts_are_found_however_they_were_saved(tmp_path: Path, wrapped: dict, legacy: bool) -> None:
    torch.save(wrapped, tmp_path / "x.pth", _use_new_zipfile_serialization=not legacy)
    found = read_foreign(tmp_path / "x.pth")
    assert set(found) == set(STATE)
    np.testing.assert_array_equal(found["a.weight"], STATE["a.weight"].numpy())
    assert found["a.bias"].dtype == np.float32


def test_safetensors_are_read_too(tmp_path: Path) -> None:
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "x.safetensors")
    assert read_foreign(tmp_path / "x.safetensors")["a"].tolist() == [1, 1, 1]
    (tmp_path / "bad.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0hello")
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        read_foreign(tmp_path / "bad.safetensors")


class _Hostile:
    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["HOSTILE"],)


def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOSTILE", str(tmp_path / "ran"))
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"state_dict": _Hostile()}, protocol=2))
    with pytest.raises(WeightsError, match="could run code"):
        read_foreign(tmp_path / "x.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2)])
def test_what_holds_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no tensors by name"):
        read_foreign(tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="there is no file"):
        read_foreign(tmp_path / "none.pth")


def test_what_does_not_fit_is_named() -> None:
    found = {"a": np.zeros((2, 3)), "b": np.zeros(4), "more": np.zeros(1)}
    fitted = fit_tensors(found, {"a": (2, 3)}, "x.pth")
    assert set(fitted) == {"a"} and fitted["a"].dtype == np.float32
    wanted = {"a": (3, 2), "b": (4,), **{f"c{k}": (1,) for k in range(6)}}
    with pytest.raises(WeightsError) as caught:
        fit_tensors(found, wanted, "x.pth")
    text = str(caught.value)
    assert "6 tensors are missing (c0, c1, c2, c3 and 2 more)" in text
    assert "1 have another shape (a: [2, 3], not [3, 2])" in text
    with pytest.raises(WeightsError, match="not finite in b"):
        fit_tensors({"b": np.full(4, np.nan)}, {"b": (4,)}, "x.pth")


def test_a_modules_shapes_leave_out_counters() -> None:
    shapes = module_shapes(torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)))
    assert shapes["0.weight"] == (2, 1, 3, 3) and "1.running_var" in shapes
    assert "1.num_batches_tracked" not in shapes


def test_files_are_counted_and_noted(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"give the network \(2 files, not 1\)"):
        source_files([tmp_path / "a.pth"], 2, "the network")
    with pytest.raises(InputError, match="there is no file"):
        source_files([tmp_path / "b.pth"], 1, "the network")
    assert origin_of([tmp_path / "a.pth"])[0]["file"] == "a.pth"
