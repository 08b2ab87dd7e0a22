"""Bytes that are needed again: in a temporary file, or in memory where none can be written."""

from __future__ import annotations

import errno
import os
import tempfile
from types import TracebackType
from typing import IO

from talkingface.core.errors import warn_once


class Spool:
    """A list of byte strings that takes no memory. Used as a context manager; what it holds ends with the block.

    Where the folder for temporary files (`TMPDIR`) is missing, read-only or full, further items stay in memory and a
    warning says so.

    Example: `with Spool() as spool: spool.append(b"picture"); spool[0]`
    """

    def __init__(self) -> None:
        self._items: list[tuple[int, int] | bytes] = []  # place and length in the file, or what did not fit there
        self._file: IO[bytes] | None = None
        self._is_full = False
        try:
            self._file = tempfile.TemporaryFile(buffering=0, prefix="talkingface-")  # noqa: SIM115 (closed by close)
        except OSError as error:
            self._stay_in_memory(error)

    def append(self, item: bytes) -> None:
        """Add an item at the end."""
        if self._file is not None and not self._is_full:
            try:
                place = self._file.seek(0, os.SEEK_END)
                if self._file.write(item) < len(item):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return self._items.append((place, len(item)))
            except OSError as error:
                self._stay_in_memory(error)
        self._items.append(item)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> bytes:
        item = self._items[number]
        if isinstance(item, bytes):
            return item
        assert self._file is not None
        self._file.seek(item[0])
        return self._file.read(item[1])

    def _stay_in_memory(self, error: OSError) -> None:
        self._is_full = True
        warn_once(f"frames are held in memory ({error.strerror}); set TMPDIR to a folder with room for temporary files")

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._items.clear()
        if self._file is not None:
            self._file.close()
