"""The ledger: a payload leads to the manifest, from any thread or process; without it work goes on."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from talkingface.core.errors import TalkingFaceWarning
from talkingface.trust.ledger import find_results, ledger_file, note_result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TALKINGFACE_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def test_a_payload_finds_its_manifest(tmp_path: Path) -> None:
    payload = (1 << 48) - 1
    assert find_results(payload) == [] and not ledger_file().exists()
    note_result(payload, "job", tmp_path / "a.mp4", b"one")
    note_result(payload, "job", tmp_path / "a.mp4", b"two")
    note_result(payload - 1, "other", tmp_path / "b.mp4", b"three")
    (found,) = find_results(payload)
    assert (found.job, found.file, found.manifest) == ("job", str(tmp_path / "a.mp4"), b"two")
    assert found.made.endswith("+00:00")
    if sys.platform != "win32":
        assert stat.S_IMODE(ledger_file().stat().st_mode) == 0o600


def test_processes_write_at_the_same_time() -> None:
    code = "import sys; from pathlib import Path; from talkingface.trust.ledger import note_result\n" \
           "for k in range(20): note_result(7, 'job', Path(f'{sys.argv[1]}-{k}.mp4'), b'x')"  # fmt: skip
    running = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    assert len(find_results(7)) == 60


def test_a_ledger_that_cannot_be_used_is_a_note(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (folder / "ledger.sqlite").write_bytes(b"no database" * 100)
    with pytest.warns(TalkingFaceWarning, match="the ledger of results cannot be used"):
        note_result(1, "job", tmp_path / "a.mp4", b"")
    assert find_results(1) == []


def test_nor_is_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TALKINGFACE_STATE", str(tmp_path / "file"))
    with pytest.warns(TalkingFaceWarning, match="TALKINGFACE_STATE names another"):
        note_result(1, "job", tmp_path / "a.mp4", b"")
