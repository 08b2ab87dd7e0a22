"""`fit`: stopped work goes on, other work is refused, damaged avatars are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from clips import sway, write_face_video
from talkingface import api
from talkingface.clips.source import open_media
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.types import Avatar, Controls, Motion
from talkingface.systems.headpose.config import preset
from talkingface.systems.headpose.fit import pipeline
from talkingface.systems.headpose.fit.pipeline import fit_avatar
from talkingface.systems.headpose.fit.stages import FitJob

CONFIG = preset("tiny")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_video(tmp_path_factory.mktemp("clip") / "clip.mp4", sway(60), size=(256, 256))


def _job(clip: Path, folder: Path) -> FitJob:
    return FitJob(path=clip, folder=folder, config=CONFIG, weights=None, device="cpu")


@pytest.mark.slow
def test_stopped_work_goes_on_and_gives_the_same_avatar(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_avatar(_job(clip, tmp_path / "whole"))

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "fit_renderer", stop)
        with pytest.raises(KeyboardInterrupt):
            fit_avatar(_job(clip, tmp_path / "cut"))
    heard = (tmp_path / "cut" / "audio" / "checkpoint.safetensors").stat().st_mtime_ns
    again = fit_avatar(_job(clip, tmp_path / "cut"))
    assert (tmp_path / "cut" / "audio" / "checkpoint.safetensors").stat().st_mtime_ns == heard
    assert again.tensors.keys() == whole.tensors.keys()
    for name, values in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], values, err_msg=name)
    assert again.card["held_out"] == whole.card["held_out"]


def test_a_folder_with_other_work_is_refused_and_keeps_it(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text('{"clip": "another"}')
    with pytest.raises(UsageError, match="unfinished fit of another clip"):
        fit_avatar(_job(clip, tmp_path))
    assert (tmp_path / "fit.json").read_text() == '{"clip": "another"}'


def test_a_clip_that_is_refused_leaves_nothing_in_the_way_of_the_next(clip: Path, tmp_path: Path) -> None:
    strict = dataclasses.replace(CONFIG, fit=dataclasses.replace(CONFIG.fit, least_s=100.0))
    job = dataclasses.replace(_job(clip, tmp_path / "work"), config=strict)
    with pytest.raises(InputError, match="give at least 100 s"):
        fit_avatar(job)
    assert not (tmp_path / "work").exists()


def test_photos_are_refused_with_the_way_out(tmp_path: Path) -> None:
    system = api.load("headpose", preset="tiny", device="cpu")
    with pytest.raises(UsageError, match="--system portrait"):
        system.fit(open_media(np.zeros((64, 64, 3), np.uint8)), folder=tmp_path)


def test_nobody_in_particular_cannot_move() -> None:
    system = api.load("headpose", preset="tiny", device="cpu")
    with pytest.raises(UsageError, match="--face"):
        next(system.motion_from_audio(None, iter([]), Controls()))


@pytest.mark.parametrize("missing", ["config", "size", "gain", "splats.canvas"])
def test_damaged_avatars_are_refused_in_one_line(missing: str) -> None:
    card = {"config": dataclasses.asdict(CONFIG), "size": [64, 64]}
    tensors = {"gain": np.ones((), np.float32)}
    avatar = Avatar(
        system="headpose",
        card={key: value for key, value in card.items() if key != missing},
        tensors={key: value for key, value in tensors.items() if key != missing},
    )
    motion = Motion(space="mesh478", expression=np.zeros((1, 20), np.float32), pose=None, blink=None, fps=25)
    system = api.load("headpose", preset="tiny", device="cpu")
    with pytest.raises(WeightsError, match="fit it again") as caught:
        next(system.render(avatar, iter([motion]), Controls()))
    assert "\n" not in str(caught.value)
