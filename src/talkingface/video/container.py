"""Opening of media files, choice of tracks, reading of packets; errors of demuxers become InputErrors here.

Files joined by `cat` hold several media files one after the other. They are opened part by part, because demuxers stop
at the first end, or hand out time stamps that start over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from talkingface.core.errors import InputError, SpeechError

P = ParamSpec("P")
R = TypeVar("R")

PLAYLISTS = ("concat", "dash", "hls", "hls,applehttp", "imf")
"""Formats whose files name other files."""
# PyAV passes on what FFmpeg returns; some of it is also an OSError, a ValueError or an EOFError
DEMUXER_ERRORS = (av.error.FFmpegError, OSError, ValueError, EOFError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes `start` to `end` of a file (None: its end), a media file of its own that begins at `begins_s`."""

    path: Path
    start: int = 0
    end: int | None = None
    begins_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the file."""
        return self.start == 0 and self.end is None


def check_file(path: Path) -> None:
    """Raise InputError unless `path` is a file with something in it."""
    if not path.is_file():
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file")
        raise InputError(
            f"{path} is a pipe or device; write it to a file first" if path.exists() else f"there is no file {path}"
        )
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty")


def kept_by_file(maxsize: int) -> Callable[[Callable[Concatenate[Path, P], R]], Callable[Concatenate[Path, P], R]]:
    """A decorator that keeps what a function found out about the file at its first argument while that stays as it is.

    The last `maxsize` results are kept. Raises InputError where there is no file; what a demuxer raises becomes one.
    """

    def decorate(function: Callable[Concatenate[Path, P], R]) -> Callable[Concatenate[Path, P], R]:
        @lru_cache(maxsize)
        def kept(path: Path, state: tuple[str, int, int], /, *args: P.args, **kwargs: P.kwargs) -> R:
            return function(path, *args, **kwargs)

        @wraps(function)
        def find(path: Path, /, *args: P.args, **kwargs: P.kwargs) -> R:
            check_file(path)
            stat = path.stat()
            try:
                return kept(path, (str(path.absolute()), stat.st_size, stat.st_mtime_ns), *args, **kwargs)
            except DEMUXER_ERRORS as error:
                raise InputError(f"{path} cannot be read as sound or video; it may be damaged") from error

        return find

    return decorate


def open_media(source: str | Path | Part) -> InputContainer:
    """Open a media file, or part of one, for reading. Raises InputError with the reason if it cannot be."""
    part = source if isinstance(source, Part) else Part(path=Path(source))
    check_file(part.path)
    url = f"file:{part.path}"
    if not part.is_whole:
        url = f"subfile,,start,{part.start},end,{part.end or part.path.stat().st_size},,:{url}"
    try:
        # files only: a playlist must not make us fetch anything
        container = av.open(url, options={"protocol_whitelist": "file,subfile"}, metadata_errors="ignore")
    except DEMUXER_ERRORS as error:
        raise InputError(
            f"{part.path} cannot be read as sound or video; it may be damaged or of an unknown kind"
        ) from error
    if container.format.name in PLAYLISTS:  # on a server, what somebody sends must not name other files
        container.close()
        raise InputError(f"{part.path} is a list of other files; give the sound or video itself")
    return container


def zero_s(container: InputContainer) -> float:
    """The earliest start of any stream. A negative start is encoder padding, which decoders drop."""
    return max(container.start_time or 0, 0) / av.time_base


def picture_track(container: InputContainer) -> VideoStream | None:
    """The first track of moving pictures that can be decoded; a record's cover is none."""
    streams = container.streams.video
    return next((s for s in streams if _has_decoder(s) and not s.disposition & Disposition.attached_pic), None)


def sound_track(container: InputContainer, path: Path, number: int | None) -> AudioStream:
    """Sound track `number`, the first being 0; None: the one that the file calls the default, else the first.

    Raises SpeechError where there is none.
    """
    tracks = container.streams.audio
    if not tracks:
        raise SpeechError(f"{path} has no sound track; give a file with speech in it")
    if number is None:
        usable = [track for track in tracks if _has_decoder(track)] or list(tracks)
        chosen = next((track for track in usable if track.disposition & Disposition.default), usable[0])
    elif 0 <= number < len(tracks):
        chosen = tracks[number]
    else:
        held = "1 sound track, number 0" if len(tracks) == 1 else f"{len(tracks)} sound tracks, 0 to {len(tracks) - 1}"
        raise SpeechError(f"{path} has {held}; there is no sound track {number}")
    if not _has_decoder(chosen):
        raise SpeechError(f"the sound of {path} is of a kind that cannot be decoded; convert it to WAV first")
    return chosen


def packets(
    container: InputContainer, *streams: Stream, on_break: Callable[[], None] | None = None
) -> Iterator[Packet[Stream]]:
    """Packets of `streams` (none named: of all) up to the end of the file or to where it breaks off.

    Where it breaks off, `on_break` is called, and empty packets follow as at an end: they make decoders give what they
    still hold.
    """
    source = container.demux(*streams)
    while True:
        try:
            packet = next(source)
        except (StopIteration, IndexError):  # PyAV stumbles at the end over tracks that appeared midway
            return
        except DEMUXER_ERRORS:
            if on_break is not None:
                on_break()
            break
        yield packet
    for stream in streams or tuple(container.streams):
        last = Packet()
        last.stream = stream
        yield last


def _has_decoder(stream: Stream) -> bool:
    return stream.codec_context is not None
