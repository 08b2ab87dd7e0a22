"""A motion as a drawing of its landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkingface.api import write_preview
from talkingface.apps.cli import main
from talkingface.core.errors import UsageError
from talkingface.core.motion import save_motion
from talkingface.core.types import Motion
from talkingface.face.landmarks68 import EYES_RGB, MOUTH_RGB, REST_RGB, mesh478_landmarks, plot_landmarks
from talkingface.video.read import probe, read_frames


def _motion(frames: int = 12, opening: float = 0.0, blink: float = 0.0) -> Motion:
    expression = np.zeros((frames, 20), np.float32)
    expression[:, 0] = -opening
    return Motion(
        space="mesh478", space_version=2, expression=expression, pose=None,
        blink=np.full((frames, 1), blink, np.float32), fps=25.0,
    )  # fmt: skip


def _near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows and columns of pixels of about this colour, [N, 2]."""
    return np.argwhere(np.abs(picture.astype(int) - colour).max(axis=-1) < 60)


def test_landmarks_move_as_the_motion_says() -> None:
    rest, spoken = (mesh478_landmarks(_motion(1, opening))[0] for opening in (0.0, 2.0))
    assert rest.shape == (68, 3) and rest.dtype == np.float32
    assert np.linalg.norm(rest[36:42].mean(0) - rest[42:48].mean(0)) == pytest.approx(1, abs=1e-4)
    assert spoken[66, 1] - spoken[62, 1] > rest[66, 1] - rest[62, 1] + 0.2
    shut = mesh478_landmarks(_motion(1, blink=1.0))[0]
    np.testing.assert_allclose(shut[[37, 38, 43, 44]], shut[[41, 40, 47, 46]], atol=1e-6)


def test_a_plot_has_eyes_above_the_mouth_in_their_colours() -> None:
    picture = plot_landmarks(mesh478_landmarks(_motion(1))[0], 512)
    eyes, mouth, rest = (_near(picture, colour) for colour in (EYES_RGB, MOUTH_RGB, REST_RGB))
    assert eyes.mean(0)[0] < 256 < mouth.mean(0)[0] < rest[:, 0].max()
    assert mouth.mean(0)[1] == pytest.approx(256, abs=6)
    numbered = plot_landmarks(mesh478_landmarks(_motion(1))[0], 512, numbers=True)
    assert len(_near(numbered, REST_RGB)) > 1.5 * len(rest)


def test_a_preview_is_a_video_with_the_voice(tmp_path: Path, voice_file: Path, capsys: pytest.CaptureFixture) -> None:
    save_motion(tmp_path / "m.npz", _motion(30, opening=1.0))
    out = tmp_path / "points.mp4"
    assert main(["motion", str(tmp_path / "m.npz"), "--preview", str(out), "--sound", str(voice_file)]) == 0
    info = probe(out)
    assert (info.size, info.fps, info.has_audio) == ((512, 512), 25, True)
    frames = [frame.rgb for frame in read_frames(out)]
    assert len(frames) == 30 and len(_near(frames[10], MOUTH_RGB)) > 50
    assert main(["verify", str(out)]) is not None
    said = capsys.readouterr().out
    assert "synthetic" in said and "show no person" in said


def test_a_voice_gives_motion_file_and_preview_in_one_run(tmp_path: Path, meter: None, voice_file: Path) -> None:
    """Here of a system whose motion has no landmarks, which is said before anything is written."""
    arguments = ["motion", str(voice_file), "--system", "meter", "-o", str(tmp_path / "m.npz")]
    assert main([*arguments, "--preview", str(tmp_path / "p.mp4")]) == 2
    assert not (tmp_path / "m.npz").exists() and not (tmp_path / "p.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["m.npz"], "name a motion file to make with -o, or a video with --preview"),
        (["m.npz", "-o", "n.npz"], "a motion file already"),
        (["m.npz", "--preview", "p.mp4", "--seed", "2"], "a motion file already"),
        (["hi.wav"], "--preview"),
        (["hi.wav", "-o", "n.npz", "--numbers"], "--preview"),
        (["hi.wav", "--preview", "p.mp4", "--sound", "hi.wav"], "--sound is for the preview of a motion file"),
        (["m.npz", "--preview", "p.txt"], "the name must end in"),
        (["m.npz", "--preview", "m.npz"], "is also an input"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, voice_file: Path, capsys: pytest.CaptureFixture[str],
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    save_motion("m.npz", _motion())
    voice_file.rename(tmp_path / "hi.wav")
    assert main(["motion", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hi.wav", "m.npz"]


def test_motion_without_landmarks_is_refused(tmp_path: Path) -> None:
    unknown = Motion(space="nowhere", expression=np.zeros((3, 2), np.float32), pose=None, blink=None, fps=25.0)
    with pytest.raises(UsageError, match="no system here knows motion in space 'nowhere'"):
        write_preview(tmp_path / "p.mp4", unknown)
