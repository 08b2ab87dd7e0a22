"""Imported networks in `evaluate`: figures where weights are, words where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import sway, write_face_video
from faces import sample_picture
from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.run import record_key
from talkingface.api.evaluation.score.learned import imported_hashes
from talkingface.api.evaluation.score.pair import score_pair
from talkingface.api.evaluation.videos import evaluate
from talkingface.core.weights import save_weights
from talkingface.metrics.inception import InceptionMeter
from talkingface.metrics.syncnet import SyncNetMeter, SyncNetV2
from talkingface.nn.iresnet import IResNet
from talkingface.nn.lpips import Lpips
from talkingface.video.image import write_image

FRAMES = 55


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("pair")
    write_image(folder / "photo.png", sample_picture())
    made = write_face_video(folder / "made.mp4", sway(FRAMES) + (1, 0), quality=35)
    return Pair(
        name="x",
        generated=made,
        reference=write_face_video(folder / "real.mp4", sway(FRAMES)),
        source=folder / "photo.png",
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own that weights are found in."""
    monkeypatch.setenv("TALKINGFACE_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    return tmp_path


def _save(store: Path, name: str, network: torch.nn.Module, **card: object) -> None:
    save_weights(store / name, {key: value.numpy() for key, value in network.state_dict().items()}, card)


def test_without_weights_the_gaps_say_how_to_get_them(pair: Pair) -> None:
    gaps = score_pair(pair)["gaps"]
    assert "talkingface weights import lpips" in gaps["picture.lpips"]
    assert "talkingface weights import inception" in gaps["picture.fid"]
    assert "talkingface weights import arcface" in gaps["identity.csim"]
    assert "talkingface weights import syncnet" in gaps["sync.lse_d"]


def test_with_weights_there_are_figures(pair: Pair, store: Path) -> None:
    network = Lpips("alex")
    for layer in range(5):
        network.get_parameter(f"lin{layer}.model.1.weight").abs_()
    _save(store, "lpips.alex", network)
    _save(store, "csim.arcface", IResNet((1, 1, 1, 1)), config={"depths": [1, 1, 1, 1]})
    found = score_pair(pair)
    assert found["metrics"]["picture.lpips"] > 0
    assert 0.5 < found["metrics"]["identity.csim"] <= 1
    rows = found["per_frame"]["picture.lpips"]
    assert np.flatnonzero(~np.isnan(rows)).tolist() == list(range(0, FRAMES, 5))
    same = score_pair(Pair(name="same", generated=pair.reference, reference=pair.reference))["metrics"]
    assert same["picture.lpips"] == 0 and same["identity.csim"] == pytest.approx(1, abs=1e-5)
    alone = score_pair(Pair(name="alone", generated=pair.generated, source=pair.source))
    assert alone["gaps"]["picture.lpips"] == "no reference given"
    assert alone["metrics"]["identity.csim"] > 0.5
    nothing = score_pair(Pair(name="nothing", generated=pair.generated))
    assert nothing["gaps"]["identity.csim"] == "no reference and no source photo given"


class _FewViews(SyncNetV2):
    """The sound half as it is; a face is its mean colour, to save time."""

    def face(self, views: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(views.mean((0, 2, 3))[4:, None], (0, 1023))


def test_the_official_network_judges_both_videos(pair: Pair, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SyncNetMeter, "load", classmethod(lambda cls: cls(_FewViews())))
    _save(store, "syncnet.v2", torch.nn.Linear(1, 1))
    metrics = score_pair(pair)["metrics"]
    for key in ("sync.lse_d", "sync.lse_c", "sync.av_offset"):
        assert key in metrics and f"{key}.reference" in metrics


def test_many_clips_are_one_set_for_fid(
    pair: Pair, store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    features = lambda self, pictures: np.stack([p.mean((0, 1)) for p in pictures])  # noqa: E731
    monkeypatch.setattr(InceptionMeter, "load", classmethod(lambda cls: cls(torch.nn.Identity())))  # type: ignore
    monkeypatch.setattr(InceptionMeter, "features", features)
    _save(store, "fid.inception", torch.nn.Linear(1, 1))
    (tmp_path / "list.csv").write_text(
        f"name,generated,reference\na,{pair.generated},{pair.reference}\nb,{pair.reference},{pair.reference}\n"
    )
    report = evaluate(tmp_path / "list.csv", tmp_path / "r.json", workers=1)
    first, second = (clip["metrics"]["picture.fid"] for clip in report["clips"])
    assert second == pytest.approx(0, abs=1e-6) and first > 1e-4
    pooled = report["summary"]["picture.fid"]["pooled"]
    assert 0 < pooled < first
    again = evaluate(tmp_path / "list.csv", tmp_path / "r.json", workers=1)
    assert again["summary"]["picture.fid"]["pooled"] == pooled
    json.dumps(again, allow_nan=False)


def test_imported_weights_count_among_what_a_record_depends_on(pair: Pair, store: Path) -> None:
    before = record_key(pair)
    assert imported_hashes() == {}
    _save(store, "lpips.alex", torch.nn.Linear(1, 1))
    assert set(imported_hashes()) == {"lpips.alex"}
    assert record_key(pair) != before


def test_weights_that_do_not_fit_are_a_gap_not_a_fault(pair: Pair, store: Path) -> None:
    _save(store, "lpips.alex", torch.nn.Linear(1, 1))
    assert "tensors are missing" in score_pair(pair)["gaps"]["picture.lpips"]
