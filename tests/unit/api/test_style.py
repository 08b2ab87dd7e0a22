"""Styles are read from clips, and refused or qualified where a clip shows too little."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import talkingface
from clips import sway, write_face_video
from talkingface.core.checks import check_style
from talkingface.core.errors import FaceError, InputError, SpeechError, UsageError
from talkingface.core.style import AVERAGE, Style, load_style, save_style
from talkingface.systems.pcavs.official.system import OfficialSystem
from talkingface.video.write import VideoWriter
from voices import make_voice, write_wav

FRAMES = 58


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that sways; its mouth is shut."""
    return write_face_video(tmp_path_factory.mktemp("style") / "quiet.mp4", sway(FRAMES), size=(160, 160))


def test_a_short_clip_gives_a_style_between_it_and_the_average(clip: Path, tmp_path: Path) -> None:
    style = talkingface.read_style(clip)
    assert 0.1 * AVERAGE.opening < style.opening < 0.7 * AVERAGE.opening
    assert style.name == "quiet.mp4" and len(style.sha256) == 64 and 2 <= style.speech_s <= FRAMES / 25
    assert any("only 2." in note and "drawn towards the average speaker" in note for note in style.notes)
    save_style(tmp_path / "quiet.json", style)
    assert talkingface.read_style(tmp_path / "quiet.json") == load_style(tmp_path / "quiet.json") == style
    assert talkingface.read_style(style) is style


def test_too_little_says_what_is_there_and_what_is_needed(clip: Path, tmp_path: Path) -> None:
    short = write_wav(tmp_path / "short.wav", make_voice(0.8))
    with pytest.raises(SpeechError, match=r"quiet.mp4 has (0.8|1.0) s of speech.*at least 2 s"):
        talkingface.read_style(clip, speech=short)
    with VideoWriter(tmp_path / "mute.mp4", (64, 64), 25, synthetic=None) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(SpeechError, match="mute.mp4"):
        talkingface.read_style(tmp_path / "mute.mp4")
    with pytest.raises(FaceError):
        talkingface.read_style(tmp_path / "mute.mp4", speech=clip)


def test_what_is_no_clip_is_refused(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the clip of a style must be a video"):
        talkingface.read_style(photo)
    with pytest.raises(InputError, match="there is no file"):
        talkingface.read_style(tmp_path / "nothing.mp4")


def test_styles_are_for_speech_and_for_systems_that_can(photo: Path, voice_file: Path, clip: Path) -> None:
    with pytest.raises(UsageError, match="system pcavs takes no --style"):
        check_style(OfficialSystem.SPEC, AVERAGE)
    with pytest.raises(UsageError, match="leave out --style, or --drive"):
        talkingface.animate(photo, voice_file, drive=clip, style=AVERAGE)
    with pytest.raises(UsageError, match="read_style"):
        talkingface.Controls(style="lively.mp4")  # type: ignore[arg-type]


@pytest.mark.weights
def test_a_style_is_seen_in_motion_and_nothing_else_changes(voice_file: Path) -> None:
    plain = talkingface.motion(voice_file)
    assert np.array_equal(talkingface.motion(voice_file, style=None).expression, plain.expression)
    lively = talkingface.motion(voice_file, style=Style(opening=2 * AVERAGE.opening, yaw=2 * AVERAGE.yaw))
    assert len(lively) == len(plain)
    assert lively.expression[:, :16].std() > plain.expression[:, :16].std()
    np.testing.assert_allclose(lively.pose[:, 1], 2 * plain.pose[:, 1], rtol=1e-5)
