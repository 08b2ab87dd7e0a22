"""`talkingface consent`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from talkingface.core.errors import UsageError

SUMMARY = "record, check or revoke a person's consent to be shown speaking"
_OF_NEW = ("person", "scope", "until", "statement")
_FILES = ("statement", "photo", "voice")


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument("action", choices=("new", "check", "revoke"), help="write a record, check or revoke one")
    parser.add_argument("file", nargs="?", help="for check and revoke: the record, or an avatar folder that holds it")
    parser.add_argument("-o", "--output", metavar="FILE.json", help="for new: the record to write")
    parser.add_argument("--person", metavar="NAME", help="for new: who agrees")
    parser.add_argument("--scope", metavar="TEXT", help="for new: to what, in words")
    parser.add_argument("--until", metavar="DATE", help="for new: last day (UTC), as 2027-12-31")
    parser.add_argument(
        "--statement", metavar="FILE", help="for new, needed: clip in which the person says so; its hash is kept"
    )
    parser.add_argument("--photo", metavar="FILE", help="the only picture that it is for; its hash is kept")
    parser.add_argument("--voice", metavar="FILE", help="sample of the voice; its hash is kept")
    parser.add_argument("--reason", metavar="TEXT", help="for revoke: why")


def run(action: str, file: str | None, output: str | None, reason: str | None, **given: Any) -> None:
    """Write, check or revoke a consent."""
    if reason is not None and action != "revoke":
        raise UsageError("--reason goes with: talkingface consent revoke")
    if action == "new":
        if file is not None or output is None or any(given[name] is None for name in _OF_NEW):
            raise UsageError("a new consent needs --person, --scope, --until, --statement and -o")
        return _new(output, **given)
    if file is None or output is not None or any(given[name] for name in ("person", "scope", "until")):
        raise UsageError(f"name the record: talkingface consent {action} consent.json")
    _use(action, file, reason or "", {name: given[name] for name in _FILES if given[name]})


def _new(output: str, **given: Any) -> None:
    from talkingface.clips.source import existing
    from talkingface.core.cache import check_apart, check_data_name
    from talkingface.trust.consent import make_consent, save_consent

    files = {name: None if given[name] is None else existing(given[name]) for name in _FILES}
    check_apart((output,), files.values())
    check_data_name(output, ".json")
    if Path(output).exists():  # a signed record cannot be made again: avatars hold its number
        raise UsageError(f"{output} is there already; name another file for the new consent")
    record = make_consent(**{**given, **files})
    save_consent(output, record)
    print(f"{output}: consent of {record['person']} until {record['until']}; use it with talkingface fit --consent")


def _use(action: str, file: str, reason: str, files: dict[str, str]) -> None:
    from talkingface.clips.source import existing
    from talkingface.trust.consent import check_consent, load_consent, revoke

    record = load_consent(existing(file))
    if action == "revoke":
        if files:
            raise UsageError("revoke takes the record alone")
        print(f"{file}: revoked on this computer ({revoke(record, reason)}); revoke it wherever it is used")
        return
    signer = check_consent(record, {name: Path(existing(given)) for name, given in files.items()})
    print(f"{file}: holds; {record['person']} until {record['until']}, for: {record['scope']}; signed by {signer}")
