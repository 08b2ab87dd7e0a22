"""Items that wait in a temporary file, or in memory where there is no room."""

from __future__ import annotations

import tempfile

import pytest

from talkingface.core.errors import TalkingFaceWarning
from talkingface.core.spool import Spool

ITEMS = [bytes([number]) * 1000 for number in range(20)]


def test_items_come_back_in_any_order() -> None:
    with Spool() as spool:
        for item in ITEMS:
            spool.append(item)
        assert len(spool) == 20 and [spool[k] for k in (7, 0, 19)] == [ITEMS[7], ITEMS[0], ITEMS[19]]
        spool.append(b"more")
        assert spool[20] == b"more" and spool[7] == ITEMS[7]


def test_without_a_folder_they_stay_in_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.warns(TalkingFaceWarning, match="set TMPDIR"), Spool() as spool:
        spool.append(b"1")
        assert spool[0] == b"1"


def test_on_a_full_disk_the_rest_stays_in_memory() -> None:
    """A limit on file size makes the operating system itself refuse."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_500, hard))
    try:
        with pytest.warns(TalkingFaceWarning, match="held in memory") as warned, Spool() as spool:
            for item in ITEMS:
                spool.append(item)
            assert [spool[k] for k in range(20)] == ITEMS
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(warned) == 1
