from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from talkingface.api.evaluation import generate, systems
from talkingface.api.evaluation.generate import (
    RealClip,
    Speaker,
    Task,
    make_once,
    real_clips,
    silence_like,
    still_photo,
)
from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.subject import Subject
from talkingface.api.evaluation.systems import evaluate_systems
from talkingface.core.errors import FaceError, InputError, UsageError
from talkingface.core.weights import find_weights
from talkingface.metrics.mouth import LOWER_LIP
from talkingface.training.prepare import ClipEntry
from talkingface.video.image import write_image
from talkingface.video.read import probe
from voices import make_voice, write_wav

SECONDS, FRAMES = 6.0, 150


def _clip(folder: Path, name: str, person: str) -> RealClip:
    write_image(folder / f"{name}.png", np.full((48, 64, 3), 90, np.uint8))
    write_wav(folder / f"{name}.wav", make_voice(SECONDS, seed=len(name)))
    for suffix in ("mp4", "orig.mp4"):
        (folder / f"{name}.{suffix}").write_bytes(name.encode())
    return RealClip(
        name=name, person=person, original=folder / f"{name}.orig.mp4", video=folder / f"{name}.mp4",
        sound=folder / f"{name}.wav", photo=folder / f"{name}.png",
    )  # fmt: skip


def _gap(name: str) -> np.ndarray:
    """The mouth of a clip's person: its own for each name."""
    noise = np.random.default_rng(len(name)).normal(size=FRAMES + 20)
    return 0.1 + 0.03 * np.convolve(noise, np.ones(5) / 5, "same")[:FRAMES]


def _points(gap: np.ndarray) -> np.ndarray:
    points = np.zeros((len(gap), 478, 3), np.float32)
    points[:, 263, 0] = 100
    points[:, list(LOWER_LIP), 1] = 100 * gap[:, None]
    return points


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Three clips of two people, and a system that "leaks": its mouth moves as its clip's does, whatever it is told."""
    clips = [_clip(tmp_path, "anna", "a"), _clip(tmp_path, "anna-two", "a"), _clip(tmp_path, "bert", "b")]
    tasks: list[tuple[str, Task]] = []

    def make(self: Speaker, task: Task, path: Path) -> None:
        if task.face.name == "anna-two" and self.baseline is None:
            raise FaceError("no face found")
        tasks.append(("warp" if self.baseline else "painted", task))
        path.write_text(task.face.name)

    def score(pairs: list[Pair], work: Path, workers: int | None) -> list[dict[str, Any]]:
        records = []
        for pair in pairs:
            base = {"name": pair.name, "gaps": {}, "infinite": [], "metrics": {}}
            if pair.problem is not None:
                records.append({**base, "status": "failed", "reason": pair.problem})
                continue
            who = Path(str(pair.speech)).stem
            mouth = _gap(who)
            rows = {"mouth.mean_gap": mouth, "mouth.width": mouth, "mouth.jaw": mouth, "mouth.gap.reference": mouth}
            metrics = {"mouth.mean_gap": float(mouth.mean())}
            rows["speech.envelope"] = mouth * 100 - 60
            rows = {key: values.tolist() for key, values in rows.items()}
            records.append({**base, "status": "scored", "metrics": metrics, "per_frame": rows})
        return records

    def read(path: Path, role: str) -> Subject:
        points = _points(_gap(path.read_text()))
        return Subject(path=path, points=points, seen=np.ones(len(points), bool), size=(64, 48), fps=Fraction(25),
                       duration_s=SECONDS)  # fmt: skip

    monkeypatch.setattr(Speaker, "__call__", make)
    monkeypatch.setattr(Speaker, "identity", lambda self: "x-warp" if self.baseline else "x")
    monkeypatch.setattr(systems, "real_clips", lambda data, work, limit: (clips, ["dora: no sound"]))
    monkeypatch.setattr(systems, "run_pairs", score)
    monkeypatch.setattr(systems, "read_subject", read)
    monkeypatch.setattr(systems, "still_photo", lambda task, path: path.write_text("still"))
    return {"tasks": tasks, "report": evaluate_systems(["portrait"], tmp_path, tmp_path / "r.json")}


def test_every_protocol_has_ceiling_floors_and_system(stage: dict[str, Any], tmp_path: Path) -> None:
    report = stage["report"]
    assert json.loads((tmp_path / "r.json").read_text()) == report
    for protocol in ("self-driven", "cross-driven"):
        assert list(report["systems"][protocol]) == ["real video", "still photo", "bare warp", "portrait"]
    counts = {row: found["mouth.mean_gap"]["count"] for row, found in report["systems"]["self-driven"].items()}
    assert counts == {"real video": 3, "still photo": 3, "bare warp": 3, "portrait": 2}
    assert report["data"] == {
        "folder": str(tmp_path), "clips": ["anna", "anna-two", "bert"], "skipped": ["dora: no sound"]
    }  # fmt: skip


