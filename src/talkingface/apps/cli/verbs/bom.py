"""`talkingface bom`."""

from __future__ import annotations

import argparse
import json

SUMMARY = "the bill of materials of a result, or of this installation"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("file", nargs="?", help="result with content credentials; without one: this installation")
    parser.add_argument("-o", "--output", metavar="FILE.json", help="write it there; default: print it")


def run(file: str | None, output: str | None) -> None:
    """Print a bill of materials, CycloneDX 1.6, or write it."""
    from talkingface import api
    from talkingface.core.cache import check_apart, check_data_name, write_atomic

    if output is not None:
        check_apart((output,), (file,))
        check_data_name(output, ".json")
    text = json.dumps(api.read_bom(file), indent=2)
    if output is None:
        print(text)
        return
    with write_atomic(output, "w") as opened:
        opened.write(text + "\n")
    print(f"{output}: written")
