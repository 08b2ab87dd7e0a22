"""Make `.venv` ready: called by `make`, standard library only, run by any Python from 3.10 to 3.12.

Two packages are installed in their own way. torch: a fixed version that pip has without CUDA packages where there is no
NVIDIA driver. mediapipe: without the dependencies that it asks for but that this toolkit never reaches (jax,
sounddevice, sentencepiece), and with the headless OpenCV wheel in place of the full one, so that libGL is not needed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TORCH = "torch==2.13.0"
OPENCV = "opencv-contrib-python-headless==4.11.0.86"
NOT_REACHED = {"jax", "jaxlib", "opencv-contrib-python", "sounddevice", "sentencepiece"}
EXTRAS = ("train", "eval", "dev")
_LIST_REQUIREMENTS = (
    "import json, sys; from importlib.metadata import requires; print(json.dumps(requires(sys.argv[1])))"
)


def _python() -> str:
    folder = VENV / ("Scripts" if os.name == "nt" else "bin")
    return str(folder / ("python.exe" if os.name == "nt" else "python"))


def _pip(*arguments: str) -> None:
    """Run pip; its output shows only if it fails, because it complains of what is left out on purpose."""
    command = [_python(), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-15:]), file=sys.stderr)
        names = " ".join(argument for argument in arguments if not argument.startswith("-"))
        sys.exit(f"error: pip could not install {names[:200]}; see above, then run make again")


def _requirements(package: str) -> list[str]:
    return json.loads(subprocess.check_output([_python(), "-c", _LIST_REQUIREMENTS, package], cwd=ROOT))


def _project_name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def _wanted(requirement: str) -> bool:
    """Whether a requirement of ours is to be installed by pip's resolver: mediapipe and torch are there already."""
    _, _, marker = requirement.partition(";")
    extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", marker)
    return _project_name(requirement) not in ("mediapipe", "torch") and (extra is None or extra[1] in EXTRAS)


def main() -> None:
    """Create the environment and install everything; safe to run again."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        sys.exit(f"error: Python 3.10 to 3.12 is needed, this is {sys.version.split()[0]}")
    if not Path(_python()).exists():
        print(f"making {VENV.name} with Python {sys.version.split()[0]}", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", str(VENV)]).returncode:
            shutil.rmtree(VENV, ignore_errors=True)  # half an environment would look like a whole one next time
            package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            sys.exit(
                f"error: this Python cannot make environments; on Debian or Ubuntu: sudo apt-get install {package}"
            )
    print("installing PyTorch (a few minutes the first time)", flush=True)
    _pip(TORCH, *shlex.split(os.environ.get("PIP_TORCH_ARGS", "")))
    print("installing the other packages", flush=True)
    _pip("--no-deps", "--editable", str(ROOT))
    own = _requirements("talkingface")
    _pip("--no-deps", next(requirement for requirement in own if _project_name(requirement) == "mediapipe"))
    requirements = [requirement.partition(";")[0].strip() for requirement in own if _wanted(requirement)]
    requirements += [name for name in _requirements("mediapipe") if _project_name(name) not in NOT_REACHED]
    _pip(OPENCV, TORCH, *requirements)
    if subprocess.run([_python(), "-m", "talkingface.apps.doctor"], cwd=ROOT).returncode:
        sys.exit(1)


if __name__ == "__main__":
    main()
