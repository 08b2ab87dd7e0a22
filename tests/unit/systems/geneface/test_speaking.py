"""Motion from a voice in the manner of a person: head, blinks and eyes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from talkingface.core.errors import UsageError
from talkingface.core.motion import concatenate
from talkingface.core.options import make_own_options
from talkingface.core.types import Controls, Motion
from talkingface.face.mesh478_motion import RestingHead
from talkingface.face.pose import Pose
from talkingface.metrics.behaviour import find_blinks
from talkingface.systems.geneface.config import GenefaceOptions, preset
from talkingface.systems.geneface.init_weights import init_tensors
from talkingface.systems.geneface.manner import Manner, manner_from_tensors, manner_tensors, smoothed
from talkingface.systems.geneface.speaking import person_speech, speech_motion
from voices import make_voice

CONFIG = preset("tiny").speech
GENERAL = init_tensors(CONFIG)
VOICE = make_voice(4.0).astype(np.float32)


def _manner(blinks_per_minute: float = 30.0) -> Manner:
    t = np.arange(200) / 25
    rows = np.zeros((200, 6), np.float32)
    rows[:, 1] = 0.1 * np.sin(t)
    closure = np.zeros(200, np.float32)
    closure[50:54] = 0.9
    return Manner(
        pose=rows,
        closure=closure,
        blink=np.array([0, 0.4, 1, 1, 0.6, 0.3, 0.1, 0], np.float32),
        blinks_per_minute=blinks_per_minute,
        gaze=np.array([0.02, 0.01], np.float32),
        rest=RestingHead(points=np.zeros((478, 3), np.float32), size=(64, 48)),
        rest_pose=Pose(rotation=np.eye(3), scale=40.0, translation=np.array([32.0, 24.0, 0.0])),
    )


def _said(manner: Manner | None, samples: np.ndarray = VOICE, controls: Controls | None = None, **own: str) -> Motion:
    speech = person_speech(GENERAL, {}, manner, CONFIG)
    pieces = iter(np.split(samples, [1000, 1001, 9000])) if len(samples) > 9000 else iter([samples])
    return concatenate(speech_motion(speech, manner, pieces, controls or Controls(seed=2), GenefaceOptions(**own)))


def test_the_head_moves_as_it_is_asked_to() -> None:
    manner = _manner()
    still = _said(manner, controls=Controls(pose="still"))
    assert still.pose is not None and not still.pose.any()
    own = _said(manner, controls=Controls(pose="source"))
    np.testing.assert_array_equal(own.pose, manner.pose[:100])
    generated = _said(manner)
    assert generated.pose is not None and generated.pose[:, 1].std() > 0.001


def test_a_voice_longer_than_the_clip_plays_its_head_backwards() -> None:
    manner = _manner()
    motion = _said(manner, np.tile(VOICE, 3), Controls(pose="source"))
    assert motion.pose is not None and len(motion) == 300
    np.testing.assert_array_equal(motion.pose[200:299], manner.pose[198:99:-1])


def test_generated_poses_hardly_leave_the_range_of_the_clip() -> None:
    manner = _manner()
    far = np.zeros((3, 6), np.float32)
    far[:, 1] = (0.05, 0.6, -0.6)
    kept = manner.within_reach(far)
    assert kept[0, 1] == pytest.approx(0.05)
    assert 0.1 < kept[1, 1] < 0.16 and -0.16 < kept[2, 1] < -0.1


def test_the_head_is_the_persons_own_or_the_average_speakers() -> None:
    manner, small = _manner(), GENERAL["head_motion.kernel"].astype(np.float32) / 10
    adapter = {"head_motion.kernel": small}
    deviation = {}
    for head in ("own", "shared"):
        speech = person_speech(GENERAL, adapter, manner, CONFIG, head)
        pose = concatenate(speech_motion(speech, manner, iter([VOICE]), Controls(seed=4), GenefaceOptions())).pose
        assert pose is not None
        deviation[head] = pose[:, :3].std()
    assert deviation["own"] < 0.8 * deviation["shared"]


def test_blinks_come_as_often_as_the_persons() -> None:
    lids = _said(_manner(30.0), np.tile(VOICE, 20)).blink
    assert lids is not None
    blinks = find_blinks(lids[:, 0], 25)
    assert blinks.per_minute == pytest.approx(30, rel=0.3)
    assert np.median(blinks.lengths_s) == pytest.approx(3.6 / 25, abs=1.2 / 25)


def test_blinks_of_the_clip_and_none() -> None:
    manner = _manner()
    clip = _said(manner, blinks="clip").blink
    assert clip is not None
    np.testing.assert_array_equal(clip[:, 0], manner.closure[:100])
    for silent in (_said(manner, blinks="none"), _said(manner, controls=Controls(blink=0.0), blinks="clip")):
        assert silent.blink is not None and not silent.blink.any()


def test_a_tenth_of_a_second_is_a_voice_too() -> None:
    assert len(_said(_manner(), VOICE[:1600])) == 3
    assert len(_said(None, VOICE[:1600])) == 3


def test_options_are_checked() -> None:
    assert make_own_options(GenefaceOptions, {"blinks": "clip"}).blinks == "clip"
    with pytest.raises(UsageError, match="--set blinks is one of own, clip, none, not 'often'"):
        make_own_options(GenefaceOptions, {"blinks": "often"})


def test_what_an_avatar_keeps_of_the_manner_is_the_manner() -> None:
    manner = _manner()
    again = manner_from_tensors(manner_tensors(manner), (64, 48))
    for field in dataclasses.fields(Manner):
        own, kept = getattr(manner, field.name), getattr(again, field.name)
        if isinstance(own, np.ndarray):
            np.testing.assert_allclose(kept, own, atol=2e-3, err_msg=field.name)
    assert again.rest.size == (64, 48) and again.rest_pose.scale == 40.0
    with pytest.raises(ValueError, match="do not fit"):
        manner_from_tensors(manner_tensors(manner) | {"clip.pose": np.zeros((3, 5), np.float16)}, (64, 48))


def test_poses_are_means_over_seven_frames() -> None:
    rows = np.zeros((20, 6))
    rows[10, 0] = 7.0
    kept = smoothed(rows)
    assert kept[7:14, 0] == pytest.approx(1.0) and not kept[:7].any() and not kept[14:].any()
    assert smoothed(np.ones((3, 6))) == pytest.approx(1.0)
