"""Refuse files over 250 KB: the pre-commit hook `file-size` passes the names."""

from __future__ import annotations

import sys
from pathlib import Path

LIMIT_KB = 250

if __name__ == "__main__":
    large = [name for name in sys.argv[1:] if Path(name).stat().st_size > LIMIT_KB * 1000]
    for name in large:
        print(f"{name} is larger than {LIMIT_KB} KB; keep it out of the repository or make it smaller")
    sys.exit(bool(large))
