"""A system that is one folder and one entry point runs every verb: nothing else of the toolkit knows it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import sway, write_face_video
from talkingface.apps.cli import VERBS, main
from talkingface.core.weights import read_card, verify
from talkingface.video.read import probe

pytestmark = pytest.mark.usefixtures("meter")
METER = ("--system", "meter")


class Shell:
    """Runs a command in this process and gives what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> str:
        code = main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        assert code == 0, said.err
        return said.out


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_faces_speak(shell: Shell, photo: Path, voice_file: Path, tmp_path: Path) -> None:
    out, motion = tmp_path / "out.mp4", tmp_path / "m.npz"
    assert "weights meter.none: CC0-1.0" in shell("animate", photo, voice_file, "-o", out, *METER)
    assert probe(out).has_audio
    assert "space meter1" in shell("motion", voice_file, "-o", motion, *METER)
    shell("render", photo, motion, "-o", tmp_path / "again.mp4", "--speech", voice_file, *METER)
    shell("animate", photo, "--drive", out, "--pose", "still", "-o", tmp_path / "driven.webm", *METER)
    assert "for system meter" in shell("fit", photo, "-o", tmp_path / "me", *METER, "--config", "tiny")
    shell("animate", tmp_path / "me", voice_file, "-o", tmp_path / "me.mov", "--background", "transparent")


def test_it_is_listed_checked_and_imported(shell: Shell, tmp_path: Path) -> None:
    assert "meter        a bar that follows the loudness" in shell("systems")
    assert "meter1" in shell("systems", "meter")
    assert "system meter" in shell("doctor")
    assert "meter.none" in shell("weights", "list")
    assert "intact" in shell("weights", "verify", "meter.none")
    assert json.loads(shell("weights", "show", "meter.none"))["system"] == "meter"
    torch.save({"gain": torch.ones(1)}, tmp_path / "theirs.pth")
    shell("weights", "import", "meter", tmp_path / "theirs.pth", "-o", tmp_path / "mine")
    assert verify(tmp_path / "mine") and read_card(tmp_path / "mine")["name"] == "meter.foreign"


def test_it_is_trained(shell: Shell, photo: Path, voice_file: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert "step 3 of 3" in shell("train", "meter.gain", tmp_path / "data", "-o", tmp_path / "one", "--steps", "3")
    said = shell("train", "meter", tmp_path / "data", "-o", tmp_path / "all")
    made = tmp_path / "all" / "weights" / "meter.none"
    assert str(made) in said and read_card(made)["steps"] == {"gain": 2}
    shell("animate", photo, voice_file, "-o", tmp_path / "out.mp4", *METER, "--weights", made)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs --steps"),
        (["--steps", "0"], "steps must be a whole number at least 1, not 0"),
        (["--steps", "2", "--minutes", "-1"], "time limit must be at least 0"),
        (["--steps", "2", "--seed", "-1"], "seed must be"),
        (["--steps", "2", "--device", "tpu"], "unknown device"),
        (["--steps", "2", "--config", "large"], "large"),
    ],
)
def test_trainings_are_refused_before_anything_is_made(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    command = ["train", "meter.gain", str(tmp_path / "data"), "-o", str(tmp_path / "run"), *arguments]
    assert main(command) in (2, 3)
    assert words in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_it_is_measured(shell: Shell, photo: Path, voice_file: Path, tmp_path: Path) -> None:
    given = ("--face", photo, "--speech", voice_file, "--size", "64")
    figures = json.loads(shell("bench", *METER, "--seconds", "1", *given))
    assert figures["in_process"]["system"] == "meter" and figures["in_process"]["frames"] == 25
    assert "meter" in shell("bench", "--systems", "meter", "--seconds", "4", *given)


def test_it_is_scored_on_real_clips(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name, shift in (("ann", 0.0), ("bob", 9.0)):
        write_face_video(tmp_path / "clips" / f"{name}.mp4", sway(55) + shift, size=(256, 256))
    said = shell("evaluate", "--systems", "meter", "--data", tmp_path / "clips", "-o", tmp_path / "r.json",
                 "--page", tmp_path / "page.md", "--workers", "1")  # fmt: skip
    assert "self-driven" in said and "meter" in said
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["failed"] == 0
    assert list(report["systems"]["cross-driven"]) == ["real video", "still photo", "bare warp", "meter"]
    assert np.isfinite(report["systems"]["self-driven"]["meter"]["picture.psnr.frame"]["mean"])
    track = tmp_path / "track.npz"
    assert "seen in 100.0%" in shell("track", tmp_path / "clips" / "ann.mp4", "-o", track)


def test_no_verb_is_left_out() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    # no system takes part in these; `view` is for those with depth (test_view.py)
    asked = [verb for verb in VERBS if verb not in ("style", "verify", "trust", "consent", "bom", "view")]
    assert [verb for verb in asked if not re.search(rf'shell\(\s*"{verb}"', text)] == []
