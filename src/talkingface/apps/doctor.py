"""`talkingface doctor`: what is installed, what works, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from talkingface import __version__
from talkingface.core.errors import DependencyError, TalkingFaceError

PACKAGES = {
    "torch": "torch", "numpy": "numpy", "av": "av", "cv2": "OpenCV", "numba": "numba", "c2pa": "c2pa-python",
    "cryptography": "cryptography",
    "safetensors": "safetensors", "soxr": "soxr", "PIL": "pillow", "pillow_heif": "pillow-heif",
    "rich": "rich", "scipy": "scipy",
}  # fmt: skip
_SYSTEM_PACKAGES = {
    "libGL.so": "libgl1", "libEGL.so": "libegl1", "libGLESv2.so": "libgles2", "libglib": "libglib2.0-0",
    "libgthread": "libglib2.0-0", "libSM.so": "libsm6", "libXext.so": "libxext6", "libXrender.so": "libxrender1",
    "libstdc++": "libstdc++6", "libgomp": "libgomp1",
}  # fmt: skip
CODECS = {
    "libx264": ".mp4, .mov and .mkv",
    "aac": "their sound",
    "libvpx-vp9": ".webm",
    "libopus": "its sound",
    "prores_ks": "transparent .mov",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: whether it works, whether `animate` needs it, what it is, what to do if it is not there."""

    name: str
    is_good: bool
    detail: str
    advice: str = ""
    is_needed: bool = True


def explain_import_error(error: ImportError) -> str:
    """One line that says which package or system library is missing and which command installs it."""
    text = str(error)
    library = re.search(r"(lib[\w+.-]+\.so[\w.]*): cannot open shared object", text)
    if library:
        package = next((name for start, name in _SYSTEM_PACKAGES.items() if library[1].startswith(start)), None)
        command = f"sudo apt-get install {package}" if package else "install the system package that holds it"
        return f"the system library {library[1]} is missing; on Debian or Ubuntu: {command}"
    if error.name and not error.name.startswith("talkingface"):
        return f"the Python package {error.name} is missing; run: python -m pip install 'talkingface[train,eval]'"
    return f"an import failed: {text}"


def _python() -> Iterator[Finding]:
    fits = (3, 10) <= sys.version_info[:2] <= (3, 14)
    yield Finding("Python", fits, platform.python_version(), "use Python 3.10 to 3.14")


def _packages() -> Iterator[Finding]:
    for module, name in PACKAGES.items():
        try:
            loaded = import_module(module)
        except ImportError as error:
            yield Finding(name, False, "does not load", explain_import_error(error))
            continue
        try:
            found = version(name.lower())
        except PackageNotFoundError:
            found = getattr(loaded, "__version__", "installed")
        yield Finding(name, True, found)


def _codecs() -> Iterator[Finding]:
    import av

    for codec, use in CODECS.items():
        works = codec in av.codecs_available
        advice = (
            "" if works else "install PyAV from its binary wheel: pip install --force-reinstall --only-binary :all: av"
        )
        yield Finding(f"codec {codec}", works, f"for {use}", advice, is_needed=codec in ("libx264", "aac"))


def _face_models() -> Iterator[Finding]:
    from talkingface.core.weights import verify
    from talkingface.face.networks import WEIGHTS

    try:
        yield Finding("face models", True, str(verify(WEIGHTS).folder))
    except TalkingFaceError as error:
        yield Finding("face models", False, str(error), "install talkingface again: its folder weights is incomplete")


def _folders() -> Iterator[Finding]:
    from talkingface.core.cache import cache_dir, cache_file, config_dir, state_dir

    advice = "set NUMBA_CACHE_DIR to a writable folder"
    if named := os.environ.get("NUMBA_CACHE_DIR"):
        yield _writable("compiled code", Path(named), advice)
    else:  # the order of `core.kernels`
        own = _writable("compiled code", Path(__file__).resolve().parent.parent / "face" / "__pycache__", advice)
        yield own if own.is_good else _writable("compiled code", cache_file("compiled"), advice)
    yield _writable("cache", cache_dir(), "set TALKINGFACE_CACHE to a writable folder")
    yield _writable("signing key", config_dir(), "set TALKINGFACE_CONFIG to a writable folder that stays")
    yield _writable("ledger of results", state_dir(), "set TALKINGFACE_STATE to a writable folder")


