"""The truth that mattes are measured by, and the measures, on painted people before one colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.faces.matte import (
    busy_background,
    compare,
    keyed_clips,
    keyed_well,
    outline_band,
    rows,
    score,
)
from faces import mesh_points, person_alpha
from talkingface.face.key import backdrop_hue, key_out
from talkingface.video.write import VideoWriter

BLUE, CYAN, GREEN = (50, 80, 190), (60, 190, 210), (40, 200, 70)


def filmed(backdrop: tuple[int, int, int], shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A person in skin, brown and backdrop-coloured cloth before a backdrop that gets darker downwards; the opacity."""
    alpha = person_alpha(mesh_points(40, (128 + shift, 110)), (256, 256))
    person = np.full((256, 256, 3), (150, 105, 85), np.float32)
    person[200:, 100:160] = backdrop
    behind = np.array(backdrop) * np.linspace(1.1, 0.9, 256)[:, None, None]
    mixed = person * alpha[..., None] + behind * (1 - alpha[..., None])
    return np.clip(mixed, 0, 255).astype(np.uint8), alpha


@pytest.mark.parametrize("backdrop", [BLUE, CYAN, GREEN])
def test_people_are_keyed_out(backdrop: tuple[int, int, int]):
    rgb, alpha = filmed(backdrop)
    assert keyed_well(rgb)
    hue = backdrop_hue(rgb)
    assert hue is not None
    keyed = key_out(rgb, hue)
    assert np.abs(keyed.alpha - alpha).mean() < 0.015
    assert keyed.alpha[230, 130] == 1  # cloth of the backdrop's colour
    background = busy_background((256, 256), 1)
    expected = 150 * alpha + background[..., 0] * (1 - alpha)
    assert np.abs(keyed.over(background)[:190, :, 0] - expected[:190]).mean() < 3


def test_other_backdrops_are_left_out():
    grey = np.full((256, 256, 3), 120, np.uint8)
    assert backdrop_hue(grey) is None and not keyed_well(grey)
    assert backdrop_hue(np.full((256, 256, 3), (200, 60, 50), np.uint8)) is None
    assert backdrop_hue(busy_background((256, 256), 0)) is None


def test_backgrounds_are_busy_and_repeat():
    one, other = (busy_background((200, 120), seed) for seed in (3, 4))
    assert one.shape == (120, 200, 3) and np.array_equal(one, busy_background((200, 120), 3))
    assert one.std() > 40 and np.abs(one.astype(int) - other).mean() > 40


def test_errors_at_the_outline_and_between_frames():
    truth = np.stack([filmed(BLUE, shift)[1] for shift in (0, 1, 2)])
    assert set(compare(truth, truth).values()) == {0.0}
    soft = np.stack([cv2.GaussianBlur(alpha, (0, 0), 6) for alpha in truth])
    steady = compare(soft, truth)
    assert steady["outline"] > 3 * steady["error"] > 0
    trembling = soft.copy()
    trembling[1] = cv2.GaussianBlur(truth[1], (0, 0), 1)
    assert compare(trembling, truth)["flicker"] > 3 * steady["flicker"]
    assert outline_band(truth[0]).sum() > 20 * 256


def test_clips_are_found_and_measured(tmp_path: Path):
    listed = ["file,kind,slug,split,identity,licence_class"]
    for slug in ("first", "second", "third"):
        listed.append(f"{slug}.mp4,video,{slug},val,someone,free")
        with VideoWriter(tmp_path / f"{slug}.mp4", (256, 256), 25, synthetic=None) as writer:
            for shift in range(3):
                writer.write(filmed(BLUE, shift)[0])
    (tmp_path / "manifest.csv").write_text("\n".join(listed))
    assert [clip.slug for clip in keyed_clips(tmp_path)] == ["first", "second"]
    rgb, alpha = filmed(GREEN)
    hue = backdrop_hue(rgb)
    assert hue is not None
    found = score([key_out(rgb, hue)] * 2, 0, lambda _: alpha, tmp_path / "sheets" / "a.png")
    assert found["error"] < 1.5 and found["flicker"] == 0 and (tmp_path / "sheets" / "a.png").is_file()
    table = rows([{"clip": "a", **found}, {"clip": "b", "error": 50.0, "outline": 50.0, "flicker": 50.0}])
    assert [row.met for row in table[1::2]] == [False] * 3 and table[2].name == "worst (b)"
