"""`weights import pcavs FILES`: the authors' checkpoints become `pcavs.official`.

Files are recognised by the tensors they hold, not by their names, and sizes are read off the tensors. What drawing
needs must fit; heads that depend on how many people or frames a training had, the mapping network and fixed noise may
be anything. The card's notes list what matched, what was ignored and what is missing.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import nn

from talkingface.core.config import to_dict
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.foreign import Imported, fit_tensors, module_shapes, origin_of, read_foreign
from talkingface.systems.pcavs.official.config import NetworkSizes
from talkingface.systems.pcavs.official.networks.build import (
    make_discriminator,
    make_generator,
    make_identity,
    make_nonidentity,
    make_speech,
    make_voice,
    speech_sizes,
    stage_blocks,
)
from talkingface.systems.pcavs.official.networks.identity import resnext50
from talkingface.systems.pcavs.official.networks.nonidentity import Fan
from talkingface.systems.pcavs.official.networks.vgg import vgg19, vgg_face, vgg_names

_REPOSITORY = "github.com/Hangz-nju-cuhk/Talking-Face_PC-AVS"
_DEMO = f"from demo.zip, linked in the README of {_REPOSITORY}"
SOURCES = {
    "generator": f"latest_net_G.pth {_DEMO}",
    "identity": f"latest_net_V.pth {_DEMO}",
    "nonidentity": f"latest_net_E.pth {_DEMO}",
    "speech": f"latest_net_A_sync.pth {_DEMO}",
}
"""What drawing needs, and where people get it."""
VOICE_SOURCE = f"latest_net_A.pth from demo_id.zip, linked in the branch speech2talkingface of {_REPOSITORY}"
_OLD_HEADS = {
    "mapper": "to_mouth",
    "mapper2small": "mouth_embed",
    "mapper_fc": "mouth_fc",
    "pure_pose": "to_headpose",
    "pure_pose2small": "headpose_embed",
    "pure_pose_fc": "headpose_fc",
}
_CHECKPOINTS = (".pth", ".pt", ".tar", ".safetensors")
_MOST_BYTES = 8 << 30
_MEL_REDUCED = 10

Arrays = dict[str, np.ndarray]


@dataclass(slots=True)
class _Found:
    """What has been read: the file and the tensors of each part, and sentences about the rest."""

    parts: dict[str, Path] = field(default_factory=dict)
    states: dict[str, Arrays] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, path: Path, part: str, state: Arrays) -> None:
        other = self.parts.get(part)
        if other is not None and path.name.startswith("latest") == other.name.startswith("latest"):
            raise UsageError(f"{other.name} and {path.name} are both {part}; import one of them at a time")
        if other is None or path.name.startswith("latest"):
            self.parts[part], self.states[part] = path, state


def import_pcavs(files: Sequence[Path]) -> Imported:
    """Weights "pcavs.official" of demo.zip, single checkpoints, or folders that hold them.

    Beside G, V, E and A_sync it takes A (identity from the voice), D, and for training the networks of others: a FAN,
    torchvision's ResNeXt-50 and VGG-19, and the face VGG. Raises UsageError, InputError, or WeightsError that names
    the file and the tensors that do not fit.
    """
    if not files:
        raise UsageError("give demo.zip, its checkpoints, or the folder that holds them")
    with tempfile.TemporaryDirectory(prefix="talkingface-import-") as folder:
        found = _Found()
        paths = [inside for path in files for inside in _listed(path, Path(folder))]
        for path in paths:
            _read(found, path)
        if not found.parts:
            raise WeightsError(f"{', '.join(p.name for p in files)}: no network of PC-AVS is in there")
        sizes = _sizes(found.states)
        tensors: Arrays = {}
        for part, state in found.states.items():
            tensors |= {f"{part}.{name}": values for name, values in _fitted(found, part, state, sizes).items()}
        origin = origin_of([path for path in files if os.path.isfile(path)] or list(found.parts.values()))
    missing = [part for part in SOURCES if part not in found.parts]
    found.notes += [f"{part} is missing; get {SOURCES[part]}" for part in missing]
    if "voice" not in found.parts:
        found.notes.append(f"faces cannot be inferred from voices; that needs {VOICE_SOURCE}")
    card = {
        "system": "pcavs",
        "version": 1,
        "licence": "CC-BY-4.0 as its repository states today (earlier: non-commercial); networks of others: their own",
        "allows": "see the licence; the training data, VoxCeleb2 and LRW, have terms of their own",
        "origin": origin,
        "parts": {part: path.name for part, path in found.parts.items()},
        "missing": missing,
        "notes": found.notes,
        "config": {"official": {"sizes": to_dict(sizes)}},
    }
    return Imported(name="pcavs.official", tensors=tensors, card=card)


def _listed(path: Path, folder: Path) -> list[Path]:
    """The checkpoints that a file, archive or folder stands for; an archive is unpacked into `folder`."""
    if not os.path.exists(path):
        raise InputError(f"there is no file {path}")
    if path.is_dir():
        return sorted(child for child in path.rglob("*") if child.suffix in _CHECKPOINTS and child.is_file())
    if path.suffix in _CHECKPOINTS:
        return [path]
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if _is_checkpoint(m.filename)]
            # sizes are those that the archive states: nothing is unpacked before
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise InputError(
                    f"{path.name} unpacks to more than {_MOST_BYTES >> 30} GB; it is not the authors' archive"
                )
            unpacked = []
            for number, member in enumerate(members):
                # a folder each: names may repeat in an archive, and what they say of folders is not followed
                target = folder / f"{path.stem}-{number}" / Path(member.filename).name
                target.parent.mkdir(parents=True)
                with archive.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                unpacked.append(target)
            return unpacked
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        raise InputError(f"{path.name} is neither a checkpoint (.pth) nor an archive of them: {error}") from error


def _is_checkpoint(name: str) -> bool:
    return Path(name).suffix in _CHECKPOINTS and not Path(name).name.startswith(".") and "__MACOSX" not in name


def _read(found: _Found, path: Path) -> None:
    """Read one checkpoint and find out which part it is; others are noted."""
    state = {_renamed(name): values for name, values in read_foreign(path).items()}
    # the order of `_SIGNS` counts: A_sync is distinguished from A by the height of its last map
    part = next((part for part, is_it in _SIGNS.items() if is_it(state)), None)
    if part is None:
        found.notes.append(f"{path.name} was ignored: its {len(state)} tensors belong to no known network")
        return
    found.add(path, part, vgg_names(state) if part.startswith("vgg") else state)


def _renamed(name: str) -> str:
    first, dot, rest = name.partition(".")
    return _OLD_HEADS.get(first, first) + dot + rest


def _is_vgg(state: Mapping[str, np.ndarray], normalised: bool) -> bool:
    names = vgg_names(state)
    return "features.28.weight" in names and ("features.1.running_mean" in names) == normalised


def _mel_height(state: Mapping[str, np.ndarray]) -> int:
    """Rows of the last feature map of A or A_sync."""
    features = state["model.attention.0.weight"].shape[1]
    return features // state["model.layer4.0.conv1.weight"].shape[0]


def _is_speech(state: Mapping[str, np.ndarray]) -> bool:
    return "model.attention.0.weight" in state and "model.layer4.0.conv1.weight" in state


_SIGNS: dict[str, Callable[[Mapping[str, np.ndarray]], bool]] = {
    "identity": lambda state: "conv1x1.weight" in state,
    "nonidentity": lambda state: "model.conv6.weight" in state,
    "speech": lambda state: _is_speech(state) and _mel_height(state) == _MEL_REDUCED,
    "voice": _is_speech,
    "generator": lambda state: "to_rgb1.bias" in state,
    "discriminator": lambda state: "discriminator_0.model0.0.weight" in state,
    "fan": lambda state: "m0.b2_plus_1.conv1.weight" in state,
    "vgg": lambda state: _is_vgg(state, normalised=False),
    "vgg_face": lambda state: _is_vgg(state, normalised=True),
    "imagenet": lambda state: "layer4.0.conv2.weight" in state and "layer1.0.conv3.weight" in state,
}
"""Part -> whether a state dict is it. FAN, VGG, face VGG and ImageNet's ResNeXt are other people's, for training."""


def _sizes(states: Mapping[str, Arrays]) -> NetworkSizes:
    """Sizes of the networks, read off their tensors; published ones for parts that are not there."""
    sizes = NetworkSizes()
    try:
        if state := states.get("identity"):
            sizes = replace(
                sizes,
                identity_width=len(state["model.conv1.weight"]),
                identity_blocks=stage_blocks(state),
                most_channels=len(state["conv1x1.weight"]),
            )
        if state := states.get("speech"):
            widths, blocks = speech_sizes(state)
            sizes = replace(sizes, speech_widths=widths, speech_blocks=blocks, code=len(state["model.fc.weight"]))
        if state := states.get("nonidentity"):
            sizes = replace(
                sizes,
                fan_width=len(state["model.conv1.weight"]),
                fan_depth=max(int(found[1]) for name in state if (found := re.match(r"model\.m0\.b1_(\d)\.", name))),
                crop_px=8 * math.isqrt(state["model.fc.weight"].shape[1]),
                code=len(state["model.fc.weight"]),
                pose=len(state["headpose_embed.1.weight"]),
            )
        if state := states.get("generator"):
            sizes = replace(sizes, most_channels=state["conv1.conv.weight"].shape[1])
        if state := states.get("discriminator"):
            sizes = replace(sizes, discriminator_width=len(state["discriminator_0.model0.0.weight"]))
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsError(f"a checkpoint lacks the tensor {error}") from error
    return sizes


def _fitted(found: _Found, part: str, state: Arrays, sizes: NetworkSizes) -> Arrays:
    """The tensors that our network of this part holds, checked; notes what else was there."""
    source = found.parts[part].name
    try:
        network = _maker(part, state, sizes)()
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{source} lacks tensors or holds others: {error}") from error
    wanted = module_shapes(network)
    made_here = [name for name in wanted if name.endswith(".kernel") or _is_free(part, name, wanted[name], state)]
    fitted = fit_tensors(state, {name: shape for name, shape in wanted.items() if name not in made_here}, source)
    aside = Counter(_group(name) for name in state if name not in fitted and not name.endswith("num_batches_tracked"))
    rest = ", ".join(f"{name} ({count})" for name, count in aside.items())
    anew = sorted({_group(name) for name in made_here if not name.endswith(".kernel")})
    found.notes.append(
        f"{part}: {source}, {len(fitted)} tensors"
        + (f"; left aside: {rest}" if rest else "")
        + (f"; made anew: {', '.join(anew)}" if anew else "")
    )
    return fitted


def _is_free(part: str, name: str, shape: Sequence[int], state: Mapping[str, np.ndarray]) -> bool:
    """Whether our network can do without the file's tensor: it lacks or misfits, and only decides fixed noise, or is
    what a FAN for landmarks does not have."""
    fits = name in state and tuple(state[name].shape) == tuple(shape)
    free = name.startswith("noises.") if part == "generator" else part == "fan" and name not in state
    return free and not fits


def _group(name: str) -> str:
    first, _, rest = name.partition(".")
    return f"model.{rest.partition('.')[0]}" if first == "model" else first


def _maker(part: str, state: Arrays, sizes: NetworkSizes) -> Callable[[], nn.Module]:
    makers: dict[str, Callable[[], nn.Module]] = {
        "identity": lambda: make_identity(sizes),
        "nonidentity": lambda: make_nonidentity(sizes),
        "speech": lambda: make_speech(sizes),
        "voice": lambda: make_voice(state),
        "generator": lambda: make_generator(replace(sizes, crop_px=_drawn_px(state)), constant="input.input" in state),
        "discriminator": lambda: make_discriminator(sizes),
        "vgg": vgg19,
        "vgg_face": vgg_face,
        "imagenet": lambda: resnext50(num_classes=0, width=len(state["conv1.weight"])),
        "fan": lambda: Fan(code=sizes.code, crop_px=sizes.crop_px, width=sizes.fan_width, depth=sizes.fan_depth),
    }
    return makers[part]


def _drawn_px(state: Mapping[str, np.ndarray]) -> int:
    """A generator's picture size: its doublings are counted in its heads, its start is that of noise or constant."""
    doublings = len({name.split(".")[1] for name in state if name.startswith("to_rgbs.")})
    start = next((state[name].shape[-1] for name in ("input.input", "noises.noise_0") if name in state), 7)
    return start << doublings