def _writable(name: str, folder: Path | None, advice: str) -> Finding:
    if folder is None:
        return Finding(name, False, "there is no home folder", advice, is_needed=False)
    parent = next(part for part in (folder, *folder.parents) if os.path.exists(part))
    try:
        with tempfile.TemporaryFile(dir=parent):
            return Finding(name, True, str(folder))
    except OSError:
        return Finding(name, False, f"{folder} cannot be written", advice, is_needed=False)


def _systems() -> Iterator[Finding]:
    from talkingface.core import registry
    from talkingface.core.weights import verify

    for name in registry.system_names():
        needed = name == registry.DEFAULT_SYSTEM
        try:
            weights = registry.get_spec(name).default_weights
            place = str(verify(weights).folder) if weights else "has no weights"
        except (ImportError, TalkingFaceError) as error:
            yield Finding(f"system {name}", False, "cannot be used", str(error), is_needed=needed)
        else:
            yield Finding(f"system {name}", True, place)


def _device() -> Iterator[Finding]:
    import torch

    from talkingface.core.device import num_cores

    has_gpu = torch.cuda.is_available()
    detail = torch.cuda.get_device_name(0) if has_gpu else "none found; the CPU is used, which is enough"
    yield Finding("processor", True, f"{num_cores()} cores, {platform.machine()}")
    yield Finding("GPU", has_gpu, detail, is_needed=False)


def _optional() -> Iterator[Finding]:
    speaks = shutil.which("espeak-ng")
    advice = "sudo apt-get install espeak-ng" if not speaks else ""
    yield Finding(
        "espeak-ng", bool(speaks), speaks or "only needed to train on synthetic speech", advice, is_needed=False
    )


Check = Callable[[], Iterator[Finding]]
INSTALLATION: tuple[Check, ...] = (_packages, _codecs, _face_models)
CHECKS: tuple[Check, ...] = (_python, *INSTALLATION, _systems, _folders, _device, _optional)


def examine(checks: tuple[Check, ...]) -> Iterator[Finding]:
    """All findings of `checks`, one after the other; a check that breaks is a finding too."""
    for check in checks:
        try:
            yield from check()
        except (ImportError, TalkingFaceError, OSError) as error:
            text = explain_import_error(error) if isinstance(error, ImportError) else str(error)
            yield Finding(check.__name__.strip("_").replace("_", " "), False, "could not be examined", text)


def doctor() -> int:
    """Print what was found and what to do; returns 0 if `animate` works, 8 otherwise."""
    works = True
    print(f"talkingface {__version__} on {platform.platform()}")
    for finding in examine(CHECKS):
        bad = not finding.is_good and finding.is_needed
        works = works and not bad
        print(f"  {'ok' if finding.is_good else 'MISSING' if bad else '-':8}{finding.name:36} {finding.detail}")
        if not finding.is_good and finding.advice:
            print(f"{'':10}-> {finding.advice}")
    print("animate works" if works else "animate does not work yet: follow the arrows")
    return 0 if works else DependencyError.exit_code


def check_installation() -> int:
    """What `scripts/set_up.py` runs last: one line on stderr for each thing that is missing; 0 if nothing is."""
    missing = [finding for finding in examine(INSTALLATION) if finding.is_needed and not finding.is_good]
    for finding in missing:
        print(f"error: {finding.name}: {finding.advice}", file=sys.stderr)
    return DependencyError.exit_code if missing else 0


if __name__ == "__main__":
    sys.exit(check_installation())
