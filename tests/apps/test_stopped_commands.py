"""Commands that are stopped, killed, or started twice: what lies in the folder afterwards, and how they go on.

The plug-in of these tests says when it has drawn so many frames, and waits there for ever: nothing here is a race.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from talkingface.core.work_folder import WorkFolder, folder_beside
from talkingface.video.read import probe
from voices import make_voice, write_wav

pytestmark = [
    pytest.mark.usefixtures("meter"),
    pytest.mark.skipif(sys.platform == "win32", reason="no such signals"),
]
LONG_S = 121  # longer than `RESUME_FROM_S`; pieces have 1500 frames


@pytest.fixture(scope="module")
def long_voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    voice = np.tile(make_voice(1.0), LONG_S)
    return write_wav(tmp_path_factory.mktemp("voice") / "long.wav", voice)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def command(photo: Path, speech: Path, output: Path) -> list[str]:
    return [sys.executable, "-m", "talkingface.apps.cli", "animate", *map(str, (photo, speech)), "-o", str(output),
            "--system", "meter"]  # fmt: skip


def _heed_signals() -> None:
    """Tests in the background ignore Ctrl-C, those under nohup the end of their terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def waiting_at(frame: int, words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """The command, running, with so many frames drawn."""
    environment = {**os.environ, "METER_WAITS_AT": str(frame)}
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=_heed_signals,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "waiting\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("length", ["short", "long"])
def test_a_stopped_command_leaves_nothing_half_written(
    photo: Path, voice_file: Path, long_voice: Path, results: Path, number: signal.Signals, length: str
) -> None:
    speech = voice_file if length == "short" else long_voice
    with waiting_at(20, command(photo, speech, results / "o.mp4")) as process:
        assert list(results.iterdir()) != []
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == (130 if number == signal.SIGINT else 128 + number), errors
    assert "Traceback" not in errors and list(results.iterdir()) == []


def test_nohup_is_respected(photo: Path, voice_file: Path, results: Path) -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    words = command(photo, voice_file, results / "o.mp4")
    with waiting_at(20, [sys.executable, "-c", ignoring, *words]) as process:
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_long_job_goes_on_after_any_end(photo: Path, long_voice: Path, results: Path, number: signal.Signals) -> None:
    words = command(photo, long_voice, results / "o.mp4")
    with waiting_at(1600, words) as process:
        process.send_signal(number)
        process.communicate()
    assert [path.name.startswith(".talkingface-") for path in results.iterdir()] == [True]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and f"{25 * LONG_S} frames, 1500 of them from an earlier run" in done.stdout
    assert [path.name for path in results.iterdir()] == ["o.mp4"]
    assert probe(results / "o.mp4").num_frames == 25 * LONG_S


def test_the_same_long_command_is_refused_at_once_while_it_runs(photo: Path, long_voice: Path, results: Path) -> None:
    words = command(photo, long_voice, results / "o.mp4")
    with waiting_at(1600, words) as first:
        before = sorted(path.name for path in results.rglob("*"))
        second = subprocess.run(words, capture_output=True, text=True)
        assert second.returncode == 2 and second.stderr.count("\n") == 1
        assert "o.mp4 is being made by another run" in second.stderr
        assert sorted(path.name for path in results.rglob("*")) == before
        first.send_signal(signal.SIGTERM)
        first.communicate()
    assert subprocess.run(words, capture_output=True).returncode == 0


def test_speech_comes_from_a_pipe(photo: Path, voice_file: Path, results: Path) -> None:
    words = command(photo, Path("/dev/stdin"), results / "o.mp4")
    sound = voice_file.read_bytes()
    done = subprocess.run([*words, "--report", "/dev/stdout"], input=sound, capture_output=True)
    assert done.returncode == 0 and b'"frames": 40' in done.stdout, done.stderr
    assert probe(results / "o.mp4").has_audio
    done = subprocess.run(command(Path("/dev/stdin"), voice_file, results / "p.mp4"), input=sound, capture_output=True)
    assert done.returncode == 3 and b"only speech may come from one" in done.stderr


def test_two_fits_of_one_avatar_are_not_mixed(photo: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-m", "talkingface.apps.cli", "fit", str(photo), "-o", "me", "--system", "meter"]
    monkeypatch.chdir(results)
    with WorkFolder(folder_beside(results / "me"), "it"):
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 2 and "the avatar me is being made by another run" in done.stderr
    assert subprocess.run(words, capture_output=True).returncode == 0
    assert [path.name for path in results.iterdir()] == ["me"]
    monkeypatch.chdir(results / "me")
    for path in (results / "me").iterdir():
        path.unlink() if path.is_file() else path.rmdir()
    here = ["." if word == "me" else word for word in words]
    assert subprocess.run(here, capture_output=True).returncode == 0
