"""Everything that a job can be refused for is refused before any work: no weights, no tracking, no drawing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import talkingface
from media_files import write_clip
from meter_system import SPEC
from talkingface.core.checks import check_controls, check_pose, check_source
from talkingface.core.errors import InputError, TalkingFaceError, UsageError
from talkingface.core.motion import save_motion
from talkingface.core.spec import SystemSpec
from talkingface.core.types import Controls, Motion, Photo
from talkingface.systems.headpose import SPEC as HEADPOSE
from talkingface.systems.pcavs import SPEC as PCAVS
from talkingface.systems.pcavs.official.system import OfficialSystem
from talkingface.systems.portrait import SPEC as PORTRAIT


@pytest.fixture
def idle(meter: SystemSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """The meter system, which must not be asked to work."""

    def work(*_: object, **__: object) -> None:
        raise AssertionError("work began")

    monkeypatch.setattr("meter_system.system.MeterSystem.fit", work)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Files that cannot be used."""
    (tmp_path / "broken.csv").write_text("time,yaw\n0,much\n")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "words.txt").write_text("hello")
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.png")
    rows = np.zeros((3, 1), np.float32)
    save_motion(tmp_path / "bare.npz", Motion(space="meter1", expression=rows, pose=None, blink=None, fps=25))
    save_motion(tmp_path / "other.npz", Motion(space="other", expression=rows, pose=None, blink=None, fps=25))
    wild = np.full((3, 6), 1e6, np.float32)
    save_motion(tmp_path / "wild.npz", Motion(space="meter1", expression=rows, pose=wild, blink=None, fps=25))
    return tmp_path


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"size": 3}, "size"), ({"size": "huge"}, "size"), ({"size": 9000}, "size"), ({"fps": 0.5}, "fps"),
        ({"fps": "fast"}, "fps"), ({"blink": 11}, "blink"), ({"blink": None}, "blink"), ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"), ({"pose_scale": -1}, "pose_scale"), ({"crop": "foot"}, "crop"),
        ({"face_index": -1}, "--face-index"), ({"face_index": 0.5}, "--face-index"), ({"layout": "grid"}, "layout"),
        ({"background": "nocolour"}, "--background nocolour"), ({"background": "broken.png"}, "broken.png"),
        ({"pose": "nothing.csv"}, "there is no file nothing.csv"), ({"pose": "broken.csv"}, "line 2"),
        ({"pose": "words.txt"}, "column 'hello'"), ({"pose": "bare.npz"}, "holds no head pose"),
        ({"pose": "other.npz"}, "in space 'other'"), ({"pose": "wild.npz"}, "pose 'a' of 1e"),
        ({"pose": "source"}, "needs a video as the face"), ({"pose_origin": "mean"}, "head motion from a video"),
        ({"pose_origin": "middle", "pose": "photo.png"}, "pose_origin must be"),
        ({"pose_origin": "first", "pose": "photo.png"}, "has no --pose-origin first"),
        ({"drive": "words.txt"}, "words.txt"), ({"weights": "nothing"}, "nothing"), ({"device": "tpu"}, "tpu"),
    ],
)  # fmt: skip
def test_animate_refuses_before_work(
    photo: Path, voice_file: Path, files: Path, monkeypatch: pytest.MonkeyPatch, options: dict, problem: str
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(TalkingFaceError, match=problem) as refused:
        talkingface.animate(photo, voice_file, system="meter", **{"device": "cpu"} | options)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize(
    ("motion", "options", "problem"),
    [
        ("other.npz", {}, "other.npz is in space 'other'"), ("wild.npz", {}, "wild.npz has pose 'a' of"),
        ("words.txt", {}, "words.txt is not a motion file"), ("bare.npz", {"size": 3}, "size"),
        ("bare.npz", {"background": "nocolour"}, "nocolour"), ("bare.npz", {"face_index": -2}, "--face-index"),
    ],
)  # fmt: skip
def test_render_refuses_before_work(
    photo: Path, files: Path, monkeypatch: pytest.MonkeyPatch, motion: str, options: dict, problem: str
) -> None:
    monkeypatch.chdir(files)
    with pytest.raises(TalkingFaceError, match=problem):
        talkingface.render(photo, motion, system="meter", device="cpu", **options)


@pytest.mark.usefixtures("idle")
def test_fit_refuses_before_work(photo: Path) -> None:
    for options, problem in (({"size": 3}, "size"), ({"face_index": -1}, "--face-index")):
        with pytest.raises(UsageError, match=problem):
            talkingface.fit(photo, system="meter", device="cpu", **options)
    with pytest.raises(UsageError, match="meter takes one photo or video; leave out the others"):
        talkingface.fit(photo, photo, system="meter", device="cpu")


def test_further_faces_are_photos(photo: Path, tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4")
    with pytest.raises(UsageError, match="must be photos of the same person"):
        talkingface.fit(photo, tmp_path / "clip.mp4")


def test_what_the_shipped_systems_refuse() -> None:
    with pytest.raises(UsageError, match="headpose takes a video, not a photo"):
        check_source(HEADPOSE, Photo(rgb=np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(UsageError, match="pcavs only takes --background keep"):
        check_controls(OfficialSystem.SPEC, Controls(background="white"), of_clip=False)
    check_controls(PCAVS, Controls(background="white"), of_clip=False)
    with pytest.raises(UsageError, match="only takes --background keep while a clip is shown"):
        check_controls(PORTRAIT, Controls(background="white", pose="source"), of_clip=True)
    check_controls(PORTRAIT, Controls(background="white", pose="source"), of_clip=False)
    check_controls(HEADPOSE, Controls(background="white", pose="source"), of_clip=True)
    with pytest.raises(UsageError, match="pcavs has no --pose-origin first; known: none, mean"):
        check_controls(OfficialSystem.SPEC, Controls(pose_origin="first"), of_clip=False)
    with pytest.raises(InputError, match=r"me\.jpg is a photo, which holds no motion"):
        check_pose(PORTRAIT, "photo", "me.jpg")
    check_pose(PCAVS, "photo", "me.jpg")
    with pytest.raises(UsageError, match="takes no head motion from a CSV of angles"):
        check_pose(replace(SPEC, poses=("still",)), "angles")
