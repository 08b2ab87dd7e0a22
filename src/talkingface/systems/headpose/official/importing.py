"""`weights import headpose FILES...`: the official files become weights to begin a fit with.

The kind of a file is found from its tensors, not its name, and so are the sizes of the networks. A file whose tensors
do not belong together is refused, naming them. For parts that are not given the card says where to get them; they begin
anew.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.core.config import to_dict
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.foreign import Imported, origin_of
from talkingface.core.weights import load_pickle_weights_only
from talkingface.face import bfm
from talkingface.nn.iresnet import IResNet
from talkingface.nn.state import arrays, named
from talkingface.systems.headpose.config import AudioConfig, HeadposeConfig, RendererConfig, preset
from talkingface.systems.headpose.motion.from_audio import NUM_EXPRESSION, make_atcnet
from talkingface.systems.headpose.motion.head_motion_generator import decoder_for, encoder_for
from talkingface.systems.headpose.official.convert import State, check_state, from_official, memory_from_official
from talkingface.systems.headpose.official.face.identity import load_mxnet_arcface
from talkingface.systems.headpose.official.face.reconstruction import RNET_SOURCE, load_reconstruction_net
from talkingface.systems.headpose.official.networks import Discriminator
from talkingface.systems.headpose.official.recipe import make_generator, make_query

_ARCHIVE = "the authors' model archive, linked from github.com/yiranran/Audio-driven-TalkingFace-HeadPose"
_JOURNAL = "the model archive linked from github.com/yiranran/Predict-Personalized-Head-Movement-TMM"
SOURCES = {
    "audio": f"Audio/model/atcnet_lstm_general.pth from {_ARCHIVE}",
    "renderer": f"render-to-video/checkpoints/memory_seq_p2p/0_net_G.pth from {_ARCHIVE}",
    "discriminator": f"0_net_D.pth beside it, from {_ARCHIVE}",
    "memory": f"0_net_mem.pth beside it, from {_ARCHIVE}",
    "reconstruction": RNET_SOURCE,
    "arcface": f"render-to-video/arcface/models/model-r100-ii/model-0000.params from {_ARCHIVE}",
    "bfm": "01_MorphableModel.mat from faces.dmi.unibas.ch/bfm after registration, Exp_Pca.bin from "
    "github.com/Juyong/3DFace, and the index files in the folder BFM of "
    "github.com/microsoft/Deep3DFaceReconstruction",
}
"""Parts of the 2020 version, and where they are published."""
JOURNAL_SOURCES = {
    "audio": f"atcnet_pose01/atcnet_lstm_199.pth from {_JOURNAL}",
    "renderer": f"checkpoints/seq_p2p/0_net_G.pth from {_JOURNAL}",
    "discriminator": f"0_net_D.pth beside it, from {_JOURNAL}",
    "behaviour": f"latest_iddNet.pth from {_JOURNAL}, saved anew as a state dict",
    "motion": f"latest_cttMotionNet.pth from {_JOURNAL}, saved anew as a state dict",
}
_BFM_NAMES = {bfm.CONVERTED, *bfm.SOURCES}
_WHOLE_MODULES = ("iddnet", "cttmotionnet")


@dataclass(slots=True)
class _Found:
    """What was read so far: arrays by name, the file of each part, and the sizes of the networks."""

    tensors: dict[str, np.ndarray] = field(default_factory=dict)
    parts: dict[str, Path] = field(default_factory=dict)
    audio: AudioConfig = field(default_factory=AudioConfig)
    renderer: RendererConfig = field(default_factory=RendererConfig)

    def add(self, part: str, path: Path, state: Mapping[str, np.ndarray], prefix: str | None = None) -> None:
        if self.parts.get(part, path) != path:
            raise UsageError(f"{self.parts[part].name} and {path.name} are both {part}; import one of them at a time")
        self.parts[part] = path
        self.tensors |= named(prefix or part, state)

    def add_network(
        self, part: str, path: Path, official: str, state: Mapping[str, Any], make: Callable[[State], nn.Module]
    ) -> None:
        """Add the state of the part that `convert` calls `official`, if it fits the network that `make` gives for
        it."""
        self.add(part, path, arrays(_fitting(make, from_official(official, state), path)))


def import_headpose(files: Sequence[Path]) -> Imported:
    """Weights "headpose.official" or, with the journal version's generator, "headpose.journal"; "headpose.bfm09" of the
    Basel model alone, which any weights can then be used with.

    Files: ATC-net, `netG`, `netD`, `mem`, state dicts of `iddNet` and `cttMotionNet`, R-Net (`epoch_20.pth`), ArcFace
    (`model-0000.params`, or an IResNet-100's state dict), and the files of the Basel model; folders stand for the files
    in them. Raises UsageError, InputError, or WeightsError that names the file and the tensors that do not fit.
    """
    paths = _listed(files)
    found = _Found()
    basel = [path for path in paths if path.name in _BFM_NAMES]
    if basel:
        _read_bfm(found, basel)
    for path in paths:
        if path not in basel:
            _read_file(found, path)
    journal = found.renderer.kind == "unetac" or bool({"behaviour", "motion"} & set(found.parts))
    renderer = replace(found.renderer, kind="unetac" if journal else "adain")
    # the expressions of mesh478 are others than the Basel model's: ATC-net's last layer begins anew (`general_audio`)
    config = HeadposeConfig(
        face_model="bfm09" if "bfm" in found.parts else "mesh478",
        audio=replace(found.audio, expression=NUM_EXPRESSION),
        renderer=renderer,
        fit=preset("official").fit,
        relative_matching=journal,
    )
    sources = JOURNAL_SOURCES if journal else SOURCES
    notes = [f"{part}: {path.name}" for part, path in found.parts.items()]
    notes += [f"{part} is missing and starts untrained; get {where}" for part, where in sources.items()
              if part not in found.parts]  # fmt: skip
    card = {
        "system": "headpose",
        "version": 1,
        "licence": "research only (the notices of the original programs and models)",
        "allows": "research; BFM, ArcFace and the authors' models have terms of their own",
        "origin": origin_of([path for path in paths if os.path.isfile(path)]),
        "parts": {part: path.name for part, path in found.parts.items()},
        "notes": notes,
        "config": to_dict(config),
    }
    name = "bfm09" if set(found.parts) == {"bfm"} else "journal" if journal else "official"
    return Imported(name=f"headpose.{name}", tensors=found.tensors, card=card)


def _listed(files: Sequence[Path]) -> list[Path]:
    if not files:
        raise UsageError("give the files to import, or folders that hold them")
    paths: list[Path] = []
    for path in files:
        if not os.path.exists(path):
            raise InputError(f"there is no file {path}")
        inside = sorted(child for child in path.iterdir() if child.is_file()) if path.is_dir() else [path]
        paths += [child for child in inside if child not in paths]
    return paths


def _read_file(found: _Found, path: Path) -> None:
    """Read one file as the part that it is."""
    if path.suffix == ".params":
        found.add("arcface", path, _full(load_mxnet_arcface(path).state_dict()))
        return
    if path.suffix == ".pb":
        raise UsageError(f"{path.name}: graphs of TensorFlow are not read; for R-Net give {SOURCES['reconstruction']}")
    state = _load(path)
    for sign, read in _READERS.items():
        if sign in state:
            read(found, path, state)
            return
    names = ", ".join(sorted(map(str, state))[:3])
    raise WeightsError(f"{path.name} is no file of headpose: it holds {names or 'nothing'}")


def _load(path: Path) -> dict[str, Any]:
    try:
        state = load_pickle_weights_only(path)
    except WeightsError as error:
        if any(name in path.name.lower() for name in _WHOLE_MODULES):
            raise WeightsError(
                f"{path.name} is a pickled module, which could run code when it is loaded; save its state dict in the "
                "original program, torch.save(net.state_dict(), FILE), and import that"
            ) from error
        raise
    return dict(state) if isinstance(state, Mapping) else {}


def _read_audio(found: _Found, path: Path, state: dict[str, Any]) -> None:
    found.audio = AudioConfig(
        channels=tuple(_rows(state, f"audio_eocder.{k}.0.weight", path) for k in (0, 1, 3, 4, 5)),
        hidden_fc=_rows(state, "audio_eocder_fc.0.weight", path),
        hidden=_rows(state, "audio_eocder_fc.2.weight", path),
        layers=sum(name.startswith("lstm.weight_ih_l") for name in state),
        expression=_rows(state, "lstm_fc.0.weight", path) - 6,
    )
    found.add_network("audio", path, "atcnet", state, lambda _: make_atcnet(found.audio))


def _read_generator(found: _Found, path: Path, state: dict[str, Any]) -> None:
    found.renderer = replace(
        found.renderer,
        kind="adain",
        ngf=_rows(state, "e1.weight", path),
        feature=int(state["mlp.model.0.weight"].shape[1]),
        style_hidden=_rows(state, "mlp.model.0.weight", path),
    )
    found.add_network("renderer", path, "generator", state, lambda _: make_generator(found.renderer))


def _read_journal_generator(found: _Found, path: Path, state: dict[str, Any]) -> None:
    ngf = _rows(state, "model.model.0.weight", path)
    found.renderer = replace(found.renderer, kind="unetac", ngf=ngf)
    found.add_network("renderer", path, "journal_generator", state, lambda _: make_generator(found.renderer))


def _read_discriminator(found: _Found, path: Path, state: dict[str, Any]) -> None:
    width = _rows(state, "model.0.weight", path)
    found.renderer = replace(found.renderer, discriminator_width=width)
    found.add_network("discriminator", path, "discriminator", state, lambda _: Discriminator(12, width))


def _read_memory(found: _Found, path: Path, state: dict[str, Any]) -> None:
    query, bank = memory_from_official(state)
    found.renderer = replace(
        found.renderer,
        feature=_rows(query, "Linear.weight", path),
        memory_slots=len(bank.key),
        query_width=_rows(query, "ResNet18.model.conv1.weight", path),
    )
    found.add("memory", path, arrays(_fitting(lambda _: make_query(found.renderer), query, path)), "query")
    found.add("memory", path, arrays(bank.state()), "bank")


def _read_reconstruction(found: _Found, path: Path, _state: dict[str, Any]) -> None:
    found.add("reconstruction", path, _full(load_reconstruction_net(path).state_dict()))


def _read_arcface(found: _Found, path: Path, state: dict[str, Any]) -> None:
    found.add("arcface", path, _full(_fitting(lambda _: IResNet(), state, path)))


def _read_behaviour(found: _Found, path: Path, state: dict[str, Any]) -> None:
    found.add_network("behaviour", path, "behaviour", state, encoder_for)


def _read_motion(found: _Found, path: Path, state: dict[str, Any]) -> None:
    found.add_network("motion", path, "motion", state, decoder_for)


_READERS: dict[str, Callable[[_Found, Path, dict[str, Any]], None]] = {
    "mem_key": _read_memory,
    "net_recon": _read_reconstruction,
    "final_layers.0.weight": _read_reconstruction,
    "audio_eocder.0.0.weight": _read_audio,
    "mlp.model.0.weight": _read_generator,
    "model.img_reg.0.weight": _read_journal_generator,
    "model.11.weight": _read_discriminator,
    "pose_lstm.weight_ih_l0": _read_behaviour,
    "audio_frame_gather.weight": _read_motion,
    "layer1.0.prelu.weight": _read_arcface,
}
"""A name that only one kind of file holds -> its reader."""


def _read_bfm(found: _Found, files: Sequence[Path]) -> None:
    """The Basel model of files that may lie in several folders."""
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            (Path(folder) / path.name).symlink_to(path.resolve())
        try:
            model = bfm.load_bfm(folder)
        except InputError as error:
            raise InputError(str(error).replace(folder, "the files given").replace("lacks", "lack")) from error
    found.add("bfm", files[0], bfm.bfm_to_tensors(model))


def _fitting(make: Callable[[State], nn.Module], state: State, path: Path) -> State:
    """The state, if it fits the network that `make` gives for it; counters of batches may be missing."""
    try:
        with torch.device("meta"):
            network = make(state)
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path.name} lacks tensors or holds others: {error}") from error
    counters = {name for name in network.state_dict() if name.endswith("num_batches_tracked")}
    full = {**{name: torch.tensor(0) for name in counters}, **state}
    check_state(network, full, path.name)
    if bad := [name for name, value in full.items() if value.is_floating_point() and not value.isfinite().all()]:
        raise WeightsError(f"{path.name} has values that are not finite in {bad[0]}")
    return full


def _full(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """In single precision: statistics of these networks exceed half precision's range."""
    return {name: value.cpu().numpy() for name, value in state.items()}


def _rows(state: Mapping[str, Any], name: str, path: Path) -> int:
    """The first size of a tensor, which decides a network's width."""
    value = state.get(name)
    if not isinstance(value, Tensor) or not value.ndim:
        raise WeightsError(f"{path.name} holds no tensor {name!r}")
    return int(value.shape[0])
