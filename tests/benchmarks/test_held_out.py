"""Which avatars of a data folder are measured beside which clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.held_out import fitted_clips
from benchmarks.targets import TargetJob
from talkingface.core.errors import UsageError
from talkingface.core.types import Avatar
from talkingface.core.weights import save_avatar


def _avatar(folder: Path, system: str) -> None:
    tensors = {"a": np.zeros(1, np.float32)}
    save_avatar(folder, Avatar(system=system, card={"system": system, "kind": "clip"}, tensors=tensors))


def test_avatars_of_one_clip_are_found_by_its_name(tmp_path: Path) -> None:
    for name in ("me.mp4", "me-too.mp4"):
        (tmp_path / name).write_bytes(b"")
    _avatar(tmp_path / "me.avatar", "geneface")
    _avatar(tmp_path / "me-too.avatar", "geneface")
    _avatar(tmp_path / "me-headpose.avatar", "headpose")
    found = {fitted.name: fitted for fitted in fitted_clips(TargetJob(data=tmp_path), "geneface")}
    assert set(found) == {"me", "me-too"}
    assert set(found["me"].avatars) == {"geneface", "headpose"} and found["me"].clip == tmp_path / "me.mp4"
    named = TargetJob(data=tmp_path, weights=f"{tmp_path / 'me-too.avatar'}")
    assert [fitted.name for fitted in fitted_clips(named, "geneface")] == ["me-too"]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data"):
        fitted_clips(TargetJob(data=None), "geneface")
    with pytest.raises(UsageError, match="no avatar of geneface"):
        fitted_clips(TargetJob(data=tmp_path), "geneface")
    _avatar(tmp_path / "you.avatar", "geneface")
    with pytest.raises(UsageError, match="no clip you"):
        fitted_clips(TargetJob(data=tmp_path), "geneface")
    with pytest.raises(UsageError, match="is no avatar"):
        fitted_clips(TargetJob(data=tmp_path, weights=str(tmp_path / "gone.avatar")), "geneface")
