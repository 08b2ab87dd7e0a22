"""Shared fixtures: short voices, a tiny plug-in system, and folders of the test's own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from talkingface.core.types import Avatar
from talkingface.core.weights import save_avatar, save_weights
from voices import make_voice, write_wav

# no test is a race: on a busy machine an example may take any time
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No key of the developer's own is used, and none is made among them; nor is anything noted of what was made.

    For the whole session: results are made by fixtures of modules too.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONFIG", "STATE"):
            patch.setenv(f"TALKINGFACE_{name}", str(tmp_path_factory.getbasetemp() / name.lower()))
        for name in ("SIGN_CERT", "SIGN_KEY", "SIGN_COMMAND", "TIMESTAMP_URL", "MARK_KEY"):
            patch.delenv(f"TALKINGFACE_{name}", raising=False)
        yield


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own cache or weights is read or written."""
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("TALKINGFACE_WEIGHTS", raising=False)


@pytest.fixture
def voice() -> np.ndarray:
    """1.6 s of speech-like sound at 16 kHz."""
    return make_voice(1.6)


@pytest.fixture
def voice_file(tmp_path: Path, voice: np.ndarray) -> Path:
    """The same in a file whose name has a space and letters beyond ASCII."""
    return write_wav(tmp_path / "stimme für ünï.wav", voice)


@pytest.fixture
def meter(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plug-in `meter_system` in a folder of its own with weights, for this test in this process and its children.

    The folder is all that there is of it: the package and an entry point, as `pip install` leaves them.
    """
    site = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).parent / "meter_system", site / "meter_system", ignore=ignored)
    (site / "meter-1.0.dist-info").mkdir()
    (site / "meter-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: meter\nVersion: 1.0\n")
    (site / "meter-1.0.dist-info" / "entry_points.txt").write_text("[talkingface.systems]\nmeter = meter_system:SPEC\n")
    card = {"name": "meter.none", "system": "meter", "licence": "CC0-1.0", "config": {"gain": 150.0}}
    save_weights(site / "weights" / "meter.none", {"none": np.zeros(1, np.float32)}, card)
    monkeypatch.syspath_prepend(str(site))
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("TALKINGFACE_WEIGHTS", str(site / "weights"))


@pytest.fixture
def globe(meter: None, tmp_path: Path) -> Path:
    """The folder of an avatar that can be viewed; its system is another entry point of the plug-in's package."""
    site = Path(sys.path[0])
    entries = site / "meter-1.0.dist-info" / "entry_points.txt"
    entries.write_text(entries.read_text() + "globe = meter_system.globe:SPEC\n")
    card = {"name": "globe.none", "system": "globe", "licence": "CC0-1.0", "config": {}}
    save_weights(site / "weights" / "globe.none", {"none": np.zeros(1, np.float32)}, card)
    avatar = Avatar(
        system="globe", card={"kind": "photo", "weights": "globe.none"}, tensors={"base": np.zeros((8, 8, 3), np.uint8)}
    )
    save_avatar(tmp_path / "me.avatar", avatar)
    return tmp_path / "me.avatar"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture file; what it shows does not matter to the meter."""
    from PIL import Image

    Image.new("RGB", (64, 48), (90, 60, 40)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `gpu` are skipped where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")
