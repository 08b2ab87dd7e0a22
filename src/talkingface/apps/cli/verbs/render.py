"""`talkingface render`."""

from __future__ import annotations

import argparse
from typing import Any

from talkingface.apps.cli.output import add_records, save_video
from talkingface.apps.cli.parser import add_options, add_output
from talkingface.core.options import RenderOptions

SUMMARY = "a face and a motion file become a video"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("face", help="photo, video, folder of its pictures, or avatar folder")
    parser.add_argument("motion", help="motion file (.npz) made by `talkingface motion`")
    add_output(parser, "video to make: .mp4, .mov, .webm or .mkv")
    parser.add_argument("--speech", metavar="FILE", default=argparse.SUPPRESS, help="sound of the result")
    add_options(parser, RenderOptions)
    add_records(parser, "speed, memory, weights, versions")


def run(face: str, motion: str, output: str, report: str | None, bom: str | None, **options: Any) -> None:
    """Draw `face` with `motion`."""
    from talkingface import api

    inputs = (face, motion, options.get("speech"), options.get("background"))
    save_video(
        lambda: api.render(face, motion, **options),
        inputs,
        output,
        options.get("background", ""),
        report=report,
        bom=bom,
    )
