from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from talkingface.training.logging import ProgressLine, RunLog


def fake_tensorboard(monkeypatch, writer):
    """The real one takes seconds to import."""
    monkeypatch.setattr("talkingface.training.logging.importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", writer and SimpleNamespace(SummaryWriter=writer))


def test_rows_reach_json_lines_and_tensorboard(tmp_path, monkeypatch):
    scalars = []

    class Writer:
        def __init__(self, folder, purge_step):
            scalars.append((folder, purge_step))

        def add_scalar(self, name, value, step):
            scalars.append((name, value, step))

        def close(self):
            scalars.append("closed")

    fake_tensorboard(monkeypatch, Writer)
    log = RunLog(tmp_path, 4)
    log.write("train", 5, {"l1": 0.5})
    log.close()
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert (row["kind"], row["step"], row["l1"]) == ("train", 5, 0.5)
    assert scalars == [(str(tmp_path / "tensorboard"), 5), ("train/l1", 0.5, 5), "closed"]


def test_a_tensorboard_that_cannot_be_imported_is_done_without(tmp_path, monkeypatch):
    fake_tensorboard(monkeypatch, None)
    log = RunLog(tmp_path, 0)
    log.write("train", 5, {"odd": float("nan")})
    log.close()
    assert json.loads((tmp_path / "log.jsonl").read_text())["odd"] is None


def test_previews_must_be_pictures(tmp_path):
    with pytest.raises(ValueError, match=r"'mouth' must be uint8 \[H, W, 3\], not float32"):
        RunLog(tmp_path, 0).write_pictures(1, {"mouth": np.zeros((4, 4, 3), np.float32)})


def test_a_log_file_gets_plain_lines_and_a_terminal_a_bar():
    for terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=150)
        with ProgressLine("portrait.lips", 0, 10, console) as progress:
            progress.advance(10)
            progress.figures(10, {"l1": 0.25})
        text = console.file.getvalue()
        assert "portrait.lips" in text and "l1 0.25" in text
        assert ("step 10 of 10, 0.0 min left" in text) != terminal
