from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from faces import psnr, sample_picture, sample_points
from talkingface.clips.source import open_media
from talkingface.core.errors import FaceError, InputError, UsageError
from talkingface.core.motion import concatenate
from talkingface.core.timing import as_rate
from talkingface.core.types import Avatar, Controls, Motion, Photo
from talkingface.core.weights import load_avatar, save_avatar
from talkingface.face.camera import euler_degrees
from talkingface.face.morphable import inner_lip_gap, load_mesh478
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER
from talkingface.face.track import track_image
from talkingface.systems.portrait.config import preset
from talkingface.systems.portrait.system import PortraitSystem
from talkingface.video.image import write_image
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter

COUNT = 8


@pytest.fixture(scope="module")
def system() -> PortraitSystem:
    return PortraitSystem(None, preset("tiny"))


@pytest.fixture(scope="module")
def avatar(system) -> Avatar:
    return system.fit(open_media(sample_picture()))


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """The sample, slowly drifting to the right."""
    path = tmp_path_factory.mktemp("clips") / "a clip ü.mp4"
    rgb = cv2.resize(sample_picture(), (240, 240), interpolation=cv2.INTER_AREA)
    with VideoWriter(path, (240, 240), 25, synthetic=None, quality=10) as writer:
        for k in range(COUNT):
            writer.write(np.roll(rgb, 2 * k, axis=1))
    return path


def still_motion(count: int) -> Motion:
    return Motion(space="mesh478", expression=np.zeros((count, 20), np.float32), pose=None, blink=None, fps=25)


def test_a_photo_becomes_an_avatar(avatar):
    assert (avatar.system, avatar.card["kind"], avatar.card["notes"]) == ("portrait", "photo", [])
    assert np.array_equal(avatar.tensors["rgb"], sample_picture())
    assert avatar.tensors["landmarks"] == pytest.approx(sample_points(), abs=1e-3)
    assert inner_lip_gap(avatar.tensors["resting"]) < 0.012
    assert avatar.tensors["mouth_gains"] == pytest.approx(1, abs=0.31)


def opened(system: PortraitSystem, avatar: Avatar) -> np.ndarray:
    """The avatar's first frame with its mouth open."""
    motion = still_motion(2)
    motion.expression[:, 0] = 0.25 / opening_of_one()
    return next(system.render(avatar, iter([motion]), Controls())).rgb[0]


def opening_of_one() -> float:
    model = load_mesh478()
    row = np.eye(model.expression.shape[-1], dtype=np.float32)[0]
    moved = model.displacement(row)
    return float(moved[14, 1] - moved[13, 1])


def test_further_photos_show_the_inside_of_the_mouth(system, avatar):
    plain = opened(system, avatar)
    green = plain.copy()
    ring = track_image(plain).landmarks[[*INNER_LIP_UPPER, *INNER_LIP_LOWER[::-1]], :2]
    cv2.fillPoly(green, [np.round(ring).astype(np.int32)], (40, 230, 40))
    told = system.add_photos(avatar, [Photo(rgb=sample_picture()), Photo(rgb=green)])
    assert told.card["notes"] == [] and "mouth.upper" not in avatar.tensors
    changed = opened(system, told).astype(int) - plain
    x, y = np.round(ring.mean(0)).astype(int)
    assert changed[y, x, 1] > 40 and changed[y, x, 1] > changed[y, x, 0] + 40
    assert not changed[: y - 60].any(), "only the mouth is another one"


def test_photos_that_show_no_open_mouth_are_said_to(system, avatar):
    told = system.add_photos(avatar, [Photo(rgb=sample_picture())])
    assert "no photo shows an open mouth" in told.card["notes"][-1] and "mouth.upper" not in told.tensors


def test_an_avatar_survives_being_saved(system, avatar, tmp_path):
    save_avatar(tmp_path / "me", avatar)
    again = load_avatar(tmp_path / "me")
    first, second = (next(system.render(a, iter([still_motion(2)]), Controls())) for a in (avatar, again))
    assert np.array_equal(first.rgb, second.rgb)
    assert psnr(first.rgb[0], sample_picture()) > 30


