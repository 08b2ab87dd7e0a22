"""The only importer of mediapipe: its legacy solutions, whose models lie in the wheel.

A later tracker replaces this module and `track.py`; nothing else knows mediapipe.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

from talkingface.core.errors import DependencyError


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hide what native code prints to file descriptor 2 (mediapipe logs each start-up there)."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


@contextlib.contextmanager
def _without_matplotlib() -> Iterator[None]:
    """Stand-ins for matplotlib while mediapipe is imported: it loads it for a plot function that nothing here calls.

    That import alone takes as long as everything else of mediapipe. A matplotlib that is loaded already is left alone.
    """
    names = ("matplotlib", "matplotlib.pyplot")
    if any(name in sys.modules for name in names):
        yield
        return
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _solution(name: str) -> Any:
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _without_matplotlib():
            return importlib.import_module(f"mediapipe.python.solutions.{name}")
    except ImportError as error:
        raise DependencyError(
            f"mediapipe cannot be loaded ({error}); install it with 'pip install mediapipe==0.10.21', "
            "and on a bare server its system libraries with 'apt-get install libgl1 libglib2.0-0'"
        ) from error


def _open(make: Any) -> Any:
    with quiet_stderr():
        model = make()
        model.process(np.zeros((64, 64, 3), np.uint8))  # native code warns when it first runs, not when it is made
        return model


def face_detector(model: int, min_score: float) -> Any:
    """Face detector: model 0 short range (faces that fill the picture), 1 full range."""
    return _open(lambda: _solution("face_detection").FaceDetection(model, min_score))


def face_mesh(*, video: bool) -> Any:
    """478-point mesh with irises; `video` follows one face from frame to frame."""
    make = _solution("face_mesh").FaceMesh
    return _open(lambda: make(static_image_mode=not video, max_num_faces=1, refine_landmarks=True))


def person_segmenter() -> Any:
    """Selfie segmentation at 256 x 256."""
    return _open(lambda: _solution("selfie_segmentation").SelfieSegmentation(0))


def mesh_edges() -> set[tuple[int, int]]:
    """The tesselation's edges as pairs of point numbers."""
    return set(_solution("face_mesh_connections").FACEMESH_TESSELATION)
