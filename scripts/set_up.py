"""Make `.venv` ready: called by `make`, standard library only, run by any Python from 3.10 to 3.14.

torch comes first, in a fixed version: with PIP_TORCH_ARGS pip can be told where to find it without CUDA packages.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TORCH = "torch==2.13.0"
EXTRAS = ("train", "eval", "dev")


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


def main() -> None:
    """Create the environment and install everything; safe to run again."""
    if not (3, 10) <= sys.version_info[:2] <= (3, 14):
        sys.exit(f"error: Python 3.10 to 3.14 is needed, this is {sys.version.split()[0]}")
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
    _pip(TORCH, "--editable", f"{ROOT}[{','.join(EXTRAS)}]")
    if subprocess.run([_python(), "-m", "talkingface.apps.doctor"], cwd=ROOT).returncode:
        sys.exit(1)


if __name__ == "__main__":
    main()
