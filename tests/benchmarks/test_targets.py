"""The measurements of `talkingface bench --what`, on made-up data."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import numpy as np
import pytest

from benchmarks.data import mouth_box, write_voice
from benchmarks.faces.robustness import REFUSED, FaceResult, _rows, contact_sheet, jitter
from benchmarks.media import muxing
from benchmarks.media.muxing import click_offsets
from benchmarks.systems.portrait.picture import gradient_energy, psnr, scored_box
from benchmarks.targets import Row, TargetJob, find_targets, measure_targets, target_table
from faces import drawn_picture, mesh_points, open_mouth
from talkingface.apps.bench.checkout import ROOT, load_targets
from talkingface.core.errors import InputError, UsageError
from talkingface.core.registry import import_attribute
from talkingface.core.types import Track
from talkingface.video.read import VideoFrame, probe
from voices import make_voice, write_wav


def make_track(points: np.ndarray) -> Track:
    count = len(points)
    return Track(
        landmarks=points.astype(np.float32),
        times_s=np.arange(count) / 25,
        confidence=np.ones(count, np.float32),
        size=(256, 256),
    )


def test_every_folder_is_found_and_each_target_is_a_function():
    targets = find_targets()
    assert {"speed", "robustness", "mouth", "picture", "headpose", "pcavs"} <= set(targets)
    for name, address in targets.items():
        assert callable(import_attribute(address)), name


def test_benchmarks_of_a_system_import_no_other_system():
    for folder in (ROOT / "benchmarks" / "systems").iterdir():
        for path in folder.glob("*.py"):
            named = set(re.findall(r"talkingface\.systems\.(\w+)", path.read_text()))
            assert named <= {folder.name}, path


def test_without_a_checkout_it_is_said_where_the_targets_are(tmp_path):
    with pytest.raises(UsageError, match="benchmarks/ of a checkout"):
        load_targets(tmp_path)
    assert load_targets().measure_targets is measure_targets


def test_unknown_targets_and_missing_data_are_refused(tmp_path):
    with pytest.raises(UsageError, match="known: .*muxing"):
        measure_targets("beauty", TargetJob(data=None))
    with pytest.raises(UsageError, match="--data"):
        measure_targets("speed", TargetJob(data=None))
    with pytest.raises(InputError, match="manifest.csv"):
        _ = TargetJob(data=tmp_path).folder


def test_muxing_is_measured_and_reported():
    figures = measure_targets("muxing", TargetJob(data=None, limit=1))
    assert {"rows", "details", "processor", "cores", "versions", "commit", "date"} <= set(figures)
    json.dumps(figures, allow_nan=False)
    worst, drift = figures["rows"]
    assert worst["met"] and worst["value"] <= 1
    assert drift["value"] is None and drift["met"] is None
    table = target_table(figures)
    assert "not measured" in table and "met" in table and "<= 1" in table


def test_a_late_click_is_found(tmp_path, monkeypatch):
    exact = muxing._write_clicks
    monkeypatch.setattr(
        muxing,
        "_write_clicks",
        lambda path, at, total, rate: exact(path, [k + rate // 100 for k in at], total, rate),
    )
    offsets = click_offsets(tmp_path, Fraction(25), 16000, 4)
    assert list(offsets.values()) == pytest.approx([10.0] * len(offsets), abs=0.1)


def test_the_voice_has_the_length_asked_for(tmp_path):
    (tmp_path / "speech").mkdir()
    with pytest.raises(InputError, match="no sound files"):
        write_voice(tmp_path, 1.0, tmp_path / "v.wav")
    for k in range(2):
        write_wav(tmp_path / "speech" / f"{k}.wav", make_voice(0.4, k))
    write_voice(tmp_path, 1.5, tmp_path / "v.wav")
    assert probe(tmp_path / "v.wav").duration_s == pytest.approx(1.5, abs=1e-3)


def test_scores():
    truth = drawn_picture()
    assert psnr(truth, truth) == 99
    assert psnr(truth, np.clip(truth.astype(int) + 10, 0, 255).astype(np.uint8)) == pytest.approx(28.1, abs=0.2)
    assert gradient_energy(truth) > 4 * gradient_energy(truth // 2 + 60) * 0.9
    rows, columns = scored_box(mesh_points(), truth.shape)
    assert 0 <= columns.start < mesh_points()[:, 0].min() and mesh_points()[:, 0].max() < columns.stop <= 256
    rows, columns = mouth_box(mesh_points(), truth.shape)
    x, y = mesh_points()[13, :2]
    assert rows.start < y < rows.stop and columns.start < x < columns.stop


def test_jitter_tells_trembling_from_moving():
    turns = np.linspace(0, 40, 30)
    calm = np.stack([mesh_points(60, (100 + x, 120)) for x in turns])
    rng = np.random.default_rng(0)
    shaking = calm + rng.normal(0, 0.5, calm.shape)
    assert jitter(make_track(calm))["face"] < 1e-3
    assert jitter(make_track(shaking))["face"] > 0.01
    talking = np.stack([open_mouth(p, 0.2 * (k % 2)) for k, p in enumerate(calm)])
    found = jitter(make_track(talking))
    assert found["lips"] > 2 * found["face"]


def verdicts(rows: list[Row]) -> dict[str, bool | None]:
    return {row.name.split(" (")[0]: row.met for row in rows}


def test_verdicts():
    good = FaceResult(name="a", seen=1.0, folded=0, jitter={"face": 1.0, "lips": 1.0})
    refused = [FaceResult(name=name, refused=True, error="FaceError: none") for name in REFUSED]
    real = [{"face": 1.0, "lips": 1.0}]
    assert all(met is not False for met in verdicts(_rows([good, *refused], real)).values())
    accepted = FaceResult(name=REFUSED[0], seen=1.0, folded=0, jitter=good.jitter)
    assert verdicts(_rows([good, accepted], real))["wrongly refused or accepted"] is False
    crashed = FaceResult(name="b", error="OutputError: disk full")
    assert verdicts(_rows([good, crashed], real))["wrongly refused or accepted"] is False
    shaky = FaceResult(name="c", seen=0.5, folded=3, jitter={"face": 2.0, "lips": 0.1})
    found = verdicts(_rows([good, shaky], real))
    assert found["frames with a face"] is False and found["flipped triangles"] is False
    assert found["jitter of the face over that or the unmoved face's, worst"] is False
    assert found["jitter of the lips over that or the unmoved face's, worst"] is True
    painted = FaceResult(name="d", seen=1.0, folded=0, jitter=shaky.jitter, unmoved={"face": 1.9, "lips": 0.1})
    assert verdicts(_rows([good, painted], real))["jitter of the face over that or the unmoved face's, worst"] is True


def test_contact_sheets_have_three_rows():
    track = make_track(np.stack([mesh_points()] * 9))
    sheet = contact_sheet((VideoFrame(rgb=drawn_picture(), time_s=k / 25) for k in range(9)), track)
    assert sheet.shape == (3 * 224, 6 * 224, 3)
