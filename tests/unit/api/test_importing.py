from __future__ import annotations

import sys
from pathlib import Path

import pytest

from talkingface import metrics
from talkingface.api.importing import find_importer, import_weights, importer_kinds
from talkingface.core.errors import UsageError
from talkingface.core.weights import find_weights, verify

KINDS = """
import numpy as np
from talkingface.core.foreign import Imported

def make_demo(files):
    return Imported(name="demo.one", tensors={"a": np.full(2, len(files), np.float32)}, card={"licence": "CC0-1.0"})

def make_misnamed(files):
    return Imported(name="../demo", tensors={})
"""


@pytest.fixture(autouse=True)
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds of a module in a folder of its own."""
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "demo_kinds.py").write_text(KINDS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "demo_kinds", raising=False)
    for kind in ("demo", "misnamed"):
        monkeypatch.setitem(metrics.IMPORTERS, kind, f"demo_kinds:make_{kind}")


def test_imported_weights_lie_in_the_users_store(tmp_path: Path) -> None:
    ref = import_weights("demo", [tmp_path / "x", tmp_path / "y"])
    assert ref.folder == tmp_path / "cache" / "weights" / "demo.one"
    assert verify("demo.one") == ref == find_weights("demo.one")
    assert import_weights("demo", tmp_path / "x") == ref  # again, in its place


def test_or_where_one_wants_them(tmp_path: Path) -> None:
    ref = import_weights("demo", tmp_path / "x", folder=tmp_path / "mine")
    assert ref.folder == tmp_path / "mine" and verify(tmp_path / "mine")
    assert import_weights("demo", tmp_path / "x", folder=tmp_path / "mine") == ref
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds no weights"):
        import_weights("demo", tmp_path / "x", folder=tmp_path / "other")


def test_unknown_kinds_and_bad_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no weights of kind 'dmo' can be imported; did you mean demo"):
        import_weights("dmo", tmp_path / "x")
    with pytest.raises(UsageError, match=r"names look like system\.tag"):
        import_weights("misnamed", tmp_path / "x")
    assert not (tmp_path / "demo").exists() and not (tmp_path / "cache").exists()


def test_every_kind_can_be_loaded() -> None:
    assert {"arcface", "headpose", "inception", "lpips", "pcavs", "syncnet"} <= set(importer_kinds())
    for kind in importer_kinds():
        assert callable(find_importer(kind))
