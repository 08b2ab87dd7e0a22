"""Compiled functions on hosts where nothing can be kept, tried with a folder of code of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import numpy as np
from numba import types
from talkingface.core.kernels import kernel

@kernel(types.int64(types.int64))
def twice(x):
    return 2 * x
"""
MAIN = (
    "import sys\nfrom concurrent.futures import ThreadPoolExecutor\nsys.path.insert(0, sys.argv[1])\n"
    "from code_of_ours import twice\n"
    "with ThreadPoolExecutor(4) as pool:\n    assert list(pool.map(twice, range(4))) == [0, 2, 4, 6]\n"
)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder with a compiled function, in which nobody can keep anything."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "code_of_ours.py").write_text(CODE)
    (folder / "__pycache__").write_text("")  # also root cannot write in a file
    return folder


def run(code: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME")}
    env = {**kept, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run([sys.executable, "-c", MAIN, str(code)], env=env, capture_output=True, text=True, cwd=code)
    assert done.returncode == 0, done.stderr
    return done.stderr


def kept(folder: Path) -> int:
    return len(list(folder.rglob("*.nbc")))


def test_it_is_kept_in_the_first_folder_that_can_be_written(code: Path, tmp_path: Path) -> None:
    assert run(code, HOME=str(tmp_path / "home"), TALKINGFACE_CACHE=str(tmp_path / "cache")) == ""
    assert kept(tmp_path / "home") == 1
    assert run(code, HOME="/dev/null", TALKINGFACE_CACHE=str(tmp_path / "cache")) == ""
    assert kept(tmp_path / "cache") == 1
    assert run(code, HOME="/dev/null", NUMBA_CACHE_DIR=str(tmp_path / "numba")) == ""
    assert kept(tmp_path / "numba") == 1


def test_it_works_where_nothing_can_be_kept_and_says_so_once(code: Path, tmp_path: Path) -> None:
    said = run(code, HOME="/dev/null", TALKINGFACE_CACHE="/dev/null/cache")
    assert said.count("compiled code cannot be cached") == 1
    assert sorted(path.name for path in code.iterdir()) == ["__pycache__", "code_of_ours.py"]


def test_damage_costs_only_time(code: Path, tmp_path: Path) -> None:
    run(code, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
    for path in (tmp_path / "numba").rglob("*.nb?"):
        path.write_bytes(b"")
    assert "compiled code cannot be cached" in run(code, NUMBA_CACHE_DIR=str(tmp_path / "numba"))
