from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from talkingface.apps.bench import systems as bench_systems
from talkingface.apps.bench.systems import Load, compare, compare_table, measure_systems, systems_table
from talkingface.apps.cli import main
from talkingface.core.errors import TalkingFaceError, UsageError


@pytest.mark.usefixtures("meter")
def test_each_system_and_size_has_its_row(photo: Path, voice_file: Path) -> None:
    load = Load(seconds=4.0, face=str(photo), speech=str(voice_file), device="cpu")
    figures = measure_systems(["meter"], [64], load)
    (row,) = figures["rows"]
    assert (row["system"], row["size"], row["whole"]["in_process"]["frames"]) == ("meter", 64, 100)
    assert row["short"]["in_process"]["frames"] == 25
    assert row["real_time_factor"] == pytest.approx(row["whole"]["command_s"] / 4, abs=1e-3)
    assert row["growth"]["s_per_s"] == pytest.approx(
        (row["whole"]["command_s"] - row["short"]["command_s"]) / 3, abs=1e-3
    )
    assert row["stages"]["frames"] == 100 and min(row["stages"].values()) >= 0
    assert "meter" in systems_table(figures)


def _by_turns(monkeypatch: pytest.MonkeyPatch, seconds: Sequence[tuple[float, float]]) -> list[str]:
    """Let the runs of A and B take these seconds; returns who ran, in order."""
    order: list[str] = []

    def take(command: Sequence[str], output: Path) -> float:
        who = "B" if command[0] == "other" else "A"
        order.append(who)
        return seconds[(len(order) - 1) // 2][who == "B"]

    monkeypatch.setattr(bench_systems, "_time", take)
    return order


def test_two_programs_run_by_turns_and_the_ratio_has_its_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    order = _by_turns(monkeypatch, [(9.0, 1.0), (1.0, 2.0), (2.0, 4.0), (1.0, 2.0), (3.0, 6.0)])
    figures = compare("other {face} {speech} -o {output}", 64, 4, Load(seconds=1.0), None)
    assert "".join(order) == "ABBAABBAAB"
    assert figures["ratio"] == 2 and figures["interval"] == [2, 2]  # the first pair only warms up
    assert "2.000 times" in compare_table(figures)


def test_the_interval_is_students(monkeypatch: pytest.MonkeyPatch) -> None:
    ratios = np.array([1.0, 1.2, 0.9, 1.1])
    _by_turns(monkeypatch, [(1.0, 1.0), *((1.0, float(r)) for r in ratios)])
    figures = compare("other {output}", 64, 4, Load(seconds=1.0), None)
    room = 3.182446 * np.log(ratios).std(ddof=1) / 2  # t of 97.5 %, 3 degrees of freedom, from a table
    expected = np.exp(np.log(ratios).mean() + np.array([-room, room]))
    assert figures["interval"] == pytest.approx(expected.tolist(), abs=2e-4)


@pytest.mark.usefixtures("meter")
def test_a_real_command_is_run(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "other.py"
    script.write_text("import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(b'x')")
    load = Load(seconds=0.5, face=str(photo), speech=str(voice_file), device="cpu")
    figures = compare(f"{sys.executable} {script} {{output}}", 64, 3, load, "meter")
    assert figures["ratio"] < 1 and len(figures["a_s"]) == len(figures["b_s"]) == 3
    with pytest.raises(TalkingFaceError, match="made no out.mp4"):
        compare(f"{sys.executable} -c pass {{output}}", 64, 3, load, "meter")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--compare", "other {face}"], "must name {output}"),
        (["--compare", "other {output}", "--pairs", "2"], "at least 3 pairs"),
        (["--compare", "other {output}", "--sizes", "64"], "not lists"),
        (["--sizes", "big"], "whole numbers"),
        (["--systems", "portrait", "--seconds", "1"], "at least 4 s"),
        (["--systems", ","], "names no system"),
        (["--seconds", "0"], "seconds must be between 0.1 and 86400, not 0.0"),
        (["--seconds", "nan"], "seconds must be between"),
        (["--size", "10"], "size must be a whole number between 64 and 8192, not 10"),
        (["--sizes", "256,9"], "size must be a whole number"),
        (["--compare", "other {output}", "--seconds", "-1"], "seconds must be between"),
        (["--what", "speed", "--limit", "0"], "limit must be a whole number at least 1"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == UsageError.exit_code
    assert words in capsys.readouterr().err
