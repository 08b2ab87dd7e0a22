"""The machine: compute device, cores, allocator, memory figures. Imports torch only for a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

from talkingface.core.errors import UsageError

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
SWITCH_S = 0.0005
_lock = threading.Lock()
_is_configured = False
_blocks, _usual = 0, (0, 0.0)  # open blocks of `room_for_threads`, and the settings before the first


def pick_device(name: str = "auto") -> str:
    """The torch device meant by `name`: "auto" (a CUDA GPU if there is one, else the CPU), "cpu", "cuda:1", "mps" ...

    Raises UsageError for an unknown name or an absent device.
    """
    kind, _, index = name.partition(":")
    if kind == "cpu" and not index:
        return "cpu"
    if kind not in ("auto", "cuda", "mps") or (index and not index.isdigit()):
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:<number> or mps")
    if kind == "auto" and not _has_cuda_driver():
        return "cpu"
    import torch

    num_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "auto":
        return "cuda" if num_cuda else "cpu"
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UsageError("this machine has no mps device; use --device cpu")
    if kind == "cuda" and int(index or 0) >= num_cuda:
        raise UsageError(f"device {name!r} is not there ({num_cuda} CUDA devices found); use --device cpu")
    return name


def _has_cuda_driver() -> bool:
    """Whether NVIDIA's driver is there; without it torch need not be asked, whose import takes a second."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def num_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def likes_bfloat16(device: str) -> bool:
    """Whether `device` multiplies matrices of bfloat16 in hardware: GPUs, and processors with AMX."""
    if device != "cpu":
        return not device.startswith("mps")
    import torch

    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def configure_process() -> None:
    """Settle what belongs to the whole process, once: the verbs of `api` call it before they do anything large."""
    global _is_configured
    with _lock:
        if not _is_configured:
            tune_allocator()
            _is_configured = True


@contextlib.contextmanager
def room_for_threads() -> Iterator[None]:
    """For work whose own threads fill the cores: within the block OpenCV starts none beside them, in whose way they
    would stand, and threads hand over the interpreter often, since they mostly wait for it for a moment between two
    long calls. Both belong to the whole process: the first of several blocks sets them, the last brings them back."""
    global _blocks, _usual
    import cv2

    with _lock:
        if not _blocks:
            _usual = cv2.getNumThreads(), sys.getswitchinterval()
            cv2.setNumThreads(1)
            sys.setswitchinterval(SWITCH_S)
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                cv2.setNumThreads(_usual[0])
                sys.setswitchinterval(_usual[1])


def tune_allocator() -> bool:
    """Let glibc keep freed blocks for the next use; call before the first big allocation.

    By default every large array goes back to the system at once and its pages are zeroed again on the next
    allocation, which made small networks about two times slower. Returns False where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # 32 MiB is the largest threshold that glibc accepts on 64-bit machines
    settings = {_M_MMAP_THRESHOLD: 32 << 20, _M_TRIM_THRESHOLD: 128 << 20, _M_TOP_PAD: 16 << 20}
    return all([mallopt(option, size) for option, size in settings.items()])  # noqa: C419 (none may be left out)


def peak_memory_mb() -> float | None:
    """Largest resident size of this process so far, in MiB; None where the platform does not report it."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024
