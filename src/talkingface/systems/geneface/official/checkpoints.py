"""Checkpoints of the published program: archives, folders and files of both layouts, as states by what they hold.

A checkpoint is `{state_dict: {child: state}}`, or in the older layout one flat table with dots. A file of a later stage
holds the networks of the earlier ones too. What a state is shows in its tensors, not in its name. Nothing in a file is
run.
"""

from __future__ import annotations

import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.foreign import read_foreign
from talkingface.core.weights import load_pickle_weights_only

State = dict[str, Tensor]

SIGNS = {
    "syncnet": "hubert_encoder.0.conv_block.0.weight",
    "audio2motion": "vae.encoder.out_proj.weight",
    "postnet": "block1.0.conv_block.0.weight",
    "discriminator": "backbone.12.weight",
    "audio2pose": "backbone.start_conv1.weight",
    "radnerf": "sigma_net.net.0.weight",
    "nerf": "model_coarse.density_linears.0.weight",
    "parsing": "cp.conv_avg.conv.weight",
    "reconstruction": "final_layers.0.weight",
    "lpips": "lin0.model.1.weight",
    "alexnet": "features.0.weight",
    "speech": "encoder.pos_conv_embed.conv.bias",
}
"""A tensor that only one kind of network has."""
_STEP = re.compile(r"model_ckpt_steps_(\d+)\.ckpt")
ARCHIVED = (".ckpt", ".pt", ".pth", ".bin", ".safetensors")
"""Endings of files that are read out of folders and archives."""
_KNOWN = (*ARCHIVED, ".yaml")
_LARGEST = 8 << 30


class NothingKnownError(WeightsError):
    """A file that can be read and holds no network of this system."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A file: its path, the settings beside it, and its states as (kind, prefix in the file, tensors)."""

    path: Path
    settings: Mapping[str, Any]
    states: Sequence[tuple[str, str, State]]


@contextmanager
def checkpoint_files(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The checkpoints among files, folders and zip archives; of each folder the one of the highest step.

    Archives are unpacked to a temporary folder, which is gone afterwards. Raises InputError, UsageError.
    """
    if not paths:
        raise UsageError("give the files to import, or folders and archives that hold them")
    with tempfile.TemporaryDirectory() as temporary:
        found: list[Path] = []
        for path in paths:
            if not os.path.exists(path):
                raise InputError(f"there is no file {path}")
            if path.is_file() and path.suffix.lower() == ".zip":
                path = _unpacked(path, _room(temporary))
            if path.is_dir():  # downloads that were not unpacked
                packed = sorted(path.rglob("*.zip"))
                found += [child for part in packed for child in _latest(_inside(_unpacked(part, _room(temporary))))]
            inside = _inside(path)
            found += _latest(inside) if path.is_dir() else inside
        yield found


def _room(temporary: str) -> Path:
    """A folder of its own within the temporary one."""
    return Path(tempfile.mkdtemp(dir=temporary))


def _inside(path: Path) -> list[Path]:
    return sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]


def _unpacked(archive: Path, folder: Path) -> Path:
    """The archive's checkpoints and settings, under their own names."""
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if each.filename.endswith(_KNOWN)]
            if sum(each.file_size for each in members) > _LARGEST:
                raise InputError(f"{archive.name} unpacks to more than {_LARGEST >> 30} GB; give the checkpoints alone")
            for member in members:
                opened.extract(member, folder)  # which keeps it inside the folder
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{archive} cannot be unpacked ({error}); get it again") from error
    return folder


def _latest(files: Sequence[Path]) -> list[Path]:
    """Without the checkpoints of earlier steps, and without settings."""
    steps: dict[Path, tuple[int, Path]] = {}
    others = []
    for path in files:
        if found := _STEP.fullmatch(path.name):
            steps[path.parent] = max(steps.get(path.parent, (-1, path)), (int(found[1]), path))
        elif path.suffix in _KNOWN and path.suffix != ".yaml":
            others.append(path)
    best = [path for path in others if not (path.name == "model_ckpt_best.pt" and path.parent in steps)]
    return [path for _, path in steps.values()] + best


def read_checkpoint(path: Path) -> Checkpoint:
    """The states in a file. Raises WeightsError, `NothingKnownError` if there are none that this system knows."""
    try:
        if path.suffix == ".safetensors":
            flat = {name: torch.from_numpy(values) for name, values in read_foreign(path).items()}
        else:
            flat = dict(_flat(_stored(load_pickle_weights_only(path))))
    except WeightsError as error:  # of an archive's file its name is known, not where it was unpacked to
        raise WeightsError(str(error).replace(str(path), path.name)) from error
    states: list[tuple[str, str, State]] = []
    for kind, sign in SIGNS.items():
        for name in [name for name in flat if name == sign or name.endswith(f".{sign}")]:
            prefix = name.removesuffix(sign)
            inside = {key.removeprefix(prefix): value for key, value in flat.items() if key.startswith(prefix)}
            if kind == "speech":  # its head lies outside the prefix
                inside = flat
            states.append((kind, prefix, inside))
    if not states:
        names = ", ".join(sorted(flat)[:3])
        raise NothingKnownError(f"{path.name} is no file of geneface: it holds {names or 'no tensors'}")
    return Checkpoint(path=path, settings=_settings(path.parent / "config.yaml"), states=states)


def _stored(loaded: Any) -> Any:
    for key in ("state_dict", "net_recon"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            return loaded[key]
    return loaded


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, torch.Tensor):
        yield prefix[:-1], tree
    elif isinstance(tree, Mapping):
        for name, part in tree.items():
            yield from _flat(part, f"{prefix}{name}.")


def _settings(path: Path) -> dict[str, Any]:
    """The plain entries "name: value" of the settings that a run was started with; none if there is no file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, Any] = {}
    for line in lines:
        if entry := re.fullmatch(r"(\w+):\s+(\S+)\s*", line):
            found[entry[1]] = _value(entry[2].strip("'\""))
    return found


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
