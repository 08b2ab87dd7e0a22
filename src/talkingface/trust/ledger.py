"""What this installation has made: from the payload of a mark to the manifest of the result, when nothing else is left.

A database in the user's folder for such records. It is a help: where it cannot be written or read, work
goes on with a note.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from talkingface.core.cache import state_dir
from talkingface.core.errors import warn_once

_TABLE = """
create table if not exists results (
    payload integer not null, job text not null, made text not null, file text not null, manifest blob not null,
    primary key (payload, file)
)
"""
_WAIT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A result: the job, when it was made (UTC, ISO 8601), as which file, and its manifest (C2PA)."""

    job: str
    made: str
    file: str
    manifest: bytes


def note_result(payload: int, job: str, file: Path, manifest: bytes) -> None:
    """Keep the manifest of the result `file`, whose mark has `payload`. Failure is a note."""
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    row = (payload, job, made, os.path.abspath(file), manifest)
    try:
        with _opened(make=True) as database:
            if database is not None:
                database.execute("insert or replace into results values (?, ?, ?, ?, ?)", row)
    except (OSError, sqlite3.Error) as error:
        _warn(error)


def find_results(payload: int) -> list[Entry]:
    """Results that this installation has made whose mark has `payload`, newest first."""
    try:
        with _opened(make=False) as database:
            if database is None:
                return []
            chosen = "select job, made, file, manifest from results where payload = ? order by made desc"
            rows = database.execute(chosen, (payload,)).fetchall()
    except (OSError, sqlite3.Error) as error:
        _warn(error)
        return []
    return [Entry(job=job, made=made, file=file, manifest=manifest) for job, made, file, manifest in rows]


def ledger_file() -> Path | None:
    """Where the ledger lies; None without a home folder."""
    folder = state_dir()
    return None if folder is None else folder / "ledger.sqlite"


@contextlib.contextmanager
def _opened(*, make: bool) -> Iterator[sqlite3.Connection | None]:
    """The database, committed at the end; None where there is none to read or no home folder."""
    file = ledger_file()
    if file is None or not (make or file.is_file()):
        yield None
        return
    if make:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # what was made is nobody else's business
    database = sqlite3.connect(file, timeout=_WAIT_S)
    try:
        with database:
            if make:
                database.execute(_TABLE)
            yield database
    finally:
        database.close()


def _warn(error: Exception) -> None:
    warn_once(
        f"the ledger of results cannot be used ({ledger_file()}: {getattr(error, 'strerror', None) or error}), so a "
        "stripped video will not find its manifest; TALKINGFACE_STATE names another folder"
    )
