"""The user cache, content hashes, and files that are either whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from talkingface.core.errors import InputError, OutputError
from talkingface.core.picture_folder import counted_files


def cache_dir() -> Path:
    """The folder for derived files: `TALKINGFACE_CACHE`, or else the platform's cache folder. It may not exist yet."""
    explicit = os.environ.get("TALKINGFACE_CACHE")
    if explicit:
        return Path(explicit).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", "~\\AppData\\Local")).expanduser() / "talkingface" / "cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/talkingface").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "talkingface"


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits. Raises InputError if it cannot be read.

    Of a folder of pictures: over the names and contents of what counts in it, wherever it lies.
    """
    digest = hashlib.sha256()
    if os.path.isdir(path):
        for file in counted_files(path):
            digest.update(f"{content_hash(file)} {file.name}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()


def output_error(path: str | Path, error: OSError) -> OutputError:
    """An OutputError that says why `path` cannot be written and what to do."""
    folder = Path(path).parent
    if error.errno == errno.ENOSPC:
        return OutputError(f"cannot write {path}: the disk is full; free some space or choose another folder")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return OutputError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"cannot write {path}: no permission to write in {folder}; choose another folder")
    if error.errno == errno.EISDIR:
        return OutputError(f"cannot write {path}: it is a folder; name a file")
    return OutputError(f"cannot write {path}: {error.strerror or error}")


def check_writable(path: str | Path) -> None:
    """Raise OutputError now, before long work, if a file at `path` could not be made."""
    path = Path(path)
    if path.is_dir():
        raise output_error(path, IsADirectoryError(errno.EISDIR, "is a directory"))
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # has no name where the system can, so nothing can stay behind
            pass
    except OSError as error:
        raise output_error(path, error) from error


@contextmanager
def write_atomic(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that replaces it when the block ends without an exception.

    On any exception (Ctrl-C too) the temporary file is removed and an earlier file at `path` is kept. `mode` is "w"
    (UTF-8 text) or "wb". Raises OutputError if the disk or the folder refuses.

    Example: `with write_atomic("m.json", "w") as file: file.write("{}")`
    """
    path = Path(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}-", suffix=".part", dir=path.parent)
        # mkstemp makes private files; a result should be readable like any other file of the user's
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise output_error(path, error) from error
        raise
