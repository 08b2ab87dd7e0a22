"""A folder of numbered pictures in the place of a video, and a photo in the place of a pose video."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import talkingface
from meter_system.system import MeterSystem
from talkingface.api.poses import open_pose
from talkingface.api.resume import job_key
from talkingface.clips.source import existing, open_source
from talkingface.core.cache import content_hash
from talkingface.core.errors import InputError, SpeechError, WeightsError
from talkingface.core.options import AnimateOptions
from talkingface.core.types import Avatar, Clip, Controls, Motion, Photo
from talkingface.core.weights import load_avatar, save_avatar

SIZE = (96, 48)


def write_folder(path: Path, count: int) -> Path:
    path.mkdir()
    for k in range(count):
        Image.new("RGB", SIZE, (8 * k,) * 3).save(path / f"{k:06}.png")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "frames", 6)


@pytest.fixture
def avatar(folder: Path) -> Avatar:
    return Avatar(system="meter", card={"kind": "clip"}, tensors={"x": np.zeros(1, np.float32)}, files={"clip": folder})


def test_which_kind_of_face_a_folder_is(folder: Path, avatar: Avatar, tmp_path: Path) -> None:
    assert isinstance(open_source(folder), Clip)
    one = write_folder(tmp_path / "one", 1)
    photo = open_source(one)
    assert isinstance(photo, Photo) and photo.path == one / "000000.png"
    save_avatar(tmp_path / "me", avatar)
    Image.new("RGB", SIZE).save(tmp_path / "me" / "preview.png")
    assert isinstance(open_source(tmp_path / "me"), Avatar)
    assert existing(one) == one, "evaluate takes folders as they are"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="a folder without pictures, not an avatar; give a photo, a video or a folder"):
        open_source(tmp_path / "empty")


def test_the_hash_is_over_names_and_contents(folder: Path, tmp_path: Path) -> None:
    first = content_hash(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    (moved / ".hidden").write_text("x")
    (moved / "notes.md").write_text("x")
    assert content_hash(moved) == first
    hashes = {first}
    (moved / "fps.txt").write_text("30")
    hashes.add(content_hash(moved))
    (moved / "000003.png").rename(moved / "000009.png")
    hashes.add(content_hash(moved))
    Image.new("RGB", SIZE, (1, 2, 3)).save(moved / "000004.png")
    hashes.add(content_hash(moved))
    assert len(hashes) == 4
    with pytest.raises(InputError, match="without pictures"):
        content_hash(tmp_path)


def test_a_job_is_known_by_the_pictures(folder: Path, voice_file: Path) -> None:
    system = MeterSystem(None, None)

    def key() -> str:
        return job_key(face=folder, speech=voice_file, system=system, options=AnimateOptions(pose=str(folder)))

    before = key()
    assert key() == before
    Image.new("RGB", SIZE, (1, 2, 3)).save(folder / "000004.png")
    assert key() != before


def test_an_avatar_takes_its_pictures_along(folder: Path, avatar: Avatar, tmp_path: Path) -> None:
    (folder / "fps.txt").write_text("30")
    (folder / "notes.md").write_text("stays behind")
    expected = content_hash(folder)
    save_avatar(tmp_path / "me", avatar)
    (folder / "000005.png").unlink()
    loaded = load_avatar(tmp_path / "me")
    kept = loaded.files["clip"]
    assert content_hash(kept) == expected and kept.is_relative_to(tmp_path / "me")
    assert sorted(os.listdir(kept)) == [*(f"{k:06}.png" for k in range(6)), "fps.txt"]
    save_avatar(tmp_path / "me", loaded)  # over itself
    assert content_hash(load_avatar(tmp_path / "me").files["clip"]) == expected
    save_avatar(tmp_path / "me", avatar)  # nothing of the earlier one remains
    assert content_hash(load_avatar(tmp_path / "me").files["clip"]) == content_hash(folder)
    (kept / "000001.png").unlink()
    with pytest.raises(WeightsError, match="missing or was altered"):
        load_avatar(tmp_path / "me")


def test_links_out_of_an_avatar_are_refused(folder: Path, avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "me", avatar)
    inside = tmp_path / "me" / "files" / "clip" / "000001.png"
    inside.unlink()
    inside.symlink_to(folder / "000001.png")
    with pytest.raises(WeightsError, match="missing or was altered"):
        load_avatar(tmp_path / "me")


@pytest.mark.usefixtures("meter")
def test_face_pose_and_drive_in_a_strip(folder: Path, voice_file: Path, tmp_path: Path) -> None:
    posed, driving = write_folder(tmp_path / "posed", 3), write_folder(tmp_path / "driving", 10)
    strip = talkingface.animate(
        folder, voice_file, system="meter", device="cpu", pose=str(posed), drive=str(driving), layout="strip"
    )
    rgb = np.concatenate([piece.rgb for piece in strip])
    assert rgb.shape == (10, 48, 4 * 96, 3)
    shown = np.round(rgb.astype(float).mean(axis=(1, 3)) / 8)
    np.testing.assert_array_equal(shown[:, 10], [0, 1, 2, 3, 4, 5, 5, 5, 5, 5])
    np.testing.assert_array_equal(shown[:, 200], [0, 1, 2, 1, 0, 1, 2, 1, 0, 1])
    np.testing.assert_array_equal(shown[:, 330], range(10))
    later = np.concatenate([piece.rgb for piece in strip.frames(7)])
    np.testing.assert_array_equal(later, rgb[7:])
    # the same folder for both is shown once
    both = talkingface.animate(
        folder, voice_file, system="meter", device="cpu", pose=str(posed), drive=str(posed), layout="strip"
    )
    assert next(iter(both)).rgb.shape[2] == 3 * 96


@pytest.mark.usefixtures("meter")
def test_a_folder_holds_no_speech(folder: Path, photo: Path) -> None:
    for speech, drive in ((folder, None), (None, str(folder))):
        with pytest.raises(SpeechError, match="is a folder, which has no sound; give the speech"):
            talkingface.animate(photo, speech, system="meter", drive=drive)


class _HeldSystem(MeterSystem):
    """Reads the pose of a photo."""

    def motion_from_video(self, avatar: Avatar | None, source: Photo | Clip, controls: Controls) -> Iterator[Motion]:
        assert isinstance(source, Photo)
        pose = np.full((1, 6), 0.5, np.float32)
        yield Motion(space="meter1", expression=np.ones((1, 1), np.float32), pose=pose, blink=None, fps=25.0)


def test_a_photo_is_one_held_pose(photo: Path, folder: Path, avatar: Avatar, tmp_path: Path) -> None:
    system = _HeldSystem(None, None)
    one = write_folder(tmp_path / "one", 1)
    for source in (photo, one):
        pose = open_pose(source, driven=False, of_clip=False)
        assert pose.kind == "photo"
        np.testing.assert_array_equal(pose.rows(system, avatar, Controls()), np.full((1, 6), 0.5))


@pytest.mark.usefixtures("meter")
def test_a_held_pose_lasts_and_is_shown(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meter_system.system.MeterSystem.motion_from_video", _HeldSystem.motion_from_video)
    Image.new("RGBA", SIZE, (0, 0, 0, 51)).save(tmp_path / "pose.png")
    options = {"system": "meter", "device": "cpu", "layout": "strip", "no_mark": "compared"}
    options["pose"] = str(tmp_path / "pose.png")
    strip = talkingface.animate(photo, voice_file, **options)
    poses = np.concatenate([motion.pose for motion in strip.motions() if motion.pose is not None])
    assert poses.shape == (40, 6) and (poses == 0.5).all()
    rgb = np.concatenate([piece.rgb for piece in strip])
    assert rgb.shape == (40, 48, 64 + 64 + 96, 3) and (rgb[:, :, 128:] == 204).all()


def test_a_broken_motion_file_is_not_taken_for_a_video(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(InputError, match="not a motion file"):
        open_pose(path, driven=False, of_clip=False)
