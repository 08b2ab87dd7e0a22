"""Consent of a person to be shown speaking: a record of who, what for, until when and on which evidence, signed.

What a record proves: somebody with this installation's key wrote it down, and nobody has changed it since. That the
person agreed is shown by the statement that it names.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
from collections.abc import Mapping
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

from talkingface.core.cache import content_hash, output_error, write_atomic
from talkingface.core.config import parse_json
from talkingface.core.errors import ArgumentError, ConsentError, InputError, OutputError
from talkingface.trust.certificates import Chain, read_chain
from talkingface.trust.identity import alone, known_signers, lasting_identity, trust_folder
from talkingface.trust.signing import is_signed, sign_bytes

FORMAT_VERSION = 1
EVIDENCE = ("statement", "photo", "voice")
"""Files whose hashes a record may hold; the statement always."""
_PREFIX = b"talkingface consent 1\n"  # a signature for this cannot be taken for one of anything else
_TEXTS = ("id", "person", "scope", "made", "until")
_MOST_BYTES = 1 << 20


def make_consent(
    *, person: str, scope: str, until: str, statement: Path, photo: Path | None = None, voice: Path | None = None
) -> dict[str, Any]:
    """A signed record. `until`: the last day (UTC), as 2027-12-31. Raises ArgumentError, InputError, OutputError."""
    for name, text in (("person", person), ("scope", scope)):
        if not text.strip() or len(text) > 1000:
            raise ArgumentError(f"{name} must be a text of at most 1000 characters")
    if _date(until) < _today():
        raise ArgumentError(f"until must be a day to come, not {until}")
    files = dict(zip(EVIDENCE, (statement, photo, voice), strict=True))
    record: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "holds": "consent",
        "id": secrets.token_hex(16),
        "person": person.strip(),
        "scope": scope.strip(),
        "made": _today().isoformat(),
        "until": _date(until).isoformat(),
    }
    for name, file in files.items():
        if file is not None:
            record[name] = {"name": file.name, "sha256": content_hash(file)}
    identity = lasting_identity()
    value = base64.b64encode(sign_bytes(identity, _signed_part(record))).decode()
    return {**record, "signature": {"certificates": identity.chain.pem.decode(), "value": value}}


def save_consent(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write a record (.json), which only the user may read. Raises OutputError."""
    with write_atomic(path, "w", private=True) as file:
        json.dump(record, file, indent=2, ensure_ascii=False)
        file.write("\n")


def load_consent(path: Path) -> dict[str, Any]:
    """A record, or that in an avatar's card; its form is checked, its signature is not. Raises InputError."""
    file = path / "card.json" if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"{path} is neither an avatar folder nor a consent; name one of both")
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise InputError(f"{file} is too large for a consent")
        data = parse_json(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    if path.is_dir() and isinstance(data, dict):
        data = data.get("consent")
    return _well_formed(data, str(path))


def _well_formed(data: Any, name: str) -> dict[str, Any]:
    signature = data.get("signature") if isinstance(data, dict) else None
    if not isinstance(signature, dict) or data.get("holds") != "consent":
        raise InputError(f"{name} holds no consent; make one with talkingface consent new")
    if data.get("format_version") != FORMAT_VERSION:
        raise InputError(f"{name} is of another format; upgrade talkingface")
    texts = [data.get(name) for name in _TEXTS] + [signature.get(name) for name in ("certificates", "value")]
    parts = [data[name] for name in EVIDENCE if name in data]
    whole = all(isinstance(part, dict) and isinstance(part.get("sha256"), str) for part in parts)
    if not all(isinstance(text, str) for text in texts) or "statement" not in data or not whole:
        raise InputError(f"{name} is not a whole consent; make it again")
    return data


def check_consent(record: Mapping[str, Any], files: Mapping[str, Path] | None = None) -> str:
    """Raise ConsentError unless a record holds today; returns who signed it, and whether they are known here.

    `files`: evidence by name ("photo"), which must be that of the record. Raises InputError for a file that cannot be
    read.
    """
    record = _well_formed(dict(record), "the consent")
    chain = _signer(record)
    person = _shown(record["person"])
    today, until = _today(), _date(record["until"])
    if today < _date(record["made"]):
        raise ConsentError(
            f"the consent of {person} is from {record['made']}, but the clock says {today}; set the clock"
        )
    if today > until:
        raise ConsentError(f"the consent of {person} ended on {until}; ask for a new one")
    if revoked := revocations().get(record["id"]):
        raise ConsentError(f"{person} revoked the consent on {revoked.get('date')}; nothing may be made with it")
    for name, file in (files or {}).items():
        if name not in record:
            raise ConsentError(f"the consent of {person} names no {name}")
        if content_hash(file) != record[name]["sha256"]:
            raise ConsentError(f"the consent of {person} is for another {name} than {file}")
    known_as = next((name for known, name in known_signers() if known.serial == chain.serial), "not known here")
    return f"{chain.name}, {known_as}"


def _signer(record: Mapping[str, Any]) -> Chain:
    """The chain of the signer. Raises ConsentError unless the signature is that of the record as it is."""
    try:
        chain = read_chain(record["signature"]["certificates"].encode(), "the consent")
        value = base64.b64decode(record["signature"]["value"], validate=True)
        if is_signed(chain, value, _signed_part(record)):
            return chain
    except (InputError, ValueError, UnicodeError):
        pass
    raise ConsentError("the consent was changed after it was signed, or its signature is none; make it again")


def revoke(record: Mapping[str, Any], reason: str = "") -> Path:
    """Note on this computer that a consent does not hold any more; returns the list. Raises OutputError."""
    folder = trust_folder()
    if folder is None:
        raise OutputError("there is no home folder to note it in; set TALKINGFACE_CONFIG to a writable folder")
    file = folder / "revoked.json"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with alone(folder):
            listed = revocations()
            listed.setdefault(record["id"], {"date": _today().isoformat(), "reason": reason})
            with write_atomic(file, "w", private=True) as opened:
                json.dump(listed, opened, indent=2)
    except OSError as error:
        raise output_error(file, error) from error
    return file


def revocations() -> dict[str, dict[str, str]]:
    """Consents that were revoked here, by id. Raises ConsentError for a list that cannot be read: it might name any."""
    folder = trust_folder()
    if folder is None or not os.path.exists(file := folder / "revoked.json"):
        return {}
    try:
        listed = parse_json(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise ConsentError(f"the list of revoked consents, {file}, cannot be read; mend or remove it") from error
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        raise ConsentError(f"the list of revoked consents, {file}, cannot be read; mend or remove it")
    return listed


def public_part(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a published video says of a consent: not who, but which record, for what and until when."""
    found = {name: record[name] for name in ("id", "scope", "until")}
    with contextlib.suppress(KeyError, TypeError):
        found["statement_sha256"] = record["statement"]["sha256"]
    return found


def _signed_part(record: Mapping[str, Any]) -> bytes:
    plain = {name: value for name, value in record.items() if name != "signature"}
    return _PREFIX + json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"a day is written as 2027-12-31, not {text!r}") from error


def _today() -> date:
    """By UTC, so that a consent ends everywhere at the same moment."""
    return datetime.now(timezone.utc).date()


def _shown(text: str) -> str:
    return "".join(character for character in text if character.isprintable())[:100]
