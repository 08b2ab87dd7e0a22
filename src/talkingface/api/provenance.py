"""What a result says about its making: the statement that its credentials hold, from the inputs of the job."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talkingface.api.resume import identity_of
from talkingface.clips.source import is_pipe
from talkingface.core.cache import user_path
from talkingface.core.errors import UsageError
from talkingface.core.weights import find_avatar, loaded_cards
from talkingface.trust.sidecar import remove_sidecar

if TYPE_CHECKING:
    from talkingface.api.animation import Animation
    from talkingface.trust.credentials import Ingredient, Signed, Statement


class Signing:
    """Signs one result when its file is finished, unless that is left out on purpose."""

    def __init__(self, animation: Animation) -> None:
        self._animation = animation
        self._signed: Signed | None = None
        self._said: Statement | None = None

    @property
    def _is_left_out(self) -> bool:
        return "credentials" in self._animation.withheld

    def check(self) -> None:
        """Raise OutputError for a key that cannot be used, before work that takes long."""
        if not self._is_left_out:
            from talkingface.trust.identity import signing_identity

            signing_identity()

    def __call__(self, part: Path, target: Path) -> None:
        """Sign the finished file `part`, which will be called `target`. Raises OutputError."""
        if self._is_left_out:
            return remove_sidecar(part, target)
        from talkingface.trust.credentials import sign_result

        self._said = statement_of(self._animation, target.name)
        self._signed = sign_result(part, target, self._said)

    def note(self, path: Path) -> None:
        """Keep the manifest of the result, which has its name now, for when it is stripped of it."""
        if self._signed is not None and self._said is not None and self._said.mark is not None:
            from talkingface.trust.ledger import note_result

            note_result(self._said.mark[1], self._said.job, path, self._signed.manifest)

    def bom(self, path: Path) -> Mapping[str, Any]:
        """The bill of materials of the result at `path`."""
        said = self._said or statement_of(self._animation, path.name)
        return said.bom or {}

    def figures(self) -> dict[str, Any]:
        """For the report: where the credentials are, who signed them, and what was left out."""
        signed = self._signed
        facts = None
        if signed is not None:
            facts = {"place": str(signed.place), "signer": signed.signer, "origin": signed.origin}
        return {"credentials": facts, "withheld": dict(self._animation.withheld)}


def statement_of(animation: Animation, name: str) -> Statement:
    """What the credentials of a result called `name` say. Reads the inputs once more, for their hashes."""
    from talkingface.trust.bom import make_bom
    from talkingface.trust.consent import public_part
    from talkingface.trust.credentials import Statement
    from talkingface.trust.mark import ALGORITHM

    card, system = animation.avatar.card, animation.system.SPEC.name
    is_composite, consent = card.get("kind") == "clip", card.get("consent")
    ingredients = tuple(ingredients_of(animation.inputs, is_composite))
    # other jobs of this process may have loaded what belongs to other systems
    cards = [loaded for loaded in loaded_cards() if loaded.get("system", system) == system]
    cards += [dict(card)] if "licence" in card else []  # an avatar with networks of its own
    return Statement(
        system=system,
        job=animation.job,
        weights=animation.weights,
        is_composite=is_composite,
        ingredients=ingredients,
        mark=None if animation.payload is None else (ALGORITHM, animation.payload),
        withheld=animation.withheld,
        bom=make_bom(cards, [(part.title, part.role, part.sha256) for part in ingredients], name),
        consent=public_part(consent) if isinstance(consent, dict) else None,
    )


def ingredients_of(inputs: Mapping[str, object], is_composite: bool = False) -> Iterator[Ingredient]:
    """What a result was made from, by what it was for; each file once. The face of a composite is what was changed."""
    from talkingface.trust.credentials import Ingredient

    seen: set[str] = set()
    for role, value in inputs.items():
        path = _path_of(value)
        if value is None or (isinstance(value, str) and path is None):
            continue  # "still", a colour
        digest = _sha256(value if path is None else path)
        if digest in seen:
            continue
        seen.add(digest)
        yield Ingredient(
            title=role if path is None or _is_spool(path) else path.name,
            role=role,
            sha256=digest,
            media_type=_media_type(path),
            path=path if path is not None and path.is_file() else None,
            is_parent=is_composite and role == "face",
        )


def _path_of(value: object) -> Path | None:
    """The file or folder that `value` names, None if it names none."""
    path = value if isinstance(value, str | Path) else getattr(value, "path", None)
    if not isinstance(path, str | Path):
        return None
    found = user_path(path)
    if os.path.exists(found) and not is_pipe(found):
        return found
    return find_avatar(str(path))


def _is_spool(path: Path) -> bool:
    """Whether it is the copy of what came from a pipe, whose name says nothing."""
    return path.suffix == ".speech" and path.name.startswith("talkingface-")


def _sha256(value: object) -> str:
    """Of a file its contents', of a folder or a value in memory one that is equal for equal ones."""
    found = identity_of(value)
    if isinstance(found, str) and len(found) == 64:
        return found
    return hashlib.sha256(json.dumps(found, sort_keys=True, default=str).encode()).hexdigest()


def _media_type(path: Path | None) -> str:
    guessed = None if path is None else mimetypes.guess_type(path.name)[0]
    return guessed or "application/octet-stream"


def left_out(reasons: Mapping[str, str | None]) -> dict[str, str]:
    """What is left out of a result, and why. Raises UsageError for a reason that is empty or not text."""
    for name, reason in reasons.items():
        if reason is not None and not (isinstance(reason, str) and reason.strip()):
            raise UsageError(f"--no-{name} needs a reason in words, which the result then states")
    return {name: " ".join(str(reason).split()) for name, reason in reasons.items() if reason is not None}
