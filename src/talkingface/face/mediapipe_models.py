"""The only importer of mediapipe: its legacy solutions, whose models lie in the wheel.

A later tracker replaces this module and `track.py`; nothing else knows mediapipe.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from talkingface.core.errors import DependencyError, UsageError

_SOLUTIONS = "mediapipe.python.solutions"
_DRAWING = ("drawing_utils", "drawing_styles")
_lock = threading.RLock()
_hidden = 0  # blocks of `quiet_stderr` that are open, and a copy of the descriptor that they hide
_stderr: int | None = None
_started = _is_forked = False
_detectors: dict[tuple[int, float], Model] = {}


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what native code prints to file descriptor 2 (mediapipe logs each start-up there).

    The descriptor belongs to the whole process: the first of several threads puts it aside, the last brings it back.
    """
    global _hidden, _stderr
    with _lock:
        if not _hidden:
            with contextlib.suppress(OSError, AttributeError):  # a service may have closed both
                sys.stderr.flush()
                _stderr = os.dup(2)
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, 2)
                os.close(null)
        _hidden += 1
    try:
        yield
    finally:
        with _lock:
            _hidden -= 1
            if not _hidden:
                _show_stderr()


def _show_stderr() -> None:
    global _stderr
    if _stderr is not None:
        os.dup2(_stderr, 2)
        os.close(_stderr)
        _stderr = None


@contextlib.contextmanager
def _without_drawing() -> Iterator[None]:
    """Stand-ins for mediapipe's drawing modules while it is imported: nothing here draws, and they load matplotlib,
    which alone takes as long as everything else of mediapipe. Who asks for them later gets the real ones."""
    names = [f"{_SOLUTIONS}.{name}" for name in _DRAWING]
    if any(name in sys.modules for name in names):
        yield
        return
    sys.modules.update({name: types.ModuleType(name) for name in names})
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        if package := sys.modules.get(_SOLUTIONS):
            package.__dict__["__getattr__"] = _drawing_module


def _drawing_module(name: str) -> types.ModuleType:
    if name not in _DRAWING:
        raise AttributeError(f"module {_SOLUTIONS} has no attribute {name}")
    return importlib.import_module(f"{_SOLUTIONS}.{name}")


def _solution(name: str) -> Any:
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        # two threads that import it at once break it for the life of the process: its modules import each other
        with _lock, _without_drawing():
            return importlib.import_module(f"{_SOLUTIONS}.{name}")
    except ImportError as error:
        raise DependencyError(
            f"mediapipe cannot be loaded ({error}); install it with 'pip install mediapipe==0.10.21', "
            "and on a bare server its system libraries with 'apt-get install libgl1 libglib2.0-0'"
        ) from error


def _note_fork() -> None:
    """In the child: other threads, and what they held, are gone."""
    global _hidden, _is_forked, _lock
    _hidden, _is_forked, _lock = 0, _started, threading.RLock()
    _show_stderr()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


class Model:
    """A model of mediapipe, loaded at its first use; threads use it one after the other.

    Raises DependencyError where mediapipe cannot be loaded, and UsageError in a process that was forked after its
    parent had used a model: mediapipe's threads did not come along, and any call would wait for them for ever.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._solution: Any = None

    def process(self, rgb: np.ndarray) -> Any:
        """What the model finds in a picture uint8 [H, W, 3]."""
        global _started
        if _is_forked:
            raise UsageError(
                "faces cannot be tracked in a process that was forked from one that has tracked faces; start it with "
                "multiprocessing.get_context('spawn'), or fit avatars before the fork and hand them over"
            )
        with self._lock:  # mediapipe's graphs are not re-entrant
            if self._solution is None:
                _started = True
                with quiet_stderr():
                    self._solution = self._make()
                    # native code warns when it first runs, not when it is made
                    self._solution.process(np.zeros((64, 64, 3), np.uint8))
            try:
                return self._solution.process(rgb)
            except Exception:
                self._solution = None  # a graph that has failed fails for good
                raise

    def reset(self) -> None:
        """Forget the pictures before."""
        if self._solution is not None:
            self._solution.reset()

    def close(self) -> None:
        """Free the graph."""
        if self._solution is not None:
            self._solution.close()


def face_detector(model: int, min_score: float) -> Model:
    """The face detector of this process: model 0 short range (faces that fill the picture), 1 full range."""
    options = {"model_selection": model, "min_detection_confidence": min_score}
    made = Model(lambda: _solution("face_detection").FaceDetection(**options))
    return _detectors.setdefault((model, min_score), made)


_segmenter = Model(lambda: _solution("selfie_segmentation").SelfieSegmentation(0))


def face_mesh(*, video: bool) -> Model:
    """478-point mesh with irises; `video` follows one face from frame to frame."""
    options = {"static_image_mode": not video, "max_num_faces": 1, "refine_landmarks": True}
    return Model(lambda: _solution("face_mesh").FaceMesh(**options))


def person_segmenter() -> Model:
    """The selfie segmentation of this process, at 256 x 256."""
    return _segmenter


def mesh_edges() -> set[tuple[int, int]]:
    """The tesselation's edges as pairs of point numbers."""
    return set(_solution("face_mesh_connections").FACEMESH_TESSELATION)
