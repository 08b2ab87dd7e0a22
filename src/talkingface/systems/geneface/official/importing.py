"""Released files become weights: the archives `lrs3.zip` and of persons, old and new layout, and what they build on.

Which network a file holds is found from its tensors, and so are the sizes. Of the speaker-independent networks those of
a post-net's checkpoint are taken where there is one: it was learned beside them, and their statistics had drifted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from talkingface.core.config import to_dict
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.foreign import Imported, fit_tensors, module_shapes, origin_of
from talkingface.face import bfm
from talkingface.metrics.lpips import import_lpips
from talkingface.nn.bisenet import BiSeNet
from talkingface.nn.lpips import Lpips
from talkingface.nn.reconstruction_net import ReconstructionNet
from talkingface.nn.state import named
from talkingface.nn.wav2vec2 import Wav2Vec2, wav2vec2_config, wav2vec2_state
from talkingface.systems.geneface.config import RadNerfConfig
from talkingface.systems.geneface.official.audio2motion import AudioToMotion
from talkingface.systems.geneface.official.audio2pose import AudioToPose
from talkingface.systems.geneface.official.checkpoints import (
    ARCHIVED,
    Checkpoint,
    NothingKnownError,
    State,
    checkpoint_files,
    read_checkpoint,
)
from talkingface.systems.geneface.official.postnet import MotionDiscriminator, PostNet
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField
from talkingface.systems.geneface.official.syncnet import LandmarkSyncNet
from talkingface.systems.geneface.official.vanilla import AdNerf, LandmarkNerf, TorsoNerf

_RELEASE = "the release page of github.com/yerfor/GeneFace"
SOURCES = {
    "syncnet": f"lrs3.zip from {_RELEASE}",
    "audio2motion": f"lrs3.zip from {_RELEASE}",
    "postnet": f"May.zip or another person's archive from {_RELEASE}",
    "head": f"May.zip or another person's archive from {_RELEASE}",
    "torso": f"May.zip or another person's archive from {_RELEASE}",
    "hubert": "pytorch_model.bin of huggingface.co/facebook/hubert-large-ls960-ft",
    "wav2vec2": "pytorch_model.bin of huggingface.co/cpierse/wav2vec2-large-xlsr-53-esperanto",
    "parsing": "79999_iter.pth of github.com/zllrunning/face-parsing.PyTorch",
    "reconstruction": "epoch_20.pth of github.com/sicxu/Deep3DFaceRecon_pytorch",
    "lpips": "alexnet-owt-7be5be79.pth of pytorch.org and alex.pth of github.com/richzhang/PerceptualSimilarity",
    "bfm": "01_MorphableModel.mat from faces.dmi.unibas.ch/bfm after registration, Exp_Pca.bin from "
    "github.com/Juyong/3DFace, and the index files in the folder BFM of github.com/microsoft/Deep3DFaceReconstruction",
}
"""Parts of the published system, and where they are."""
_GENERAL = ("syncnet", "audio2motion", "lpips")
_BFM_NAMES = {bfm.CONVERTED, *bfm.SOURCES}


@dataclass(slots=True)
class _Found:
    """Arrays by name, the file of each part, and the settings of the renderer."""

    tensors: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    from_postnet: set[str] = field(default_factory=set)
    config: RadNerfConfig | None = None
    backbone: Path | None = None
    """LPIPS comes in two files: AlexNet here, and what weighs its channels."""
    linear: Path | None = None
    passed: list[str] = field(default_factory=list)
    """Files of folders and archives that hold nothing of this system."""

    def add(self, part: str, checkpoint: Checkpoint, state: State, network: nn.Module) -> None:
        """Add a state that fits `network`, made on the device "meta"."""
        arrays = {
            name: value.float().numpy() if value.is_floating_point() else value.numpy() for name, value in state.items()
        }
        fitted = fit_tensors(arrays, module_shapes(network), f"{checkpoint.path.name} ({part})")
        whole = {name: arrays[name] for name in fitted if arrays[name].dtype.kind != "f"}
        beside = any(kind == "postnet" for kind, _, _ in checkpoint.states)
        if part in self.files and self.files[part] != checkpoint.path:
            if part not in _GENERAL:
                raise UsageError(
                    f"{self.files[part].name} and {checkpoint.path.name} are both {part}; import one of them at a time"
                )
            if part in self.from_postnet or not beside:
                return
        self.tensors[part], self.files[part] = fitted | whole, checkpoint.path
        if beside:
            self.from_postnet.add(part)


def import_geneface(files: Sequence[Path]) -> Imported:
    """Weights "geneface.official" of released files: archives, folders, checkpoints; Deep3D's, BiSeNet's, LPIPS's and
    the Basel model's files.

    Raises UsageError, InputError, or WeightsError that names the file and the tensors that do not fit.
    """
    found = _Found()
    basel, others = _without_basel([Path(path) for path in files])
    if basel:
        found.tensors["bfm"], found.files["bfm"] = _read_basel(basel), basel[0]
    origin = origin_of(basel)
    if others or not basel:
        with checkpoint_files(others) as paths:
            origin += origin_of(paths)
            for path in paths:
                _read_file(found, path, path in others)
            _read_lpips(found)
    if not found.tensors:
        raise WeightsError(
            "the files hold no checkpoint of geneface"
            + (f" ({', '.join(found.passed[:3])})" if found.passed else "")
            + "; give lrs3.zip, May.zip or their checkpoints"
        )
    tensors: dict[str, np.ndarray] = {}
    for part, arrays in found.tensors.items():
        tensors |= named(part, arrays)
    notes = [f"{part}: {path.name}, {len(found.tensors[part])} tensors" for part, path in found.files.items()]
    notes += [f"{name}: nothing of geneface in it" for name in found.passed]
    there = set(found.files) | ({"head"} if "torso" in found.files else set())  # a torso's checkpoint has the head
    notes += [f"{part} is missing; get {where}" for part, where in SOURCES.items() if part not in there]
    card = {
        "system": "geneface",
        "version": 1,
        "licence": "research only (the notices of the original program, models and data)",
        "allows": "research; the Basel model, Deep3D and the persons shown have terms of their own",
        "origin": origin,
        "parts": {part: path.name for part, path in found.files.items()},
        "notes": notes,
        "config": {"renderer": to_dict(found.config or RadNerfConfig())},
    }
    return Imported(name="geneface.official", tensors=tensors, card=card)


def _without_basel(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The Basel model's files among files and folders, and what else was given."""
    basel: list[Path] = []
    others: list[Path] = []
    for path in files:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        known = [child for child in inside if child.name in _BFM_NAMES and child.is_file()]
        basel += known
        if not known or any(child.suffix.lower() in ARCHIVED for child in inside if child not in known):
            others.append(path)
    return basel, others


