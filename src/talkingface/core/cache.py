"""The user cache, content hashes, and files that are either whole or absent."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from talkingface.core.errors import ArgumentError, InputError, OutputError, UsageError, warn_once
from talkingface.core.picture_folder import counted_files, picture_files


def user_path(path: str | Path) -> Path:
    """`path` with "~" as the home folder; as it is where there is none, or for a name that only begins with "~".

    Raises ArgumentError for what is neither text nor a Path, and InputError for an empty name, as a script hands over
    for a variable that is not set: it would mean the current folder, with all pictures in it.
    """
    if not isinstance(path, (str, Path)):
        raise ArgumentError(f"a file is named by text or a Path, not {type(path).__name__}")
    if not os.fspath(path):
        raise InputError("the name of a file is empty; name the file")
    return Path(os.path.expanduser(path))


def cache_dir() -> Path | None:
    """The folder for derived files: `TALKINGFACE_CACHE`, or else the platform's cache folder. It may not exist yet.

    None for a user without a home folder, as services and containers may run.
    """
    return _user_folder(
        "TALKINGFACE_CACHE", ("LOCALAPPDATA", "cache"), "Caches/talkingface", ("XDG_CACHE_HOME", ".cache")
    )


def config_dir() -> Path | None:
    """The folder for what belongs to the user and cannot be made again, keys among it: `TALKINGFACE_CONFIG`, or else
    the platform's. It may not exist yet; None as for `cache_dir`."""
    places = ("APPDATA", ""), "Application Support/talkingface", ("XDG_CONFIG_HOME", ".config")
    return _user_folder("TALKINGFACE_CONFIG", *places)


def state_dir() -> Path | None:
    """The folder for records of what was done: `TALKINGFACE_STATE`, or else the platform's. It may not exist yet; None
    as for `cache_dir`."""
    places = ("LOCALAPPDATA", "state"), "Application Support/talkingface/state", ("XDG_STATE_HOME", ".local/state")
    return _user_folder("TALKINGFACE_STATE", *places)


def _user_folder(own: str, windows: tuple[str, str], mac: str, other: tuple[str, str]) -> Path | None:
    """The folder that the environment variable `own` names, or the platform's: `windows` is a variable and a folder
    within ours, `mac` lies in the library, `other` is a variable and what it stands for in the home folder."""
    if explicit := os.environ.get(own):
        return user_path(explicit)
    if sys.platform == "win32":
        roaming = "Roaming" if windows[0] == "APPDATA" else "Local"
        base = os.environ.get(windows[0]) or f"~\\AppData\\{roaming}"
        folder = os.path.join(base, "talkingface", windows[1])
    elif sys.platform == "darwin":
        folder = f"~/Library/{mac}"
    else:
        folder = os.path.join(os.environ.get(other[0]) or f"~/{other[1]}", "talkingface")
    found = os.path.expanduser(folder)
    return None if found.startswith("~") else Path(found)


def cache_file(*parts: str) -> Path | None:
    """Where a derived file belongs, whether it is there or not; None without a cache."""
    folder = cache_dir()
    return None if folder is None else folder.joinpath(*parts)


def keep_file(path: Path | None, save: Callable[[Path], object]) -> None:
    """Let `save` write a file of the cache, `cache_file(...)`; its folder is made.

    The cache only saves time: where it cannot be written, there is one warning and work goes on.
    """
    if path is None:
        return _warn_of_no_cache("there is no home folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path)
    except (OSError, OutputError) as error:
        reason = error.__cause__ if isinstance(error, OutputError) else error
        _warn_of_no_cache(f"{cache_dir()}: {getattr(reason, 'strerror', None) or reason}")


def cache_folder(*parts: str) -> Path:
    """A folder of the cache for unfinished work, made if need be; where the cache cannot be written, one that nothing
    will find again, with a warning. Raises OutputError if there is no folder for temporary files either."""
    folder = cache_file(*parts)
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        _warn_of_no_cache("there is no home folder")
    except OSError as error:
        _warn_of_no_cache(f"{cache_dir()}: {error.strerror}")
    try:
        return Path(tempfile.mkdtemp(prefix="talkingface-"))
    except OSError as error:
        raise OutputError("no folder for temporary files is writable; set TMPDIR to a writable folder") from error


def _warn_of_no_cache(reason: str) -> None:
    warn_once(
        f"the cache cannot be used ({reason}), so nothing is kept for the next time; "
        "set TALKINGFACE_CACHE to a writable folder"
    )


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
    folder = final_path(path).parent
    if error.errno == errno.ENOSPC:
        return OutputError(f"cannot write {path}: the disk is full; free some space or choose another folder")
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not os.path.isdir(folder):
        return OutputError(f"cannot write {path}: the folder {folder} does not exist; create it first")
    if error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS):  # ENOENT: by /proc, for one
        return OutputError(f"cannot write {path}: no permission to write in {folder}; choose another folder")
    if error.errno == errno.EISDIR:
        return OutputError(f"cannot write {path}: it is a folder; name a file")
    if error.errno == errno.ENAMETOOLONG:
        return OutputError(f"cannot write {path}: the name is too long for {folder}; choose a shorter one")
    return OutputError(f"cannot write {path}: {error.strerror or error}")


