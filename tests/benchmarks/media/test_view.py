"""Pictures a second of the page that shows an avatar from all around."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.media.view import measure, view
from benchmarks.targets import TargetJob
from talkingface.core.errors import UsageError


def test_pictures_that_arrive_are_counted(globe: Path) -> None:
    found = measure(str(globe), 128, seconds=0.5)
    assert found["frames_per_s"] > 5
    assert 0 < found["draw_p50_ms"] < 1000 / 5 and found["jpeg_kb"] > 0.5


def test_without_an_avatar_it_says_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.media.view.list_weights", list)  # a store without avatars
    with pytest.raises(UsageError, match="--weights"):
        view(TargetJob(data=None))
