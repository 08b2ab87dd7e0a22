from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from clips import sway, write_face_video
from faces import psnr, sample_picture, sample_points
from talkingface.clips.source import open_media
from talkingface.core.errors import FaceError, InputError, UsageError
from talkingface.core.motion import concatenate, follow_poses, resample_motion
from talkingface.core.types import Avatar, Controls, Motion
from talkingface.systems.pcavs.config import preset
from talkingface.systems.pcavs.official.codes import rest_pose
from talkingface.systems.pcavs.official.pose.head_pose import voice_activity
from talkingface.systems.pcavs.official.pose.pose_features import CLOSURE, PLACE_X, SIZE
from talkingface.systems.pcavs.official.pose.pose_map import regress_pose_map
from talkingface.systems.pcavs.official.renderer import FaceRenderer
from talkingface.systems.pcavs.system import PcavsSystem
from talkingface.video.image import write_image
from voices import make_voice

COUNT = 12
CONFIG = preset("tiny_official")
SIDE, MOUTH, POSE = CONFIG.official.sizes.crop_px, CONFIG.official.sizes.code, CONFIG.official.sizes.pose


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


@pytest.fixture(scope="module")
def dubbed(system, clip) -> Avatar:
    return system.fit(open_media(clip))


def motion(count: int, mouth: float = 0.0, pose: float = 0.0, fps: float = 25) -> Motion:
    return Motion(
        space="pcavs",
        expression=np.full((count, MOUTH), mouth, np.float32),
        pose=np.full((count, POSE), pose, np.float32),
        blink=None,
        fps=fps,
    )


def drawn(system: PcavsSystem, avatar: Avatar, moves: Motion, **controls: object) -> np.ndarray:
    frames = list(system.render(avatar, iter([moves]), Controls(**controls)))
    return np.concatenate([piece.rgb for piece in frames])


def test_a_photo_becomes_an_avatar(avatar):
    assert (avatar.system, avatar.card["kind"], avatar.card["notes"]) == ("pcavs", "photo", [])
    assert np.array_equal(avatar.tensors["rgb"], sample_picture())
    assert avatar.tensors["landmarks"] == pytest.approx(sample_points(), abs=1e-3)


def test_a_file_gives_what_its_picture_gives(system, avatar, tmp_path):
    write_image(tmp_path / "foto mit ü.png", sample_picture())
    again = system.fit(open_media(tmp_path / "foto mit ü.png"))
    assert np.array_equal(again.tensors["landmarks"], avatar.tensors["landmarks"])


def test_a_clip_becomes_an_avatar_of_the_face_that_was_followed(dubbed):
    assert dubbed.card["kind"] == "clip"
    assert dubbed.tensors["rgb"].shape == (240, 240, 3)
    assert dubbed.tensors["clip.pose"].shape == (COUNT, POSE)
    from talkingface.face.track import track_image

    found = track_image(dubbed.tensors["rgb"]).landmarks
    assert np.abs(dubbed.tensors["landmarks"] - found)[:, :2].max() < 4


def test_of_two_faces_in_a_clip_the_chosen_one_is_shown(system, tmp_path):
    """The photo of a clip shows whom --face-index named, not the largest face of its best frame."""
    import cv2

    from talkingface.video.write import VideoWriter

    small = cv2.resize(sample_picture(), (200, 200), interpolation=cv2.INTER_AREA)
    both = np.full((240, 440, 3), 90, np.uint8)
    both[20:220, :200] = small
    both[:, 200:] = cv2.resize(sample_picture(), (240, 240), interpolation=cv2.INTER_AREA)
    with VideoWriter(tmp_path / "two.mp4", (440, 240), 25, synthetic=None, quality=10) as writer:
        for _ in range(4):
            writer.write(both)
    left = system.fit(open_media(tmp_path / "two.mp4"), face_index=0)
    assert left.tensors["landmarks"][:, 0].max() < 200
    assert not any("faces" in str(note) for note in left.card["notes"])
    largest = system.fit(open_media(tmp_path / "two.mp4"))
    assert largest.tensors["landmarks"][:, 0].min() > 200
    assert any("2 faces" in str(note) for note in largest.card["notes"])


def test_a_head_crop_is_square_and_of_the_size_asked_for(system, avatar):
    assert drawn(system, avatar, motion(2), crop="head").shape == (2, SIDE, SIDE, 3)
    for size in (65, 192, 1100):
        assert drawn(system, avatar, motion(1), crop="head", size=size).shape == (1, size, size, 3)


