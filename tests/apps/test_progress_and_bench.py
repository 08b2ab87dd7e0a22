"""Progress lines, and the measured command."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkingface.apps import progress
from talkingface.apps.bench import command
from talkingface.core.errors import InputError, TalkingFaceError
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.video.read import probe
from voices import make_voice, write_wav


def test_short_work_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Progress():
        for done in range(100):
            report_progress("drawing", done, 100)
    report_progress("nobody listens", 1, 1)
    assert capsys.readouterr() == ("", "")


def test_logs_get_plain_lines_with_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress():
        for second in range(25):
            now[0] = float(second)
            report_progress("drawing", 1000 + 10 * second, 1500)  # resumed at frame 1000
    assert capsys.readouterr().err.splitlines() == [
        "drawing: 1100 of 1500, about 40 s left",
        "drawing: 1200 of 1500, about 30 s left",
    ]


def test_a_stage_goes_on_after_one_inside_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.Progress():
        for video in range(4):
            report_progress("making videos", video, 10)
            for frame in range(0, 50, 10):
                now[0] += 1.0
                report_progress("tracking the face", frame, 50)
            now[0] += 5.0
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("making")] == [
        "making videos: 1 of 10, about 90 s left",
        "making videos: 2 of 10, about 80 s left",
        "making videos: 3 of 10, about 70 s left",
    ]


def test_terminals_get_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_QUIET_S", 0.0)
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    with progress.Progress() as shown:
        report_progress("tracking", 1, None)
        report_progress("drawing", 2, 4)
        report_progress("tracking", 7, None)
        report_progress("drawing", 3, 4)
        (task,) = (task for task in shown._bar.tasks if task.visible)
        assert (task.description, task.completed, task.total) == ("drawing", 3, 4)
    assert not shown._bar.live.is_started


@pytest.mark.usefixtures("meter")
def test_bench_measures_the_whole_command(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    figures = command.measure(2.5, str(photo), str(voice_file), 64, system="meter", weights=None)
    assert figures["in_process"]["frames"] == 63
    assert figures["command_s"] > figures["in_process"]["wall_s"] > 0
    with pytest.raises(TalkingFaceError, match="no weights named"):
        command.measure(0.5, str(photo), str(voice_file), 64, system="meter", weights="huge")


def test_speech_is_repeated_to_the_length_asked_for(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "s.wav", make_voice(0.7))
    command.write_speech(source, 2.0, tmp_path / "long.wav")
    assert probe(tmp_path / "long.wav").duration_s == pytest.approx(2.0, abs=1e-3)
    with pytest.raises(InputError, match="sample 'nothing'"):
        sample("nothing")
