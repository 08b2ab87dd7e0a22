"""`weights import`: files of other programs, converted and stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from talkingface import metrics
from talkingface.core import registry
from talkingface.core.cache import cache_file, check_writable, user_path
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.core.foreign import Imported
from talkingface.core.weights import WeightsRef, is_weights_name, save_weights


def importer_kinds() -> list[str]:
    """The kinds that `import_weights` accepts, sorted: those of the metrics and of every system."""
    return sorted(_addresses())


def find_importer(kind: str) -> Callable[[Sequence[Path]], Imported]:
    """The function of a kind. Raises UsageError with the close ones for an unknown kind."""
    addresses = _addresses()
    if kind not in addresses:
        raise UsageError(f"no weights of kind {kind!r} can be imported{registry.suggest(kind, addresses)}")
    return registry.import_attribute(addresses[kind])


def _addresses() -> dict[str, str]:
    found = dict(metrics.IMPORTERS)
    for name in registry.system_names():
        try:
            found |= registry.get_spec(name).importers
        except (ImportError, TalkingFaceError):  # a broken plug-in must not hide the others
            continue
    return found


def import_weights(
    kind: str, files: Sequence[str | Path] | str | Path, *, folder: str | Path | None = None
) -> WeightsRef:
    """Make weights of the store from `files` of another project; `kind` says which (`importer_kinds`).

    They go to the user's own store, or to `folder`. Nothing in the files is run. Returns where they lie. Raises
    UsageError for an unknown kind or the wrong number of files, WeightsError for files that are hostile or do not fit,
    OutputError.

    Example: `import_weights("lpips", ["alexnet-owt-7be5be79.pth", "alex.pth"])`
    """
    importer = find_importer(kind)
    if folder is not None:
        _check_folder(Path(folder))
    elif cache_file() is None:
        raise UsageError("there is no home folder to keep weights in; name a folder with -o, or set TALKINGFACE_CACHE")
    paths = [user_path(file) for file in ([files] if isinstance(files, (str, Path)) else files)]
    found = importer(paths)
    if not is_weights_name(found.name):
        raise UsageError(f"the importer of {kind} names its weights {found.name!r}; names look like system.tag")
    target = cache_file("weights", found.name) if folder is None else Path(folder)
    assert target is not None
    return save_weights(target, found.tensors, {"name": found.name, **found.card})


def _check_folder(folder: Path) -> None:
    """Weights may be imported again; any other folder must not be overwritten."""
    if not os.path.exists(folder):
        check_writable(folder)
    elif not folder.is_dir() or (any(folder.iterdir()) and not (folder / "card.json").is_file()):
        raise UsageError(f"{folder} exists and holds no weights; name a new folder")