def test_a_small_crop_is_cut_from_the_whole_photo(system):
    """--size is the size of what is shown. A photo shrunk to it would leave its face a few pixels."""
    wide = np.full((720, 1200, 3), 120, np.uint8)
    wide[180:540, 420:780] = sample_picture()
    own, small = system.fit(open_media(wide)), system.fit(open_media(wide), size=128)
    assert np.array_equal(own.tensors["rgb"], small.tensors["rgb"])
    assert not small.card["notes"]
    assert drawn(system, small, motion(1), crop="head", size=128).shape == (1, 128, 128, 3)
    assert drawn(system, small, motion(1), crop="full", size=300).shape == (1, 180, 300, 3)
    large = np.kron(wide, np.ones((2, 2, 1), np.uint8))
    assert max(system.fit(open_media(large)).tensors["rgb"].shape) == 1280
    assert max(system.fit(open_media(large), size="native").tensors["rgb"].shape) == 2400


def test_the_whole_picture_is_untouched_outside_of_the_square(system, avatar):
    rgb = drawn(system, avatar, motion(2, mouth=1.0, pose=0.5), crop="full")
    assert rgb.shape == (2, *sample_picture().shape)
    matrix = FaceRenderer(avatar, system.variant, Controls(crop="full"))._face.square.matrix
    y, x = np.mgrid[: rgb.shape[1], : rgb.shape[2]]
    at = np.stack([x, y], -1) @ matrix[:, :2].T + matrix[:, 2]
    side = FaceRenderer(avatar, system.variant, Controls(crop="full"))._face.square.side
    outside = ((at < -1.5) | (at > side + 0.5)).any(-1)
    assert outside.mean() > 0.2
    for picture in rgb:
        assert np.array_equal(picture[outside], sample_picture()[outside])
        assert not np.array_equal(picture[~outside], sample_picture()[~outside])


def test_mouth_and_pose_codes_move_the_picture(system, avatar):
    still = drawn(system, avatar, motion(1), crop="head")
    for change in ({"mouth": 2.0}, {"pose": 2.0}):
        assert not np.array_equal(drawn(system, avatar, motion(1, **change), crop="head"), still)


def test_silence_closes_the_mouth(system, avatar):
    said = concatenate(system.motion_from_audio(avatar, iter([np.zeros(16000, np.float32)]), Controls(blink=0)))
    assert len(said) == 25 and np.abs(said.expression[12]).max() < 1e-5


def test_no_sound_is_no_motion(system, avatar):
    assert sum(len(m) for m in system.motion_from_audio(avatar, iter([]), Controls())) == 0


def test_scales_of_nought(system, avatar, clip):
    voice = [make_voice(2.0)]
    still = concatenate(system.motion_from_audio(avatar, iter(voice), Controls(pose_scale=0, blink=0)))
    assert still.expression.any() and not still.pose.any()
    quiet = concatenate(system.motion_from_audio(avatar, iter(voice), Controls(expression_scale=0)))
    assert quiet.pose.any() and not quiet.expression.any()
    driven = concatenate(system.motion_from_video(avatar, open_media(clip), Controls(pose_scale=0, expression_scale=0)))
    assert not driven.pose.any() and not driven.expression.any()
    twice, once = (
        concatenate(system.motion_from_audio(avatar, iter(voice), Controls(expression_scale=k))).expression
        for k in (2, 1)
    )
    assert twice == pytest.approx(2 * once, rel=1e-5)


def test_a_source_pose_follows_the_clip_at_any_rate(system, dubbed):
    """One second at 50 frames: every other picture is the clip's own pose, forwards, backwards, and so on."""
    poses = dubbed.tensors["clip.pose"] - rest_pose(dubbed, system.variant)
    for fps in (25.0, 50.0, 30.0, 24000 / 1001):
        pieces = [dataclasses.replace(motion(9, fps=fps), start=9 * k) for k in range(5)]
        rows = np.concatenate([piece.pose for piece in follow_poses(iter(pieces), poses)])
        at = np.arange(45) * 25 / fps
        there_and_back = np.r_[np.arange(COUNT), np.arange(COUNT - 2, 0, -1)]
        clock = np.arange(60)
        endless = poses[there_and_back[clock % len(there_and_back)]]
        wanted = np.stack([np.interp(at, clock, endless[:, k]) for k in range(poses.shape[1])], axis=1)
        assert rows == pytest.approx(wanted, abs=1e-4), fps
    moved = drawn(system, dubbed, motion(COUNT), pose="source", crop="head")
    whole = np.concatenate([drawn(system, dubbed, motion(COUNT, fps=30), pose="source", crop="head", fps=30.0)])
    assert whole.shape == moved.shape


