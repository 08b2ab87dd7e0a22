"""The command line: `talkingface <verb> ...`. Only the standard library is imported until a verb runs.

The options come from the dataclasses in `core.options`, where their defaults and help stand. argparse rather than tyro
builds them: with tyro help took 0.37 s for one small verb, and its errors are boxes of several lines.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import errno
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

from talkingface import __version__
from talkingface.core.errors import DependencyError, OutputError, TalkingFaceError, UsageError
from talkingface.core.importers import importer_kinds
from talkingface.core.options import AnimateOptions, FitOptions, MotionOptions, PictureOptions, SystemOptions

EXIT_INTERRUPTED = 130


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are raised as one line, with the close ones for mistyped options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **settings)

    def error(self, message: str) -> NoReturn:
        hint = ""
        if message.startswith("unrecognized arguments: "):
            typed = next((word for word in message.split()[2:] if word.startswith("-")), "").partition("=")[0]
            close = difflib.get_close_matches(typed, self._option_string_actions, n=2)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise UsageError(f"{message}{hint}; see: {self.prog} --help")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Like argparse, but unknown options are reported by the verb's own parser."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            getattr(found, "parser", self).error(f"unrecognized arguments: {' '.join(rest)}")
        return found


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)


def _add_options(parser: argparse.ArgumentParser, *groups: type) -> None:
    """An argument for each field of the option classes, without defaults: those are the classes' own."""
    for group in groups:
        for field in dataclasses.fields(group):
            facts = field.metadata
            text = facts["help"]
            if field.default is not None:
                text += f" (default: {field.default})"
            settings: dict[str, Any] = {"type": facts["parse"], "help": text, "default": argparse.SUPPRESS}
            if facts["choices"]:
                settings["choices"] = facts["choices"]
            elif facts["metavar"]:
                settings["metavar"] = facts["metavar"]
            parser.add_argument(f"--{field.name.replace('_', '-')}", **settings)


def _output(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=text)


def _animate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("face", help="photo, video (it is dubbed), folder of its pictures, or avatar folder")
    parser.add_argument("speech", nargs="?", help="sound or video file; may be left out with --drive")
    _output(parser, "video to make: .mp4, .mov, .webm or .mkv")
    _add_options(parser, AnimateOptions)
    parser.add_argument(
        "--report", metavar="FILE.json", help="write figures: speed, memory, sound-mouth offset, weights, versions"
    )


def _motion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("speech", help="sound or video file")
    _output(parser, "motion file to make (.npz)")
    parser.add_argument("--face", default=argparse.SUPPRESS, help="whose motion; for --pose VIDEO")
    _add_options(parser, MotionOptions, SystemOptions)


def _render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("face", help="photo, video, folder of its pictures, or avatar folder")
    parser.add_argument("motion", help="motion file (.npz) made by `talkingface motion`")
    _output(parser, "video to make: .mp4, .mov, .webm or .mkv")
    parser.add_argument("--speech", metavar="FILE", default=argparse.SUPPRESS, help="sound of the result")
    _add_options(parser, PictureOptions, SystemOptions)
    parser.add_argument("--report", metavar="FILE.json", help="write figures: speed, memory, weights, versions")


def _track(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", help="video, or folder of its pictures, to follow a face in")
    _output(parser, "data to make (.npz): landmarks, times, confidence, head angles, blink")
    parser.add_argument("--preview", metavar="VIDEO", help="also make a video that shows the points")
    parser.add_argument(
        "--face-index", type=int, metavar="N", help="which face, from the left, 0 first; default: the largest"
    )


def _fit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("face", help="photo, video or folder of its pictures")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="avatar folder to make; work waits in FOLDER.part"
    )
    _add_options(parser, FitOptions)
    for field in dataclasses.fields(PictureOptions):
        if field.name in ("size", "face_index"):
            facts = field.metadata
            parser.add_argument(
                f"--{field.name.replace('_', '-')}", type=facts["parse"], metavar=facts["metavar"], help=facts["help"]
            )


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        help="portrait.clean (from data folder to weights), portrait.refiner (one recipe), ...; a system's name alone "
        "makes its default weights",
    )
    parser.add_argument(
        "data", nargs="?", help="data folder; for a single recipe its prepared material, see docs/training.md"
    )
    parser.add_argument("--data", dest="data_option", metavar="FOLDER", help="the same")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="run folder; an earlier run there goes on"
    )
    parser.add_argument("--steps", type=int, help="length of a single recipe's training")
    parser.add_argument("--config", metavar="PRESET|FILE.json", help="settings; default: the system's first preset")
    parser.add_argument("--minutes", type=float, help="stop after this time; the same command goes on later")
    parser.add_argument("--seed", type=int, default=0, help="of first weights and data (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("generated", nargs="?", help="video, folder of videos, or manifest (.csv)")
    _output(parser, "report to make (.json); finished clips wait in a folder beside it")
    parser.add_argument("--reference", metavar="PATH", help="the real video of the same moments, or a folder of them")
    parser.add_argument("--speech", metavar="PATH", help="the sound that drove the face; default: the video's own")
    parser.add_argument("--source", metavar="PATH", help="the photo that the video was made from")
    parser.add_argument("--html", metavar="FILE.html", help="also make a page: plots over time, worst frames, table")
    systems = parser.add_argument_group("to score systems on real clips instead of finished videos")
    systems.add_argument("--systems", metavar="NAMES", help="systems or weights with commas: portrait,portrait.clean")
    systems.add_argument("--data", metavar="FOLDER", help="real clips: a data folder, or videos of one person each")
    systems.add_argument("--limit", type=int, metavar="N", help="at most so many clips, as many people as possible")
    systems.add_argument("--page", metavar="FILE.md", help="also write the comparison as a page of documentation")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default: as many as there are cores")


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--what",
        default="command",
        help="command (default), or a target of docs/benchmarks/README.md: picture, speed, mouth ...",
    )
    parser.add_argument("--report", metavar="FILE.json", help="write the figures")
    _add_options(parser, SystemOptions)
    command = parser.add_argument_group("for --what command: one animate in a process of its own")
    command.add_argument("--seconds", type=float, default=60.0, help="length of the speech (default: 60)")
    command.add_argument("--face", metavar="FILE", help="photo, video or avatar; default: the shipped portrait")
    command.add_argument("--speech", metavar="FILE", help="repeated as needed; default: the shipped speech")
    command.add_argument("--size", type=int, default=512, help="longest side of the picture (default: 512)")
    several = parser.add_argument_group("several systems or sizes, or two programs by turns")
    several.add_argument("--systems", metavar="NAMES", help="measure each of these, with commas")
    several.add_argument("--sizes", metavar="LIST", help="measure at each of these, with commas: 256,512")
    several.add_argument(
        "--compare", metavar="COMMAND", help="run it and this program by turns; it names {face}, {speech}, {output}"
    )
    several.add_argument("--pairs", type=int, default=5, metavar="N", help="runs of each to compare (default: 5)")
    target = parser.add_argument_group("for targets")
    target.add_argument("--data", metavar="FOLDER", help="development data: a folder with manifest.csv")
    target.add_argument("--limit", type=int, metavar="N", help="at most so many items")
    target.add_argument("--long", action="store_true", help="also what takes an hour")
    target.add_argument("--sheets", metavar="FOLDER", help="write contact sheets to look at")


