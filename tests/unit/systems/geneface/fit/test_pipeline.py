"""`fit`: stopped work goes on, other work and unfit clips are refused in one line, damaged avatars too."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from clips import sway, write_face_video
from faces import sample_picture
from talkingface import api
from talkingface.clips.source import open_media
from talkingface.core.errors import FaceError, InputError, SpeechError, TalkingFaceError, UsageError, WeightsError
from talkingface.core.types import Avatar, Controls, Motion
from talkingface.core.weights import load_avatar, save_avatar
from talkingface.systems.geneface.config import preset
from talkingface.systems.geneface.fit import pipeline
from talkingface.systems.geneface.fit.evaluate import verdict
from talkingface.systems.geneface.fit.pipeline import fit_avatar
from talkingface.systems.geneface.fit.stages import FitJob
from talkingface.systems.geneface.init_weights import init_tensors
from talkingface.video.write import VideoWriter
from voices import make_voice, write_wav

CONFIG = preset("tiny")
GENERAL = init_tensors(CONFIG.speech)
FACE = cv2.resize(sample_picture(), (256, 256), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_video(tmp_path_factory.mktemp("clip") / "clip.mp4", sway(60), size=(256, 256))


@pytest.fixture(scope="module")
def avatar(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    return fit_avatar(_job(clip, tmp_path_factory.mktemp("work")))


def _job(clip: Path, folder: Path) -> FitJob:
    return FitJob(path=clip, folder=folder, config=CONFIG, general=GENERAL, weights=None, device="cpu")


def _film(path: Path, pictures: Sequence[np.ndarray], voice: np.ndarray | None = None) -> Path:
    samples = make_voice(len(pictures) / 25) if voice is None else voice
    sound = write_wav(path.with_suffix(".wav"), samples) if len(samples) else None
    with VideoWriter(path, (pictures[0].shape[1], pictures[0].shape[0]), 25, sound=sound) as writer:
        for rgb in pictures:
            writer.write(rgb)
    return path


@pytest.mark.slow
def test_stopped_work_goes_on_and_gives_the_same_avatar(
    clip: Path, avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "fit_renderer", stop)
        with pytest.raises(KeyboardInterrupt):
            fit_avatar(_job(clip, tmp_path))
    heard = (tmp_path / "adapter" / "adapter.npz").stat().st_mtime_ns
    again = fit_avatar(_job(clip, tmp_path))
    assert (tmp_path / "adapter" / "adapter.npz").stat().st_mtime_ns == heard
    assert again.tensors.keys() == avatar.tensors.keys()
    for name, values in avatar.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], values, err_msg=name)
    assert again.card["held_out"] == avatar.card["held_out"]


def test_the_card_says_what_was_held_out_and_what_is_at_fault(avatar: Avatar) -> None:
    held_out, true = avatar.card["held_out"], avatar.card["held_out_true_motion"]
    assert isinstance(held_out, dict) and isinstance(true, dict)
    assert held_out["frames"] == true["frames"] == 12 and held_out["still_psnr"] == true["still_psnr"]
    assert avatar.card["notes"][-1].startswith(("held-out lips", "the made pictures"))  # type: ignore[index]
    assert "clip" not in avatar.files and avatar.files["held_out"].is_file()


def test_avatars_are_small_and_are_kept(avatar: Avatar, tmp_path: Path) -> None:
    save_avatar(tmp_path / "me.avatar", avatar)
    loaded = load_avatar(tmp_path / "me.avatar")
    assert sum(values.nbytes for values in loaded.tensors.values()) < 2_000_000
    assert {name.partition(".")[0] for name in loaded.tensors} == {"splats", "adapter", "clip"}


@pytest.mark.parametrize(
    ("true", "spoken", "said"),
    [
        ({"gap": 0.5}, {"gap": 0.4}, "the picture is at fault"),
        ({"gap": 0.93}, {"gap": 0.5}, "from hearing the voice"),
        ({"gap": 0.95}, {"gap": 0.9}, "agree"),
        ({"psnr": 9.0}, {"psnr": 9.0}, "show no face"),
    ],
)
def test_the_verdict_names_the_part(true: dict[str, float], spoken: dict[str, float], said: str) -> None:
    assert said in verdict(true, spoken)


def test_a_folder_with_other_work_is_refused_and_keeps_it(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text('{"clip": "another"}')
    with pytest.raises(UsageError, match="unfinished fit of another clip"):
        fit_avatar(_job(clip, tmp_path))
    assert (tmp_path / "fit.json").read_text() == '{"clip": "another"}'


def _room(k: int) -> np.ndarray:
    """A face that stands still before a room that passes by."""
    blocks = np.random.default_rng(3).integers(40, 220, (40, 80, 3), np.uint8)
    room = cv2.GaussianBlur(cv2.resize(blocks, None, fx=16, fy=16, interpolation=cv2.INTER_NEAREST), (0, 0), 1.0)
    picture = room[:384, 2 * k : 2 * k + 512].copy()
    oval = np.zeros((384, 512), np.uint8)
    cv2.ellipse(oval, (256, 200), (85, 130), 0, 0, 360, (255,), -1)
    face = np.zeros_like(picture)
    face[64:320, 128:384] = FACE
    return np.where(oval[..., None] > 0, face, picture)


BAD: dict[str, tuple[type[TalkingFaceError], str, Callable[[Path], Path]]] = {
    "too short": (InputError, "give at least 1 s", lambda path: _film(path, [FACE] * 10)),
    "without sound": (SpeechError, "no sound", lambda path: _film(path, [FACE] * 30, np.zeros(0, np.float32))),
    "silent": (SpeechError, "silent", lambda path: _film(path, [FACE] * 30, np.zeros(19200, np.float32))),
    "several people": (FaceError, "several people", lambda path: _film(path, [np.hstack([FACE, FACE])] * 30)),
    "cut": (FaceError, "is cut at", lambda path: _film(path, [FACE] * 20 + [np.roll(FACE, 60, axis=1)] * 20)),
    "moving camera": (InputError, "the camera of .* moves", lambda path: _film(path, [_room(k) for k in range(60)])),
}


@pytest.mark.parametrize("fault", BAD)
def test_unfit_clips_are_refused_in_one_line_and_leave_nothing(fault: str, tmp_path: Path) -> None:
    error, message, write = BAD[fault]
    with pytest.raises(error, match=message) as caught:
        fit_avatar(_job(write(tmp_path / "me.mp4"), tmp_path / "work"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "work").exists()


def test_photos_are_refused_with_the_way_out(tmp_path: Path) -> None:
    system = api.load("geneface", preset="tiny", device="cpu")
    with pytest.raises(UsageError, match="--system portrait"):
        system.fit(open_media(np.zeros((64, 64, 3), np.uint8)), folder=tmp_path)


@pytest.mark.parametrize("missing", ["config", "size", "clip.pose", "clip.rest_pose"])
def test_damaged_avatars_are_refused_in_one_line(avatar: Avatar, missing: str) -> None:
    damaged = dataclasses.replace(
        avatar,
        card={key: value for key, value in avatar.card.items() if key != missing},
        tensors={key: value for key, value in avatar.tensors.items() if key != missing},
    )
    motion = Motion(space="mesh478", expression=np.zeros((1, 20), np.float32), pose=None, blink=None, fps=25)
    system = api.load("geneface", preset="tiny", device="cpu")
    with pytest.raises(WeightsError, match="fit it again") as caught:
        next(system.render(damaged, iter([motion]), Controls()))
    assert "\n" not in str(caught.value)
