from __future__ import annotations

import json
import math

import numpy as np
import pytest

from talkingface.api.evaluation.report import make_report, strict, strict_record, summarise


def test_strict_has_no_number_that_json_lacks() -> None:
    value = {"a": np.array([1.0, np.nan, np.inf]), "b": (np.float32(0.5), np.int64(3), True), "c": -math.inf}
    assert strict(value) == {"a": [1.0, None, None], "b": [0.5, 3, True], "c": None}
    json.dumps(strict(value), allow_nan=False)
    with pytest.raises(TypeError, match="object is no part"):
        strict(object())


def test_an_infinite_figure_is_null_with_a_flag() -> None:
    record = strict_record({"metrics": {"picture.psnr.face": math.inf, "picture.ssim.face": 1.0}})
    assert record == {
        "metrics": {"picture.psnr.face": None, "picture.ssim.face": 1.0},
        "infinite": ["picture.psnr.face"],
    }


def test_the_summary_is_over_the_clips_that_have_a_figure() -> None:
    clips = [
        {"metrics": {"x": 1.0, "p": None}, "infinite": ["p"]},
        {"metrics": {"x": 4.0, "p": 30.0}, "infinite": []},
        {"metrics": {"x": 7.0}, "infinite": []},
        {"metrics": {}, "infinite": []},
    ]
    found = summarise(clips)
    assert found["x"] == {"mean": 4.0, "median": 4.0, "min": 1.0, "max": 7.0, "count": 3, "infinite": 0}
    assert found["p"] == {"mean": 30.0, "median": 30.0, "min": 30.0, "max": 30.0, "count": 1, "infinite": 1}


def test_a_report_defines_its_figures_and_counts_failures() -> None:
    scored = {"status": "scored", "metrics": {"sync.offset_frames": 0.2, "sync.offset_frames.reference": 0.1}}
    clips = [
        {**scored, "gaps": {"picture.fid": "no weights"}, "infinite": []},
        {"status": "failed", "reason": "no face", "metrics": {}, "gaps": {}, "infinite": []},
    ]
    report = make_report(clips)
    assert report["failed"] == 1
    assert set(report["definitions"]) == {"sync.offset_frames", "picture.fid"}
    assert report["definitions"]["sync.offset_frames"]["version"] >= 1
    assert report["summary"]["sync.offset_frames"]["count"] == 1
    assert {"versions", "cores", "processor", "commit", "date"} <= set(report)
    json.dumps(report, allow_nan=False)
