from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from clips import sway, write_face_video
from talkingface.apps.cli import main
from talkingface.apps.evaluation.html import worst_frames
from talkingface.apps.evaluation.plots import Line, plot
from talkingface.apps.evaluation.table import figure_tables, shown
from talkingface.core.errors import InputError


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    return write_face_video(folder / "made.mp4", sway() + (2, 0), quality=35), write_face_video(folder / "real.mp4")


def test_one_pair_gives_table_report_and_page(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = pair
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    assert main(["evaluate", str(made), "--reference", str(real), "-o", str(report), "--html", str(page)]) == 0
    found = json.loads(report.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    (clip,) = found["clips"]
    assert clip["status"] == "scored" and found["failed"] == 0
    assert 20 < clip["metrics"]["picture.psnr.face"] < 45
    assert found["summary"]["picture.ssim.mouth"]["mean"] == clip["metrics"]["picture.ssim.mouth"]
    assert re.search(r"picture\.psnr\.face +\d", capsys.readouterr().out)
    text = page.read_text()
    assert not re.search(r"(src|href)=['\"](?!data:)", text) and "url(" not in text  # nothing is loaded from elsewhere
    shown_frames = text.count("<figure>")  # in so short a clip two or three lie far enough apart
    assert shown_frames >= 2 and text.count("data:image/jpeg;base64,") == 2 * shown_frames  # generated and reference
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) >= 6
    for drawing in drawings:
        ElementTree.fromstring(drawing)


def test_bad_pairs_are_rows_and_the_exit_code_says_so(
    pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = pair
    (tmp_path / "list.csv").write_text(f"name,generated,reference\ngood,{made},{real}\nbad,{tmp_path}/no.mp4,{real}\n")
    command = ["evaluate", str(tmp_path / "list.csv"), "-o", str(tmp_path / "r.json"), "--workers", "1"]
    assert main(command) == InputError.exit_code
    assert "not scored: bad: there is no file" in capsys.readouterr().err
    clips = {clip["name"]: clip["status"] for clip in json.loads((tmp_path / "r.json").read_text())["clips"]}
    assert clips == {"good": "scored", "bad": "failed"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a video or a folder"),
        (["a.mp4", "--systems", "portrait", "--data", "x"], "leave out the video"),
        (["--systems", "portrait"], "needs --data"),
        (["a.mp4", "--limit", "3"], "go with --systems"),
        (["missing.mp4"], "there is no file missing.mp4"),
        (["a.mp4", "--workers", "0"], "workers must be a whole number at least 1, not 0"),
        (["--systems", "portrait", "--data", "x", "--limit", "-1"], "limit must be a whole number at least 1, not -1"),
    ],
)
def test_what_does_not_fit_together_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *arguments, "-o", str(tmp_path / "r.json")]) != 0
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error


def test_plots_have_gaps_where_values_have() -> None:
    line = Line(label="x", values=[0.0, 1.0, None, 2.0, 3.0], style="made")
    drawing = ElementTree.fromstring(plot("title", [line], 25))
    (path,) = [item for item in drawing.iter("path") if "M" in item.get("d", "")[1:]]
    assert path.get("d", "").count("M") == 2
    assert plot("title", [Line(label="x", values=[None], style="made")], 25) == ""


def test_what_is_measured_now_and_then_is_a_line_all_the_same() -> None:
    values: list[float | None] = [0.1 * k if k % 3 == 0 and not 12 <= k < 24 else None for k in range(40)]
    drawing = ElementTree.fromstring(plot("x", [Line(label="x", values=values, style="made")], 25))
    path = next(item.get("d", "") for item in drawing.iter("path") if item.get("d", "").count(",") > 2)
    assert path.count("M") == 2 and path.count(",") == sum(value is not None for value in values)
    alone = plot("x", [Line(label="x", values=[None, 2.0, None], style="made")], 25)
    assert "h0" in alone  # a dot


def test_long_clips_are_drawn_with_as_many_points_as_can_be_seen() -> None:
    values = [float(k % 7) for k in range(20000)]
    assert len(plot("x", [Line(label="x", values=values, style="made")], 25)) < 40_000


def test_a_plot_of_a_flat_line_has_a_scale() -> None:
    assert "nan" not in plot("flat", [Line(label="x", values=[1.0] * 30, style="made")], 25)


def test_the_scale_has_round_numbers() -> None:
    drawing = plot("x", [Line(label="x", values=[0.013, 0.17], style="made")], 25)
    numbers = re.findall(r'text-anchor="end">([^<]+)<', drawing)
    assert numbers == ["0.05", "0.1", "0.15"]


def test_worst_frames_lie_apart_and_are_the_worst() -> None:
    errors: list[float | None] = [0.1] * 100
    errors[40], errors[41], errors[80], errors[5], errors[7] = 0.9, 0.8, 0.7, None, 0.3
    clip = {"fps": 25, "per_frame": {"landmarks.lmd_aligned": errors}}
    assert worst_frames(clip) == ("landmarks.lmd_aligned", [7, 40, 80])
    ssim: list[float | None] = [0.9] * 50
    ssim[20] = 0.1
    key, frames = worst_frames({"fps": 25, "per_frame": {"picture.ssim.mouth": ssim}})
    assert key == "picture.ssim.mouth" and 20 in frames


def test_identical_videos_have_no_worst_frame() -> None:
    rows = {"landmarks.lmd_aligned": [0.0] * 50, "picture.ssim.mouth": [1.0] * 50, "motion.warp_error": [0.1, 0.2] * 25}
    assert worst_frames({"fps": 25, "per_frame": rows})[1] == []
    assert worst_frames({"fps": 25, "per_frame": {}}) == ("", [])


def test_figures_are_shown_in_few_digits() -> None:
    assert [shown(v) for v in (None, float("inf"), 0.123456, 12345.6, 1234567.0)] == [
        "-", "infinite", "0.1235", "1.235e+04", "1234567",
    ]  # fmt: skip


def test_a_row_for_each_figure_and_a_column_for_each_system() -> None:
    summary = {"mean": 0.5, "median": 0.5, "min": 0.1, "max": 0.9, "count": 2, "infinite": 0}
    infinite = {**summary, "mean": None, "count": 0, "infinite": 2}
    report = {
        "systems": {
            "self-driven": {"real video": {"picture.psnr.face": infinite}, "portrait": {"leak.silence": summary}}
        },
        "definitions": {},
    }
    (table,) = figure_tables(report)
    assert table.head[:3] == ("figure, mean", "real video", "portrait")
    assert [row[:3] for row in table.rows] == [("leak.silence", "-", "0.5"), ("picture.psnr.face", "infinite", "-")]
    assert table.markdown().splitlines()[1].startswith("| --- | ---: |")
