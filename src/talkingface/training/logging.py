"""Logs of a training: JSON lines always, TensorBoard if it is installed, and progress on the terminal."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from talkingface.core.cache import write_atomic

_PLAIN_EVERY_S = 30.0  # one line that often where the terminal cannot redraw (a log file)


class Averager:
    """Means of named scalar tensors since the last `take`; a value is fetched from the device only then."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor | float, int]] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Count one value under each name."""
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value.detach().float(), count + 1)

    def take(self) -> dict[str, float]:
        """The means by name; starts over."""
        means = {name: float(total) / count for name, (total, count) in self._sums.items()}
        self._sums.clear()
        return means


class RunLog:
    """Rows of figures in `folder/log.jsonl`, in TensorBoard under `folder/tensorboard`, pictures in `folder/previews`.

    `step` is where the run starts: rows of later steps, left by a run that was killed after its last checkpoint, go.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder, self._start = folder, step
        self._path = folder / "log.jsonl"
        self._board: Any = None
        if self._path.exists():
            kept = [line for line in self._path.read_text("utf-8").splitlines() if _step_of(line) <= step]
            with write_atomic(self._path, "w") as file:
                file.writelines(f"{line}\n" for line in kept)

    def write(self, kind: str, step: int, figures: Mapping[str, float]) -> None:
        """One row; `kind` ("train", "evaluate") groups the names. Values that are not finite are written as null."""
        clean = {name: value if np.isfinite(value) else None for name, value in figures.items()}
        row = json.dumps({"kind": kind, "step": step, "time_s": round(time.time(), 1), **clean})
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(row + "\n")
        if board := self._tensorboard():
            for name, value in figures.items():
                board.add_scalar(f"{kind}/{name}", value, step)

    def write_pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Save pictures uint8 [H, W, 3] as `previews/<name>_<step>.png`."""
        for name, rgb in pictures.items():
            if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
                raise ValueError(f"preview {name!r} must be uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}")
            path = self._folder / "previews" / f"{name}_{step:07d}.png"
            path.parent.mkdir(exist_ok=True)
            with write_atomic(path, "wb") as file:
                Image.fromarray(rgb).save(file, format="PNG")

    def close(self) -> None:
        """Flush and close."""
        if self._board:
            self._board.close()

    def _tensorboard(self) -> Any:
        if self._board is None:
            self._board = False
            if importlib.util.find_spec("tensorboard"):
                try:
                    from torch.utils.tensorboard import SummaryWriter

                    self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._start + 1)
                except ImportError:  # installed, but it does not load; the JSON lines have everything
                    self._board = False
        return self._board


class ProgressLine:
    """A bar with time left and losses on a terminal; in a log file, a line now and then. A context manager."""

    def __init__(self, title: str, step: int, steps: int, console: Console | None = None) -> None:
        self._title, self._steps, self._start = title, steps, step
        self._console = console or Console(stderr=True)
        self._begun = self._told = time.monotonic()
        self._bar: Progress | None = None
        if self._console.is_terminal:
            columns = (
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task(title, total=steps, completed=step, note="")

    def __enter__(self) -> ProgressLine:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, step: int) -> None:
        """Say that `step` steps are done."""
        if self._bar:
            self._bar.update(self._task, completed=step)

    def figures(self, step: int, figures: Mapping[str, float]) -> None:
        """Show the newest losses."""
        note = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        if self._bar:
            self._bar.update(self._task, note=note)
            return
        now = time.monotonic()
        if now - self._told >= _PLAIN_EVERY_S or step >= self._steps:
            left_min = (now - self._begun) / max(1, step - self._start) * (self._steps - step) / 60
            self.say(f"{self._title}: step {step} of {self._steps}, {left_min:.1f} min left  {note}")
            self._told = now

    def say(self, line: str) -> None:
        """Print one line above the bar."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")  # a row cut off by a kill: drop it
