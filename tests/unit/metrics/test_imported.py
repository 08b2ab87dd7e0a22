"""Imported networks of the true shapes with random weights: importing, refusing, and what the figures come to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from talkingface.api.importing import import_weights
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.foreign import module_shapes
from talkingface.core.weights import find_weights, load_weights
from talkingface.metrics.arcface import TEMPLATE, ArcFaceMeter, aligned_face
from talkingface.metrics.frechet import frechet_distance
from talkingface.metrics.inception import Inception, InceptionMeter
from talkingface.metrics.lpips import LpipsMeter
from talkingface.metrics.syncnet import (
    MAX_LAG,
    SyncNetMeter,
    SyncNetV2,
    face_boxes,
    face_view,
    lip_sync,
)
from talkingface.nn.iresnet import IResNet
from talkingface.nn.lpips import Lpips


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of its own, so that no other test finds what is imported here."""
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(3)


def _picture(seed: int = 0, side: int = 90) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)


def _lpips_files(folder: Path, backbone: str) -> list[Path]:
    """A backbone as torchvision saves it, and linear weights as the lpips package does."""
    network = Lpips(backbone)  # type: ignore[arg-type]
    state = network.state_dict()
    features = {f"features.{name.split('.', 2)[2]}": v for name, v in state.items() if name.startswith("net.")}
    linear = {name: value.abs() for name, value in state.items() if name.startswith("lin")}
    torch.save(features | {"classifier.1.weight": torch.zeros(3, 3)}, folder / "net.pth")
    torch.save(linear, folder / "lin.pth")
    return [folder / "net.pth", folder / "lin.pth"]


@pytest.mark.parametrize("backbone", ["alex", "vgg"])
def test_lpips_is_imported_from_its_two_files_in_any_order(tmp_path: Path, backbone: str) -> None:
    files = _lpips_files(tmp_path, backbone)
    ref = import_weights("lpips", files[::-1])
    assert ref.name == f"lpips.{backbone}" and find_weights(ref.name).folder == ref.folder
    _, card = load_weights(ref)
    assert {entry["file"] for entry in card["origin"]} == {"net.pth", "lin.pth"} and card["licence"]
    meter = LpipsMeter.load(backbone)  # type: ignore[arg-type]
    a, b = _picture(0), _picture(1)
    same, other = meter.distances([a, a], [a, b])
    assert same == 0 and other > 0


def test_lpips_of_mismatched_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vgg").mkdir()
    alex, vgg = _lpips_files(tmp_path, "alex"), _lpips_files(tmp_path / "vgg", "vgg")
    with pytest.raises(WeightsError, match=r"4 have another shape \(lin1.model.1.weight: \[1, 128, 1, 1\]"):
        import_weights("lpips", [alex[0], vgg[1]])
    with pytest.raises(WeightsError, match="are not torchvision's"):
        import_weights("lpips", [alex[0], alex[0]])
    with pytest.raises(UsageError, match="2 files, not 1"):
        import_weights("lpips", alex[0])


def test_the_inception_network_has_the_published_parameters() -> None:
    shapes = module_shapes(Inception())
    learned = sum(int(np.prod(s)) for n, s in shapes.items() if "running" not in n)
    # torchvision documents 27 161 264 for Inception v3 with its auxiliary classifier (3 326 696) and 1000 classes
    assert learned == 27_161_264 - 3_326_696 - (2048 + 1) * 1000
    assert shapes["Mixed_6b.branch7x7_2.conv.weight"] == (128, 128, 1, 7)
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)


