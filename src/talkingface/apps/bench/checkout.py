"""Where `bench --what` finds its targets: in the folder `benchmarks` of a checkout, which no wheel holds."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from talkingface.core.errors import UsageError

ROOT = Path(__file__).resolve().parents[4]
"""Of the checkout, where this file lies in one."""


def load_targets(root: Path = ROOT) -> Any:
    """The module `benchmarks.targets` of the checkout at `root`. Raises UsageError where there is none."""
    if not (root / "benchmarks" / "targets.py").is_file():
        raise UsageError(
            "the targets of --what lie in benchmarks/ of a checkout of talkingface, which an installed package does "
            "not hold; clone the repository and run .venv/bin/talkingface bench there"
        )
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return import_module("benchmarks.targets")
