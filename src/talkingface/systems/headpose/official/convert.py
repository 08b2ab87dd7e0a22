"""Official checkpoints in and out. The published files hold some tensors under several names, and some that are never
used; here each is held once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from talkingface.core.errors import WeightsError
from talkingface.systems.headpose.official.memory import MemoryBank

State = dict[str, Tensor]
_RESNET_CHILDREN = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
_BLOCK = re.compile(r"([ed])(\d+)\.body\.1\.(weight|bias)")
_UNUSED_STATISTICS = re.compile(r"[ed]\d+\.body\.2\.running_(mean|var)")
_BLOCK_ALIAS = re.compile(r"([ed]\d+)\.(?:conv|deconv)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class _Part:
    sign: str
    """A name that every official state of this part holds."""
    read: Callable[[State], State]
    write: Callable[[State], State]


def from_official(part: str, state: Mapping[str, Any]) -> State:
    """An official state dict of `part` under our names (shared tensors once, unused ones dropped).

    Parts: "atcnet", "generator" (`0_net_G.pth`), "discriminator", "query" (`mem_model` in `0_net_mem.pth`), and of the
    journal version "journal_generator", "behaviour" (`iddNet`), "motion" (`cttMotionNet`). Raises WeightsError for what
    is no such state.
    """
    if not isinstance(state, Mapping) or _part(part).sign not in state:
        raise WeightsError(f"this is no official state of {part}: it holds no tensor {_part(part).sign!r}")
    if wrong := sorted(name for name, value in state.items() if not isinstance(value, Tensor)):
        raise WeightsError(f"this is no official state of {part}: {wrong[0]!r} is no tensor")
    return _part(part).read(dict(state))


def to_official(part: str, state: Mapping[str, Tensor]) -> State:
    """The inverse of `from_official`: all names of the published file, for programs that read it strictly."""
    return _part(part).write(dict(state))


def memory_from_official(file: Mapping[str, Any]) -> tuple[State, MemoryBank]:
    """A file like `0_net_mem.pth`: the state of `QueryNet`, and the bank.

    All written slots count as own: the file does not tell whose they are. Clear `own` before training for another
    person. Raises WeightsError.
    """
    tensors: dict[str, Tensor] = {}
    for name in ("key", "value", "age", "index"):
        tensor = file.get(f"mem_{name}")
        if not isinstance(tensor, Tensor):
            raise WeightsError(f"this is no official memory: it holds no tensor 'mem_{name}'")
        tensors[name] = tensor
    index = tensors["index"].flatten().to(torch.int64)
    try:
        bank = MemoryBank(
            key=tensors["key"].float(),
            value=tensors["value"].float(),
            age=tensors["age"].flatten().float(),
            index=index,
            own=index >= 0,
        )
    except ValueError as error:
        raise WeightsError(f"this is no official memory: {error}") from error
    return from_official("query", file.get("mem_model", {})), bank


def memory_to_official(query: Mapping[str, Tensor], bank: MemoryBank) -> dict[str, Any]:
    """The inverse of `memory_from_official`, without `own`."""
    tensors = {f"mem_{name}": tensor for name, tensor in bank.state().items() if name != "own"}
    return {"mem_model": to_official("query", query), **tensors}


def load_into(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load `state` into `network`, every name and shape; `what` names the file. Raises WeightsError in one line."""
    check_state(network, state, what)
    network.load_state_dict(dict(state))


