"""`talkingface verify`."""

from __future__ import annotations

import argparse
import json
import sys

SUMMARY = "say whether files are synthetic, and as they were made"
_WORST_FIRST = (12, 3, 10, 11, 0)


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "files", nargs="+", metavar="file", help="video; of a picture or sound only credentials are read"
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="print JSON, a line for each file")
    parser.add_argument(
        "--key", metavar="KEY", help="private key of the mark; default: the public one, and TALKINGFACE_MARK_KEY's"
    )
    parser.add_argument(
        "--trust", metavar="ROOT.pem", action="append", default=[],
        help="certificate of a signer that is trusted besides this installation; may be given several times",
    )  # fmt: skip


def run(files: list[str], as_json: bool, key: str | None, trust: list[str]) -> int:
    """Verify `files`; returns the exit code of the one that needs a look most."""
    from talkingface import api
    from talkingface.apps.progress import Progress
    from talkingface.core.errors import InputError

    codes = []
    for file in files:
        try:
            with Progress():
                found = api.verify(file, key=key, trust=trust)
        except InputError as error:
            if len(files) == 1 and not as_json:
                raise
            codes.append(error.exit_code)
            _print({"file": file, "error": str(error), "exit_code": error.exit_code}, f"error: {error}", as_json)
        else:
            codes.append(found.exit_code)
            _print(found.to_dict(), found.text(), as_json)
    return next(code for code in _WORST_FIRST if code in codes)


def _print(facts: dict[str, object], text: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts))
    else:
        print(text, file=sys.stderr if "error" in facts else sys.stdout)
