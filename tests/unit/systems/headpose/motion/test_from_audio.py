"""From a voice to motion: how many frames, which pose, and that equal seeds repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from talkingface.audio.mfcc import frame_windows
from talkingface.core.types import Controls
from talkingface.person.heads import make_head
from talkingface.systems.headpose.config import preset
from talkingface.systems.headpose.motion.from_audio import (
    AudioToMotion,
    make_atcnet,
    make_speech_head,
    match_source,
    mfcc_rows,
    speech_motion,
    to_windows,
)
from talkingface.systems.headpose.motion.matching import MatchSettings
from voices import make_voice


@pytest.fixture(scope="module", params=["tiny", "tiny_official"])
def audio_to_motion(request: pytest.FixtureRequest) -> AudioToMotion:
    torch.manual_seed(3)
    config = preset(request.param).audio
    network = make_speech_head(config) if config.encoder else make_atcnet(config)
    return AudioToMotion(config, {name: value.numpy() for name, value in network.state_dict().items()})


def _head(count: int = 200):
    t = np.arange(count) / 25
    turn = np.column_stack([0.05 * np.sin(t), 0.1 * np.sin(0.7 * t), 0.06 * np.cos(1.3 * t)])
    return make_head(
        Rotation.from_rotvec(turn).as_matrix(), np.full(count, 80.0), np.zeros((count, 3)), np.ones(count, bool)
    )


def test_windows_are_those_of_the_published_program() -> None:
    voice = make_voice(1.0)
    theirs = frame_windows(voice)
    ours = to_windows(torch.from_numpy(mfcc_rows(voice, 25))[None])[0].numpy()
    np.testing.assert_allclose(ours[: len(theirs)], theirs[:25], atol=1e-4)


@pytest.mark.parametrize("first", [0, 1, 7, 24])
def test_a_piece_is_heard_as_in_the_whole(first: int) -> None:
    voice = make_voice(1.0)
    whole = mfcc_rows(voice, 25)
    np.testing.assert_allclose(mfcc_rows(voice, 25, first), whole[4 * first :], atol=1e-4)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.3])
def test_every_frame_that_begins_within_the_voice_is_there(audio_to_motion: AudioToMotion, seconds: float) -> None:
    voice = make_voice(seconds)
    motion = speech_motion(audio_to_motion, voice, _head(), Controls(), gain=1.0)
    assert len(motion) == int(np.ceil(len(voice) / 640 - 1e-3))
    assert motion.source is not None and motion.pose is not None


def test_pieces_of_a_long_voice_join_without_a_seam(
    audio_to_motion: AudioToMotion, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = make_voice(3.0)
    whole, _ = audio_to_motion.predict(voice)
    monkeypatch.setattr("talkingface.systems.headpose.motion.from_audio._PIECE", 16)
    monkeypatch.setattr("talkingface.audio.speech_encoder._HOP", 16)
    cut, _ = audio_to_motion.predict(voice)
    np.testing.assert_allclose(cut, whole, atol=1e-5)


def test_generated_poses_are_the_clips_own_and_no_faster(audio_to_motion: AudioToMotion) -> None:
    head = _head()
    motion = speech_motion(audio_to_motion, make_voice(4.0), head, Controls(seed=1), gain=1.0)
    source = motion.source[:, 0].astype(int)
    np.testing.assert_allclose(motion.pose, head.rows[source])
    assert np.abs(np.diff(source)).max() <= 1
    assert source.min() >= 0 and source.max() < len(head)


def test_still_heads_rest_and_source_heads_play_the_clip(audio_to_motion: AudioToMotion) -> None:
    head, voice = _head(), make_voice(1.0)
    still = speech_motion(audio_to_motion, voice, head, Controls(pose="still"), gain=1.0)
    assert not still.pose.any()
    source = speech_motion(audio_to_motion, voice, head, Controls(pose="source"), gain=1.0)
    np.testing.assert_array_equal(source.source[:, 0], np.arange(25))


def test_gain_and_expression_scale_stretch_the_mouth_only(audio_to_motion: AudioToMotion) -> None:
    head, voice = _head(), make_voice(1.0)
    plain = speech_motion(audio_to_motion, voice, head, Controls(), gain=1.0)
    wide = speech_motion(audio_to_motion, voice, head, Controls(expression_scale=0.5), gain=1.4)
    np.testing.assert_allclose(wide.expression, 0.7 * plain.expression, rtol=1e-5)
    np.testing.assert_array_equal(wide.pose, plain.pose)


def test_predictions_are_stretched_to_the_persons_range() -> None:
    head = _head()
    t = np.arange(250) / 25
    timid = 1e-3 * np.column_stack([np.sin(t), np.sin(0.7 * t), np.cos(1.3 * t)])
    found = match_source(np.pad(timid, ((0, 0), (0, 3))), head, MatchSettings(), 0)
    assert head.rows[found, 2].std() > 0.4 * head.rows[:, 2].std()