def test_a_source_pose_does_not_depend_on_where_rendering_begins(system, dubbed):
    controls = Controls(pose="source", crop="head")
    whole = list(system.render(dubbed, iter([motion(40)]), controls))
    late = list(system.render(dubbed, iter([motion(40)]), controls, first=29))
    assert late[0].start == 29
    assert np.array_equal(np.concatenate([f.rgb for f in late]), np.concatenate([f.rgb for f in whole])[29:])


def test_a_driving_video_and_a_driving_photo(system, avatar, clip, tmp_path):
    driven = concatenate(system.motion_from_video(avatar, open_media(clip), Controls()))
    assert driven.expression.shape == (COUNT, MOUTH) and driven.fps == 25
    assert len(drawn(system, avatar, driven, crop="head")) == COUNT
    slower = concatenate(resample_motion([driven], 12.5))
    assert len(slower) == COUNT / 2
    anybody = concatenate(system.motion_from_video(None, open_media(clip), Controls()))
    assert np.abs(anybody.pose.mean(0)).max() < 1e-5, "without an avatar, about the video's mean"
    write_image(tmp_path / "drive.png", sample_picture())
    alone = concatenate(system.motion_from_video(avatar, open_media(tmp_path / "drive.png"), Controls()))
    assert len(alone) == 1
    assert np.abs(alone.pose).max() < 1e-4, "the avatar's own photo holds its own pose"


def test_backgrounds_that_cannot_be(system, avatar):
    for background in ("transparent", "white", "#00ff00", "beach.jpg"):
        with pytest.raises(UsageError, match="background"):
            system.render(avatar, iter([motion(1)]), Controls(background=background))


def test_a_face_at_the_edge_is_said_and_not_bent(system):
    """What lies beyond the picture is continued; the face keeps its shape."""
    points = sample_points()
    cut = np.ascontiguousarray(sample_picture()[:, int(points[:, 0].min() - 2) :])
    near = system.fit(open_media(cut))
    assert any("edge" in str(note) for note in near.card["notes"])
    matrix = FaceRenderer(near, system.variant, Controls(crop="head"))._face.square.matrix[:, :2]
    assert matrix @ matrix.T == pytest.approx(np.eye(2) * (matrix[0] ** 2).sum())
    assert np.linalg.det(matrix) > 0
    (square,) = drawn(system, near, motion(1), crop="head")
    assert square.shape == (SIDE, SIDE, 3) and square[:, :8].std() > 0
    assert drawn(system, near, motion(1), crop="full")[0].shape == cut.shape


def test_several_and_small_faces_are_said(system):
    import cv2

    both = np.concatenate([sample_picture(), sample_picture()], axis=1)
    assert any("2 faces" in str(note) for note in system.fit(open_media(both)).card["notes"])
    chosen = system.fit(open_media(both), face_index=1)
    assert not chosen.card["notes"] and chosen.tensors["landmarks"][:, 0].min() > 360
    small = cv2.resize(sample_picture(), (180, 180), interpolation=cv2.INTER_AREA)
    assert any("px high" in str(note) for note in system.fit(open_media(small)).card["notes"])


def one_line(error: pytest.ExceptionInfo[Exception]) -> bool:
    return "\n" not in str(error.value) and 20 < len(str(error.value)) < 400


def test_what_cannot_be_used_is_said_in_one_line(system, avatar, tmp_path):
    with pytest.raises(FaceError) as error:
        system.fit(open_media(np.full((200, 200, 3), 128, np.uint8)))
    assert one_line(error)
    (tmp_path / "broken.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(200))
    for source in (tmp_path / "broken.mp4", tmp_path / "nowhere.mp4"):
        with pytest.raises(InputError) as error:
            concatenate(system.motion_from_video(avatar, open_media(source), Controls()))
        assert one_line(error)
        with pytest.raises(InputError) as error:
            system.fit(open_media(source))
        assert one_line(error)


def test_a_pose_map_finds_what_it_is_shown():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 8)).astype(np.float32)
    true = rng.normal(size=(5, 8)).astype(np.float32)
    units = np.array([0.2, 0.2, 0.2, 0.12, 0.12, 0.12, 0.35, 1], np.float32)
    found = regress_pose_map(features @ true.T, features, units)
    assert found.features == pytest.approx(true, abs=0.05)
    assert found.turns * units[:3] == pytest.approx(true[:, :3], abs=0.3), "the others' chance share included"
    pose = np.zeros((3, 6), np.float32)
    pose[0, 1], pose[1, 3], pose[2, 5] = 0.4, 0.3, 0.1
    blink = np.array([[0], [0], [1]], np.float32)
    codes = found.code(pose, blink, 0.5)
    assert codes[0] == pytest.approx(2 * true[:, 1], abs=0.6)
    assert codes[1] == pytest.approx(0.3 * 0.5 / 0.12 * true[:, PLACE_X], abs=0.1)
    assert codes[2] == pytest.approx(0.1 / 0.12 * true[:, SIZE] + true[:, CLOSURE] / 0.35, abs=0.2)
    again = type(found).load(found.tensors())
    assert again is not None and np.array_equal(again.code(pose, blink, 0.5), codes)
    assert type(found).load({}) is None


