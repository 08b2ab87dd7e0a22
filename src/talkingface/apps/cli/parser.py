"""The parser of the command line: argparse whose errors are one line, and arguments made from option classes.

The options come from the dataclasses in `core.options`, where their defaults and help stand. argparse rather than tyro
builds them: with tyro help took 0.37 s for one small verb, and its errors are boxes of several lines.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
from collections.abc import Callable
from typing import Any, NoReturn

from talkingface.core.errors import UsageError


class Parser(argparse.ArgumentParser):
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

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Like argparse, but options may stand between positionals, and unknown ones are reported by the verb's own
        parser."""
        found, rest = self.parse_known_args(args, namespace)
        if rest:
            parser = getattr(found, "parser", self)
            unknown = _late_positionals(parser, found, rest)
            if unknown:
                parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found


def _late_positionals(parser: argparse.ArgumentParser, found: argparse.Namespace, rest: list[str]) -> list[str]:
    """Give positionals that may be left out, or repeated, what came after options; returns what is left.

    argparse ends them at the first option: `FACE -o OUT SPEECH` is a face without speech, and something unknown.
    """
    if any(word.startswith("-") for word in rest):
        return rest
    for action in parser._get_positional_actions():
        value = getattr(found, action.dest, None)
        if action.nargs == "?" and value is None and rest:
            setattr(found, action.dest, rest[0])
            rest = rest[1:]
        elif action.nargs in ("*", "+") and value:
            setattr(found, action.dest, [*value, *rest])
            rest = []
    return rest


class _HelpFormatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34)


def add_options(parser: argparse.ArgumentParser, *groups: type, only: tuple[str, ...] = ()) -> None:
    """An argument for each field of the option classes (`only`: for these), without defaults: the classes have them."""
    for group in groups:
        for field in dataclasses.fields(group):
            if only and field.name not in only:
                continue
            facts = field.metadata
            text = facts["help"]
            name = f"--{field.name.replace('_', '-')}"
            if field.default is False:
                parser.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=text)
                continue
            if field.default is not None:
                text += f" (default: {field.default})"
            settings: dict[str, Any] = {
                "type": _typed(facts["parse"], facts["help"]),
                "help": text,
                "default": argparse.SUPPRESS,
            }
            if facts["choices"]:
                settings["choices"] = facts["choices"]
            elif facts["metavar"]:
                settings["metavar"] = facts["metavar"]
            parser.add_argument(name, **settings)


def _typed(parse: Callable[[str], Any], text: str) -> Callable[[str], Any]:
    """`parse` whose errors say what the option takes, its help `text`, and name no function."""

    def convert(value: str) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{value!r} is not what it takes: {text}") from error

    return convert


def add_output(parser: argparse.ArgumentParser, text: str, metavar: str = "FILE") -> None:
    """The argument that names the result."""
    parser.add_argument("-o", "--output", required=True, metavar=metavar, help=text)


def split_names(text: str) -> list[str]:
    """The names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