def _read_basel(files: Sequence[Path]) -> dict[str, np.ndarray]:
    """The Basel model of files that may lie in several folders."""
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            (Path(folder) / path.name).symlink_to(path.resolve())
        try:
            return bfm.bfm_to_tensors(bfm.load_bfm(folder))
        except InputError as error:
            raise InputError(str(error).replace(folder, "the files given").replace("lacks", "lack")) from error


def _read_file(found: _Found, path: Path, named_by_user: bool) -> None:
    """Add what a file holds. What was in a folder or an archive may be something else."""
    if path.name in _BFM_NAMES:
        return
    try:
        checkpoint = read_checkpoint(path)
    except NothingKnownError:
        if named_by_user:
            raise
        found.passed.append(path.name)
        return
    for kind, prefix, state in sorted(checkpoint.states, key=lambda each: len(each[1])):
        _read(found, checkpoint, kind, prefix, state)


def _read_lpips(found: _Found) -> None:
    """LPIPS of two files, unless a renderer's checkpoint had it."""
    if found.backbone and found.linear and "lpips" not in found.files:
        found.tensors["lpips"] = dict(import_lpips([found.backbone, found.linear]).tensors)
        found.files["lpips"] = found.linear
    elif (found.backbone or found.linear) and "lpips" not in found.files:
        given = found.backbone or found.linear
        assert given is not None
        found.passed.append(f"{given.name} is half of LPIPS")


