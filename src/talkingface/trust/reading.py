"""Content credentials read and checked: are they there, is the file as it was signed, and is the signer known?"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import c2pa

from talkingface.core.errors import InputError
from talkingface.trust import seal
from talkingface.trust.credentials import BOM, CONSENT, NO_NETWORK, RESULT, SOURCE_TYPE
from talkingface.trust.identity import known_signers
from talkingface.trust.sidecar import read_sidecar, sidecar_of

_SYNTHETIC = tuple(
    SOURCE_TYPE + name
    for name in ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "compositeSynthetic")
)
_C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MOST_BOXES = 10_000
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialsFinding:
    """What the credentials of a file say.

    `state`: "trusted" (as it was signed, by somebody known here), "valid" (as it was signed, by somebody unknown),
    "broken" (there are credentials, but they or the file were changed), "none". `known_as`: why the signer is known.
    `is_synthetic`: they call the file synthetic; `was_synthetic`: or something that it was made from.
    `ingredients`: `title`, `relationship` and `has_credentials` of what it was made from. `result`, `bom` and `consent`
    are this project's own statements, None where there are none.
    """

    state: Literal["trusted", "valid", "broken", "none"]
    detail: str
    place: Path | None = None
    signer: str = ""
    known_as: str = ""
    is_synthetic: bool = False
    was_synthetic: bool = False
    mark: tuple[str, int] | None = None
    ingredients: tuple[Mapping[str, Any], ...] = ()
    result: Mapping[str, Any] | None = None
    bom: Mapping[str, Any] | None = None
    consent: Mapping[str, Any] | None = None
    problems: tuple[str, ...] = field(default=())


def check_credentials(path: Path, roots: Mapping[str, bytes] | None = None) -> CredentialsFinding:
    """Read and check the credentials in `path` or in the file beside it. Nothing is fetched.

    `roots`: certificates (PEM) that are trusted besides this installation's own, by what they are called. Raises
    InputError if the file cannot be read.
    """
    try:
        embedded, sidecar = _holds_manifest(path), sidecar_of(path)
        place = sidecar if not embedded and sidecar.is_file() else path
        return _checked(path, place, embedded, roots or {})
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _checked(path: Path, place: Path, embedded: bool, roots: Mapping[str, bytes]) -> CredentialsFinding:
    manifest, beside = None, ()
    if place != path:
        try:
            manifest, beside = seal.unsealed(read_sidecar(path) or b""), (path,)
        except InputError as error:
            return _broken(place, str(error))
    own = known_signers()
    anchors = b"".join([*(chain.root_pem for chain, _ in own), *roots.values()])
    settings = {**NO_NETWORK, **({"trust": {"user_anchors": anchors.decode()}} if anchors else {})}
    try:
        trusting = c2pa.Context.from_dict(settings)
    except c2pa.C2paError as error:
        raise InputError(f"the trusted certificates cannot be used: {_said(error)}") from error
    try:
        with (
            trusting as context,
            open(path, "rb", buffering=_BUFFER) as file,
            contextlib.closing(_reader(file, manifest, context)) as reader,
        ):
            store = json.loads(reader.json())
    except (c2pa.C2paError, ValueError, UnicodeError) as error:
        if embedded or manifest is not None:
            return _broken(place, f"they cannot be read ({_said(error)})")
        if seal.has_seal(path):
            return _broken(place, "they were taken out of the file")
        elsewhere = str(error).startswith("Remote:")  # it has no class of its own
        detail = "the file names a place on the network for them, which is not asked" if elsewhere else _why_none(path)
        return CredentialsFinding(state="none", detail=detail)
    return _judged(store, path, place, beside, {chain.serial: name for chain, name in own}, roots)


def _reader(file: IO[bytes], manifest: bytes | None, context: Any) -> Any:
    # what the bytes are decides, not the name; beside a manifest of its own a file is just bytes
    return c2pa.Reader("" if manifest is None else "application/octet-stream", file, manifest, context)


def _judged(
    store: Mapping[str, Any], path: Path, place: Path, beside: Sequence[Path], own: Mapping[str, str],
    roots: Mapping[str, bytes],
) -> CredentialsFinding:  # fmt: skip
    manifests = store.get("manifests") or {}
    active = manifests.get(store.get("active_manifest")) or {}
    signature = active.get("signature_info") or {}
    result = _assertion(active, RESULT)
    found: dict[str, Any] = {
        "place": place,
        "signer": str(signature.get("issuer") or signature.get("common_name") or "unknown"),
        "is_synthetic": _says_synthetic(active),
        "was_synthetic": any(_says_synthetic(manifest) for manifest in manifests.values()),
        "mark": _mark(active),
        "ingredients": tuple(_ingredients(active)),
        "result": result,
        "bom": _assertion(active, BOM),
        "consent": _assertion(active, CONSENT),
        "problems": tuple(sorted({str(status.get("code")) for status in store.get("validation_status") or ()})),
    }
    state = store.get("validation_state")
    if state not in ("Valid", "Trusted"):
        return CredentialsFinding(state="broken", detail=_what_broke(found["problems"]), **found)
    if result is not None and not seal.is_intact(place, str(result.get("seal")), beside=beside):
        return CredentialsFinding(state="broken", detail="bytes outside of the signed part were changed", **found)
    if state == "Valid":
        return CredentialsFinding(state="valid", detail="the signer is not known here", **found)
    known_as = own.get(str(signature.get("cert_serial_number"))) or " or ".join(roots)
    return CredentialsFinding(state="trusted", detail=f"signed by {known_as}", known_as=known_as, **found)


def _broken(place: Path, detail: str) -> CredentialsFinding:
    return CredentialsFinding(state="broken", detail=detail, place=place)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _what_broke(problems: Sequence[str]) -> str:
    if any("Hash.mismatch" in code for code in problems):
        return "the file is not what was signed"
    if any(code.startswith("assertion.") for code in problems):
        return "what they say was changed"
    return f"they do not hold ({', '.join(problems) or 'no reason given'})"


def _why_none(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".webm", ".mkv"):
        return f"a {suffix} file cannot hold any, and there is no {sidecar_of(path).name} beside it"
    return "the file holds none"


def _ingredients(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for listed in manifest.get("ingredients") or ():
        facts = {name: str(listed.get(name, "")) for name in ("title", "relationship")}
        yield {**facts, "has_credentials": bool(listed.get("active_manifest"))}


def _assertions(manifest: Mapping[str, Any], label: str) -> Iterator[Any]:
    for assertion in manifest.get("assertions") or ():
        # C2PA takes a version off some labels, and numbers those that come twice
        if str(assertion.get("label", "")).split("__")[0] == label:
            yield assertion.get("data")


def _assertion(manifest: Mapping[str, Any], label: str) -> Mapping[str, Any] | None:
    return next((data for data in _assertions(manifest, label) if isinstance(data, dict)), None)


def _says_synthetic(manifest: Mapping[str, Any]) -> bool:
    data = (_assertion(manifest, label) for label in ("c2pa.actions.v2", "c2pa.actions"))
    actions = [action for found in data if found for action in found.get("actions") or ()]
    return any(isinstance(action, dict) and action.get("digitalSourceType") in _SYNTHETIC for action in actions)


def _mark(manifest: Mapping[str, Any]) -> tuple[str, int] | None:
    """Algorithm and payload of the mark that the credentials name."""
    binding = _assertion(manifest, "c2pa.soft-binding") or {}
    with contextlib.suppress(LookupError, TypeError, ValueError):
        return str(binding["alg"]), int(binding["blocks"][0]["value"], 16)
    return None


def _holds_manifest(path: Path) -> bool:
    """Whether an MP4 or QuickTime file has a box for credentials, whatever is in it. Raises OSError."""
    with open(path, "rb") as file:
        end, place = os.fstat(file.fileno()).st_size, 0
        for _ in range(_MOST_BOXES):
            file.seek(place)
            head = file.read(32)
            if len(head) < 24 or (
                place == 0 and head[4:8] not in (b"ftyp", b"uuid", b"moov", b"mdat", b"wide", b"free")
            ):
                return False
            length, start = int.from_bytes(head[:4], "big"), 8
            if length == 1:
                length, start = int.from_bytes(head[8:16], "big"), 16
            if head[4:8] == b"uuid" and head[start : start + 16] == _C2PA_BOX:
                return True
            if length < 8 or place + length >= end:
                return False
            place += length
    return False
