"""Content credentials (C2PA) of a result: what it says about its making, signed, in the file or beside it.

`Statement` is what is said; `sign_result` puts it into a finished file before that gets its name. Where the container
cannot hold credentials, they lie in a file of their own, `out.webm.c2pa`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import c2pa

from talkingface import __version__
from talkingface.core.cache import output_error, temporary_path
from talkingface.core.errors import InputError, OutputError
from talkingface.trust.identity import Identity, signing_identity
from talkingface.trust.seal import Seal, unsealed
from talkingface.trust.sidecar import EMBEDDING, read_sidecar, sidecar_of
from talkingface.trust.signing import sign_bytes

RESULT, BOM, CONSENT = "org.talkingface.result", "org.talkingface.bom", "org.talkingface.consent"
"""Labels of this project's own assertions."""
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
MADE, CHANGED = f"{SOURCE_TYPE}trainedAlgorithmicMedia", f"{SOURCE_TYPE}compositeWithTrainedAlgorithmicMedia"
NO_NETWORK = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
"""Settings of C2PA: what somebody sends must not make us fetch anything."""
_SIGNING = {
    "builder": {"thumbnail": {"enabled": False}},
    "verify": {"verify_after_sign": False, **NO_NETWORK["verify"]},
    # hashes by blocks, and copies of large files on the disk: without them memory grows with the file, while it is read
    # by its size and while it is signed by twice that
    "core": {"merkle_tree_chunk_size_in_kb": 4096, "backing_store_memory_threshold_in_mb": 32},
}
_BUFFER = 1 << 20  # C2PA reads and writes 8 KiB at a time, by calls into Python


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingredient:
    """Something that a result was made from: its name, SHA-256, and what it was for ("face", "speech", "drive" ...).

    `path`: a file whose own credentials are carried on. `is_parent`: the result is this clip, changed.
    """

    title: str
    role: str
    sha256: str
    media_type: str = "application/octet-stream"
    path: Path | None = None
    is_parent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the credentials of a result say.

    `job` stands for everything that decides the result. `mark`: algorithm and payload of the invisible mark, None
    without one; `withheld` says why something was left out. `is_composite`: real footage was changed.
    """

    system: str
    job: str
    weights: Mapping[str, Any] = field(default_factory=dict)
    is_composite: bool = False
    ingredients: tuple[Ingredient, ...] = ()
    mark: tuple[str, int] | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)
    bom: Mapping[str, Any] | None = None
    consent: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """Where the credentials lie, the manifest itself, and who signed: a name, and the `Identity.origin`."""

    place: Path
    manifest: bytes
    signer: str
    origin: str


def sign_result(part: Path, target: Path, statement: Statement) -> Signed:
    """Sign the finished file `part`, which will be called `target`: in place, or into the file beside `target`.

    Raises OutputError; `part` is then not to be used.
    """
    identity, seal = signing_identity(), Seal()
    embeds = target.suffix.lower() in EMBEDDING
    place = target if embeds else sidecar_of(target)
    made = temporary_path(part if embeds else place)
    try:
        with _reported(target) as failures, c2pa.Context.from_dict(_SIGNING) as context:
            builder = c2pa.Builder(json.dumps(manifest_of(target.name, statement, seal.public)), context)
            with contextlib.closing(builder), _signer(identity, failures) as signer:
                for number, ingredient in enumerate(statement.ingredients):
                    _add(builder, number, ingredient)
                manifest = _sign(builder, signer, part, made if embeds else None, failures)
            if not embeds:
                made.write_bytes(manifest)
            seal.close(made, beside=() if embeds else (part,))
            os.replace(made, part if embeds else place)
    finally:
        with contextlib.suppress(OSError):
            made.unlink(missing_ok=True)
    return Signed(place=place, manifest=manifest, signer=identity.chain.name, origin=identity.origin)


def manifest_of(title: str, statement: Statement, seal: str) -> dict[str, Any]:
    """The manifest's definition, but for ingredients that are read from files."""
    result: dict[str, Any] = {
        "system": statement.system,
        "weights": dict(statement.weights),
        "job": statement.job,
        "seal": seal,
        "made_from": [{"title": i.title, "role": i.role, "sha256": i.sha256} for i in statement.ingredients],
    }
    if statement.withheld:
        result["withheld"] = dict(statement.withheld)
    assertions = [
        {"label": "c2pa.actions.v2", "data": {"actions": _actions(statement)}},
        {"label": RESULT, "data": result},
    ]
    if statement.mark is not None:
        algorithm, payload = statement.mark
        block = {"scope": {}, "value": f"{payload:012x}"}
        assertions.append({"label": "c2pa.soft-binding", "data": {"alg": algorithm, "blocks": [block]}})
    for label, data in ((BOM, statement.bom), (CONSENT, statement.consent)):
        if data is not None:
            assertions.append({"label": label, "data": dict(data)})
    return {
        "claim_generator_info": [{"name": "talkingface", "version": __version__}],
        "title": title,
        "assertions": assertions,
    }


