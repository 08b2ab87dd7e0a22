"""The command line: `talkingface <verb> ...`. Importing it loads only the standard library."""

from talkingface.apps.cli.entry import VERBS, main, make_parser

__all__ = ["VERBS", "main", "make_parser"]
