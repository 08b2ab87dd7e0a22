"""`talkingface motion`."""

from __future__ import annotations

import argparse
from typing import Any

from talkingface.apps.cli.output import note
from talkingface.apps.cli.parser import add_options, add_output
from talkingface.core.options import SpokenOptions

SUMMARY = "a voice becomes a motion file that can be edited"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("speech", help="sound or video file")
    add_output(parser, "motion file to make (.npz)")
    parser.add_argument("--face", default=argparse.SUPPRESS, help="whose motion it is; needed for --pose-origin none")
    add_options(parser, SpokenOptions)


def run(speech: str, output: str, **options: Any) -> None:
    """Write the motion of `speech`."""
    from talkingface import api
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_data_name, check_writable
    from talkingface.core.motion import save_motion

    check_apart((output,), (speech, options.get("face"), options.get("pose"), options.get("style")))
    check_data_name(output, ".npz")
    check_writable(output)
    with Progress():
        if "style" in options:
            options["style"] = api.read_style(options["style"])
        made = api.motion(speech, **options)
    save_motion(output, made)
    for text in options["style"].notes if "style" in options else ():
        note(text)
    print(f"{output}: {len(made)} frames at {made.fps:g} fps in space {made.space}")
