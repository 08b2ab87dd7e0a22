"""`talkingface view`."""

from __future__ import annotations

import argparse
from typing import Any

from talkingface.apps.cli.parser import add_options
from talkingface.core.options import ViewOptions

SUMMARY = "an avatar seen from all around, on a page of this machine"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("face", metavar="avatar", help="avatar folder of a system that knows the head from all around")
    parser.add_argument(
        "moving", nargs="?", metavar="voice|motion", help="sound, video or motion file; default: silence"
    )
    parser.add_argument("--speech", metavar="FILE", default=argparse.SUPPRESS, help="sound of a motion file")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of the page (default: a free one)")
    parser.add_argument("--no-open", action="store_true", help="do not open a browser; the address is printed anyway")
    add_options(parser, ViewOptions)


def run(face: str, moving: str | None, port: int, no_open: bool, **options: Any) -> None:
    """Serve the page until Ctrl-C."""
    from talkingface.apps.progress import Progress
    from talkingface.apps.viewer import view

    with Progress():
        page = view(face, moving, port=port, **options)
    try:
        with page:
            print(f"{page.address}\nonly this machine can open it; Ctrl-C ends it", flush=True)
            if not no_open:
                import webbrowser

                webbrowser.open(page.address)
            page.wait()
    except KeyboardInterrupt:  # the way to end it, and no fault
        print()
