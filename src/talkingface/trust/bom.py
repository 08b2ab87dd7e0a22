"""The bill of materials of a result: a CycloneDX 1.6 document of packages, weights and inputs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from talkingface import __version__

_OSI = "License :: OSI Approved :: "
_LONGEST = 80  # characters of a licence's name; some packages put its whole text there


def make_bom(
    cards: Iterable[Mapping[str, Any]], inputs: Sequence[tuple[str, str, str]] = (), name: str | None = None
) -> dict[str, Any]:
    """The bill of what a result, called `name`, was made with; None: of this installation.

    `cards`: of the weights. `inputs`: title, role and SHA-256 of what it was made from.
    """
    subject = {"type": "application", "name": "talkingface", "version": __version__}
    if name is not None:
        subject = {"type": "file", "name": name}
    components = [*_packages(), *map(_weights, cards), *(_input(*facts) for facts in inputs)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid4()}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "talkingface", "version": __version__}]},
            "component": subject,
        },
        "components": components,
    }


@lru_cache(1)
def _packages() -> tuple[dict[str, Any], ...]:
    """This package and everything that it needs and is installed, by name."""
    found: dict[str, dict[str, Any]] = {}
    todo = ["talkingface"]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        try:
            fields = list(_fields(distribution(name)))
        except PackageNotFoundError:  # only needed elsewhere
            continue
        version = next((value for key, value in fields if key == "version"), "")
        reference = f"pkg:pypi/{name}@{version}"
        found[name] = {
            "type": "library", "bom-ref": reference, "name": name, "version": version, "purl": reference,
            **_licences(fields),
        }  # fmt: skip
        for key, value in fields:
            if (
                key == "requires-dist"
                and not re.search(r"extra\s*==", value)
                and (start := re.match(r"[\w.-]+", value))
            ):
                todo.append(start[0])
    return tuple(found[name] for name in sorted(found))


def _fields(package: Distribution) -> Iterator[tuple[str, str]]:
    """Fields of a package's metadata, each in its first line; `Distribution.metadata` takes ten times as long."""
    text = package.read_text("METADATA") or package.read_text("PKG-INFO") or ""
    for line in text.splitlines():
        if not line:
            return
        key, colon, value = line.partition(": ")
        if colon and not line[0].isspace():
            yield key.lower(), value.strip()


def _licences(fields: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """An SPDX expression where there is one, else the names of the classifiers, else what is called the licence."""
    expression = next((value for key, value in fields if key == "license-expression"), None)
    if expression:
        return {"licenses": [{"expression": expression}]}
    names = [value.removeprefix(_OSI) for key, value in fields if key == "classifier" and value.startswith(_OSI)]
    names = names or [value for key, value in fields if key == "license" and 0 < len(value) <= _LONGEST]
    return {"licenses": [{"license": {"name": name}} for name in names]} if names else {}


def _weights(card: Mapping[str, Any]) -> dict[str, Any]:
    """Weights as a machine-learning model, with licence, origin and training data of their card."""
    name, version = str(card.get("name", "unnamed")), card.get("version")
    made: dict[str, Any] = {"type": "machine-learning-model", "bom-ref": f"weights:{name}", "name": name}
    if version is not None:
        made["version"] = str(version)
    if origin := card.get("origin"):
        made["description"] = str(origin)
    if sha256 := card.get("sha256"):
        made["hashes"] = [{"alg": "SHA-256", "content": str(sha256)}]
    if licence := card.get("licence"):
        made["licenses"] = [{"license": {"name": str(licence)}}]
    if data := card.get("data"):
        made["modelCard"] = {
            "modelParameters": {"datasets": [{"type": "dataset", "name": "training data", "description": str(data)}]}
        }
    if allows := card.get("allows"):
        made["properties"] = [{"name": "talkingface:allows", "value": str(allows)}]
    return made


def _input(title: str, role: str, sha256: str) -> dict[str, Any]:
    """A picture, voice or motion that a result was made from."""
    return {
        "type": "data",
        "bom-ref": f"input:{role}",
        "name": title,
        "description": role,
        "hashes": [{"alg": "SHA-256", "content": sha256}],
    }
