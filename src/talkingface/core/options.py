"""The options, defined once: Python keywords and command-line options are both made from these classes.

Standard library only, so that help appears without NumPy. `api` checks the values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from talkingface.core.errors import UsageError
from talkingface.core.registry import suggest
from talkingface.core.style import Style

Options = TypeVar("Options")


def option(
    default: Any, text: str, *, parse: Callable[[str], Any] = str, metavar: str = "", choices: tuple[str, ...] = ()
) -> Any:
    """A dataclass field with the help text, the parser of its command-line form and its placeholder there."""
    metadata = {"help": text, "parse": parse, "metavar": metavar, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def make_options(cls: type[Options], values: Mapping[str, Any]) -> Options:
    """`cls(**values)`, but a mistyped name raises UsageError with the close ones."""
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UsageError(f"unknown option {name!r}{suggest(name, known)}")
    return cls(**values)


def make_own_options(cls: type[Options], values: Mapping[str, Any]) -> Options:
    """The options that a system alone has; texts, as a command line gives them, are parsed as their fields say.

    Raises UsageError for unknown names and values that do not parse.
    """
    facts = {field.name: field.metadata for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    parsed = dict(values)
    for name, value in values.items():
        if isinstance(value, str) and name in facts:
            try:
                parsed[name] = facts[name]["parse"](value)
            except ValueError as error:
                raise UsageError(f"--set {name}={value} is not what it takes: {facts[name]['help']}") from error
    for name, value in parsed.items():
        choices = facts[name]["choices"] if name in facts else ()
        if choices and value not in choices:
            raise UsageError(f"--set {name} is one of {', '.join(choices)}, not {value!r}")
    return make_options(cls, parsed)


def parse_pairs(text: str) -> dict[str, str]:
    """ "a=1,b=2" as a dict. Raises ValueError for other texts."""
    return {name.strip(): value.strip() for name, value in (pair.split("=") for pair in text.split(","))}


def parse_size(text: str) -> int | str:
    """ "native" or a number of pixels."""
    return text if text == "native" else int(text)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemOptions:
    """Which method runs, with what and on what."""

    system: str | None = option(None, "method to use (see: talkingface systems); default: the avatar's, else portrait")
    weights: str | None = option(None, "weights: a name or tag from `talkingface weights list`, or a folder")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnOptions:
    """What only some systems can be asked for."""

    set: Mapping[str, Any] | None = option(
        None,
        "options of the system's own (see: talkingface systems NAME)",
        parse=parse_pairs,
        metavar="NAME=VALUE,...",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions(SystemOptions):
    """How an avatar is made."""

    config: str | None = option(
        None,
        "settings of a system that trains: a preset (see: talkingface systems NAME) or a JSON file of what differs",
        metavar="PRESET|FILE.json",
    )
    consent: str | None = option(
        None, "consent of the person (see: talkingface consent), which the avatar then holds", metavar="FILE.json"
    )
    require_consent: bool = option(False, "the avatar refuses to be used after its consent has ended or was revoked")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """How the face moves."""

    pose: str | None = option(
        None,
        "head motion: still, generated, source (the clip's own), or a video, a folder of its pictures, a motion file "
        "or a CSV of time_s, yaw, pitch, roll in degrees; default: the drive video's, else source for a video, else "
        "generated",
        metavar="still|generated|source|FILE",
    )
    pose_origin: str | None = option(
        None,
        "head motion from a video is measured from its first frame, from its mean, or not at all (none): the head goes "
        "where the video's is in the picture, in its size too; default: the first that the system offers (see: "
        "talkingface systems NAME)",
        choices=("first", "mean", "none"),
    )
    style: str | Style | None = option(  # noqa: RUF009 (a Style is frozen)
        None,
        "whose way of speaking: a video of a person who speaks, or a file of talkingface style; it decides how far, "
        "how wide and how fast the mouth moves and how the head goes with it; default: the average speaker's",
        metavar="CLIP|FILE",
    )
    blink: float = option(1.0, "blink rate, 1 is natural, 0 is none", parse=float, metavar="SCALE")
    gaze: float = option(1.0, "how far eyes look about, 0: they keep to the viewer", parse=float, metavar="SCALE")
    expression_scale: float = option(1.0, "strength of mouth and brows", parse=float, metavar="SCALE")
    pose_scale: float = option(1.0, "strength of the head motion", parse=float, metavar="SCALE")
    seed: int = option(
        0, "random choices (head motion, blinks, gaze) repeat with the same seed, 0 to 2^64 - 1", parse=int, metavar="N"
    )
    delay: str = option(
        "best",
        "how much of the speech after a frame is heard before it is drawn: best (about a second, for files) or low (at "
        "most 0.12 s, as in live use)",
        choices=("best", "low"),
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechOptions:
    """Which sound of the speech's file is used."""

    sound_track: int | None = option(
        None,
        "which sound track of the speech's file, 0 first; default: the one marked as default, else the first",
        parse=int,
        metavar="N",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """What the picture shows."""

    background: str = option(
        "keep", "keep, a colour (#rrggbb or a name), a picture, or transparent (.webm or .mov)",
        metavar="keep|COLOUR|IMAGE|transparent",
    )  # fmt: skip
    crop: str | None = option(
        None,
        "the whole picture, or head and shoulders; default: full, but for a system that draws faces alone head",
        choices=("full", "head"),
    )
    size: int | str | None = option(
        None,
        "longest side in pixels, or native; default: the picture's own, at most 1280",
        parse=parse_size,
        metavar="N|native",
    )
    fps: float | None = option(
        None, "frames per second; default: the video's, else the system's (25)", parse=float, metavar="FPS"
    )
    face_index: int | None = option(
        None, "which face, from the left, 0 first; default: the largest", parse=int, metavar="N"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrustOptions:
    """What a result goes without of what says that it is synthetic."""

    no_credentials: str | None = option(
        None, "leave the signed content credentials out; the result and the report state the reason", metavar="REASON"
    )
    no_mark: str | None = option(
        None, "leave the invisible mark out of the pictures; the result and the report state the reason",
        metavar="REASON",
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnimateOptions(PictureOptions, MotionOptions, SpeechOptions, TrustOptions, OwnOptions, SystemOptions):
    """Everything that `animate` takes besides the face and the speech."""

    drive: str | None = option(
        None, "video, or folder of its pictures, of a person whose mouth and expression drive the face", metavar="VIDEO"
    )
    layout: str = option(
        "plain", "the result alone, or a strip: face, result, --pose video, driving video", choices=("plain", "strip")
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpokenOptions(MotionOptions, SpeechOptions, OwnOptions, SystemOptions):
    """Everything that `motion` takes besides the speech and the face."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RenderOptions(PictureOptions, SpeechOptions, TrustOptions, OwnOptions, SystemOptions):
    """Everything that `render` takes besides the face, the motion and the speech."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewOptions(PictureOptions, MotionOptions, SpeechOptions, OwnOptions, SystemOptions):
    """Everything that `view` takes besides the avatar and what moves it."""
