"""`weights import`: files that others made, into the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from talkingface.core.cache import cache_dir, check_writable
from talkingface.core.errors import UsageError
from talkingface.core.importers import find_importer
from talkingface.core.weights import WeightsRef, is_weights_name, save_weights


def import_weights(
    kind: str, files: Sequence[str | Path] | str | Path, *, folder: str | Path | None = None
) -> WeightsRef:
    """Make weights of the store from `files` of another project; `kind` says which (`core.importers`).

    They go to the user's own store, or to `folder`. Nothing in the files is run. Returns where they lie. Raises
    UsageError for an unknown kind or the wrong number of files, WeightsError for files that are hostile or do not fit,
    OutputError.

    Example: `import_weights("lpips", ["alexnet-owt-7be5be79.pth", "alex.pth"])`
    """
    importer = find_importer(kind)
    if folder is not None:
        _check_folder(Path(folder))
    paths = [Path(file).expanduser() for file in ([files] if isinstance(files, (str, Path)) else files)]
    found = importer(paths)
    if not is_weights_name(found.name):
        raise UsageError(f"the importer of {kind} names its weights {found.name!r}; names look like system.tag")
    target = cache_dir() / "weights" / found.name if folder is None else Path(folder)
    return save_weights(target, found.tensors, {"name": found.name, **found.card})


def _check_folder(folder: Path) -> None:
    """Weights may be imported anew; anything else that is there must not be written over."""
    if not folder.exists():
        check_writable(folder)
    elif not folder.is_dir() or (any(folder.iterdir()) and not (folder / "card.json").is_file()):
        raise UsageError(f"{folder} exists and holds no weights; name a new folder")
