from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from clips import FRAMES, sway, write_face_video
from faces import sample_points
from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.score.pair import score_pair
from talkingface.api.evaluation.subject import Subject, check_comparable, read_subject
from talkingface.core.errors import FaceError, InputError, SpeechError, UsageError
from talkingface.metrics.definitions import DEFINITIONS
from talkingface.video.write import VideoWriter


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_video(tmp_path_factory.mktemp("videos") / "real.mp4")


def test_identical_videos(video: Path) -> None:
    found = score_pair(Pair(name="same", generated=video, reference=video))
    figures = found["metrics"]
    for place in ("frame", "face", "mouth"):
        assert figures[f"picture.psnr.{place}"] == np.inf
        assert figures[f"picture.ssim.{place}"] == figures[f"picture.ms_ssim.{place}"] == 1
        assert figures[f"picture.gradient_error.{place}"] == 0
    for name in ("lmd_mouth_512", "lmd_face_512", "lmd_256", "lmd_aligned", "lve"):
        assert figures[f"landmarks.{name}"] == pytest.approx(0, abs=1e-6)
    assert figures["mouth.correlation_lag0.gap"] == pytest.approx(1)
    assert [figures[f"mouth.{name}_ratio"] for name in ("gap", "width", "jaw")] == pytest.approx([1, 1, 1])
    (minute,) = found["minutes"]
    assert minute["start_s"] == 0 and abs(minute["correlation"]) <= 1
    assert figures["mouth.lag.gap"] == figures["mouth.mean_gap_error"] == 0
    assert figures["pose.error"] == pytest.approx(0, abs=1e-4)
    assert figures["speech.mouth_motion_ratio"] == pytest.approx(1)
    assert figures["track.seen_share"] == 1
    assert found["frames"] == FRAMES and found["excess_s"]["reference"] == 0


def test_every_figure_is_defined_and_none_is_silently_missing(video: Path) -> None:
    found = score_pair(Pair(name="same", generated=video, reference=video))
    keys = {key.removesuffix(".reference") for key in (*found["metrics"], *found["gaps"])}
    assert keys <= set(DEFINITIONS)
    assert all(key.startswith("leak.") for key in set(DEFINITIONS) - keys)
    assert not set(found["metrics"]) & set(found["gaps"])
    assert all(len(rows) == FRAMES for rows in found["per_frame"].values())


def test_the_number_of_threads_changes_nothing(video: Path, tmp_path: Path) -> None:
    pair = Pair(name="x", generated=write_face_video(tmp_path / "x.mp4", quality=35), reference=video)
    one, two = score_pair(pair, threads=1), score_pair(pair, threads=2)
    assert one["metrics"] == two["metrics"]


def test_a_sound_track_that_is_not_there_is_said(video: Path) -> None:
    with pytest.raises(SpeechError, match="no sound track 3"):
        score_pair(Pair(name="x", generated=video, sound_track=3))
    assert score_pair(Pair(name="x", generated=video, sound_track=0))["duration_s"].keys() == {"generated", "speech"}


def test_a_known_shift_is_measured_as_such(video: Path, tmp_path: Path) -> None:
    moved = write_face_video(tmp_path / "moved.mp4", sway() + (4, 0))
    figures = score_pair(Pair(name="moved", generated=moved, reference=video))["metrics"]
    span = np.ptp(sample_points()[:, :2], axis=0).max()
    assert figures["landmarks.lmd_256"] == pytest.approx(4 * 256 / (1.3 * span), rel=0.15)
    assert figures["landmarks.lmd_mouth_512"] < 1
    assert figures["pose.error"] < 1
    assert figures["picture.ssim.face"] < 0.95
    assert np.isfinite(figures["picture.psnr.face"])


def test_other_rates_sizes_and_lengths_are_brought_together(video: Path, tmp_path: Path) -> None:
    longer = write_face_video(tmp_path / "longer.mp4", sway(100), fps=50, size=(240, 240))
    found = score_pair(Pair(name="x", generated=longer, reference=video))
    assert found["frames"] == FRAMES
    assert found["excess_s"]["generated"] == pytest.approx(2.0 - 1.2, abs=0.05)
    assert found["source_fps"] == {"generated": 50.0, "reference": 25.0}


def test_without_a_reference_gaps_say_so(video: Path) -> None:
    found = score_pair(Pair(name="alone", generated=video))
    assert found["gaps"]["picture.psnr.face"] == found["gaps"]["landmarks.lmd_aligned"] == "no reference given"
    assert "sync.mouth_correlation" in found["metrics"]
    assert not any(key.startswith("picture.psnr") for key in found["metrics"])


def test_silent_videos_have_no_synchrony(tmp_path: Path) -> None:
    from faces import sample_picture

    picture = sample_picture()[:360, :240]
    with VideoWriter(tmp_path / "silent.mp4", (picture.shape[1], picture.shape[0]), 25, synthetic=None) as writer:
        for _ in range(FRAMES):
            writer.write(picture)
    found = score_pair(Pair(name="silent", generated=tmp_path / "silent.mp4"))
    assert found["gaps"]["sync.offset_frames"] == "there is no sound"
    assert found["metrics"]["motion.still_share"] > 0.5


def test_what_is_no_talking_video_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(InputError, match="is a photo"):
        read_subject(tmp_path / "photo.png", "reference")
    with VideoWriter(tmp_path / "grey.mp4", (128, 128), 25, synthetic=None) as writer:
        for _ in range(30):
            writer.write(np.full((128, 128, 3), 128, np.uint8))
    with pytest.raises(FaceError, match="the reference grey.mp4"):
        read_subject(tmp_path / "grey.mp4", "reference")


def _subject(count: int = 30, size: tuple[int, int] = (200, 200), shift: float = 0.0, scale: float = 1.0) -> Subject:
    points = sample_points() * scale + (shift, 0, 0)
    return Subject(
        path=Path("x.mp4"), points=np.repeat(points[None], count, axis=0).astype(np.float32),
        seen=np.ones(count, bool), size=size, fps=Fraction(25), duration_s=count / 25,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("generated", "words"),
    [
        (_subject(count=20), "overlap for only 0.80 s"),
        (_subject(size=(200, 150)), "other shapes"),
        (_subject(shift=200.0), "framed differently"),
        (_subject(scale=3.0), "framed differently"),
    ],
)
def test_videos_that_cannot_be_compared_are_refused(generated: Subject, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_comparable(generated, _subject())


def test_videos_that_differ_in_size_only_can_be_compared() -> None:
    check_comparable(_subject(size=(400, 400), scale=2.0), _subject())
