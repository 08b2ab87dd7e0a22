"""The store of weights and avatars: folders of `model.safetensors` beside `card.json`, checked before use.

Weights are named `<system>.<tag>` and looked for in the folder of `TALKINGFACE_WEIGHTS`, among those shipped with the
package, and in the user cache; a path to such a folder works as a name too. Reading needs no torch. Everything read
here is untrusted until its hash, format and contents have been checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.core.cache import cache_file, content_hash, output_error, user_path, write_atomic
from talkingface.core.config import parse_json
from talkingface.core.errors import InputError, TalkingFaceError, WeightsError
from talkingface.core.picture_folder import counted_files, is_picture_folder
from talkingface.core.registry import suggest
from talkingface.core.system import Weights
from talkingface.core.types import Avatar

FORMAT_VERSION = 1
_MODEL, _CARD, _FILES = "model.safetensors", "card.json", "files"
_NAME = re.compile(r"[a-z0-9_]+\.[a-z0-9_-]+")
_MAX_CARD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsRef:
    """Weights in the store: their name and folder."""

    name: str
    folder: Path


def _roots() -> list[Path]:
    explicit = os.environ.get("TALKINGFACE_WEIGHTS")
    package = Path(__file__).resolve().parent.parent / "weights"
    own = cache_file("weights")
    return [*([user_path(explicit)] if explicit else []), package, *([] if own is None else [own])]


def is_weights_name(name: str) -> bool:
    """Whether `name` is of the form that the store looks for: <system>.<tag>."""
    return _NAME.fullmatch(name) is not None


def list_weights() -> list[WeightsRef]:
    """All weights in the store, by name; where a name is in several places, the one that `find_weights` takes."""
    found: dict[str, WeightsRef] = {}
    for root in _roots():
        for card in sorted(root.glob(f"*/{_CARD}")):
            if is_weights_name(card.parent.name):
                found.setdefault(card.parent.name, WeightsRef(name=card.parent.name, folder=card.parent))
    return [found[name] for name in sorted(found)]


def find_weights(name: str | Path) -> WeightsRef:
    """The weights called `name` ("portrait.clean"), or those in the folder `name`.

    Raises WeightsError with close names if there are none.
    """
    text = str(name)
    known = {ref.name: ref for ref in list_weights()}
    if text in known:
        return known[text]
    if text and os.path.isfile((folder := user_path(name)) / _CARD):
        return WeightsRef(name=folder.resolve().name, folder=folder)
    hint = suggest(text, known) or "; the store is empty: set TALKINGFACE_WEIGHTS to a folder of weights"
    raise WeightsError(f"no weights named {text!r}{hint}")


def load_weights(ref: WeightsRef) -> Weights:
    """Read and check weights: format version, SHA-256, finite values. Raises WeightsError saying what is wrong."""
    card = read_card(ref.folder)
    tensors = _read_tensors(ref.folder, card)
    _loaded[str(card["sha256"])] = {"name": ref.name, **card}
    return Weights(tensors, card)


_loaded: dict[str, dict[str, Any]] = {}


def loaded_cards() -> list[dict[str, Any]]:
    """Cards of all weights that this process has loaded, by name: a system's, and those that systems share."""
    return sorted(_loaded.copy().values(), key=lambda card: str(card["name"]))


def verify(name: str | Path) -> WeightsRef:
    """Check everything that `load_weights` checks. Raises WeightsError if the weights are not as their card says."""
    ref = find_weights(name)
    load_weights(ref)
    return ref


def read_card(folder: Path) -> dict[str, Any]:
    """The card of the weights or avatar in `folder`, checked. Raises WeightsError."""
    path = folder / _CARD
    try:
        if path.stat().st_size > _MAX_CARD_BYTES:
            raise WeightsError(f"{path} is larger than {_MAX_CARD_BYTES >> 20} MiB; it is not a card")
        card = parse_json(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise WeightsError(f"cannot read the card {path}: {error}") from error
    version = card.get("format_version") if isinstance(card, dict) else None
    if type(version) is not int:
        raise WeightsError(f"{path} has no format_version; it is not a card of this toolkit")
    if not 1 <= version <= FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format version {version}, this program reads 1 to {FORMAT_VERSION}; upgrade talkingface"
        )
    if not isinstance(card.get("sha256"), str) or not re.fullmatch(r"[0-9a-f]{64}", card["sha256"]):
        raise WeightsError(f"{path} has no valid sha256; make the weights again")
    return card