def test_yaw_turns_the_way_it_should(system, avatar):
    """The numbers of --pose go through the map: more yaw, more of the fact, in the features' own direction."""
    from talkingface.face.camera import euler_degrees, rotation_matrix
    from talkingface.systems.pcavs.official.pose.head_pose import HeadPose

    rng = np.random.default_rng(1)
    features, true = rng.normal(size=(3000, 8)), rng.normal(size=(12, 8))
    units = np.ones(8, np.float32)
    head_pose = HeadPose(regress_pose_map(features @ true.T, features, units), {}, 12)
    angles = np.radians([[-15, 0, 0], [0, 0, 0], [15, 0, 0], [0, 12, 0], [0, 0, 9]]).astype(np.float32)
    vectors = np.linalg.lstsq(true, head_pose.from_angles(angles).T, rcond=None)[0].T[:, :3]
    back = np.asarray(euler_degrees(np.asarray(rotation_matrix(vectors))))
    assert back == pytest.approx(np.degrees(angles), abs=1.5)
    assert head_pose.from_audio(make_voice(0.5), 13, Controls()).shape == (13, 12)


def test_a_voice_is_told_from_pauses_whatever_its_gain():
    from talkingface.audio.read import stream_audio
    from talkingface.core.samples import sample

    voice = np.concatenate([*stream_audio(sample("speech"), 16000)])[:64000]
    paused = np.concatenate([voice, np.zeros(48000, np.float32)])
    spoken, loud = voice_activity(paused, 175)
    assert spoken.shape == loud.shape == (175,)
    assert spoken[:95].mean() > 0.4 and spoken[105:].max() == 0
    for gain in (0.02, 3.0):
        assert voice_activity(paused * np.float32(gain), 175)[0] == pytest.approx(spoken, abs=0.02)
    assert voice_activity(np.zeros(16000, np.float32), 25)[0].max() == 0


def test_a_long_voice_is_heard_as_a_short_one():
    """It is heard in pieces of 41 s: nothing may change where they meet."""
    from talkingface.audio.mel import LevelTracker, speech_columns
    from talkingface.systems.pcavs.data.mel import speech_gain

    voice = make_voice(45.0)
    columns = speech_columns(voice * np.float32(speech_gain(voice)))
    whole = (columns.mean(axis=1) - LevelTracker().push(columns))[:4500].reshape(1125, 4).mean(axis=1)
    assert voice_activity(voice, 1125)[1] == pytest.approx(whole, abs=1e-3)


def test_drawing_on_two_threads_gives_what_one_gives(system, avatar):
    """Batches are drawn side by side; whatever finishes first, every picture is its own."""
    rng = np.random.default_rng(0)
    moves = dataclasses.replace(motion(30), expression=rng.normal(size=(30, MOUTH)).astype(np.float32))
    together = drawn(system, avatar, moves, crop="head")
    renderer = FaceRenderer(avatar, system.variant, Controls(crop="head"))
    alone = [renderer._render((k, dataclasses.replace(moves, **{
        name: getattr(moves, name)[k : k + 8] for name in ("expression", "pose")
    }))).rgb for k in range(0, 30, 8)]  # fmt: skip
    assert np.array_equal(together, np.concatenate(alone))
    assert psnr(together[0], together[1]) < 60


def test_swaying_clips_have_codes_that_follow(system, tmp_path):
    video = write_face_video(tmp_path / "sway.mp4", sway(10), size=(240, 240), fps=12.5)
    pose = system.fit(open_media(video)).tensors["clip.pose"]
    assert len(pose) == 20, "codes are at 25 a second whatever the video's rate"


def test_published_weights_learn_angles() -> None:
    from crops import crop_clip
    from talkingface.systems.pcavs.config import preset
    from talkingface.systems.pcavs.official.inference import OfficialVariant
    from talkingface.systems.pcavs.official.pipeline import official_pose_map

    config = preset("tiny_official")
    clips = [crop_clip(f"clip{k}", seed=k, turning=0.4) for k in range(3)]
    found = official_pose_map(clips, OfficialVariant(config, None, "cpu"))
    assert found.turns.shape == (POSE, 3) and np.abs(found.turns).max() > 0
