"""Released files become weights: both layouts, archives, and what is refused."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from basel import write_basel
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.face import bfm
from talkingface.nn.lpips import Lpips
from talkingface.nn.state import part, tensors_of
from talkingface.nn.wav2vec2 import Wav2Vec2, Wav2Vec2Config
from talkingface.systems.geneface.config import RadNerfConfig
from talkingface.systems.geneface.official.audio2motion import AudioToMotion
from talkingface.systems.geneface.official.importing import import_geneface, renderer_config
from talkingface.systems.geneface.official.postnet import MotionDiscriminator, PostNet
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField
from talkingface.systems.geneface.official.speech import hubert_features, letter_windows
from talkingface.systems.geneface.official.syncnet import LandmarkSyncNet

SPEECH = Wav2Vec2Config(
    channels=24, width=128, layers=1, heads=2, hidden=96, place_kernel=16, place_groups=4, letters=5
)
SMALL = replace(RadNerfConfig(), codes=20, side=16, log2_rows=8, finest=64)


def save(path: Path, children: dict, *, flat: bool = False, step: int = 10) -> Path:
    """A checkpoint of the published program, in the newer or the older layout."""
    if flat:
        children = {f"{child}.{name}": value for child, state in children.items() for name, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"epoch": 1, "global_step": step, "optimizer_states": [{}], "state_dict": children},
        path,
        _use_new_zipfile_serialization=False,
    )
    return path


def state(network: nn.Module, fill: float | None = None) -> dict[str, torch.Tensor]:
    made = {name: value.clone() for name, value in network.state_dict().items()}
    if fill is not None:
        made = {name: torch.full_like(value, fill) for name, value in made.items()}
    return made


def under(prefix: str, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": value for name, value in values.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Checkpoints of every stage; networks inside the post-net's file hold other numbers than the stages' own."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("released")
    sync, motion = LandmarkSyncNet(), AudioToMotion()
    save(root / "lrs3/syncnet/model_ckpt_steps_10.ckpt", {"model": state(sync, 1.0)})
    save(root / "lrs3/syncnet/model_ckpt_steps_9.ckpt", {"model": state(sync, 9.0)})
    save(
        root / "lrs3/lm3d_vae_sync/model_ckpt_steps_10.ckpt",
        {"syncnet_task": under("model", state(sync, 2.0)), "model": state(motion, 2.0)},
    )
    of_motion = under("model", state(motion, 3.0)) | under("syncnet_task.model", state(sync, 4.0))
    save(
        root / "May/postnet/model_ckpt_steps_10.ckpt",
        {
            "audio2motion_task": of_motion,
            "syncnet_task": under("model", state(sync, 5.0)),
            "disc_model": state(MotionDiscriminator()),
            "model": state(PostNet()),
        },
    )
    save(root / "May/head/model_ckpt_steps_10.ckpt", {"model": state(HeadField(SMALL))})
    save(root / "May/torso/model_ckpt_steps_10.ckpt", {"model": state(TorsoField(SMALL))}, flat=True)
    (root / "May/torso/config.yaml").write_text(
        "log2_hashmap_size: 8\ndesired_resolution: 64\ntorso_shrink: 0.7\nbase_config:\n- ./egs/base.yaml\n"
    )
    (root / "May/head/config.yaml").write_text("log2_hashmap_size: 8\ndesired_resolution: 64\n")
    return root


def test_everything_that_was_released(folder):
    made = import_geneface([folder / "lrs3", folder / "May"])
    assert made.name == "geneface.official"
    parts = {name.split(".")[0] for name in made.tensors}
    assert parts == {"syncnet", "audio2motion", "postnet", "discriminator", "head", "torso"}
    # of the post-net's checkpoint, and there of the sync expert that trained it
    assert np.all(made.tensors["audio2motion.mel_encoder.0.weight"] == 3)
    assert np.all(made.tensors["syncnet.hubert_encoder.0.conv_block.0.weight"] == 5)
    config = made.card["config"]["renderer"]
    assert (config["codes"], config["side"], config["torso_shrink"]) == (20, 16, 0.7)
    assert made.tensors["head.density_bitfield"].dtype == np.uint8
    notes = "\n".join(made.card["notes"])
    assert "parsing is missing; get 79999_iter.pth" in notes and "head is missing" not in notes
    assert {"file", "sha256"} == set(made.card["origin"][0])


def test_imported_fields_draw_what_the_checkpoint_draws(folder):
    made = import_geneface([folder / "May/torso"])
    config = RadNerfConfig(**made.card["config"]["renderer"])
    field = TorsoField(config)
    loaded = {name.removeprefix("torso."): torch.from_numpy(value) for name, value in made.tensors.items()}
    field.load_state_dict(loaded, strict=False)
    places, pose = torch.rand(5, 2), torch.rand(6)
    original = TorsoField(config)
    stored = torch.load(folder / "May/torso/model_ckpt_steps_10.ckpt", weights_only=True)["state_dict"]
    original.load_state_dict({name.removeprefix("model."): value for name, value in stored.items()})
    for ours, theirs in zip(
        field.torso(places, pose, field.torso_individual_codes[0]),
        original.torso(places, pose, original.torso_individual_codes[0]),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_archives(folder, tmp_path):
    archive = tmp_path / "lrs3.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in (folder / "lrs3").rglob("*.ckpt"):
            opened.write(path, f"checkpoints/{path.relative_to(folder)}")
        opened.writestr("../outside.ckpt", b"escapes")
        opened.writestr("read.me", b"not read")
    with pytest.raises(WeightsError, match=r"outside\.ckpt was refused"):
        import_geneface([archive])
    assert not (tmp_path.parent / "outside.ckpt").exists()
    with zipfile.ZipFile(archive, "w") as opened:
        for path in (folder / "lrs3").rglob("*.ckpt"):
            opened.write(path, f"checkpoints/{path.relative_to(folder)}")
    made = import_geneface([archive])
    assert made.card["parts"] == {"syncnet": "model_ckpt_steps_10.ckpt", "audio2motion": "model_ckpt_steps_10.ckpt"}


def test_what_is_refused(folder, tmp_path):
    with pytest.raises(UsageError, match="give the files"):
        import_geneface([])
    with pytest.raises(InputError, match="there is no file"):
        import_geneface([tmp_path / "none.zip"])
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="cannot be unpacked"):
        import_geneface([tmp_path / "cut.zip"])
    other = tmp_path / "other.ckpt"
    torch.save({"state_dict": {"model": {"weight": torch.zeros(2)}}}, other)
    with pytest.raises(WeightsError, match=r"no file of geneface: it holds model\.weight"):
        import_geneface([other])
    broken = state(PostNet())
    broken.pop("block3.1.bias")
    with pytest.raises(WeightsError, match=r"postnet\) does not fit: 1 tensors are missing \(block3\.1\.bias\)"):
        import_geneface([save(tmp_path / "model_ckpt_steps_1.ckpt", {"model": broken})])
    second = save(tmp_path / "b/model_ckpt_steps_2.ckpt", {"model": state(HeadField(SMALL))})
    (tmp_path / "b/config.yaml").write_text("log2_hashmap_size: 8\ndesired_resolution: 64\n")
    with pytest.raises(UsageError, match="are both head"):
        import_geneface([folder / "May/head", second])


def lpips_files(folder: Path, network: Lpips) -> list[Path]:
    """AlexNet as torchvision stores it, and the weights of its channels."""
    backbone, linear = {}, {}
    for name, value in network.state_dict().items():
        if name.startswith("net."):
            backbone["features." + name.split(".", 2)[2]] = value.clone()
        elif name.startswith("lin"):
            linear[name] = value.clone()
    torch.save(backbone, folder / "alexnet-owt-7be5be79.pth")
    torch.save(linear, folder / "alex.pth")
    return [folder / "alex.pth", folder / "alexnet-owt-7be5be79.pth"]


def test_lpips_of_two_files_or_of_a_renderers_checkpoint(tmp_path):
    network = Lpips("alex")
    files = lpips_files(tmp_path, network)
    made = import_geneface(files)
    assert made.card["parts"] == {"lpips": "alex.pth"}
    assert np.array_equal(made.tensors["lpips.net.slice2.3.bias"], network.net.slice2[1].bias.numpy())
    with pytest.raises(WeightsError, match="half of LPIPS"):
        import_geneface(files[:1])
    whole = save(
        tmp_path / "head/model_ckpt_steps_1.ckpt",
        {"criterion_lpips": state(network), "model": state(HeadField(SMALL))},
    )
    (tmp_path / "head/config.yaml").write_text("log2_hashmap_size: 8\ndesired_resolution: 64\n")
    made = import_geneface([whole])
    assert set(made.card["parts"]) == {"head", "lpips"}
    again = Lpips("alex")
    again.load_state_dict(tensors_of(made.tensors, "lpips"), strict=False)
    a, b = torch.rand(2, 1, 3, 40, 40)
    assert torch.equal(again(a, b), network(a, b))


def test_the_basel_models_folder(tmp_path, folder):
    write_basel(tmp_path / "BFM")
    (tmp_path / "BFM/similarity_Lm3D_all.mat").write_bytes(b"not needed")
    made = import_geneface([tmp_path / "BFM", folder / "May/head"])
    assert set(made.card["parts"]) == {"bfm", "head"}
    model = bfm.bfm_from_tensors(part(made.tensors, "bfm"))
    assert model.mean.shape == (478, 3)
    (tmp_path / "BFM/BFM_model_front.mat").write_bytes(b"another edition")
    with pytest.raises(InputError, match=r"BFM_model_front\.mat"):
        import_geneface([tmp_path / "BFM"])


def test_other_files_of_a_folder_are_passed_over(folder, tmp_path):
    shutil.copytree(folder / "May", tmp_path / "May")
    torch.save({"euler": torch.zeros(3, 3)}, tmp_path / "May/track_params.pt")
    made = import_geneface([tmp_path / "May"])
    assert "track_params.pt: nothing of geneface in it" in made.card["notes"]
    with pytest.raises(WeightsError, match="track_params.pt is no file of geneface"):
        import_geneface([tmp_path / "May/track_params.pt"])
    with zipfile.ZipFile(tmp_path / "May/lrs3.zip", "w") as opened:
        opened.write(folder / "lrs3/syncnet/model_ckpt_steps_10.ckpt", "syncnet/model_ckpt_steps_10.ckpt")
    shutil.rmtree(tmp_path / "May/postnet")
    assert "syncnet" in import_geneface([tmp_path / "May"]).card["parts"], "downloads that were not unpacked"


def test_damaged_archives_are_one_line(folder, tmp_path):
    archive = tmp_path / "lrs3.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.write(folder / "lrs3/syncnet/model_ckpt_steps_10.ckpt", "lrs3/syncnet/model_ckpt_steps_10.ckpt")
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:2000] + b"xxxx" + whole[2004:]):
        archive.write_bytes(damaged)
        with pytest.raises(InputError, match=r"lrs3\.zip cannot be unpacked .*; get it again") as caught:
            import_geneface([archive])
        assert "\n" not in str(caught.value)
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("lrs3/syncnet/model_ckpt_steps_10.ckpt", b"half a download")
    with pytest.raises(WeightsError, match=r"^model_ckpt_steps_10\.ckpt was refused: it is damaged"):
        import_geneface([archive])
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("lrs3/readme.txt", b"nothing")
    with pytest.raises(WeightsError, match=r"hold no checkpoint of geneface; give lrs3\.zip"):
        import_geneface([archive])


def test_the_renderers_settings_come_from_its_tensors():
    field = HeadField(replace(SMALL, inputs=44, window=16, smoothed=8))
    config = renderer_config(field.state_dict(), {"grid_interpolation_type": "smoothstep", "log2_hashmap_size": 8})
    assert (config.inputs, config.window, config.smoothed, config.codes) == (44, 16, 8, 20)
    assert config.interpolation == "smoothstep" and not config.head_aware


def test_speech_networks(tmp_path):
    network = Wav2Vec2(SPEECH)
    encoder = {name: value for name, value in network.state_dict().items() if not name.startswith("lm_head")}
    head = {"lm_head.weight": torch.rand(5, SPEECH.width), "lm_head.bias": torch.rand(5)}
    torch.save(under("hubert", encoder) | head, tmp_path / "pytorch_model.bin")
    save_file(under("wav2vec2", {k: v.clone() for k, v in encoder.items()}) | head, tmp_path / "model.safetensors")
    made = import_geneface([tmp_path])
    assert made.card["parts"] == {"wav2vec2": "model.safetensors", "hubert": "pytorch_model.bin"}
    assert "wav2vec2.lm_head.weight" in made.tensors and "hubert.lm_head.weight" not in made.tensors
    hubert = Wav2Vec2(replace(SPEECH, letters=0)).eval()
    hubert.load_state_dict(
        {n.removeprefix("hubert."): torch.from_numpy(v) for n, v in made.tensors.items() if n[:3] == "hub"}
    )
    voice = np.random.default_rng(0).standard_normal(9000).astype(np.float32)
    assert hubert_features(hubert, voice).shape == (27, SPEECH.width)
    for short in (0, 100, 399):
        assert (hubert_features(hubert, voice[:short]) == 0).all()
    network.eval()
    for count, frames in ((9000, 14), (200, 1), (0, 1)):
        assert letter_windows(network, voice[:count]).shape == (frames, 16, 5)
