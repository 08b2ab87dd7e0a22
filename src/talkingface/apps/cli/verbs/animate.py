"""`talkingface animate`."""

from __future__ import annotations

import argparse
from typing import Any

from talkingface.apps.cli.output import add_records, save_video
from talkingface.apps.cli.parser import add_options, add_output
from talkingface.core.options import AnimateOptions

SUMMARY = "a face and a voice become a talking video"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("face", help="photo, video (it is dubbed), folder of its pictures, or avatar folder")
    parser.add_argument("speech", nargs="?", help="sound or video file; may be left out with --drive")
    add_output(parser, "video to make: .mp4, .mov, .webm or .mkv")
    add_options(parser, AnimateOptions)
    add_records(parser, "speed, memory, sound-mouth offset, weights, versions")


def run(face: str, speech: str | None, output: str, report: str | None, bom: str | None, **options: Any) -> None:
    """Animate `face` with `speech`."""
    from talkingface import api

    inputs = (face, speech, *(options.get(name) for name in ("drive", "pose", "style", "background")))
    save_video(
        lambda: api.animate(face, speech, **options),
        inputs,
        output,
        options.get("background", ""),
        report=report,
        bom=bom,
    )
