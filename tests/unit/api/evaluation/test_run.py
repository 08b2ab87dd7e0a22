from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from talkingface.api.evaluation import run
from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.run import record_key, run_pairs
from talkingface.core.errors import FaceError
from talkingface.metrics import definitions


def _pairs(folder: Path, *names: str) -> list[Pair]:
    for name in names:
        (folder / f"{name}.mp4").write_bytes(name.encode())
    return [Pair(name=name, generated=folder / f"{name}.mp4") for name in names]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pairs that were scored; one called "bad" has no face, one called "broken" shows a fault of ours."""
    seen: list[str] = []

    def score(pair: Pair, threads: int) -> dict:
        seen.append(pair.name)
        if pair.name == "bad":
            raise FaceError("no face in it")
        if pair.name == "broken":
            raise ZeroDivisionError("oh")
        return {"metrics": {"x": 1.0}, "gaps": {}, "per_frame": {}}

    monkeypatch.setattr("talkingface.api.evaluation.score.pair.score_pair", score)
    return seen


def test_bad_pairs_become_rows_with_a_reason(tmp_path: Path, calls: list[str]) -> None:
    pairs = [*_pairs(tmp_path, "good", "bad", "broken"), Pair(name="lost", generated=None, problem="no partner")]
    records = run_pairs(pairs, tmp_path, workers=1)
    assert [(r["name"], r["status"], r.get("reason")) for r in records] == [
        ("good", "scored", None),
        ("bad", "failed", "no face in it"),
        ("broken", "failed", "unexpected ZeroDivisionError: oh"),
        ("lost", "failed", "no partner"),
    ]


def test_finished_clips_are_not_scored_again(tmp_path: Path, calls: list[str]) -> None:
    pairs = _pairs(tmp_path, "a", "bad", "b")
    first = run_pairs(pairs, tmp_path / "work", workers=1)
    (tmp_path / "b.mp4").rename(tmp_path / "c.mp4")
    calls.clear()
    renamed = [pairs[0], pairs[1], Pair(name="c", generated=tmp_path / "c.mp4")]
    again = run_pairs(renamed, tmp_path / "work", workers=1)
    assert calls == ["bad"]  # what failed is tried again, what only got another name is not
    assert again[0] == first[0]
    assert (again[2]["name"], again[2]["generated"]) == ("c", str(tmp_path / "c.mp4"))


def test_a_changed_input_or_definition_is_scored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pair,) = _pairs(tmp_path, "a")
    keys = [record_key(pair), record_key(replace(pair, sound_track=1))]
    (tmp_path / "a.mp4").write_bytes(b"other")
    keys.append(record_key(pair))
    monkeypatch.setitem(definitions.VERSIONS, "picture.ssim.face", 99)
    keys.append(record_key(pair))
    assert len(set(keys)) == 4


def test_a_damaged_record_is_made_again(tmp_path: Path, calls: list[str]) -> None:
    pairs = _pairs(tmp_path, "a")
    run_pairs(pairs, tmp_path, workers=1)
    (tmp_path / f"{record_key(pairs[0])}.json").write_text("{")
    assert run_pairs(pairs, tmp_path, workers=1)[0]["status"] == "scored"
    assert calls == ["a", "a"]


WORKER = """
import json, os, signal, sys
for line in sys.stdin:
    job = json.loads(line)
    if job["name"] == "hungry":
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps({"name": job["name"], "status": "scored", "metrics": {}, "pid": os.getpid()}), flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed with SIGKILL")
def test_a_killed_worker_costs_only_its_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    original = run.subprocess.Popen
    monkeypatch.setattr(
        run.subprocess,
        "Popen",
        lambda command, **options: original([sys.executable, str(script)], **options),
    )
    records = run_pairs(_pairs(tmp_path, "a", "hungry", "b", "c"), tmp_path, workers=2)
    assert [r["status"] for r in records] == ["scored", "failed", "scored", "scored"]
    assert "killed" in records[1]["reason"]
    assert all(r.get("pid") != os.getpid() for r in records)


def test_workers_score_without_running_the_callers_script(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    records = run_pairs(_pairs(tmp_path, "a", "b"), tmp_path / "work", workers=2)
    assert [r["status"] for r in records] == ["failed", "failed"]
    assert all("cannot be read" in r["reason"] for r in records)
    json.dumps(records, allow_nan=False)
