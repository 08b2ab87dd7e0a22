"""Checkpoints: one safetensors file, tensors in its body, everything else as JSON in its header. No pickle.

A single file replaced in one move cannot be half of one step and half of another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from talkingface.core.cache import write_atomic
from talkingface.core.errors import InputError

FORMAT = "talkingface-checkpoint-1"
FILE_NAME = "checkpoint.safetensors"


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors, numbers, strings, booleans and None, atomically.

    Raises OutputError if the disk refuses, and TypeError for a value of another kind.
    """
    tensors: dict[str, Tensor] = {}
    structure = _pack(dict(state), "", tensors)
    header = {"format": FORMAT, "structure": json.dumps(structure)}
    with write_atomic(path, "wb") as file:
        file.write(save(tensors, metadata=header))


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read back what `save_checkpoint` wrote, tensors on the CPU. Raises InputError if it is not such a file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(f"{path} is not a training checkpoint of this version; train into another folder")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (a file, not a dict)
        return _unpack(json.loads(header["structure"]), tensors)
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint at {path}; train first") from error
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged or not a checkpoint ({error}); delete it to start over") from error


def load_networks(folder: str | Path, averaged: bool = True) -> dict[str, dict[str, Tensor]]:
    """Network name -> state dict from the checkpoint in `folder`: moving averages if there are any and `averaged`.

    Example: `model.load_state_dict(load_networks("runs/speech")["model"])`
    """
    state = load_checkpoint(Path(folder) / FILE_NAME)
    return (averaged and state["ema"]) or state["networks"]


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """JSON for `value`; tensors go to `tensors` and leave {"$tensor": key}; what JSON lacks is tagged alike."""
    if isinstance(value, Tensor):
        while name in tensors:
            name += "_"  # {"a/b": x} beside {"a": {"b": y}}
        # a copy each: safetensors refuses tensors that share memory (tied weights) or are not contiguous
        tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        return {"$tensor": name}
    if isinstance(value, Mapping):
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return {k: _pack(v, f"{name}/{k}" if name else k, tensors) for k, v in value.items()}
        pairs = [[_pack(k, name, tensors), _pack(v, f"{name}/{k}", tensors)] for k, v in value.items()]
        return {"$items": pairs}
    if isinstance(value, tuple):
        return {"$tuple": [_pack(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]}
    if isinstance(value, list):
        return [_pack(v, f"{name}/{i}", tensors) for i, v in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold {name}, a {type(value).__name__}")


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, tensors) for v in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$tuple" in value:
        return tuple(_unpack(v, tensors) for v in value["$tuple"])
    if "$items" in value:
        return {_unpack(k, tensors): _unpack(v, tensors) for k, v in value["$items"]}
    return {k: _unpack(v, tensors) for k, v in value.items()}