def _actions(statement: Statement) -> list[dict[str, Any]]:
    agent = {"name": "talkingface", "version": __version__}
    parents, others = (
        [_label(number) for number, i in enumerate(statement.ingredients) if i.is_parent == wanted]
        for wanted in (True, False)
    )
    used = {"parameters": {"ingredientIds": others}} if others else {}
    source = {
        "digitalSourceType": CHANGED if statement.is_composite else MADE,
        "softwareAgent": agent,
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    if parents:
        opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": parents}}
        actions = [opened, {"action": "c2pa.edited", **source, **used}]
    else:
        actions = [{"action": "c2pa.created", **source, **used}]
    return actions if statement.mark is None else [*actions, {"action": "c2pa.watermarked.bound"}]


def _label(number: int) -> str:
    return f"ingredient-{number}"


def _add(builder: Any, number: int, ingredient: Ingredient) -> None:
    """Add an ingredient with the credentials of its file, or as a mere statement where it has none to read."""
    said = {
        "title": ingredient.title,
        "format": ingredient.media_type,
        "instance_id": f"sha256:{ingredient.sha256}",
        "relationship": "parentOf" if ingredient.is_parent else "inputTo",
        "label": _label(number),
    }
    source, media_type = io.BytesIO(), "application/octet-stream"
    if ingredient.path is not None:
        with contextlib.suppress(c2pa.C2paError, OSError, InputError, ValueError):
            if facts := _beside(ingredient.path):
                name = f"{_label(number)}.c2pa"
                builder.add_resource(name, io.BytesIO(facts.pop("manifest")))
                facts["manifest_data"] = {"format": "application/c2pa", "identifier": name}
                return builder.add_ingredient({**said, **facts}, media_type, source)
            with open(ingredient.path, "rb", buffering=_BUFFER) as file:
                return builder.add_ingredient(said, ingredient.media_type, file)
    builder.add_ingredient(said, media_type, source)


def _beside(path: Path) -> dict[str, Any] | None:
    """The `manifest` in a file beside an input, and what C2PA wants to know of it: which one is active, and how it was
    found. None where there is none, or it is not that of the input as it is. Raises C2paError, OSError, InputError."""
    data = None if path.suffix.lower() in EMBEDDING else read_sidecar(path)
    if data is None:
        return None
    manifest = unsealed(data)
    with (
        c2pa.Context.from_dict(NO_NETWORK) as context,
        open(path, "rb", buffering=_BUFFER) as file,
        c2pa.Reader("application/octet-stream", file, manifest, context) as reader,
    ):
        store = json.loads(reader.json())
    if store.get("validation_state") not in ("Valid", "Trusted"):
        return None
    return {"manifest": manifest, **{name: store[name] for name in ("active_manifest", "validation_results")}}


def _sign(builder: Any, signer: Any, part: Path, made: Path | None, failures: list[Exception]) -> bytes:
    """The manifest of `part`, which is copied with it to `made`; None: it stays apart."""
    media_type = "application/octet-stream" if made is None else EMBEDDING[made.suffix.lower()]
    if made is None:
        builder.set_no_embed()
    with open(part, "rb", buffering=_BUFFER) as source, _target(made, failures) as target:
        return builder.sign(signer, media_type, source, target)


def _target(made: Path | None, failures: list[Exception]) -> Any:
    if made is None:
        return _Nowhere()
    return io.BufferedRandom(_Raw(made, failures), _BUFFER)


class _Raw(io.FileIO):
    """A new file that remembers why it could not be written: C2PA says only that it could not."""

    def __init__(self, path: Path, failures: list[Exception]) -> None:
        super().__init__(path, "x+")
        self._failures = failures

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self._failures.append(error)
            raise


class _Nowhere(io.RawIOBase):
    """Takes what is written and keeps nothing: the copy of a file whose manifest lies beside it."""

    def __init__(self) -> None:
        self._place = self._end = 0

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return 0

    def write(self, data: Any) -> int:
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + (0, self._place, self._end)[whence]
        return self._place


def _signer(identity: Identity, failures: list[Exception]) -> Any:
    name = identity.chain.algorithm()
    if identity.command is None:
        info = c2pa.C2paSignerInfo(name.encode(), identity.chain.pem, identity.key, _bytes(identity.timestamp_url))
        return c2pa.Signer.from_info(info)
    call = _by_command(identity, failures)
    kind = getattr(c2pa.C2paSigningAlg, name.upper())
    return c2pa.Signer.from_callback(call, kind, identity.chain.pem.decode(), identity.timestamp_url)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _by_command(identity: Identity, failures: list[Exception]) -> Callable[[bytes], bytes]:
    def sign(data: bytes) -> bytes:
        try:
            return sign_bytes(identity, data)
        except OutputError as error:
            failures.append(error)
            raise

    return sign


@contextlib.contextmanager
def _reported(target: Path) -> Iterator[list[Exception]]:
    """What goes wrong as an OutputError in one line. The list takes causes that C2PA would not hand on."""
    failures: list[Exception] = []
    try:
        yield failures
    except (OSError, c2pa.C2paError, ValueError, UnicodeError) as error:
        cause = failures[0] if failures else error
        if isinstance(cause, OSError):
            raise output_error(target, cause) from error
        text = " ".join(str(cause).split())
        raise OutputError(f"cannot sign {target}: {text}; nothing was written") from error