def test_a_file_gives_what_its_picture_gives(system, avatar, tmp_path):
    write_image(tmp_path / "foto mit ü.png", sample_picture())
    again = system.fit(open_media(tmp_path / "foto mit ü.png"))
    assert np.array_equal(again.tensors["landmarks"], avatar.tensors["landmarks"])


def test_transparent_pictures_bring_their_matte(system, tmp_path):
    from PIL import Image

    alpha = np.full(sample_picture().shape[:2], 255, np.uint8)
    alpha[:20] = 0
    Image.fromarray(np.dstack([sample_picture(), alpha])).save(tmp_path / "cut.png")
    fitted = system.fit(open_media(tmp_path / "cut.png"))
    assert np.array_equal(fitted.tensors["matte"], alpha)
    assert (fitted.tensors["rgb"][:20] == 255).all()


def test_sizes(system):
    assert max(system.fit(open_media(sample_picture()), size=200).tensors["rgb"].shape) == 200
    large = cv2.resize(sample_picture(), (1400, 1400))
    assert max(system.fit(open_media(large)).tensors["rgb"].shape) == 1280
    assert max(system.fit(open_media(large), size="native").tensors["rgb"].shape) == 1400


def test_small_and_several_faces_are_said(system):
    small = cv2.resize(sample_picture(), (180, 180), interpolation=cv2.INTER_AREA)
    (note,) = system.fit(open_media(small)).card["notes"]
    assert "px high" in note
    both = np.concatenate([sample_picture(), sample_picture()], axis=1)
    notes = system.fit(open_media(both)).card["notes"]
    assert any("2 faces found" in note for note in notes)
    left, right = (system.fit(open_media(both), face_index=k).tensors["landmarks"][:, 0].mean() for k in range(2))
    assert left < sample_picture().shape[1] < right


def test_no_face_no_avatar(system):
    with pytest.raises(FaceError):
        system.fit(open_media(np.full((200, 200, 3), 128, np.uint8)))


@pytest.mark.parametrize("angles", [(10, 0, 0), (0, 10, 0), (0, 0, 10), (8, -5, 3)])
def test_angles_become_the_pose_that_tracking_would_measure(system, angles):
    from scipy.spatial.transform import Rotation

    pose = system.pose_from_angles(np.deg2rad(np.array([angles], np.float32)))
    assert pose.shape == (1, 6) and not pose[:, 3:].any()
    assert np.asarray(euler_degrees(Rotation.from_rotvec(pose[:, :3]).as_matrix()))[0] == pytest.approx(
        angles, abs=0.01
    )


def test_yaw_turns_the_face_to_the_viewers_right(system, avatar):
    frames = []
    for yaw in (-20, 20):
        motion = still_motion(1)
        pose = system.pose_from_angles(np.deg2rad(np.array([[yaw, 0, 0]], np.float32)))
        turned = Motion(space="mesh478", expression=motion.expression, pose=pose, blink=None, fps=25)
        frames.append(next(system.render(avatar, iter([turned]), Controls())).rgb[0])
    from talkingface.face.track import track_image

    nose = [track_image(frame).landmarks for frame in frames]
    ahead = [float(p[1, 0] - p[[234, 454], 0].mean()) for p in nose]
    assert ahead[0] < ahead[1]


def test_a_clip_is_dubbed_with_its_own_frames(system, clip):
    avatar = system.fit(open_media(clip))
    assert (avatar.card["kind"], avatar.card["fps"]) == ("clip", 25.0)
    assert avatar.tensors["clip.landmarks"].shape == (COUNT, 478, 3)
    motion = still_motion(5)
    frames = list(system.render(avatar, iter([motion]), Controls(pose="source")))
    assert sum(len(piece.rgb) for piece in frames) == 5 and frames[0].rgb.shape[1:] == (240, 240, 3)
    with pytest.raises(UsageError, match="only takes --background keep while a clip"):
        system.render(avatar, iter([motion]), Controls(pose="source", background="white"))