def _read(found: _Found, checkpoint: Checkpoint, kind: str, prefix: str, state: State) -> None:
    """Add one state as the part that it is."""
    if kind == "radnerf":
        config = renderer_config(state, checkpoint.settings)
        part = "torso" if "torso_deform_net.net.0.weight" in state else "head"
        found.add(part, checkpoint, state, _made(lambda: (TorsoField if part == "torso" else HeadField)(config)))
        found.config = config if found.config is None or part == "torso" else found.config
    elif kind == "nerf":
        part, network = _vanilla(state)
        # a torso's checkpoint has the head's network beside its own
        found.add(part if "head_model" not in prefix else f"{part}_of_torso", checkpoint, state, network)
    elif kind == "speech":
        _read_speech(found, checkpoint, prefix, state)
    elif kind == "alexnet":
        found.backbone = checkpoint.path
    elif kind == "lpips" and "net.slice1.0.weight" not in state:
        found.linear = checkpoint.path
    elif found.files.get(kind) != checkpoint.path:  # the first in a file is the one that the file is about
        found.add(kind, checkpoint, state, _network(kind, state))


def _read_speech(found: _Found, checkpoint: Checkpoint, prefix: str, state: State) -> None:
    """HuBERT without the letters that it was tuned on, or wav2vec 2.0 with them."""
    try:
        speech = wav2vec2_state(state)
    except ValueError as error:
        raise WeightsError(f"{checkpoint.path.name}: {error}") from error
    if prefix == "hubert.":
        speech = {name: value for name, value in speech.items() if not name.startswith("lm_head.")}
    part = "hubert" if prefix == "hubert." else "wav2vec2"
    found.add(part, checkpoint, speech, _made(lambda: Wav2Vec2(wav2vec2_config(speech))))


def _network(kind: str, state: State) -> nn.Module:
    width = {name: int(value.shape[1]) for name, value in state.items() if value.ndim > 1}
    makers = {
        "syncnet": lambda: LandmarkSyncNet(
            width["mouth_encoder.0.conv_block.0.weight"], width["hubert_encoder.0.conv_block.0.weight"]
        ),
        "audio2motion": lambda: AudioToMotion(width["mel_encoder.0.weight"], pitch="pitch_embed.weight" in state),
        "postnet": lambda: PostNet(width["block1.0.conv_block.0.weight"] - 204),
        "discriminator": lambda: MotionDiscriminator(width["backbone.0.weight"]),
        "audio2pose": AudioToPose,
        "parsing": BiSeNet,
        "reconstruction": ReconstructionNet,
        "lpips": Lpips,
    }
    return _made(makers[kind])


def _vanilla(state: State) -> tuple[str, nn.Module]:
    if "lm_encoder.encoder_conv.0.weight" in state:
        return "vanilla_head", _made(LandmarkNerf)
    aware = "color_encoder.0.weight" in state
    torso = aware or state["model_coarse.density_linears.0.weight"].shape[1] > 200
    return ("adnerf_torso", _made(lambda: TorsoNerf(aware=aware))) if torso else ("adnerf", _made(AdNerf))


def _made(make: Any) -> nn.Module:
    try:
        with torch.device("meta"):
            return make()
    except (KeyError, IndexError, ValueError, RuntimeError) as error:
        raise WeightsError(f"a checkpoint lacks tensors or holds others: {error}") from error


def renderer_config(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> RadNerfConfig:
    """The settings of a radiance field: sizes from its tensors, what they do not tell from the settings beside it."""
    try:
        config = RadNerfConfig.of(settings)
    except (KeyError, TypeError):
        config = RadNerfConfig()
    kept = {each.name: getattr(config, each.name) for each in fields(config)}

    def shape(name: str) -> tuple[int, ...]:
        if name not in state:
            raise WeightsError(f"a checkpoint of the renderer lacks {name}")
        return tuple(state[name].shape)

    kept |= {
        "inputs": shape("cond_prenet.encoder_conv.0.weight")[1],
        "window": _window(shape("cond_prenet.encoder_conv.0.weight")[1], settings),
        "smoothed": shape("cond_att_net.attentionNet.0.weight")[0],
        "codes": shape("individual_embeddings")[0],
        "code": shape("individual_embeddings")[1],
        "geometry": shape("sigma_net.net.2.weight")[0] - 1,
        "side": round(shape("density_grid")[1] ** (1 / 3)),
        "head_aware": "head_color_weights_encoder.0.weight" in state,
    }
    return RadNerfConfig(**kept)


def _window(inputs: int, settings: Mapping[str, Any]) -> int:
    """Frames of a window: landmarks come one by one, letters of a recogniser in sixteens."""
    return int(settings.get("cond_win_size", 1 if inputs == 204 else 16))