def test_inception_is_imported_with_or_without_its_classifier(tmp_path: Path) -> None:
    network = Inception()
    torch.save(network.state_dict() | {"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "x.pth")
    import_weights("inception", tmp_path / "x.pth")
    pictures = [_picture(k, 64) for k in range(2)]
    features = InceptionMeter.load().features(pictures)
    assert features.shape == (2, 2048)
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
        np.testing.assert_allclose(features, network.eval()(batch).numpy(), atol=1e-5)
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"resnet.pth does not fit: 470 tensors are missing"):
        import_weights("inception", tmp_path / "resnet.pth")


def test_padding_is_left_out_of_inceptions_averages() -> None:
    from talkingface.metrics.inception import _mean

    assert torch.equal(_mean(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


@pytest.mark.parametrize(("rows", "more"), [((40, 60), 12), ((15, 12), 30)])
def test_the_frechet_distance_agrees_with_matrix_roots(rows: tuple[int, int], more: int) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(rows[0], more))
    b = rng.normal(size=(rows[1], more)) @ rng.normal(size=(more, more)) + 0.3
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = sqrtm(ca @ cb + 1e-12 * np.eye(more)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert np.isnan(frechet_distance(a[:9], b))


def test_a_recognisers_depth_is_read_off_its_names(tmp_path: Path) -> None:
    network = IResNet((1, 2, 1, 1))
    torch.save({f"module.{n}": v for n, v in network.state_dict().items()}, tmp_path / "backbone.pth")
    ref = import_weights("arcface", tmp_path / "backbone.pth")
    assert load_weights(ref).card["config"] == {"depths": [1, 2, 1, 1]}
    meter = ArcFaceMeter.load()
    one, two = meter.features([_picture(0, 112), _picture(1, 112)])
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5)
    assert one @ meter.features([_picture(0, 112)])[0] == pytest.approx(1, abs=1e-5) and one @ two < 0.9999
    torch.save({"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="other.pth is not backbone.pth"):
        import_weights("arcface", tmp_path / "other.pth")


def test_faces_are_laid_onto_the_template_however_they_lie() -> None:
    base = np.zeros((112, 112, 3), np.uint8)
    for x, y in TEMPLATE.round().astype(int):
        base[y - 3 : y + 4, x - 3 : x + 4] = 255
    points = np.zeros((478, 3), np.float32)
    points[[468, 473, 4, 61, 291], :2] = TEMPLATE
    angle, scale, shift = np.radians(25), 2.2, (90, 30)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    import cv2

    turned = cv2.warpAffine(base, np.column_stack([turn, shift]), (420, 420))
    moved = points.copy()
    moved[:, :2] = points[:, :2] @ turn.T + shift
    difference = aligned_face(turned, moved).astype(float) - aligned_face(base, points)
    assert np.abs(difference).mean() < 2


@pytest.fixture(scope="module")
def syncnet() -> SyncNetV2:
    torch.manual_seed(4)
    return SyncNetV2().eval()


def test_syncnet_has_the_released_names_and_shapes(syncnet: SyncNetV2) -> None:
    shapes = module_shapes(syncnet)
    assert shapes["netcnnaud.4.weight"] == (192, 64, 3, 3) and shapes["netcnnaud.18.weight"] == (512, 256, 5, 4)
    assert shapes["netcnnlip.0.weight"] == (96, 3, 5, 7, 7) and shapes["netcnnlip.18.weight"] == (512, 256, 1, 6, 6)
    assert shapes["netfclip.3.weight"] == shapes["netfcaud.3.weight"] == (1024, 512)


def test_windows_over_a_strip_are_the_windows_cut_out(syncnet: SyncNetV2) -> None:
    views = torch.rand(3, 7, 224, 224) * 255
    with torch.inference_mode():
        strip = syncnet.face(views)
        single = torch.cat([syncnet.face(views[:, k : k + 5]) for k in range(3)])
    assert strip.shape == (3, 1024)
    torch.testing.assert_close(strip, single, rtol=1e-4, atol=1e-4)


def test_the_release_is_imported_and_judges_a_clip(syncnet: SyncNetV2, tmp_path: Path) -> None:
    torch.save(syncnet.state_dict(), tmp_path / "syncnet_v2.model", _use_new_zipfile_serialization=False)
    import_weights("syncnet", tmp_path / "syncnet_v2.model")
    meter = SyncNetMeter.load()
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.1, 30 * 640).astype(np.float32)
    other = meter.another()
    for k in range(30):
        view = _picture(k, 224)
        meter.add(view)
        other.add(view)
    found = meter.finish(samples)
    assert found.distance > 0 and found.confidence >= 0 and abs(found.offset) <= MAX_LAG
    assert other.finish(samples) == found
    assert np.isnan(meter.another().finish(samples).distance)


def test_the_offset_is_how_late_the_mouth_is() -> None:
    sounds = torch.randn(80, 16, generator=torch.Generator().manual_seed(0))
    for late in (-4, 0, 7):
        faces = torch.roll(sounds, late, 0)  # at frame t the face shows what was heard `late` frames before
        found = lip_sync(faces, sounds)
        assert found.offset == late and found.confidence > 2
        assert found.distance < 0.5 * (found.distance + found.confidence)


def test_views_keep_size_at_the_pictures_edge_and_boxes_hold_still() -> None:
    points = np.zeros((20, 478, 3), np.float32)
    points[:, 0, :2], points[:, 1, :2] = (40, 20), (100, 80)
    points[:, 2:, :2] = (70, 50)
    points[7, :, 0] += 30  # one frame's slip
    boxes = face_boxes(points)
    np.testing.assert_allclose(boxes, np.tile([70, 50, 30], (20, 1)))
    rgb = np.full((100, 120, 3), 200, np.uint8)
    inside = face_view(rgb, np.array([60, 40, 20]))
    assert inside.shape == (224, 224, 3) and (inside == 200).all()
    edge = face_view(rgb, np.array([0, 0, 40]))
    assert (edge[:50] == 110).all() and (edge[-60:, -60:] == 200).all()
    assert (face_view(rgb, np.array([900, 900, 40])) == 110).all()
