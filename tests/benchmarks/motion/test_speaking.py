"""What the measurements of speech to motion share, and `bench --what mouth`, on made-up clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.motion.mouth import mouth, mouth_rows, score_mouth
from benchmarks.motion.speaking import SpokenClip, aligned, delays, open_speaker, speech_files, spoken_clips
from benchmarks.targets import TargetJob
from clips import write_face_video
from talkingface.face.morphable import load_mesh478
from talkingface.video.write import VideoWriter
from voices import make_voice


def make_clip(measures: np.ndarray, known: bool = False) -> SpokenClip:
    return SpokenClip(
        slug="ann",
        person="ann",
        split="val",
        group="video",
        language="en",
        known=known,
        samples=make_voice(len(measures) / 25),
        measures=measures,
        neutral=np.zeros((478, 3)),
    )


def curves(count: int = 100) -> np.ndarray:
    t = np.arange(count)
    return np.stack([np.sin(t / 3) + 1, np.sin(t / 5) + 2, np.sin(t / 7) + 3], axis=1)


def test_clips_without_sound_are_no_material(tmp_path: Path) -> None:
    (tmp_path / "video2").mkdir()
    (tmp_path / "manifest.csv").write_text(
        "file,kind,slug,split,identity,licence_class,language\n"
        "video2/ann.mp4,video,ann,val,ann,free,de\n"
        "video2/mute.mp4,video,mute,val,bob,free,de\n"
        "video2/old.mp4,video,old,train,ann,free,de\n"
        "hi.flac,speech,hi,val,eve,free,fr\n"
    )
    write_face_video(tmp_path / "video2" / "ann.mp4", np.zeros((12, 2)), size=(192, 192))
    (tmp_path / "video2" / "ann.wav").unlink()
    rgb = np.zeros((64, 64, 3), np.uint8)
    with VideoWriter(tmp_path / "video2" / "mute.mp4", (64, 64), 25, sound=None, synthetic=None) as writer:
        writer.write(rgb)
    job = TargetJob(data=tmp_path)
    (clip,) = spoken_clips(job, load_mesh478(), lambda entry: entry.split == "val")
    assert (clip.slug, clip.group, clip.language, clip.known) == ("ann", "video2", "de", True)
    assert len(clip.measures) == 12 and not clip.long_enough
    assert not list(spoken_clips(job, load_mesh478(), lambda entry: entry.split == "val", language="en"))
    assert [file.slug for file in speech_files(job, language="fr")] == ["hi"] and not speech_files(job, language="en")


def test_a_late_mouth_is_laid_over_the_generated_one() -> None:
    made = curves()
    true = np.roll(made, 4, axis=0)
    assert aligned(made, true[:90])[2] == 4
    score = score_mouth(make_clip(true), 0.5 * made)
    assert score["offset"] == 4 and score["gap0"] == pytest.approx(1, abs=1e-3) and score["gap"] < 0.95
    assert score["gap_movement"] == pytest.approx(0.5, abs=0.01)


def test_rows_are_medians_of_unseen_people_beside_the_targets_of_their_folder() -> None:
    good = score_mouth(make_clip(curves()), curves()) | {"delay": "best"}
    poor = {key: value * 0.5 if isinstance(value, float) else value for key, value in good.items()}
    others = [poor | {"group": "video2"}, poor | {"group": "elsewhere"}, poor | {"own": True}]
    rows = {row.name: row for row in mouth_rows([good, good | {"delay": "low"}, *others])}
    assert rows["video (1 clips), best: correlation of gap"].target == ">= 0.8"
    assert rows["video (1 clips), low: correlation of gap"].target == ">= 0.77"
    assert rows["video2 (1 clips), best: correlation of gap"].met is False
    assert rows["video2 (1 clips), best: movement of gap over the true one"].met is False
    assert rows["video2 (1 clips), best: movement of width over the true one"].met is None
    assert rows["elsewhere (1 clips), best: correlation of jaw"].met is None
    late = good | {"width0": good["width"] - 0.05}
    assert {row.met for row in mouth_rows([late]) if "lag 0" in row.name and "width" in row.name} == {False}


def test_the_shipped_system_is_measured(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "manifest.csv").write_text(
        "file,kind,slug,split,identity,licence_class,language\nvideo/ann.mp4,video,ann,val,ann,free,en\n"
    )
    write_face_video(tmp_path / "video" / "ann.mp4", np.zeros((62, 2)), size=(160, 160))
    found = mouth(TargetJob(data=tmp_path))
    assert len(found.rows) == 9 * len(delays()) and len(found.details["clips"]) == len(delays())
    moves = open_speaker(TargetJob(data=None)).moves(make_voice(1.0))
    assert moves.shape == (25, 478, 3) and np.abs(moves).max() > 0