def check_writable(path: str | Path) -> None:
    """Raise OutputError now, before long work, if a file at `path` could not be made."""
    try:
        target = final_path(path)
        if os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        with contextlib.suppress(FileNotFoundError):
            os.stat(target)  # the operating system checks the length of the name
        if not _is_special(target):
            with tempfile.TemporaryFile(dir=target.parent):  # has no name where the system can: nothing stays behind
                pass
    except OSError as error:
        raise output_error(path, error) from error


def check_data_name(path: str | Path, suffix: str) -> None:
    """Raise UsageError if a file of data would be made under another ending than `suffix`, where it might replace a
    video. Pipes and devices may be called anything."""
    target = final_path(path)
    if target.suffix.lower() != suffix and not _is_special(target):
        raise UsageError(f"cannot write {path}: the name must end in {suffix}")


def check_apart(outputs: Iterable[str | Path | None], inputs: Iterable[object]) -> None:
    """Raise UsageError if an output would replace an input, or two outputs are one file.

    An input may be a folder: of pictures, or an avatar. Inputs that are no path, or of nothing that exists, cannot be
    replaced.
    """
    named = [user_path(output) for output in outputs if output is not None]
    results = [path for path in named if not _is_special(path)]
    for number, path in enumerate(results):
        if any(os.path.realpath(path) == os.path.realpath(other) for other in results[:number]):
            raise UsageError(f"two results would be written to {path}; name another file for one of them")
    for place in (user_path(source) for source in inputs if isinstance(source, (str, Path))):
        files = [place]
        if os.path.isdir(place):
            files += place.rglob("*") if os.path.isfile(place / "card.json") else picture_files(place)
        for path in results:
            if os.path.exists(path) and any(os.path.exists(f) and os.path.samefile(f, path) for f in files):
                raise UsageError(f"{path} is also an input; name another output")


def final_path(path: str | Path) -> Path:
    """The place of a file written to `path`: a link is followed, so that it stays and its target is replaced."""
    return Path(os.path.realpath(path)) if os.path.islink(path) and not _is_special(path) else Path(path)


def name_beside(path: Path, suffix: str) -> Path:
    """`path` with `suffix` after its name, which is cut where both together would be too long for a file system."""
    name = os.fsencode(path.name)[: 255 - len(suffix)].decode(errors="ignore")
    return path.with_name(name + suffix)


def temporary_path(target: Path) -> Path:
    """A name beside `target` with its suffix that nothing has yet: short, however long the target's is."""
    return target.with_name(f".talkingface-{secrets.token_hex(8)}.part{target.suffix.lower()[:8]}")


def _is_special(path: str | Path) -> bool:
    """Whether `path` is there but no file or folder: a pipe, a terminal, the null device. These are written directly:
    a file that replaced one would be its end."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


@contextlib.contextmanager
def write_atomic(path: str | Path, mode: str = "wb", *, private: bool = False) -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` that replaces it when the block ends without an exception.

    On any exception (Ctrl-C too) the temporary file is removed and an earlier file at `path` is kept. `mode` is "w"
    (UTF-8 text) or "wb". `private`: nobody but the user may read the file. Raises OutputError if the disk or the folder
    refuses.

    Example: `with write_atomic("m.json", "w") as file: file.write("{}")`
    """
    encoding = None if "b" in mode else "utf-8"
    temporary: Path | None = None
    try:
        target = final_path(path)
        if _is_special(target):
            with open(target, mode, encoding=encoding) as file:
                yield file
            return
        temporary = temporary_path(target)
        # "x" lets the system apply the user's mask: it can only be asked for by changing it, for all threads
        opener = _open_privately if private else None
        with open(temporary, mode.replace("w", "x"), encoding=encoding, opener=opener) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()
        if isinstance(error, OSError):
            raise output_error(path, error) from error
        raise


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
