"""The command line's `main`: parses, runs a verb, and turns errors into one line and an exit code.

Only the standard library is imported until a verb runs.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import signal
import sys
import warnings
from typing import Any, NoReturn

from talkingface import __version__
from talkingface.apps.cli.parser import Parser
from talkingface.apps.cli.verbs import VERBS, verb_module
from talkingface.core.errors import (
    DependencyError,
    InputError,
    OutputError,
    TalkingFaceError,
    TalkingFaceWarning,
    UsageError,
)

EXIT_INTERRUPTED = 130
_LESS_MEMORY = {
    "track": "use a smaller video",
    "train": "use smaller batches or pictures (--config)",
    "evaluate": "use fewer --workers",
    "motion": "use shorter speech",
    "weights": "close other programs",
}
"""What to do when the memory is not enough; other verbs make pictures of a --size."""
_NO_MEMORY = ("not enough memory", "Insufficient memory", "out of memory", "can't allocate memory")
"""What OpenCV and torch say, whose errors are of no class of their own."""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = Parser(prog="talkingface", description="A photo and a voice in, a talking video out.")
    parser.add_argument("--version", action="version", version=f"talkingface {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="verb", title="verbs", parser_class=Parser)
    for name in VERBS:
        module = verb_module(name)
        text = module.SUMMARY
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        module.add(verb)
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
    return verb_module(verb).run(**choice) or 0


def _terminate(number: int, frame: Any) -> NoReturn:
    raise SystemExit(128 + number)


def _clean_up_when_stopped() -> None:
    """Let SIGTERM, and SIGHUP unless `nohup` ignores it, end the program in such a way that temporary files go."""
    signal.signal(signal.SIGTERM, _terminate)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _terminate)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any) -> None:
    """Our warnings are notes for the user; those of other packages are shown for debugging only."""
    if issubclass(category, TalkingFaceWarning):
        print(f"note: {message}", file=sys.stderr)
    elif os.environ.get("TALKINGFACE_DEBUG") == "1":
        print(warnings.formatwarning(message, category, *place[:2]), end="", file=sys.stderr)


def _explain(error: Exception, verb: str) -> TalkingFaceError:
    """An exception that is not ours, as one of ours with a message for the user."""
    if isinstance(error, TalkingFaceError):
        return error
    if isinstance(error, ImportError):
        from talkingface.apps.doctor import explain_import_error

        return DependencyError(explain_import_error(error))
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return TalkingFaceError(f"there is not enough memory; {_LESS_MEMORY.get(verb, 'use a smaller --size')}")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return OutputError("the disk is full; free some space, then run the same command again")
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return InputError(
            f"cannot use {os.fsdecode(error.filename)}: {error.strerror.lower()}; check the name and its permissions"
        )
    text = " ".join(str(error).split())
    return TalkingFaceError(
        f"unexpected {type(error).__name__}: {text}; please report it with the traceback that TALKINGFACE_DEBUG=1 shows"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code. Errors are one line on stderr."""
    # tracebacks are for debugging
    debug = os.environ.get("TALKINGFACE_DEBUG") == "1"
    # drawing, refining and encoding fill the cores by themselves; BLAS threads beside them only spin
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _clean_up_when_stopped()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _run(arguments)
    except KeyboardInterrupt:
        if debug:
            raise
        print(
            "stopped; no unfinished file is left, run the same command again to continue a long job",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `talkingface systems | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        known = _explain(error, arguments[0] if arguments else "")
        print(f"error: {known}", file=sys.stderr)
        return known.exit_code
