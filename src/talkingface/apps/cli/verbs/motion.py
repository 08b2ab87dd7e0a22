"""`talkingface motion`."""

from __future__ import annotations

import argparse
from typing import Any

from talkingface.apps.cli.output import note
from talkingface.apps.cli.parser import add_options
from talkingface.core.errors import UsageError
from talkingface.core.options import SpokenOptions

SUMMARY = "a voice becomes a motion file that can be edited, or a drawing of it"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("speech", help="sound or video file; for a preview alone also a motion file")
    parser.add_argument("-o", "--output", metavar="FILE", help="motion file to make (.npz)")
    parser.add_argument("--preview", metavar="FILE", help="video to make of the motion's 68 landmarks")
    parser.add_argument("--numbers", action="store_true", help="number the landmarks of the preview")
    parser.add_argument("--sound", metavar="FILE", help="sound of the preview of a motion file")
    parser.add_argument("--face", default=argparse.SUPPRESS, help="whose motion it is; needed for --pose-origin none")
    add_options(parser, SpokenOptions)


def run(speech: str, output: str | None, preview: str | None, numbers: bool, sound: str | None, **options: Any) -> None:
    """Write the motion of `speech`, and what it looks like."""
    from talkingface import api
    from talkingface.api.animation import check_container
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_data_name, check_writable
    from talkingface.core.motion import load_motion, save_motion

    check_apart((output, preview), (speech, sound, options.get("face"), options.get("pose"), options.get("style")))
    given = api.is_motion_file(speech)
    if given and (output is not None or options):
        raise UsageError("this is a motion file already; a preview of it takes --preview, --numbers and --sound only")
    if preview is None and (output is None or numbers or sound is not None):
        raise UsageError("name a motion file to make with -o, or a video with --preview")
    if sound is not None and not given:
        raise UsageError("--sound is for the preview of a motion file; that of a voice has its sound")
    if output is not None:
        check_data_name(output, ".npz")
        check_writable(output)
    if preview is not None:
        check_container(preview)
    with Progress():
        if "style" in options:
            options["style"] = api.read_style(options["style"])
        made = load_motion(speech) if given else api.motion(speech, **options)
        if preview is not None:
            heard, track = (sound, None) if given else (speech, options.get("sound_track"))
            api.write_preview(preview, made, speech=heard, sound_track=track, numbers=numbers)
    for text in options["style"].notes if "style" in options else ():
        note(text)
    if output is not None:
        save_motion(output, made)
        print(f"{output}: {len(made)} frames at {made.fps:g} fps in space {made.space}")
    if preview is not None:
        print(f"{preview}: {len(made)} frames of 68 landmarks")
