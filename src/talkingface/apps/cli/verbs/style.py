"""`talkingface style`."""

from __future__ import annotations

import argparse

from talkingface.apps.cli.output import note
from talkingface.apps.cli.parser import add_output

SUMMARY = "how a person in a video speaks, as a file for --style"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("video", help="video of a person who speaks; its first half minute is read")
    add_output(parser, "style file to make (.json)")
    parser.add_argument("--speech", metavar="FILE", help="the sound, where the video has none")
    parser.add_argument(
        "--face-index", type=int, metavar="N", help="which face, from the left, 0 first; default: the largest"
    )


def run(video: str, output: str, speech: str | None, face_index: int | None) -> None:
    """Write the style of the person in `video`."""
    from talkingface import api
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_data_name, check_writable
    from talkingface.core.style import FIGURES, save_style

    check_apart((output,), (video, speech))
    check_data_name(output, ".json")
    check_writable(output)
    with Progress():
        style = api.read_style(video, speech=speech, face_index=face_index)
    save_style(output, style)
    for text in style.notes:
        note(text)
    for name, facts in FIGURES.items():
        value = getattr(style, name)
        print(f"{name:10} {value:8.4g} {facts['unit']:14} {value / facts['average']:.2f} times the average speaker's")
    print(f"{output}: from {style.speech_s:.1f} s of speech; use it with talkingface animate --style")
