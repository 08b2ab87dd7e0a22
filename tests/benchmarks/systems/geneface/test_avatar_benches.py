"""Figures of avatars of `geneface`: what counts as met, as a hole and as a jerk."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import transform

from benchmarks.systems.geneface.animate import geneface_animate
from benchmarks.systems.geneface.picture import judged_rows
from benchmarks.systems.geneface.views import holes_in, jerk
from benchmarks.targets import TargetJob, find_targets
from talkingface.core.errors import UsageError
from talkingface.face.topology import FACE_OVAL

GOOD = {
    "square_psnr": 27.5, "face_psnr": 33.5, "mouth_psnr": 31.5, "still_psnr": 14.5, "detail": 0.95,
    "mouth_detail": 0.9, "gap": 0.8, "width": 0.7, "jaw": 0.7, "lmd": 0.03, "still_lmd": 0.05,
}  # fmt: skip


def _rows(name: str, spoken: dict[str, float], portrait: dict[str, float]) -> dict[str, bool | None]:
    figures = {"true": GOOD, "spoken": spoken, "voice alone": spoken, "portrait": portrait}
    return {row.name.removeprefix(f"{name}, "): row.met for row in judged_rows(name, figures)}


def test_targets_are_asked_beside_the_others() -> None:
    assert set(_rows("anchor_en", GOOD, GOOD).values()) == {True, None}
    behind = _rows("anchor_en", GOOD | {"gap": 0.7, "face_psnr": 27.0, "lmd": 0.06}, GOOD)
    assert [name for name, met in behind.items() if met is False] == [
        "own sound: correlation of gap", "own sound: LMD of the mouth", "own sound: PSNR of the face oval, dB",
        "own sound, lids and gaze too: PSNR of the face oval, dB",
    ]  # fmt: skip
    less = {name: value - 1.5 for name, value in GOOD.items() if name.endswith("psnr")}
    figures = {"true": GOOD | less, "spoken": GOOD, "voice alone": GOOD, "portrait": GOOD}
    assert not all(row.met in (True, None) for row in judged_rows("anchor_en", figures))
    assert all(row.met in (True, None) for row in judged_rows("someone", figures))


def test_pictures_without_a_face_meet_nothing() -> None:
    lost = {name: value for name, value in GOOD.items() if name not in ("gap", "width", "jaw", "lmd", "still_lmd")}
    rows = _rows("me", lost, GOOD)
    assert rows["own sound: correlation of gap"] is False and rows["own sound: LMD of the mouth"] is False


def test_a_hole_in_the_face_is_seen_and_one_beside_it_is_not() -> None:
    points = np.zeros((478, 3), np.float32)
    around = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    points[list(FACE_OVAL), :2] = 50 + 30 * np.stack([np.cos(around), np.sin(around)], 1)
    black = np.full((100, 100, 3), 90, np.uint8)
    white = black.copy()
    white[:15] = 255  # beside it
    assert holes_in(black, white, points) == 0
    white[45:55, 45:55] = 200
    assert holes_in(black, white, points) == pytest.approx(100 / (np.pi * 30**2), rel=0.05)


def test_a_head_that_nods_with_its_blinks_jerks() -> None:
    rng = np.random.default_rng(0)
    times_s = np.array([1.0, 2.5, 4.0])
    angles = rng.normal(0, 0.001, (150, 3))
    calm = transform.Rotation.from_rotvec(angles).as_matrix()
    assert jerk(calm, times_s) == pytest.approx(1, abs=0.3)
    angles[np.round(times_s * 25).astype(int), 0] += 0.02
    assert jerk(transform.Rotation.from_rotvec(angles).as_matrix(), times_s) > 3
    assert jerk(calm, np.zeros(0)) == 1


def test_they_are_found_and_say_what_to_name() -> None:
    assert {"geneface-picture", "geneface-views", "geneface-animate"} <= set(find_targets())
    with pytest.raises(UsageError, match="no avatar"):
        geneface_animate(TargetJob(data=None, weights="nothing.avatar"))