def check_state(network: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Raise WeightsError in one line, which names tensors, unless `load_into` can load `state`."""
    own = network.state_dict()
    if missing := sorted(set(own) - set(state)):
        raise WeightsError(f"{what} holds no tensor {missing[0]!r}; {len(missing)} are missing")
    if unknown := sorted(set(state) - set(own)):
        raise WeightsError(
            f"{what} holds {unknown[0]!r}, which this network does not have; {len(unknown)} are too many"
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            shapes = f"{list(tensor.shape)}, not {list(own[name].shape)}"
            raise WeightsError(f"{what}: {name} is {shapes}; the network was configured with other sizes")


def _read_generator(state: State) -> State:
    kept: State = {}
    for name, tensor in state.items():
        if alias := _BLOCK_ALIAS.fullmatch(name):
            # of two names the later one counts in the original; it is missing only in files without duplicates
            kept.setdefault(f"{alias[1]}.body.1.{alias[2]}", tensor)
        elif not _UNUSED_STATISTICS.fullmatch(name):
            kept[name] = tensor
    return kept


def _write_generator(state: State) -> State:
    """Each convolution twice, and the statistics of instance normalisation, which are never changed or used."""
    written: State = {}
    styled = _styled_blocks(state)
    for name, tensor in state.items():
        if block := _BLOCK.fullmatch(name):
            layer = "conv" if block[1] == "e" else "deconv"
            written[f"{block[1]}{block[2]}.{layer}.{block[3]}"] = tensor
        written[name] = tensor
        if block and block[3] == "bias" and f"{block[1]}{block[2]}" in styled:
            written[f"{block[1]}{block[2]}.body.2.running_mean"] = torch.zeros_like(tensor)
            written[f"{block[1]}{block[2]}.body.2.running_var"] = torch.ones_like(tensor)
    return written


def _styled_blocks(state: State) -> set[str]:
    """The blocks with a style: all but the innermost of the encoder."""
    blocks = {f"{found[1]}{found[2]}" for name in state if (found := _BLOCK.fullmatch(name))}
    return blocks - {f"e{max(int(name[1:]) for name in blocks)}"}


def _read_query(state: State) -> State:
    """The tensors of one ResNet and one linear layer, each under several names, of which the last counts."""
    children = {place: child for child, place in _RESNET_CHILDREN.items()}
    kept: State = {}
    for name, tensor in state.items():
        if found := re.fullmatch(r"(?:ResNet18|body\.0)\.(model|body)\.(\w+)\.(.+)", name):
            child = found[2] if found[1] == "model" else children.get(found[2])
            if child != "fc":
                kept[f"ResNet18.model.{child}.{found[3]}"] = tensor
        else:
            kept[re.sub(r"^body\.1\.", "Linear.", name)] = tensor
    return kept


def _write_query(state: State) -> State:
    resnet = {name.removeprefix("ResNet18.model."): t for name, t in state.items() if name.startswith("ResNet18.")}
    linear = {name.removeprefix("Linear."): t for name, t in state.items() if name.startswith("Linear.")}
    children: State = {}
    for name, tensor in resnet.items():
        child, _, rest = name.partition(".")
        children[f"{_RESNET_CHILDREN[child]}.{rest}"] = tensor
    # the published ResNet keeps its classifier of 1000 classes, which nothing uses
    features = linear["weight"].shape[1]
    model = {**resnet, "fc.weight": torch.zeros(1000, features), "fc.bias": torch.zeros(1000)}
    written: State = {}
    for prefix in ("ResNet18.", "body.0."):
        written |= {f"{prefix}model.{name}": tensor for name, tensor in model.items()}
        written |= {f"{prefix}body.{name}": tensor for name, tensor in children.items()}
        if prefix == "ResNet18.":
            written |= {f"Linear.{name}": tensor for name, tensor in linear.items()}
    return written | {f"body.1.{name}": tensor for name, tensor in linear.items()}


_PARTS = {
    "atcnet": _Part("audio_eocder.0.0.weight", dict, dict),
    "generator": _Part("mlp.model.0.weight", _read_generator, _write_generator),
    "discriminator": _Part("model.11.weight", dict, dict),
    "query": _Part("Linear.weight", _read_query, _write_query),
    "journal_generator": _Part("model.img_reg.0.weight", dict, dict),
    "behaviour": _Part("pose_lstm.weight_ih_l0", dict, dict),
    "motion": _Part("audio_frame_gather.weight", dict, dict),
}


def _part(name: str) -> _Part:
    if name not in _PARTS:
        raise ValueError(f"no part {name!r}; there are {', '.join(_PARTS)}")
    return _PARTS[name]
