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
        spec = registry.get_spec(name)
        unsaid = {"latency_frames": "the whole voice", "clip_backgrounds": ", ".join(spec.backgrounds)}
        for field in dataclasses.fields(spec):
            value = getattr(spec, field.name)
            shown = _listed(value)
            print(f"{field.name.replace('_', ' '):16} {unsaid[field.name] if value is None else shown}")
        own = registry.import_attribute(spec.options) if spec.options else None
        for field in dataclasses.fields(own) if own else ():
            print(f"--set {field.name:10} {field.metadata['help']} (default: {field.default})")
        return
    for known in registry.system_names():
        try:
            print(f"{known:12} {registry.get_spec(known).summary}")
        except (ImportError, TalkingFaceError) as error:  # a broken plug-in must not hide the others
            print(f"{known:12} cannot be used: {error}")


def _listed(value: object) -> object:
    """Several values in one line; of numbers by name both."""
    if isinstance(value, dict) and all(isinstance(number, int) for number in value.values()):
        value = tuple(f"{name} {number}" for name, number in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (tuple, dict)) else value
