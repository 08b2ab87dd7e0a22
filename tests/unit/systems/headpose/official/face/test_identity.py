"""Importing the reconstruction network and the MXNet file of ArcFace."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from talkingface.core.errors import WeightsError
from talkingface.nn.iresnet import IResNet, mxnet_name
from talkingface.nn.reconstruction_net import NUM_COEFFICIENTS, ReconstructionNet
from talkingface.systems.headpose.official.face import identity
from talkingface.systems.headpose.official.face.reconstruction import load_reconstruction_net, reconstruct

TINY = (1, 1, 1, 1)


def write_params(path: Path, arrays: dict[str, np.ndarray], magic: int = 0xF993FAC9) -> None:
    """An MXNet parameter file, written from its description."""
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", 0x112, 0, len(arrays)))
        for values in arrays.values():
            dims = "q" if magic > 0xF0000000 else "I"
            head = struct.pack("<Ii", magic, 0) if magic == 0xF993FAC9 else struct.pack("<I", magic)
            size = b"" if magic == values.ndim else struct.pack("<I", values.ndim)
            shape = struct.pack(f"<{values.ndim}{dims}", *values.shape)
            file.write(head + size + shape + struct.pack("<iii", 1, 0, 0) + values.astype("<f4").tobytes())
        file.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            file.write(struct.pack("<Q", len(name)) + name.encode())


@pytest.fixture
def tiny_arcface(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "IResNet", lambda eps: IResNet(TINY, eps=eps))


def some_weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    state = IResNet(TINY).state_dict()
    return {
        name: torch.rand(values.shape, generator=generator) * 0.1 + 0.05 if values.is_floating_point() else values
        for name, values in state.items()
    }


def test_an_mxnet_file_gives_the_network_it_was_made_from(tmp_path, tiny_arcface):
    state = some_weights()
    arrays = {}
    for name, values in state.items():
        foreign = mxnet_name(name)
        if foreign is not None:
            arrays[f"{'aux' if 'moving' in foreign else 'arg'}:{foreign}"] = values.numpy()
    write_params(tmp_path / "model-0000.params", arrays)
    net = identity.load_mxnet_arcface(tmp_path / "model-0000.params")
    state["features.weight"] = torch.ones(512)  # its scale is fixed in MXNet, whatever is stored
    for name, values in net.state_dict().items():
        if name in state and values.is_floating_point():
            assert torch.equal(values, state[name]), name
    assert net.bn1.eps == net.features.eps == pytest.approx(2e-5)
    faces = np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3), dtype=np.uint8)
    features = np.stack(list(identity.identity_features(net, faces)))
    assert features.shape == (3, 512) and np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)


def test_older_files_are_read_too(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name, magic in (("v1", 0xF993FAC8), ("v2", 0xF993FAC9), ("first", 2)):
        write_params(tmp_path / name, {"arg:a": values}, magic)
        assert identity.read_mxnet_params(tmp_path / name)["a"].tolist() == values.tolist()


def test_what_is_no_mxnet_file_is_refused(tmp_path, tiny_arcface):
    path = tmp_path / "model.params"
    with pytest.raises(WeightsError, match="cannot read"):
        identity.load_mxnet_arcface(path)
    path.write_bytes(b"PK" + bytes(60))
    with pytest.raises(WeightsError, match="not a readable MXNet"):
        identity.load_mxnet_arcface(path)
    write_params(path, {"arg:conv0_weight": np.zeros((64, 3, 3, 3))})
    with pytest.raises(WeightsError, match="LResNet100E-IR"):
        identity.load_mxnet_arcface(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WeightsError, match="too early"):
        identity.load_mxnet_arcface(path)


def test_aligned_points_lie_on_the_template():
    turn = np.array([[0.9, 0.2], [-0.2, 0.9]])
    points = identity.TEMPLATE @ turn.T * 1.7 + [30, 20]
    matrix = identity.alignment(points)
    assert points @ matrix[:, :2].T + matrix[:, 2] == pytest.approx(identity.TEMPLATE, abs=1e-4)


def test_reconstruction_checkpoint(tmp_path):
    net = ReconstructionNet().eval()
    torch.nn.init.normal_(net.final_layers[0].weight)
    torch.save({"net_recon": net.state_dict(), "opt": {}}, tmp_path / "epoch_20.pth")
    loaded = load_reconstruction_net(tmp_path / "epoch_20.pth")
    crops = np.random.default_rng(0).integers(0, 255, (3, 224, 224, 3), dtype=np.uint8)
    rows = np.stack(list(reconstruct(loaded, iter(crops))))
    assert rows.shape == (3, NUM_COEFFICIENTS)
    with torch.no_grad():
        expected = net(torch.from_numpy(crops[1:2]).permute(0, 3, 1, 2) / 255)[0]
    assert rows[1] == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-3)


def test_another_checkpoint_is_refused(tmp_path):
    torch.save({"net_recon": {"backbone.conv1.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="lacks .* tensors"):
        load_reconstruction_net(tmp_path / "other.pth")
    torch.save(torch.zeros(1), tmp_path / "tensor.pth")
    with pytest.raises(WeightsError, match="R-Net"):
        load_reconstruction_net(tmp_path / "tensor.pth")
