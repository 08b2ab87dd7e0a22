"""What belongs to a job: its key, the files it must not touch, and the systems that jobs share."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import numpy as np
import pytest

import talkingface
from talkingface.api import animation as module
from talkingface.api.resume import job_key
from talkingface.core.errors import UsageError
from talkingface.core.options import PictureOptions
from talkingface.core.progress import progress_listener
from talkingface.core.types import Avatar, Motion
from talkingface.core.weights import find_weights, load_weights, save_avatar, save_weights
from talkingface.core.work_folder import WorkFolder
from talkingface.video.write import VideoWriter

pytestmark = pytest.mark.usefixtures("meter")
OF_METER = {"system": "meter", "device": "cpu"}


@pytest.fixture
def motion(voice_file: Path) -> Motion:
    return talkingface.motion(voice_file, **OF_METER)


def key_of(**given: object) -> str:
    facts = {"face": "x", "speech": None, "options": PictureOptions(), **given}
    return job_key(system=talkingface.load("meter", device="cpu"), **facts)  # type: ignore[arg-type]


def test_every_part_of_a_motion_counts(motion: Motion) -> None:
    count = len(motion)
    changed = {
        "expression": motion.expression + 1, "pose": None, "blink": np.ones((count, 1), np.float32),
        "source": np.arange(count, dtype=np.float32)[::-1, None].copy(), "fps": 30.0, "start": 5,
        "space_version": 2, "gaze": np.ones((count, 2), np.float32),
    }  # fmt: skip
    assert set(changed) | {"space"} == {field.name for field in dataclasses.fields(Motion)}
    keys = {key_of(motion=dataclasses.replace(motion, **{name: value})) for name, value in changed.items()}
    assert len(keys | {key_of(motion=motion)}) == len(changed) + 1
    assert key_of(motion=motion) == key_of(motion=dataclasses.replace(motion))


def test_everything_about_an_avatar_counts(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "a").write_text("1")
    avatar = Avatar(system="meter", card={"fps": 25}, tensors={"x": np.zeros(2)}, files={"a": tmp_path / "a"})
    keys = [key_of(face=avatar)]
    for change in (
        {"card": {"fps": 30}},
        {"tensors": {"y": np.zeros(2)}},
        {"tensors": {"x": np.ones(2)}},
        {"files": {}},
    ):
        keys.append(key_of(face=dataclasses.replace(avatar, **change)))
    (tmp_path / "a").write_text("2")
    keys.append(key_of(face=avatar))
    assert len(set(keys)) == len(keys)


def test_avatars_of_the_store_count_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path))
    keys = set()
    for value in (0, 1):
        avatar = Avatar(system="meter", card={}, tensors={"x": np.full(2, value)})
        save_avatar(tmp_path / "weights" / "meter.me", avatar)
        keys.add(key_of(face="meter.me"))
    assert len(keys) == 2


def test_weights_that_differ_in_their_card_only_count(tmp_path: Path, photo: Path, voice_file: Path) -> None:
    card = dict(load_weights(find_weights("meter.none")).card)
    save_weights(tmp_path / "louder", {"none": np.zeros(1, np.float32)}, {**card, "config": {"gain": 50.0}})
    keys = [talkingface.animate(photo, voice_file, weights=w, **OF_METER).key() for w in (None, tmp_path / "louder")]
    assert keys[0] != keys[1]


def test_a_job_that_goes_on_draws_nothing_twice(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from meter_system.system import MeterSystem
    from talkingface.video import write

    monkeypatch.setattr(module, "RESUME_FROM_S", 1.0)
    monkeypatch.setattr(write, "VideoWriter", partial(VideoWriter, segment_frames=10))
    firsts: list[int] = []
    render = MeterSystem.render

    def watched(self, avatar, motion, controls, first=0):
        firsts.append(first)
        return render(self, avatar, motion, controls, first)

    monkeypatch.setattr(MeterSystem, "render", watched)

    def stop(stage: str, done: int, total: int | None) -> None:
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress_listener(stop):
        talkingface.animate(photo, voice_file, **OF_METER).save(tmp_path / "o.mp4")
    again = talkingface.animate(photo, voice_file, **OF_METER)
    again.save(tmp_path / "o.mp4")
    assert firsts == [0, again.frames_resumed] and again.frames_resumed >= 10


@pytest.mark.parametrize("name", ["photo.png", "stimme für ünï.wav"])
def test_a_result_never_replaces_what_it_is_made_from(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = (tmp_path / name).read_bytes()
    animation = talkingface.animate(photo, voice_file, **OF_METER)
    with pytest.raises(UsageError, match="is also an input"):
        animation.save(tmp_path / "o.mp4", report=tmp_path / name)
    link = tmp_path / "link.mp4"
    link.symlink_to(tmp_path / name)
    with pytest.raises(UsageError, match="is also an input"):
        animation.save(link)
    with pytest.raises(UsageError, match="two results"):
        animation.save(tmp_path / "o.mp4", report=tmp_path / "o.mp4")
    assert (tmp_path / name).read_bytes() == before and not (tmp_path / "o.mp4").exists()


def test_a_link_as_output_is_followed(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "o.mp4").symlink_to(tmp_path / "far" / "real.mp4")
    talkingface.animate(photo, voice_file, **OF_METER).save(tmp_path / "o.mp4")
    assert (tmp_path / "o.mp4").is_symlink() and [p.name for p in (tmp_path / "far").iterdir()] == ["real.mp4"]


@pytest.mark.parametrize("resumable_from_s", [1.0, 100.0])
def test_names_as_long_as_a_file_system_allows(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumable_from_s: float
) -> None:
    monkeypatch.setattr(module, "RESUME_FROM_S", resumable_from_s)
    folder = tmp_path / "results"
    folder.mkdir()
    name = "字" * 83 + "ab.mp4"
    assert len(name.encode()) == 255
    talkingface.animate(photo, voice_file, **OF_METER).save(folder / name)
    assert [path.name for path in folder.iterdir()] == [name]


def test_finishers_see_every_frame_with_its_number(photo: Path, voice_file: Path) -> None:
    seen: list[tuple[float, int]] = []

    def invert(frames, fps, first):
        seen.append((fps, first))
        for piece in frames:
            yield dataclasses.replace(piece, rgb=255 - piece.rgb)

    plain = talkingface.animate(photo, voice_file, no_mark="what comes after it is tested", **OF_METER)
    finished = dataclasses.replace(plain, finishers=(invert, invert, invert))
    for a, b in zip(plain.frames(30), finished.frames(30), strict=True):
        np.testing.assert_array_equal(a.rgb, 255 - b.rgb)
    assert seen == [(25.0, 30)] * 3


def test_a_folder_called_like_a_tag_hides_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = talkingface.load("meter", weights="none", device="cpu")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").mkdir()
    assert talkingface.load("meter", weights="none", device="cpu") is own
    assert own.weights is not None
    card = dict(own.weights.card)
    save_weights(tmp_path / "none", {"none": np.ones(1, np.float32)}, card)
    assert talkingface.load("meter", weights="none", device="cpu") is own
    local = talkingface.load("meter", weights="./none", device="cpu")
    assert local.weights is not None and local.weights.tensors["none"][0] == 1
    save_weights(tmp_path / "mine", {"none": np.ones(1, np.float32)}, card)
    assert talkingface.load("meter", weights="mine", device="cpu") is local  # the same content


def test_threads_that_load_at_once_share_one_system() -> None:
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(talkingface.load("meter"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(map(id, found))) == 1


def test_changed_weights_are_loaded_anew(tmp_path: Path) -> None:
    card = dict(load_weights(find_weights("meter.none")).card)
    for value in (1, 2):
        save_weights(tmp_path / "mine", {"none": np.full(1, value, np.float32)}, card)
        weights = talkingface.load("meter", weights=tmp_path / "mine", device="cpu").weights
        assert weights is not None and weights.tensors["none"][0] == value


def test_work_that_somebody_holds_is_refused_before_it_begins(tmp_path: Path, photo: Path, voice_file: Path) -> None:
    from talkingface.api.training import train

    with WorkFolder(tmp_path / "r-work", "it"), pytest.raises(UsageError, match="the report .* is being made"):
        talkingface.evaluate(voice_file, tmp_path / "r.json")
    with WorkFolder(tmp_path / "run", "it"), pytest.raises(UsageError, match="the training .* is being made"):
        train("portrait.face", tmp_path, tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()


def test_a_fit_that_somebody_works_on_is_refused(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with VideoWriter(clip, (64, 48), 25) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
    with (
        WorkFolder(tmp_path / "me.part", "it"),
        pytest.raises(UsageError, match="the avatar of clip.mp4 .* is being made"),
    ):
        talkingface.fit(clip, system="headpose", folder=tmp_path / "me.part")
