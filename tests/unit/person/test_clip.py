"""Which frames teach and which are held back; cutting heads; what is kept of a clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from faces import sample_picture
from talkingface.core.errors import FaceError
from talkingface.face.morphable import load_mesh478
from talkingface.person.clip import ClipSettings, PersonClip, last_part, prepare_person, splits
from talkingface.video.write import VideoWriter
from voices import make_voice, write_wav

FACE = cv2.resize(sample_picture(), (256, 256), interpolation=cv2.INTER_AREA)
CARD = np.full_like(FACE, (150, 30, 30))
ELSEWHERE = np.roll(FACE, 45, axis=1)


def prepare(folder: Path, frames: list[np.ndarray], least_s: float = 0.8) -> PersonClip:
    path = folder / "me.mp4"
    sound = write_wav(folder / "me.wav", make_voice(len(frames) / 25))
    with VideoWriter(path, (256, 256), 25, sound=sound) as writer:
        for rgb in frames:
            writer.write(rgb)
    (folder / "work").mkdir()
    return prepare_person(path, folder / "work", load_mesh478(), ClipSettings(least_s=least_s))


def test_a_cutaway_is_cut_out_with_its_sound(tmp_path: Path) -> None:
    clip = prepare(tmp_path, [FACE] * 20 + [CARD] * 10 + [FACE] * 15)
    assert clip.notes[-1] == "the face is not visible from 0.8 to 1.2 s; these pictures are left out"
    assert len(clip) == 35 and clip.track.spans == ((0, 20), (20, 35)) and clip.head().seen.all()
    pictures = list(clip.pictures())
    assert len(pictures) == 35 and max(np.abs(rgb - FACE.astype(int)).mean() for rgb in pictures) < 8
    voice = make_voice(45 / 25)
    expected = np.concatenate([voice[: 20 * 640], voice[30 * 640 :]])
    np.testing.assert_allclose(clip.samples[: len(expected)], expected, atol=0.03)


def test_after_a_cutaway_the_shot_must_go_on(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match="is cut at"):
        prepare(tmp_path, [FACE] * 20 + [CARD] * 10 + [ELSEWHERE] * 15)


def test_what_is_left_must_be_long_enough(tmp_path: Path) -> None:
    with pytest.raises(FaceError, match=r"shows the face for only 1\.4 s; give at least 1\.6 s"):
        prepare(tmp_path, [FACE] * 20 + [CARD] * 10 + [FACE] * 15, least_s=1.6)


def test_the_papers_split() -> None:
    train, test = splits(607, 300, 100, 300)
    assert train.sum() == 300 and train[:300].all()
    assert test.sum() == 100 and test[300:400].all()


def test_everything_else_teaches_but_the_neighbours_of_what_is_held_back() -> None:
    train, test = splits(607, 300, 100, None)
    assert not (train & test).any() and train.sum() == 607 - 100 - 24
    assert not train[288:412].any()


@pytest.mark.parametrize("length", [100, 320, 399])
def test_short_clips_hold_back_their_end(length: int) -> None:
    train, test = splits(length, 300, 100, None)
    assert test.sum() == min(100, length // 4) and test[-1]
    assert train.sum() >= length // 2


@pytest.mark.parametrize(("length", "held_out"), [(600, 120), (7500, 500), (60, 12)])
def test_the_end_of_a_clip_is_held_back(length: int, held_out: int) -> None:
    train, test = last_part(length, 0.2, 20.0)
    assert test.sum() == held_out and test[-1]
    assert train[0] and not train[length - held_out - 12 :].any() and train[: length - held_out - 12].all()
