"""The exception tree. Every error a user can cause is a `TalkingFaceError` whose message says what to do.

The command line prints the message on one line and exits with the class's `exit_code`; nothing else
in the package may print a traceback for these.
"""

import warnings


class TalkingFaceError(Exception):
    """Base of every error with a message meant for the user."""

    exit_code = 1


class UsageError(TalkingFaceError):
    """Arguments that cannot be used together, unknown names, wrong file kinds."""

    exit_code = 2


class ArgumentError(UsageError, ValueError):
    """A value handed over in Python that its place does not take: an array of another shape or kind, a rate of 0."""


class InputError(TalkingFaceError):
    """A file that is missing, unreadable, corrupt or empty."""

    exit_code = 3


class FaceError(InputError):
    """No usable face: none found, too small, cut off."""

    exit_code = 4


class SpeechError(InputError):
    """No usable speech: no sound track, empty, too short, not finite."""

    exit_code = 5


class OutputError(TalkingFaceError):
    """The result cannot be written: folder missing or read-only, disk full, unknown container."""

    exit_code = 6


class WeightsError(TalkingFaceError):
    """Weights that are missing, altered, hostile or of another format."""

    exit_code = 7


class DependencyError(TalkingFaceError):
    """A package or system library that is not installed."""

    exit_code = 8


class ConsentError(TalkingFaceError):
    """A consent that does not hold: ended, revoked, changed, for something else, or missing where it is required."""

    exit_code = 9


class TalkingFaceWarning(UserWarning):
    """Something the user should know although work goes on; the command line prints it as a note."""


_said: set[str] = set()


def warn_once(text: str) -> None:
    """Give a `TalkingFaceWarning`, once in a process for each text.

    Python's own filter forgets what it has shown whenever any thread enters `warnings.catch_warnings`.
    """
    if text not in _said:
        _said.add(text)
        warnings.warn(text, TalkingFaceWarning, stacklevel=3)
