"""`talkingface trust`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from talkingface.core.errors import UsageError

SUMMARY = "the key and certificates that results are signed with"
_MEANS = ("certificate", "key", "command", "timestamp_url")


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "action",
        choices=("init", "show", "export-root"),
        help="make this installation's key or choose what signs, show what signs, write the certificate that others "
        "have to trust",
    )
    parser.add_argument("-o", "--output", metavar="FILE.pem", help="for export-root: the file to write")
    parser.add_argument("--json", action="store_true", help="for show: print JSON")
    parser.add_argument("--new", action="store_true", help="for init: a new key in place of the present one")
    own = parser.add_argument_group("for init: a certificate of your own, kept for later runs")
    own.add_argument("--certificate", metavar="FILE.pem", help="certificate chain, signer first")
    own.add_argument("--key", metavar="FILE.pem", help="its private key, which only you may read")
    own.add_argument(
        "--command", metavar="COMMAND", help="signs instead of a key: reads bytes on stdin, writes their signature"
    )
    own.add_argument("--timestamp-url", metavar="URL", help="time-stamp authority (RFC 3161); is asked at each result")
    own.add_argument("--forget", action="store_true", help="sign with this installation's key again")


def run(action: str, output: str | None, **options: Any) -> None:
    """Look after what signs."""
    given = [name for name in ("new", "forget", *_MEANS) if options[name]]
    if action != "init" and given:
        raise UsageError(f"--{given[0].replace('_', '-')} goes with: talkingface trust init")
    if (action == "export-root") != (output is not None):
        raise UsageError("name the file to write: talkingface trust export-root -o root.pem")
    if options["json"] and action != "show":
        raise UsageError("--json goes with: talkingface trust show")
    if action == "init":
        return _init(**{name: options[name] for name in ("new", "forget", *_MEANS)})
    if output is not None:
        return _export(output)
    _show(options["json"])


def _init(new: bool, forget: bool, **own: str | None) -> None:
    from talkingface.trust import identity
    from talkingface.trust.signing import try_out

    means = {name: value for name, value in own.items() if value}
    if forget and (means or new):
        raise UsageError("--forget goes alone")
    if not means.get("timestamp_url", "https://").startswith(("http://", "https://")):
        raise UsageError(f"--timestamp-url takes an address with http:// or https://, not {means['timestamp_url']}")
    if means and set(means) != {"timestamp_url"}:
        try_out(identity.own_identity(means))
    if means or forget:
        print(f"{identity.store_own_means(means)}: written")
    if new:
        identity.new_identity()
    identity.lasting_identity()
    _show(False)


def _export(output: str) -> None:
    from talkingface.core.cache import user_path, write_atomic
    from talkingface.trust.identity import lasting_identity

    signs = lasting_identity()
    with write_atomic(user_path(output)) as file:
        file.write(signs.chain.root_pem)
    print(
        f"{output}: the certificate of {signs.chain.name}; others check results with: talkingface verify --trust FILE"
    )


def _show(as_json: bool) -> None:
    from talkingface.trust.identity import described

    facts = described()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):14} {', '.join(value) if isinstance(value, list) else value}")
