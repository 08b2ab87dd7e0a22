"""What every registered system has to do, at its preset `tiny`, with fresh weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from clips import sway, write_face_video
from talkingface import api
from talkingface.clips.source import open_media
from talkingface.core import registry
from talkingface.core.config import from_dict, load_config, save_config, to_dict
from talkingface.core.motion import concatenate, load_motion, resample_motion, save_motion
from talkingface.core.samples import sample
from talkingface.core.system import System
from talkingface.core.types import Avatar, Controls, Frames, Motion
from talkingface.core.weights import load_avatar, save_avatar
from voices import make_voice

CONTROLS = Controls(seed=3, size=192)
SPLITS = ([1, 2, 3, 700, 8001], [640 * k for k in range(1, 30)], [19_999], [160 * k for k in range(1, 120)])


@pytest.fixture(scope="module", params=registry.system_names())
def system(request: pytest.FixtureRequest) -> System:
    return api.load(request.param, preset="tiny", device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_video(tmp_path_factory.mktemp("clip") / "clip.mp4", sway(60), size=(256, 256))


def _fit(system: System, clip: Path, folder: Path) -> Avatar:
    """An avatar from the first kind of source that the system takes."""
    if "photo" in system.SPEC.source:
        return system.fit(open_media(sample("portrait")), size=192, folder=folder)
    return system.fit(open_media(clip), folder=folder)


@pytest.fixture(scope="module")
def avatar(system: System, clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    return _fit(system, clip, tmp_path_factory.mktemp("fit"))


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return make_voice(1.3)


@pytest.fixture(scope="module")
def frames(system: System, avatar: Avatar, voice: np.ndarray) -> list[Frames]:
    return list(system.stream(avatar, iter([voice]), CONTROLS))


def _rgb(pieces: list[Frames] | Iterator[Frames]) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in pieces])


def _motion(system: System, avatar: Avatar, pieces: list[np.ndarray], controls: Controls = CONTROLS) -> Motion:
    return concatenate(system.motion_from_audio(avatar, iter(pieces), controls))


def test_the_spec_is_true(system: System) -> None:
    spec = system.SPEC
    assert registry.get_spec(spec.name) == spec
    assert "official" in spec.presets and "tiny" in spec.presets
    assert spec.source and spec.driving and spec.licence and spec.summary
    assert spec.default_weights in spec.weights


def test_config_round_trip(system: System, tmp_path: Path) -> None:
    for preset in system.SPEC.presets:
        config = registry.get_config(system.SPEC, preset)
        assert dataclasses.is_dataclass(config)
        save_config(tmp_path / "config.json", config)
        assert load_config(tmp_path / "config.json", type(config)) == config
        assert from_dict(type(config), to_dict(config)) == config


def test_frames_follow_each_other_and_cover_the_voice(system: System, frames: list[Frames], voice: np.ndarray) -> None:
    at = 0
    for piece in frames:
        assert piece.start == at and piece.mask is None
        at += len(piece)
    assert at == int(np.ceil(len(voice) / 16000 * system.SPEC.fps - 1e-3))
    sizes = {piece.rgb.shape[1:] for piece in frames}
    assert len(sizes) == 1 and max(sizes.pop()[:2]) == 192


@pytest.mark.parametrize("cuts", SPLITS, ids=["odd", "frames", "two", "10ms"])
def test_exactly_equal_frames_for_any_split(
    system: System, avatar: Avatar, frames: list[Frames], voice: np.ndarray, cuts: list[int]
) -> None:
    split = system.stream(avatar, iter(np.split(voice, cuts)), CONTROLS)
    np.testing.assert_array_equal(_rgb(split), _rgb(frames))


def test_frames_are_not_overwritten_later(system: System, avatar: Avatar, voice: np.ndarray) -> None:
    kept = list(system.stream(avatar, iter([voice]), CONTROLS))
    copied = [piece.rgb.copy() for piece in system.stream(avatar, iter([voice]), CONTROLS)]
    np.testing.assert_array_equal(_rgb(kept), np.concatenate(copied))


def test_the_voice_moves_the_picture_and_seeds_repeat(system: System, avatar: Avatar, frames: list[Frames]) -> None:
    pictures = _rgb(frames).astype(np.int16)
    assert np.abs(np.diff(pictures, axis=0)).max() > 0
    if "generated" in system.SPEC.pose:
        long = [make_voice(4.0)]
        one, same, other = (_motion(system, avatar, long, Controls(seed=seed)) for seed in (1, 1, 2))
        assert one.pose is not None and same.pose is not None and other.pose is not None
        np.testing.assert_array_equal(one.pose, same.pose)
        assert not np.array_equal(one.pose, other.pose)


def test_the_promised_latency_is_kept(system: System, avatar: Avatar) -> None:
    latency = system.SPEC.latency_frames
    if latency is None:
        pytest.skip("needs the whole voice")
    heard = 0

    def pieces() -> Iterator[np.ndarray]:
        nonlocal heard
        for piece in np.split(make_voice(4.0), 400):
            heard += len(piece)
            yield piece

    for motion in system.motion_from_audio(avatar, pieces(), CONTROLS):
        done_s = (motion.start + len(motion)) / system.SPEC.fps
        assert heard / 16000 <= done_s + latency / system.SPEC.fps + 0.011 or heard == 64000
    assert heard == 64000


def test_scales_and_stillness(system: System, avatar: Avatar) -> None:
    speech = [make_voice(3.0)]
    still = _motion(system, avatar, speech, Controls(pose="still", blink=0.0))
    assert still.pose is None or not still.pose.any()
    assert still.blink is None or not still.blink.any()
    quiet = _motion(system, avatar, speech, Controls(pose="still", blink=0.0, expression_scale=0.0))
    assert not quiet.expression.any()


def test_motion_can_be_saved_edited_and_rendered(
    system: System, avatar: Avatar, frames: list[Frames], voice: np.ndarray, tmp_path: Path
) -> None:
    motion = _motion(system, avatar, [voice])
    assert motion.space == system.SPEC.motion_space and motion.fps == system.SPEC.fps
    save_motion(tmp_path / "m.npz", motion)
    loaded = load_motion(tmp_path / "m.npz")
    np.testing.assert_array_equal(_rgb(system.render(avatar, iter([loaded]), CONTROLS)), _rgb(frames))
    edited = dataclasses.replace(loaded, expression=np.zeros_like(loaded.expression))
    assert not np.array_equal(_rgb(system.render(avatar, iter([edited]), CONTROLS)), _rgb(frames))


def test_rendering_can_begin_anywhere(system: System, avatar: Avatar, frames: list[Frames], voice: np.ndarray) -> None:
    rest = list(system.render(avatar, iter([_motion(system, avatar, [voice])]), CONTROLS, first=20))
    assert rest[0].start == 20
    np.testing.assert_array_equal(_rgb(rest), _rgb(frames)[20:])


def test_other_rates_are_rendered(system: System, avatar: Avatar, voice: np.ndarray) -> None:
    motion = resample_motion([_motion(system, avatar, [voice])], 30.0)
    pieces = list(system.render(avatar, motion, dataclasses.replace(CONTROLS, fps=30.0)))
    assert len(_rgb(pieces)) == 40  # 33 frames at 25


def test_a_transparent_background_has_a_mask(system: System, avatar: Avatar, voice: np.ndarray) -> None:
    controls = dataclasses.replace(CONTROLS, background="transparent")
    first = next(iter(system.stream(avatar, iter([voice]), controls)))
    assert first.mask is not None and first.mask.shape == first.rgb.shape[:3]
    assert first.mask.max() == 255 and first.mask.min() == 0


def test_avatars_are_saved_and_loaded(
    system: System, avatar: Avatar, frames: list[Frames], voice: np.ndarray, tmp_path: Path
) -> None:
    save_avatar(tmp_path / "me", avatar)
    loaded = load_avatar(tmp_path / "me")
    assert loaded.system == system.SPEC.name and loaded.card["kind"] == avatar.card["kind"]
    np.testing.assert_array_equal(_rgb(system.stream(loaded, iter([voice]), CONTROLS)), _rgb(frames))


def test_fresh_weights_repeat(
    system: System, clip: Path, frames: list[Frames], voice: np.ndarray, tmp_path: Path
) -> None:
    again = api.load(system.SPEC.name, preset="tiny", device="cpu")
    avatar = _fit(again, clip, tmp_path)
    np.testing.assert_array_equal(_rgb(again.stream(avatar, iter([voice]), CONTROLS)), _rgb(frames))


@pytest.mark.gpu
def test_the_gpu_agrees_with_the_cpu(system: System, avatar: Avatar, frames: list[Frames], voice: np.ndarray) -> None:
    other = api.load(system.SPEC.name, preset="tiny", device="cuda")
    pictures = _rgb(other.stream(avatar, iter([voice]), CONTROLS)).astype(np.int16)
    assert np.abs(pictures - _rgb(frames)).mean() < 0.5
