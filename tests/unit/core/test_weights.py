"""The weights store: what was saved comes back, what was touched is refused."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from talkingface.core import weights as store
from talkingface.core.errors import OutputError, WeightsError
from talkingface.core.types import Avatar

TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros((0,), np.int32), "c": np.array(True)}


@pytest.fixture
def ref(tmp_path: Path) -> store.WeightsRef:
    return store.save_weights(tmp_path / "demo.one", TENSORS, {"licence": "CC0", "config": {}})


def _replace_model(ref: store.WeightsRef, data: bytes) -> None:
    """Another model file, with a card that vouches for it."""
    (ref.folder / "model.safetensors").write_bytes(data)
    card = json.loads((ref.folder / "card.json").read_text())
    card["sha256"] = hashlib.sha256(data).hexdigest()
    (ref.folder / "card.json").write_text(json.dumps(card))


def _safetensors(header: object, payload: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def test_round_trip(ref: store.WeightsRef) -> None:
    tensors, card = store.load_weights(ref)
    assert card["licence"] == "CC0" and card["format_version"] == 1
    for name, values in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], values)
        assert (tensors[name].dtype, tensors[name].shape) == (values.dtype, values.shape)


def test_found_by_name_folder_and_environment(
    ref: store.WeightsRef, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert store.find_weights(ref.folder).name == "demo.one"
    with pytest.raises(WeightsError, match="no weights named 'demo.one'"):
        store.find_weights("demo.one")
    monkeypatch.setenv("TALKINGFACE_WEIGHTS", str(tmp_path))
    assert store.verify("demo.one") == ref
    assert ref in store.list_weights()
    with pytest.raises(WeightsError, match=r"did you mean demo\.one\?"):
        store.find_weights("demo.onne")


def test_names_cannot_leave_the_store(ref: store.WeightsRef, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    monkeypatch.setenv("TALKINGFACE_WEIGHTS", str(tmp_path / "store"))
    for name in ("../demo.one", "..", "", "/", "a\0b"):
        with pytest.raises(WeightsError):
            store.find_weights(name)


def test_an_altered_byte_is_refused(ref: store.WeightsRef) -> None:
    data = bytearray((ref.folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (ref.folder / "model.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="altered or is damaged"):
        store.verify(ref.folder)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8,
        struct.pack("<Q", 1 << 40) + b"{}",
        _safetensors(b"[" * 5000),
        _safetensors({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4]}}, b"\0" * 4),
        _safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        _safetensors({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        _safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"\0" * 4),
        _safetensors({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        _safetensors({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4),
        _safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, struct.pack("<f", float("nan"))),
        pickle.dumps({"a": 1}),
    ],
)  # fmt: skip
def test_hostile_models_are_refused_even_with_a_matching_card(ref: store.WeightsRef, data: bytes) -> None:
    _replace_model(ref, data)
    with pytest.raises(WeightsError) as caught:
        store.load_weights(ref)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "card",
    ["", "[]", "null", "{}", '{"format_version": 99}', '{"format_version": true}', '{"format_version": 1}',
     '{"format_version": 1, "sha256": NaN}', '{"format_version": 1, "sha256": "00"}',
     '{"format_version": 1, "sha256": 7}',
     "\x00", '{"pad": "' + "x" * (1 << 20) + '"}', "[" * 100_000],
)  # fmt: skip
def test_hostile_cards_are_refused(ref: store.WeightsRef, card: str) -> None:
    (ref.folder / "card.json").write_text(card)
    with pytest.raises(WeightsError) as caught:
        store.load_weights(ref)
    assert "\n" not in str(caught.value)


def test_missing_model_is_refused(ref: store.WeightsRef) -> None:
    (ref.folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot read"):
        store.load_weights(ref)


class _Hostile:
    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self._target,)


def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path: Path) -> None:
    import torch

    touched = tmp_path / "touched"
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(_Hostile(touched), protocol=2))
    torch.save({"weight": torch.zeros(1), "extra": _Hostile(touched)}, tmp_path / "model.pt")
    for name in ("plain.pkl", "model.pt"):
        with pytest.raises(WeightsError, match="could run code"):
            store.load_pickle_weights_only(tmp_path / name)
    assert not touched.exists()
    torch.save({"weight": torch.ones(2)}, tmp_path / "good.pt")
    assert store.load_pickle_weights_only(tmp_path / "good.pt")["weight"].tolist() == [1.0, 1.0]
    with pytest.raises(WeightsError, match="there is no file"):
        store.load_pickle_weights_only(tmp_path / "missing.pt")


def test_avatars_come_back_with_their_files(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"pictures")
    avatar = Avatar(system="meter", card={"fps": 25.0}, tensors=TENSORS, files={"video": tmp_path / "clip.mp4"})
    store.save_avatar(tmp_path / "me", avatar)
    store.save_avatar(tmp_path / "me", store.load_avatar(tmp_path / "me"))  # over itself
    (tmp_path / "me").rename(tmp_path / "moved")
    found = store.load_avatar(tmp_path / "moved")
    assert store.is_avatar(tmp_path / "moved") and not store.is_avatar(tmp_path)
    assert (found.system, found.card["fps"]) == ("meter", 25.0)
    assert found.files["video"].read_bytes() == b"pictures"
    np.testing.assert_array_equal(found.tensors["a"], TENSORS["a"])


@pytest.mark.parametrize("name", ["../clip.mp4", "/etc/passwd", "..", "", "a/b", 3, None])
def test_avatar_files_cannot_lie_outside(tmp_path: Path, name: object) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"pictures")
    store.save_avatar(tmp_path / "me", Avatar(system="meter", card={}, tensors=TENSORS))
    card = json.loads((tmp_path / "me" / "card.json").read_text())
    card["files"] = {"video": {"name": name, "sha256": "0" * 64}}
    (tmp_path / "me" / "card.json").write_text(json.dumps(card))
    with pytest.raises(WeightsError, match="outside its folder"):
        store.load_avatar(tmp_path / "me")


def test_an_altered_avatar_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"pictures")
    store.save_avatar(
        tmp_path / "me", Avatar(system="meter", card={}, tensors=TENSORS, files={"video": tmp_path / "clip.mp4"})
    )
    (tmp_path / "me" / "files" / "video.mp4").write_bytes(b"other")
    with pytest.raises(WeightsError, match="was altered"):
        store.load_avatar(tmp_path / "me")


def test_unwritable_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        store.save_weights(tmp_path / "file" / "demo.one", TENSORS, {})
