from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clips import write_face_video
from faces import psnr, sample_picture
from talkingface.clips.source import open_media
from talkingface.core.errors import FaceError, InputError, WeightsError
from talkingface.core.motion import concatenate
from talkingface.core.system import Weights
from talkingface.core.types import Avatar, Controls, Motion
from talkingface.face.mesh478_space import MESH478
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import measure_matrix
from talkingface.systems.pcavs.compact.system import CompactSystem, init_tensors
from talkingface.systems.pcavs.config import preset
from talkingface.systems.pcavs.system import PcavsSystem
from talkingface.video.image import write_image
from voices import make_voice

COUNT = 12
CONFIG = preset("tiny")


@pytest.fixture(scope="module")
def system() -> PcavsSystem:
    return PcavsSystem(None, CONFIG)


@pytest.fixture(scope="module")
def avatar(system) -> Avatar:
    return system.fit(open_media(sample_picture()))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The sample, drifting to the right."""
    shifts = np.stack([2.0 * np.arange(COUNT), np.zeros(COUNT)], axis=1)
    return write_face_video(tmp_path_factory.mktemp("clips") / "a clip ü.mp4", shifts, size=(240, 240))


def motion(count: int, **columns: np.ndarray) -> Motion:
    rows = {"expression": np.zeros((count, 20), np.float32), "pose": np.zeros((count, 6), np.float32), **columns}
    return Motion(space=MESH478.name, space_version=MESH478.version, blink=None, fps=25, **rows)


def drawn(system: PcavsSystem, avatar: Avatar, moves: Motion, **controls: object) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in system.render(avatar, iter([moves]), Controls(**controls))])


def test_the_config_decides_which_design_runs(system):
    assert isinstance(system, CompactSystem)
    official = PcavsSystem(None, preset("tiny_official"))
    assert not isinstance(official, CompactSystem) and official.motion_space.name == "pcavs"
    assert system.motion_space is MESH478, "its motion is everybody's"


def test_at_rest_the_photo_is_seen(system, avatar):
    still = drawn(system, avatar, motion(1), crop="full")[0]
    assert psnr(still, sample_picture()) > 45


def test_motion_of_other_systems_moves_it(system, avatar):
    turned = motion(2, pose=np.array([[0] * 6, [0, 0.3, 0, 0, 0, 0]], np.float32))
    rgb = drawn(system, avatar, turned, crop="full")
    assert psnr(rgb[0], rgb[1]) < 30


def test_codes_of_speech_are_amplified_and_lips_never_cross(avatar):
    rows = np.random.default_rng(0).normal(size=(200, CONFIG.compact.code)).astype(np.float32)
    once, twice = (
        PcavsSystem(None, replace(CONFIG, compact=replace(CONFIG.compact, gain=(k, k, k)))).codes for k in (1.0, 2.0)
    )
    measures = measure_matrix(load_mesh478())
    for codes, spoken in ((once, False), (once, True), (twice, True)):
        assert (codes.coefficients(rows, spoken=spoken) @ measures[0]).min() > -1e-5
    narrow, wide = (codes.coefficients(rows, spoken=True) @ measures[1] for codes in (once, twice))
    assert wide.std() > 1.3 * narrow.std()
    assert np.array_equal(once.coefficients(rows, spoken=False), twice.coefficients(rows, spoken=False))


def test_silence_closes_the_mouth(system, avatar):
    said = concatenate(system.motion_from_audio(avatar, iter([np.zeros(64000, np.float32)]), Controls(blink=0)))
    assert len(said) == 100 and np.abs(said.expression[75:, :16]).max() < 0.05


def test_no_sound_is_no_motion(system, avatar):
    assert sum(len(m) for m in system.motion_from_audio(avatar, iter([]), Controls())) == 0


def test_scales_of_nought(system, avatar, clip):
    voice = [make_voice(2.0)]
    still = concatenate(system.motion_from_audio(avatar, iter(voice), Controls(pose_scale=0, blink=0)))
    assert still.expression.any() and not still.pose.any() and not still.blink.any()
    driven = concatenate(system.motion_from_video(avatar, open_media(clip), Controls(pose_scale=0, expression_scale=0)))
    assert not driven.pose.any() and not driven.expression.any()


def test_a_clip_becomes_an_avatar_whose_head_can_move_as_in_it(system, clip):
    dubbed = system.fit(open_media(clip))
    assert dubbed.card["kind"] == "clip" and dubbed.tensors["clip.pose"].shape == (COUNT, 6)
    moved = drawn(system, dubbed, motion(COUNT), pose="source", crop="head")
    assert not np.array_equal(moved[0], moved[-1]), "the head moves though the motion holds still"
    late = list(system.render(dubbed, iter([motion(40)]), Controls(pose="source"), first=29))
    whole = drawn(system, dubbed, motion(40), pose="source")
    assert late[0].start == 29 and np.array_equal(np.concatenate([f.rgb for f in late]), whole[29:])


def test_a_driver_begins_where_the_photo_rests_and_a_photo_holds_its_turn(system, avatar, clip, tmp_path):
    driven = concatenate(system.motion_from_video(avatar, open_media(clip), Controls()))
    assert driven.expression.shape == (COUNT, 20) and driven.blink is not None
    assert np.abs(driven.pose[0, 3:]).max() < 1e-5 and driven.pose[-1, 3] > 0.1, "it drifts to the right"
    assert np.abs(driven.pose[0, :3]).max() < 0.05, "the same face, turned as in the photo"
    about_mean = concatenate(system.motion_from_video(avatar, open_media(clip), Controls(pose_origin="mean")))
    assert np.abs(about_mean.pose.mean(axis=0)).max() < 1e-3
    first = concatenate(system.motion_from_video(None, open_media(clip), Controls(pose_origin="first")))
    assert not first.pose[0].any()
    write_image(tmp_path / "drive.png", sample_picture())
    alone = concatenate(system.motion_from_video(avatar, open_media(tmp_path / "drive.png"), Controls()))
    assert len(alone) == 1 and np.abs(alone.pose).max() < 0.05, "the avatar's own photo holds its own pose"


def test_avatars_of_before_are_still_drawn(system, avatar):
    old = replace(avatar, tensors={name: avatar.tensors[name] for name in ("rgb", "landmarks")})
    turn = motion(1, pose=np.array([[0, 0.2, 0, 0, 0, 0]], np.float32))
    assert np.array_equal(drawn(system, old, turn), drawn(system, avatar, turn))


def test_what_cannot_be_used_is_said_in_one_line(system, avatar, tmp_path):
    with pytest.raises(FaceError):
        system.fit(open_media(np.full((200, 200, 3), 128, np.uint8)))
    (tmp_path / "broken.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(200))
    with pytest.raises(InputError) as error:
        concatenate(system.motion_from_video(avatar, open_media(tmp_path / "broken.mp4"), Controls()))
    assert "\n" not in str(error.value)


def test_weights_that_do_not_fit_their_config():
    tensors = init_tensors(CONFIG.compact)
    lacking = {name: value for name, value in tensors.items() if not name.startswith("speech.")}
    for held, config in ((lacking, CONFIG), (tensors, preset("compact")), ({}, CONFIG)):
        with pytest.raises(WeightsError, match="do not fit"):
            PcavsSystem(Weights(held, {"name": "pcavs.test"}), config)


@pytest.mark.weights
def test_shipped_weights_read_mouths_off_pictures_and_sound():
    from talkingface import load

    system = load("pcavs")
    measures = measure_matrix(load_mesh478())
    said = concatenate(system.motion_from_audio(None, iter([make_voice(3.0)]), Controls()))
    assert (said.expression[:, :16] @ measures[0]).max() > 0.02