@pytest.mark.parametrize(("fps", "count"), [(50, 2 * COUNT), (12.5, COUNT // 2), (29.97, 10), (25.0, COUNT)])
def test_a_clip_is_dubbed_at_another_rate(system, clip, tmp_path, fps, count):
    """Its pictures are read at that rate, the face is followed in them."""
    avatar = system.fit(open_media(clip))
    save_avatar(tmp_path / "me", avatar)
    shown = [frame.rgb for frame in read_frames(clip, fps=fps)]
    assert len(shown) == count
    controls = Controls(pose="source", fps=fps)
    assert system.fps(avatar, controls) == pytest.approx(float(as_rate(fps)), abs=1e-12)
    motion = dataclasses.replace(still_motion(count), fps=system.fps(avatar, controls))
    for made in (avatar, load_avatar(tmp_path / "me")):
        frames = np.concatenate([piece.rgb for piece in system.render(made, iter([motion]), controls)])
        assert min(psnr(a, b) for a, b in zip(frames, shown, strict=True)) > 30


def test_a_clip_of_fractional_rate_keeps_it_whatever_the_user_types(system, tmp_path):
    path = tmp_path / "ntsc.mp4"
    rgb = cv2.resize(sample_picture(), (240, 240), interpolation=cv2.INTER_AREA)
    with VideoWriter(path, (240, 240), 29.97, synthetic=None) as writer:
        for _ in range(3):
            writer.write(rgb)
    avatar = system.fit(open_media(path))
    assert avatar.card["fps"] == 30000 / 1001
    frames = next(system.render(avatar, iter([still_motion(3)]), Controls(pose="source", fps=29.97)))
    assert np.array_equal(frames.rgb, next(system.render(avatar, iter([still_motion(3)]), Controls(pose="source"))).rgb)


def test_what_lies_on_its_side_is_turned_upright(system, clip, tmp_path):
    picture = sample_picture()
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    alpha[:40] = 0
    write_image(tmp_path / "lying.png", np.rot90(np.dstack([picture, alpha]), 1))
    photo = system.fit(open_media(tmp_path / "lying.png"))
    assert "the picture lies on its side; it is turned upright" in photo.card["notes"]
    assert np.array_equal(photo.tensors["rgb"][40:], picture[40:])
    assert np.array_equal(photo.tensors["matte"], alpha)
    pictures = [frame.rgb for frame in read_frames(clip)]
    (tmp_path / "lying").mkdir()
    for k, rgb in enumerate(pictures):
        write_image(tmp_path / "lying" / f"{k}.png", np.rot90(rgb, 1))
    film = system.fit(open_media(tmp_path / "lying"))
    assert film.card["notes"] == ["the clip lies on its side; it is turned upright"]
    frames = next(system.render(film, iter([still_motion(2)]), Controls(pose="source"))).rgb
    assert np.abs(frames[1, :60].astype(int) - pictures[1][:60]).mean() < 0.1, "above the mouth all is as it was"


def test_dubbing_pauses_where_the_face_is_not_there(system, clip, tmp_path):
    pictures = [frame.rgb for frame in read_frames(clip)]
    blank = np.full_like(pictures[0], (20, 60, 120))
    shown = [*pictures[:4], *[blank] * 3, *pictures[4:8]]
    (tmp_path / "cutaway").mkdir()
    for k, rgb in enumerate(shown):
        write_image(tmp_path / "cutaway" / f"{k}.png", rgb)
    avatar = system.fit(open_media(tmp_path / "cutaway"))
    assert avatar.card["notes"] == ["the face is not visible from 0.2 to 0.3 s; these pictures stay unchanged"]
    save_avatar(tmp_path / "me", avatar)
    motion = still_motion(len(shown))
    motion.expression[:, 0] = 1
    for made in (avatar, load_avatar(tmp_path / "me")):
        frames = np.concatenate([piece.rgb for piece in system.render(made, iter([motion]), Controls(pose="source"))])
        kept = [np.array_equal(a, b) for a, b in zip(frames, shown, strict=True)]
        assert kept == [False] * 4 + [True] * 3 + [False] * 4
    older = dataclasses.replace(avatar, tensors={k: v for k, v in avatar.tensors.items() if k != "clip.present"})
    frames = np.concatenate([piece.rgb for piece in system.render(older, iter([motion]), Controls(pose="source"))])
    assert not np.array_equal(frames[4], shown[4])


def test_a_clip_can_be_animated_like_a_photo(system, clip):
    frames = next(system.render(system.fit(open_media(clip)), iter([still_motion(2)]), Controls(pose="still")))
    assert frames.rgb.shape == (2, 240, 240, 3)


def test_the_face_that_is_asked_for_is_followed_and_shown(system, clip, tmp_path):
    (tmp_path / "two").mkdir()
    for k, frame in enumerate(read_frames(clip)):
        small = cv2.copyMakeBorder(cv2.resize(frame.rgb, (160, 160)), 40, 40, 0, 0, cv2.BORDER_REPLICATE)
        write_image(tmp_path / "two" / f"{k}.png", np.concatenate([frame.rgb, small], axis=1))
    avatar = system.fit(open_media(tmp_path / "two"), face_index=1)
    for landmarks in (avatar.tensors["landmarks"], avatar.tensors["clip.landmarks"]):
        assert landmarks[..., 0].min() > 240


def test_a_driving_video_gives_its_motion(system, avatar, clip):
    motion = concatenate(system.motion_from_video(avatar, open_media(clip), Controls()))
    assert len(motion) == COUNT and motion.space == "mesh478"
    assert motion.pose.shape == (COUNT, 6) and motion.blink.shape == (COUNT, 1)
    assert np.abs(motion.pose[0]).max() < 0.01, "relative to the driver's first frame"
    assert motion.pose[-1, 3] > motion.pose[0, 3] + 0.05, "it drifts to the right"
    still = concatenate(system.motion_from_video(avatar, open_media(clip), Controls(pose_scale=0, expression_scale=0)))
    assert not still.pose.any() and not still.expression.any()


def test_a_folder_of_pictures_is_a_clip(system, avatar, clip, tmp_path):
    (tmp_path / "frames").mkdir()
    for k, frame in enumerate(read_frames(clip)):
        write_image(tmp_path / "frames" / f"{k + 5}.png", frame.rgb)
    film, made = system.fit(open_media(clip)), system.fit(open_media(tmp_path / "frames"))
    assert (made.card["kind"], made.card["fps"]) == ("clip", 25.0)
    np.testing.assert_array_equal(made.tensors["clip.landmarks"], film.tensors["clip.landmarks"])
    save_avatar(tmp_path / "me", made)
    (tmp_path / "frames").rename(tmp_path / "elsewhere")
    dubbed = [
        np.concatenate([piece.rgb for piece in system.render(a, iter([still_motion(12)]), Controls(pose="source"))])
        for a in (film, load_avatar(tmp_path / "me"))
    ]
    np.testing.assert_array_equal(*dubbed)
    driven, by_film = (
        concatenate(system.motion_from_video(avatar, open_media(path), Controls()))
        for path in (tmp_path / "elsewhere", clip)
    )
    np.testing.assert_array_equal(driven.pose, by_film.pose)


def test_a_photo_holds_no_motion(system, avatar, tmp_path):
    write_image(tmp_path / "photo.png", sample_picture())
    with pytest.raises(InputError, match="is a photo, which holds no motion; what drives a face must be a video"):
        next(system.motion_from_video(avatar, open_media(tmp_path / "photo.png"), Controls()))
