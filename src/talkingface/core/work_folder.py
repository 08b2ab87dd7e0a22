"""Folders for unfinished work that two processes must not share: one holds it, until that process ends."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import weakref
from pathlib import Path
from types import TracebackType

from talkingface.core.cache import output_error
from talkingface.core.errors import OutputError, UsageError

LOCK_NAME = ".lock"
_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class WorkFolder:
    """A folder that only the holder of this object may write in; it is made if need be.

    A second one for the same folder, in this process or another, raises UsageError at once. The lock is the operating
    system's: it goes when the process ends, however it ends, so nothing has to be cleared up after a kill. The end of
    the `with` block, `close`, or the end of the object frees the folder; it is removed if no file is in it.

    `purpose` says in errors what is being made: "the video out.mp4". Raises OutputError if the folder cannot be made.

    Example: `with WorkFolder("me.avatar.part", "the avatar me.avatar") as work: write(work.path / "scan.json")`
    """

    def __init__(self, path: str | Path, purpose: str) -> None:
        self.path = Path(path)
        handle = _hold(self.path, purpose)
        self._finish = weakref.finalize(self, _free, self.path, handle, os.getpid())

    def files(self, pattern: str = "*") -> list[Path]:
        """Everything in it whose name fits, but for the lock."""
        return [file for file in self.path.glob(pattern) if file.name != LOCK_NAME]

    def close(self) -> None:
        """Free the folder, and remove it if no file is in it."""
        self._finish()

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def remove_folder(path: str | Path) -> None:
    """Remove a folder of finished work, unless another process has begun to use it, or it cannot be removed."""
    if os.path.isdir(path):
        with contextlib.suppress(UsageError, OutputError), WorkFolder(path, "it"):
            shutil.rmtree(path, ignore_errors=True)


def folder_beside(target: Path) -> Path:
    """The hidden folder with unfinished work for a file, on the same disk; its name is short, whatever the
    file's."""
    return target.with_name(
        f".talkingface-{hashlib.sha256(target.name.encode(errors='surrogateescape')).hexdigest()[:16]}"
    )


def check_free(path: str | Path, purpose: str) -> None:
    """Raise UsageError now, before long work, if another run holds the folder `path`."""
    if os.path.exists(Path(path) / LOCK_NAME):
        WorkFolder(path, purpose).close()


def _hold(folder: Path, purpose: str) -> int:
    """An open, locked file in the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except (FileNotFoundError, FileExistsError) as error:  # the second: it was there, and gone at the next look
        if folder.parent.is_dir() and not folder.is_file():
            return _hold(folder, purpose)  # the one before has just removed it
        raise output_error(folder, error) from error
    except OSError as error:
        raise output_error(folder, error) from error
    try:
        if not _lock(handle):
            raise UsageError(
                f"{purpose} is being made by another run of this program; wait until it ends, or name another output"
            )
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(folder / LOCK_NAME)):
                return handle
    except BaseException:
        os.close(handle)
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    os.close(handle)  # it was locked just after the one before had removed it
    return _hold(folder, purpose)


def _lock(handle: int) -> bool:
    """Lock an open file without waiting; False if another run holds it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD  # where a file system has no locks, work goes on without
    return True


def _free(folder: Path, handle: int, owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork of the process that holds it
    if not any(file != LOCK_NAME for _, _, files in os.walk(folder) for file in files):
        for inner, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(inner)  # all but the folder itself, in which the lock still is: later they may be another's
    with contextlib.suppress(OSError):
        if sys.platform != "win32":  # there an open file cannot be removed; elsewhere no process may get in between
            (folder / LOCK_NAME).unlink()
    os.close(handle)
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            (folder / LOCK_NAME).unlink()
    with contextlib.suppress(OSError):
        os.rmdir(folder)
