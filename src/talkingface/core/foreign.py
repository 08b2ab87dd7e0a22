"""Checkpoints of other programs: read without running anything in them, compared with what a network needs, and what an
importer makes of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.core.cache import content_hash
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.weights import load_pickle_weights_only

Shapes = Mapping[str, Sequence[int]]
_NESTED = ("state_dict", "model_state_dict", "model", "params", "net")
_WRAPPER = "module."
_LISTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an importer made of foreign files: `name` in the store ("lpips.alex"), NumPy `tensors`, facts for the card.

    The card should say `licence`, `allows` and `origin` (whose weights these are) and hold the `config`, if any.
    """

    name: str
    tensors: Mapping[str, Any]
    card: Mapping[str, Any] = field(default_factory=dict)


def read_foreign(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a foreign checkpoint by name: safetensors, or what `torch.save` wrote (a state dict, alone or
    under a usual key); the "module." that parallel training puts before all names is taken off.

    Nothing in the file is run. Raises WeightsError for what is missing, damaged, hostile or holds no tensors.
    """
    path = Path(path)
    found = _safetensors(path) if path.suffix == ".safetensors" else _state_dict(load_pickle_weights_only(path))
    if not found:
        raise WeightsError(f"{path} holds no tensors by name; give a file with a state dict")
    if all(name.startswith(_WRAPPER) for name in found):
        found = {name.removeprefix(_WRAPPER): values for name, values in found.items()}
    return found


def fit_tensors(found: Mapping[str, np.ndarray], wanted: Shapes, source: str) -> dict[str, np.ndarray]:
    """Those of `found` that a network needs (name -> shape), as float32; others are left out.

    Raises WeightsError that names `source` and says which tensors are missing, have another shape or hold values that
    are not finite.
    """
    missing = [name for name in wanted if name not in found]
    other = [
        f"{name}: {list(found[name].shape)}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in found and tuple(found[name].shape) != tuple(shape)
    ]
    if missing or other:
        parts = [f"{len(missing)} tensors are missing ({_some(missing)})"] if missing else []
        parts += [f"{len(other)} have another shape ({_some(other)})"] if other else []
        raise WeightsError(f"{source} does not fit: {'; '.join(parts)}; of {len(wanted)} needed")
    fitted = {name: np.ascontiguousarray(found[name], np.float32) for name in wanted}
    bad = [name for name, values in fitted.items() if not np.isfinite(values).all()]
    if bad:
        raise WeightsError(f"{source} has values that are not finite in {_some(bad)}")
    return fitted


def module_shapes(module: Any) -> dict[str, tuple[int, ...]]:
    """The shapes that a torch module's state dict has, counters of batches apart: what `fit_tensors` takes."""
    state = module.state_dict().items()
    return {name: tuple(values.shape) for name, values in state if not name.endswith("num_batches_tracked")}


def source_files(files: Sequence[Path], count: int, what: str) -> list[Path]:
    """`files`, checked to be `count` that exist. `what` says in words which ones. Raises UsageError, InputError."""
    if len(files) != count:
        raise UsageError(f"give {what} ({count} file{'s' * (count > 1)}, not {len(files)})")
    for path in files:
        if not os.path.isfile(path):
            raise InputError(f"there is no file {path}")
    return list(files)


def origin_of(files: Sequence[Path]) -> list[dict[str, str]]:
    """Name and SHA-256 of each file, for a card."""
    return [{"file": path.name, "sha256": content_hash(path)} for path in files]


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise WeightsError(f"there is no file {path}") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file: {error}") from error


def _state_dict(loaded: Any) -> dict[str, np.ndarray]:
    import torch

    for key in _NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping):
        return {}
    return {
        str(name): values.detach().to(torch.float32 if values.is_floating_point() else values.dtype).numpy()
        for name, values in loaded.items()
        if isinstance(values, torch.Tensor)
    }
