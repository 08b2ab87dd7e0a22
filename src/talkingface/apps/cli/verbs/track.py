"""`talkingface track`."""

from __future__ import annotations

import argparse

from talkingface.apps.cli.output import note
from talkingface.apps.cli.parser import add_output

SUMMARY = "a video's face as data: landmarks, head pose, blink"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("video", help="video, or folder of its pictures, to follow a face in")
    add_output(parser, "data to make (.npz): landmarks, times, confidence, head angles, blink")
    parser.add_argument("--preview", metavar="VIDEO", help="also make a video that shows the points")
    parser.add_argument(
        "--face-index", type=int, metavar="N", help="which face, from the left, 0 first; default: the largest"
    )


def run(video: str, output: str, preview: str | None, face_index: int | None) -> None:
    """Write the face of `video` as data."""
    from talkingface import api
    from talkingface.apps.progress import Progress
    from talkingface.core.cache import check_apart, check_data_name, check_writable

    check_apart((output, preview), (video,))
    check_data_name(output, ".npz")
    check_writable(output)
    with Progress():
        found = api.track(video, face_index=face_index, preview=preview)
    found.save(output)
    for text in found.notes:
        note(text)
    seen = (found.track.confidence > 0).mean()
    print(f"{output}: {len(found.track)} frames, the face was seen in {seen:.1%}")
    if preview is not None:
        print(f"{preview}: the points over the pictures")