def _systems(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="show everything about one system")


def _weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("list", "show", "verify", "import"),
        help="what is there, one card, check hashes, or make weights from files of another project",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help="weights or folder (verify without one checks all); for import the kind and the files, "
        f"kinds: {', '.join(importer_kinds())}",
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where to import to; default: the user's own store")


def _doctor(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


VERBS: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str]] = {
    "animate": (_animate, "a face and a voice become a talking video"),
    "motion": (_motion, "a voice becomes a motion file that can be edited"),
    "render": (_render, "a face and a motion file become a video"),
    "track": (_track, "a video's face as data: landmarks, head pose, blink"),
    "fit": (_fit, "make an avatar once, animate it often"),
    "train": (_train, "run one of a system's trainings"),
    "evaluate": (_evaluate, "score generated videos: picture, mouth, head, synchrony with the sound"),
    "bench": (_bench, "measure the whole command, or a target that the docs promise"),
    "systems": (_systems, "list the methods"),
    "weights": (_weights, "list, show, verify or import weights"),
    "doctor": (_doctor, "what is installed, what works, what to do about the rest"),
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = _Parser(prog="talkingface", description="A photo and a voice in, a talking video out.")
    parser.add_argument("--version", action="version", version=f"talkingface {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="verb", title="verbs", parser_class=_Parser)
    for name, (add, text) in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        add(verb)
        verb.set_defaults(parser=verb)
    return parser


def _run(arguments: list[str]) -> int:
    if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
        close = difflib.get_close_matches(arguments[0], VERBS, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else f"verbs: {', '.join(VERBS)}"
        raise UsageError(f"no verb {arguments[0]!r}; {hint}")
    parser = make_parser()
    choice = vars(parser.parse_args(arguments))
    verb = choice.pop("verb")
    choice.pop("parser", None)
    if verb is None:
        parser.print_help()
        return 0
    module = import_module("talkingface.apps.doctor" if verb == "doctor" else "talkingface.apps.commands")
    return getattr(module, verb)(**choice) or 0


def _terminate(number: int, frame: Any) -> NoReturn:
    raise SystemExit(128 + number)


def _explain(error: Exception) -> TalkingFaceError:
    """An exception that is not ours, as one of ours with a message for the user."""
    if isinstance(error, TalkingFaceError):
        return error
    if isinstance(error, ImportError):
        from talkingface.apps.doctor import explain_import_error

        return DependencyError(explain_import_error(error))
    if isinstance(error, MemoryError):
        return TalkingFaceError("there is not enough memory; use a smaller --size")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return OutputError("the disk is full; free some space, then run the same command again")
    text = " ".join(str(error).split())
    return TalkingFaceError(
        f"unexpected {type(error).__name__}: {text}; please report it with the traceback that TALKINGFACE_DEBUG=1 shows"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors are one line on stderr."""
    # the traceback is for those who mend the program
    debug = os.environ.get("TALKINGFACE_DEBUG") == "1"
    # drawing, mending and encoding fill the cores by themselves; BLAS threads beside them only spin
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, _terminate)  # so that temporary files are removed
    try:
        return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        if debug:
            raise
        print(
            "stopped; nothing half-written is left, and a long job goes on when the same command is run again",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `talkingface systems | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        known = _explain(error)
        print(f"error: {known}", file=sys.stderr)
        return known.exit_code
