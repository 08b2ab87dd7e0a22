"""How systems are found, and that nobody else knows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkingface.core import registry
from talkingface.core.errors import UsageError

SOURCE = Path(registry.__file__).resolve().parents[1]
ROOT = SOURCE.parents[1]


def test_every_folder_of_a_system_is_found() -> None:
    folders = {path.parent.name for path in (SOURCE / "systems").glob("*/system.py")}
    assert folders <= set(registry.system_names())
    for name in folders:
        spec = registry.get_spec(name)
        assert spec.name == name
        assert spec.default_weights in spec.weights


def test_mistyped_names_get_the_close_ones() -> None:
    assert "portrait" in registry.system_names()
    with pytest.raises(UsageError, match="did you mean portrait"):
        registry.get_spec("portait")
    with pytest.raises(UsageError, match="known: geneface, headpose, pcavs, portrait"):
        registry.get_spec("zzz")
    with pytest.raises(UsageError, match="module:attribute"):
        registry.import_attribute("os")
    with pytest.raises(UsageError, match="has no nothing"):
        registry.import_attribute("os:nothing")


def test_nothing_outside_its_folder_names_a_systems_modules() -> None:
    """Import-linter sees imports; an address in a string would hide one from it."""
    for path in SOURCE.rglob("*.py"):
        if SOURCE / "systems" not in path.parents:
            assert "talkingface.systems." not in path.read_text(encoding="utf-8"), path
    for path in (ROOT / "benchmarks").rglob("*.py"):
        if ROOT / "benchmarks" / "systems" not in path.parents:
            assert "talkingface.systems." not in path.read_text(encoding="utf-8"), path
