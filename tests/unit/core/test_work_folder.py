"""Work folders: one holder at a time, free after any end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from talkingface.core.errors import OutputError, UsageError
from talkingface.core.work_folder import WorkFolder, check_free


def test_a_second_holder_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "work", "the video x.mp4") as work:
        (work.path / "piece").write_text("1")
        for refused in (WorkFolder, check_free):
            with pytest.raises(UsageError, match="the video x.mp4 is being made by another run"):
                refused(tmp_path / "work", "the video x.mp4")
    assert os.listdir(tmp_path / "work") == ["piece"]
    check_free(tmp_path / "work", "it")
    WorkFolder(tmp_path / "work", "it").close()


def test_an_empty_folder_goes_whatever_ends_the_work(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "a", "it")
    assert os.listdir(tmp_path) == ["a"]
    del work
    assert os.listdir(tmp_path) == []
    with pytest.raises(KeyboardInterrupt), WorkFolder(tmp_path / "a", "it"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
    check_free(tmp_path / "a", "it")
    assert os.listdir(tmp_path) == []


def test_folders_without_files_in_them_go_too(tmp_path: Path) -> None:
    for name, left in (("", []), ("piece", ["a"])):
        with WorkFolder(tmp_path / "a", "it") as work:
            (work.path / "prepared" / "clips").mkdir(parents=True)
            if name:
                (work.path / name).touch()
        assert os.listdir(tmp_path) == left


def test_a_killed_process_leaves_the_folder_free(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom talkingface.core.work_folder import WorkFolder\n"
        "work = WorkFolder(sys.argv[1], 'it')\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "work")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UsageError):
            WorkFolder(tmp_path / "work", "it")
        process.kill()
    assert os.listdir(tmp_path / "work") != []
    WorkFolder(tmp_path / "work", "it").close()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_does_not_free_the_folder_of_its_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom talkingface.core.work_folder import WorkFolder, LOCK_NAME\n"
        "work = WorkFolder(sys.argv[1], 'it')\n"
        "if os.fork() == 0:\n    sys.exit()\n"
        "os.wait()\nassert (work.path / LOCK_NAME).exists()\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "work")]).returncode == 0
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="create it first"):
        WorkFolder(tmp_path / "file" / "work", "it")
    if os.path.isdir("/proc"):
        with pytest.raises(OutputError, match="cannot write"):
            WorkFolder("/proc/none/work", "it")


def test_many_processes_hold_it_one_after_the_other(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom talkingface.core.errors import UsageError\n"
        "from talkingface.core.work_folder import WorkFolder\n"
        "for _ in range(200):\n"
        "    try:\n"
        "        with WorkFolder(sys.argv[1], 'it') as work:\n"
        "            os.mkdir(work.path / 'mine')\n"  # fails if two hold it
        "            os.rmdir(work.path / 'mine')\n"
        "    except UsageError:\n        pass\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "work")]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert os.listdir(tmp_path) == []
