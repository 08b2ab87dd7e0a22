"""`talkingface weights`."""

from __future__ import annotations

import argparse
import json
import sys

from talkingface.core.errors import TalkingFaceError, UsageError

SUMMARY = "list, show, verify or import weights"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "action",
        choices=("list", "show", "verify", "import"),
        help="what is there, one card, check hashes, or make weights from files of another project",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help="weights or folder (verify without one checks all); for import the kind and the files; import alone says "
        "which kinds there are",
    )
    parser.add_argument("-o", "--output", metavar="FOLDER", help="where to import to; default: the user's own store")


def run(action: str, names: list[str], output: str | None) -> int:
    """Look after the store of weights; returns the exit code."""
    from talkingface.core import weights as store

    if action == "import":
        return _import(names, output)
    if output is not None:
        raise UsageError("--output goes with: talkingface weights import")
    if len(names) > 1:
        raise UsageError(f"{action} takes one name, not {len(names)}")
    name = names[0] if names else None
    if action == "show":
        if name is None:
            raise UsageError("name the weights to show; see: talkingface weights list")
        print(json.dumps(store.read_card(store.find_weights(name).folder), indent=2, ensure_ascii=False))
        return 0
    refs = [store.find_weights(name)] if name is not None else store.list_weights()
    if not refs:
        print("no weights found; set TALKINGFACE_WEIGHTS to a folder of weights", file=sys.stderr)
    worst = 0
    for ref in refs:
        try:
            card = store.load_weights(ref).card if action == "verify" else store.read_card(ref.folder)
            print(f"{ref.name:20} {'intact' if action == 'verify' else card.get('licence', '')}  {ref.folder}")
        except TalkingFaceError as error:
            print(f"error: {error}", file=sys.stderr)
            worst = error.exit_code
    return worst


def _import(names: list[str], output: str | None) -> int:
    from talkingface import api
    from talkingface.core.weights import read_card

    if len(names) < 2:
        kinds = ", ".join(api.importer_kinds())
        raise UsageError(f"name a kind and its files: talkingface weights import KIND FILE...; kinds: {kinds}")
    ref = api.import_weights(names[0], names[1:], folder=output)
    card = read_card(ref.folder)
    print(f"{ref.folder}: {card['name']}; {card.get('licence', 'no licence stated')}")
    for note in card.get("notes", []):
        print(note)
    return 0