def test_a_system_that_makes_no_video_is_a_row_with_the_reason(stage: dict[str, Any]) -> None:
    failures = [clip for clip in stage["report"]["clips"] if clip["status"] == "failed"]
    assert [(f["system"], f["protocol"]) for f in failures] == [
        ("portrait", "self-driven"), ("portrait", "cross-driven"),
    ]  # fmt: skip
    assert "no face found" in failures[0]["reason"]


def test_cross_driven_means_another_persons_sound_and_mouth(stage: dict[str, Any]) -> None:
    crossed = [clip for clip in stage["report"]["clips"] if clip["protocol"] == "cross-driven"]
    speakers = {
        (clip["name"].rpartition(", ")[2], clip["speaker"]) for clip in crossed if clip["system"] != "real video"
    }
    assert speakers == {("anna", "bert"), ("anna-two", "bert"), ("bert", "anna")}
    found = stage["report"]["systems"]["cross-driven"]["portrait"]["mouth.correlation.gap"]
    assert found["mean"] == 1  # its mouth moves as that of the one who said it
    assert not any(
        task.own_pose for kind, task in stage["tasks"] if task.sound.stem != task.face.name and kind == "warp"
    )


def test_a_mouth_that_moves_without_its_speech_leaks(stage: dict[str, Any]) -> None:
    rows = stage["report"]["systems"]["self-driven"]
    assert rows["portrait"]["leak.silence"]["min"] > 0.3
    assert rows["portrait"]["leak.other_speech"]["min"] > 0.3
    assert rows["portrait"]["leak.silence_envelope"]["min"] > 0.3
    assert rows["portrait"]["leak.other_speech_envelope"]["min"] > 0.3
    assert "leak.silence" not in rows["still photo"] and "leak.silence" not in rows["bare warp"]
    silent = [task for kind, task in stage["tasks"] if task.sound.name.startswith("silence")]
    assert silent and all(task.own_pose for task in silent)


def test_people_come_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(slug: str, person: str) -> ClipEntry:
        return ClipEntry(
            slug=slug, path=tmp_path, sound=tmp_path, split="val", identity=person, licence_class=""
        )  # fmt: skip

    entries = [
        entry("a1", "a"),
        entry("a2", "a"),
        entry("a3", "a"),
        entry("b1", "b"),
        entry("c1", "c"),
        entry("b2", "b"),
    ]

    def prepare(found: ClipEntry, work: Path) -> RealClip:
        if found.slug == "c1":
            raise InputError("no sound")
        return _clip(tmp_path, found.slug, found.identity)

    monkeypatch.setattr(generate, "_entries", lambda data: entries)
    monkeypatch.setattr(generate, "_prepare", prepare)
    clips, skipped = real_clips(tmp_path, tmp_path, 3)
    assert [clip.name for clip in clips] == ["a1", "b1", "a2"]
    assert skipped == ["c1: no sound"]
    with pytest.raises(InputError, match="fewer than two people"):
        real_clips(tmp_path, tmp_path, 1)


def test_videos_are_made_once_and_again_for_other_sounds(tmp_path: Path) -> None:
    clip = _clip(tmp_path, "anna", "a")
    made: list[Path] = []

    def maker(task: Task, path: Path) -> None:
        made.append(path)
        path.write_bytes(b"x")

    own = Task(face=clip, sound=clip.sound, own_pose=True)
    other = Task(face=clip, sound=silence_like(clip.sound, tmp_path), own_pose=True)
    paths = [make_once(maker, "x", task, tmp_path) for task in (own, own, other)]
    assert paths[0] == paths[1] != paths[2] and len(made) == 2


def test_the_still_photo_lasts_as_long_as_the_sound(tmp_path: Path) -> None:
    clip = _clip(tmp_path, "anna", "a")
    still_photo(Task(face=clip, sound=clip.sound, own_pose=True), tmp_path / "still.mp4")
    info = probe(tmp_path / "still.mp4")
    assert (info.num_frames, info.size, info.has_audio) == (FRAMES, (64, 48), True)


def test_systems_and_weights_are_named_alike() -> None:
    assert Speaker.named("portrait") == Speaker("portrait", None)
    assert Speaker.named("portrait.clean") == Speaker("portrait", "portrait.clean")
    folder = str(find_weights("portrait.clean").folder)
    assert Speaker.named(folder) == Speaker("portrait", folder)
    with pytest.raises(UsageError, match="portrait"):
        Speaker.named("portrat")
