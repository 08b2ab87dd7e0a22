"""Functions that numba compiles: once for an installation where that can be kept, else once for each process."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import threading
from collections.abc import Callable
from typing import Any

from numba import config as numba_config
from numba import njit

from talkingface.core.cache import cache_file
from talkingface.core.errors import warn_once

_config: Any = numba_config  # its names are made as it is loaded
_lock = threading.Lock()


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile the function below for one `signature`, at its first call: a process pays only for what it uses.

    It releases the interpreter's lock; `options` are those of `numba.njit`. The result is kept where numba keeps it
    (`NUMBA_CACHE_DIR`, or beside the source, or the user's cache), or else in the cache of `core.cache`, until the
    source changes. Where none can be written, or what is kept there is damaged, work goes on with a warning.

    Example: `@kernel(types.void(types.float32[:, ::1]))`
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: list[Callable[..., Any]] = []

        @functools.wraps(function)
        def call(*values: Any) -> Any:
            if not compiled:
                with _lock:
                    if not compiled:
                        compiled.append(_compile(function, signature, options))
            return compiled[0](*values)

        return call

    return decorate


def _compile(function: Callable[..., Any], signature: Any, options: dict[str, Any]) -> Any:
    made = njit(nogil=True, **options)(function)
    try:
        _enable_caching(made)
        made.compile(signature)
    except Exception as error:  # unwritable, full, unreadable, cut off: whatever it is, a cache is not needed
        if not made.signatures:
            made = njit(nogil=True, **options)(function)
            made.compile(signature)
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        warn_once(
            f"compiled code cannot be cached ({reason}), every start is slow; set NUMBA_CACHE_DIR to a writable folder"
        )
    made.disable_compile()
    return made


def _enable_caching(made: Any) -> None:
    """Choose where `made` is kept. Raises OSError or RuntimeError if there is no such place."""
    # without a home folder numba would make one called "~" where the program was started
    if os.path.expanduser("~") != "~" or _config.CACHE_DIR:
        with contextlib.suppress(RuntimeError):
            return made.enable_caching()
    if (own := cache_file("compiled")) is None:
        raise RuntimeError("there is no home folder")
    own.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=own):  # numba would try its own places after one that cannot be written
        usual, _config.CACHE_DIR = _config.CACHE_DIR, str(own)
        try:
            made.enable_caching()
        finally:
            _config.CACHE_DIR = usual
