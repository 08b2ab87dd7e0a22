"""`talkingface systems`."""

from __future__ import annotations

import argparse

SUMMARY = "list the methods"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("name", nargs="?", help="show everything about one system")


def run(name: str | None) -> None:
    """Print a line for each system, or the spec of one."""
    import dataclasses

    from talkingface.core import registry
    from talkingface.core.errors import TalkingFaceError

    if name is not None:
        for key, value in dataclasses.asdict(registry.get_spec(name)).items():
            shown = ", ".join(map(str, value)) if isinstance(value, (tuple, dict)) else value
            print(f"{key.replace('_', ' '):16} {'the whole voice' if value is None else shown}")
        return
    for known in registry.system_names():
        try:
            print(f"{known:12} {registry.get_spec(known).summary}")
        except (ImportError, TalkingFaceError) as error:  # somebody's broken plug-in must not hide the others
            print(f"{known:12} cannot be used: {error}")
