"""The bill of materials: what was installed, which weights, which inputs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import talkingface
from talkingface.api import read_bom
from talkingface.core.cache import content_hash
from talkingface.core.errors import InputError
from talkingface.core.weights import find_weights, read_card
from talkingface.trust.bom import make_bom


def of_kind(bom: dict, kind: str) -> dict[str, dict]:
    return {part["name"]: part for part in bom["components"] if part["type"] == kind}


def test_packages_have_versions_licences_and_places() -> None:
    packages = of_kind(make_bom([]), "library")
    assert {"talkingface", "av", "numpy", "torch", "pillow"} <= set(packages)
    for name, part in packages.items():
        assert part["purl"] == f"pkg:pypi/{name}@{part['version']}" and re.match(r"\d", part["version"])
    assert packages["numpy"]["licenses"] and packages["talkingface"]["licenses"]
    assert "pytest" not in packages, "what only developers need"


def test_weights_state_licence_and_training_data() -> None:
    card = read_card(find_weights("mesh478.v1").folder)
    (part,) = of_kind(make_bom([card]), "machine-learning-model").values()
    assert part["hashes"] == [{"alg": "SHA-256", "content": card["sha256"]}]
    assert part["licenses"] == [{"license": {"name": "CC-BY-4.0"}}]
    assert part["modelCard"]["modelParameters"]["datasets"][0]["description"] == card["data"]


@pytest.mark.usefixtures("meter")
def test_a_result_holds_its_own(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    made = talkingface.animate(photo, voice_file, system="meter", device="cpu")
    made.save(tmp_path / "out.mp4", bom=tmp_path / "bom.json")
    bom = json.loads((tmp_path / "bom.json").read_text())
    assert bom == read_bom(tmp_path / "out.mp4")
    assert bom["metadata"]["component"] == {"type": "file", "name": "out.mp4"}
    assert "meter.none" in of_kind(bom, "machine-learning-model")
    voice = of_kind(bom, "data")[voice_file.name]
    assert voice["description"] == "speech" and voice["hashes"][0]["content"] == content_hash(voice_file)
    plain = talkingface.animate(photo, voice_file, system="meter", device="cpu", no_credentials="a test")
    plain.save(tmp_path / "plain.mp4", bom=tmp_path / "plain.json")
    assert json.loads((tmp_path / "plain.json").read_text())["components"]
    with pytest.raises(InputError, match="no credentials with a bill"):
        read_bom(tmp_path / "plain.mp4")


def test_the_installation_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    models = of_kind(read_bom(), "machine-learning-model")
    assert {"face_tracker.v1", "portrait.clean"} <= set(models)


def test_it_is_what_the_standard_wants() -> None:
    outputter = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    bom = make_bom([{"name": "a.b", "licence": "research only", "data": "x", "allows": "y"}], [("a", "face", "0" * 64)])
    assert outputter.JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