def _read_tensors(folder: Path, card: Mapping[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / _MODEL
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise WeightsError(f"{path} was altered or is damaged: its SHA-256 differs from the card's; install it again")
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error
    for name, values in tensors.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise WeightsError(f"{path}: tensor {name} has values that are not finite")
    return tensors


def save_weights(folder: str | Path, tensors: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> WeightsRef:
    """Write weights and their card; `format_version` and `sha256` are added. Raises OutputError, ValueError.

    The card should name data, steps, metrics, licence, origin, paper and the command that reproduces the weights; a
    system's config goes under "config".
    """
    from safetensors.numpy import save

    folder = Path(folder)
    data = save({name: np.asarray(values, order="C") for name, values in tensors.items()})
    full = {"format_version": FORMAT_VERSION, **card, "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(full, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    with write_atomic(folder / _MODEL) as file:
        file.write(data)
    with write_atomic(folder / _CARD, "w") as file:
        file.write(text)
    return WeightsRef(name=folder.name, folder=folder)


def load_pickle_weights_only(path: str | Path) -> Any:
    """Read a foreign PyTorch checkpoint without running anything in it; the only reader of pickles.

    Raises WeightsError if it is unreadable or holds anything but tensors and plain containers.
    """
    import pickle

    import torch

    try:
        return torch.load(Path(path), map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"there is no file {path}") from error
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError, LookupError, AttributeError) as error:
        raise WeightsError(
            f"{path} was refused: it is damaged or holds more than tensors, and loading it could run code"
        ) from error


def is_avatar(path: str | Path) -> bool:
    """Whether `path` is a folder that `save_avatar` wrote (its contents are not checked yet)."""
    try:
        return read_card(Path(path)).get("holds") == "avatar"
    except TalkingFaceError:
        return False


def find_avatar(name: str) -> Path | None:
    """The folder of the avatar called `name` ("headpose.grid-s1") in the store, or None."""
    if not _NAME.fullmatch(name):
        return None
    folders = (root / name for root in _roots())
    return next((folder for folder in folders if os.path.isfile(folder / _CARD) and is_avatar(folder)), None)


def save_avatar(folder: str | Path, avatar: Avatar) -> None:
    """Write an avatar with copies of the files it needs, so that the folder can be moved. Raises OutputError."""
    folder = Path(folder)
    names: dict[str, str] = {}
    try:
        (folder / _FILES).mkdir(parents=True, exist_ok=True)
        for key, source in avatar.files.items():
            names[key] = key if source.is_dir() else f"{key}{source.suffix}"
            if source.resolve() != (folder / _FILES / names[key]).resolve():
                _copy(source, folder / _FILES / names[key])
    except OSError as error:
        raise output_error(folder, error) from error
    digests = {key: content_hash(folder / _FILES / name) for key, name in names.items()}
    files = {key: {"name": name, "sha256": digests[key]} for key, name in names.items()}
    save_weights(folder, avatar.tensors, {**avatar.card, "holds": "avatar", "system": avatar.system, "files": files})


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or what counts in a folder of pictures, in place of what an earlier avatar left there."""
    if target.is_dir():
        shutil.rmtree(target)
    if not source.is_dir():
        return _copy_file(source, target)
    target.unlink(missing_ok=True)
    target.mkdir()
    for file in counted_files(source):
        _copy_file(file, target / file.name)


def _copy_file(source: Path, target: Path) -> None:
    with open(source, "rb") as file, write_atomic(target) as copy:
        shutil.copyfileobj(file, copy)


def _is_intact(path: Path, sha256: object) -> bool:
    """Whether an avatar's file, or folder of pictures, is as its card says, with no link in it that leads elsewhere."""
    if path.is_symlink() or not (path.is_file() or is_picture_folder(path)):
        return False
    inside = counted_files(path) if path.is_dir() else ()
    return not any(file.is_symlink() for file in inside) and content_hash(path) == sha256


def load_avatar(folder: str | Path) -> Avatar:
    """Read an avatar folder, checked like weights. Raises WeightsError."""
    folder = Path(folder)
    card = read_card(folder)
    system, listed = card.get("system"), card.get("files", {})
    if card.get("holds") != "avatar" or not isinstance(system, str) or not isinstance(listed, dict):
        raise WeightsError(f"{folder} is not an avatar; make one with talkingface fit")
    files: dict[str, Path] = {}
    for key, entry in listed.items():
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".", ".."):
            raise WeightsError(f"{folder}: the card names a file outside its folder ({name!r}); it is refused")
        files[key] = folder / _FILES / name
        if not _is_intact(files[key], entry.get("sha256")):
            raise WeightsError(f"{files[key]} is missing or was altered; make the avatar again with talkingface fit")
    own = {key: value for key, value in card.items() if key not in ("holds", "system", "files", "sha256")}
    return Avatar(system=system, card=own, tensors=_read_tensors(folder, card), files=files)
