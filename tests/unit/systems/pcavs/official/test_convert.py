"""The authors' files by their true names and layouts, with small networks."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from talkingface.api.importing import find_importer
from talkingface.core.config import from_dict
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.foreign import Imported
from talkingface.systems.pcavs.official.config import NetworkSizes, tiny_official
from talkingface.systems.pcavs.official.fast import FastRenderer
from talkingface.systems.pcavs.official.networks.build import load_official
from talkingface.systems.pcavs.official.networks.discriminator import Discriminator
from talkingface.systems.pcavs.official.networks.generator import Generator
from talkingface.systems.pcavs.official.networks.identity import IdentityNet, resnext50
from talkingface.systems.pcavs.official.networks.nonidentity import NonIdentityNet
from talkingface.systems.pcavs.official.networks.speech import SpeechNet, tiled_voice

SIZES = tiny_official().sizes
SPEECH = {"widths": SIZES.speech_widths, "blocks": SIZES.speech_blocks}


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, torch.Tensor]]:
    """What the authors' files hold, small: heads, mapping network and constant included."""
    torch.manual_seed(3)
    identity = IdentityNet(people=5, width=SIZES.identity_width, blocks=SIZES.identity_blocks, map_channels=8)
    unused = {"model.fc.weight": torch.zeros(10, 128), "model.fc.bias": torch.zeros(10)}
    nonidentity = NonIdentityNet(
        code=SIZES.code, pose=SIZES.pose, classes=5, clip_len=2, crop_px=SIZES.crop_px, width=4, depth=2
    )
    return {
        "G": Generator(crop_px=SIZES.crop_px, style=SIZES.style, mapping=2, most_channels=8).state_dict(),
        "V": {**identity.state_dict(), **unused},
        "E": nonidentity.state_dict(),
        "A_sync": SpeechNet(outputs=SIZES.code, people=5, **SPEECH).state_dict(),
        "A": SpeechNet(outputs=128, height=320, people=5, **SPEECH).state_dict(),
        "D": Discriminator(width=SIZES.discriminator_width).state_dict(),
    }


@pytest.fixture
def files(states, tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "checkpoints" / "demo"
    folder.mkdir(parents=True)
    paths = {label: folder / f"latest_net_{label}.pth" for label in states}
    for label, state in states.items():
        torch.save(state, paths[label])
    return paths


def pcavs(*files: Path) -> Imported:
    return find_importer("pcavs")(files)


def notes_of(found: Imported) -> str:
    return "\n".join(found.card["notes"])


def test_archive_files_and_folder_are_the_same(files, states, tmp_path):
    archive = tmp_path / "demo.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in files.values():
            file.write(path, f"demo/{path.name}")
        file.writestr("__MACOSX/demo/._latest_net_G.pth", b"")
        file.writestr("demo/readme.txt", "hello")
    found = pcavs(archive)
    assert found.name == "pcavs.official" and found.card["missing"] == []
    sizes = from_dict(NetworkSizes, found.card["config"]["official"]["sizes"])
    assert sizes == SIZES
    for other in (pcavs(*files.values()), pcavs(tmp_path / "checkpoints")):
        assert set(other.tensors) == set(found.tensors)
        assert all(np.array_equal(other.tensors[name], values) for name, values in found.tensors.items())
    nets = load_official(found.tensors, sizes)
    style, first = torch.randn(1, sizes.style), torch.randn(1, 8, 7, 7)
    whole = Generator(crop_px=SIZES.crop_px, style=SIZES.style, mapping=2, most_channels=8).eval()
    whole.load_state_dict(states["G"])
    with torch.no_grad():
        torch.testing.assert_close(nets.generator(style, first, "stored"), whole(style, first, "stored"))
    with torch.no_grad():
        vector = nets.voice(tiled_voice(torch.linspace(0, 1, 80).repeat(100, 1)))
        style = torch.cat([vector, torch.ones(1, sizes.code)], 1)
        made = whole(style, None, "stored")[0]
    paint = FastRenderer(nets).generator_for_voice(torch.linspace(0, 1, 80).repeat(100, 1))
    torch.testing.assert_close(paint(torch.ones(28), torch.ones(4)), made, rtol=0, atol=1e-4)
    assert found.card["origin"][0]["file"] == "demo.zip"
    assert "generator: latest_net_G.pth" in notes_of(found) and "style (4)" in notes_of(found)
    assert "missing" not in notes_of(found)


def test_variants_of_old_and_other_trainings(files, states):
    old = {"to_mouth": "mapper", "mouth_embed": "mapper2small", "mouth_fc": "mapper_fc", "to_headpose": "pure_pose",
           "headpose_embed": "pure_pose2small", "headpose_fc": "pure_pose_fc"}  # fmt: skip
    renamed = {}
    for name, value in states["E"].items():
        first, _, rest = name.partition(".")
        renamed[f"module.{old.get(first, first)}.{rest}"] = value
    torch.save(renamed, files["E"])
    bare = {n: v for n, v in states["G"].items() if not n.startswith(("style.", "input.", "noises."))}
    torch.save({"state_dict": bare}, files["G"])
    bare = {n: v for n, v in states["V"].items() if not n.startswith(("fc.", "model.fc."))}
    torch.save(bare, files["V"])
    found = pcavs(*files.values())
    sizes = from_dict(NetworkSizes, found.card["config"]["official"]["sizes"])
    nets = load_official(found.tensors, sizes)
    torch.testing.assert_close(nets.nonidentity.headpose_embed[1].weight, states["E"]["headpose_embed.1.weight"])
    assert "made anew: noises" in notes_of(found)
    again = load_official(found.tensors, sizes)
    torch.testing.assert_close(again.generator.noises.noise_3, nets.generator.noises.noise_3)


def test_what_is_missing_is_named_with_its_source(files):
    found = pcavs(files["G"], files["V"], files["E"])
    assert found.card["missing"] == ["speech"]
    assert "latest_net_A_sync.pth from demo.zip" in notes_of(found)
    assert "latest_net_A.pth from demo_id.zip" in notes_of(found)
    with pytest.raises(WeightsError, match="no speech network"):
        load_official(found.tensors, SIZES)
    nets = load_official(pcavs(*(files[label] for label in ("G", "V", "E", "A_sync"))).tensors, SIZES)
    with pytest.raises(WeightsError, match="demo_id"):
        FastRenderer(nets).generator_for_voice(torch.rand(50, 80))


def test_networks_of_others_for_training(tmp_path, states, files):
    torch.save(resnext50(width=4).state_dict(), tmp_path / "resnext50_32x4d-7cdf4587.pth")
    fan = {name.removeprefix("model."): value for name, value in states["E"].items() if name.startswith("model.")}
    for name in ("fc.weight", "fc.bias", "conv6.weight", "bn5.weight"):
        fan.pop(name)
    torch.save(fan, tmp_path / "2DFAN4.pth")
    torch.save({"unknown": torch.zeros(1)}, tmp_path / "other.pth")
    found = pcavs(files["E"], *tmp_path.glob("*.pth"))
    assert {"imagenet", "fan", "nonidentity"} == set(found.card["parts"])
    assert "other.pth was ignored" in notes_of(found)
    assert "fan.conv6.weight" not in found.tensors and "imagenet.layer4.2.conv3.weight" in found.tensors


def test_bad_files(files, states, tmp_path):
    with pytest.raises(UsageError, match="give demo.zip"):
        pcavs()
    with pytest.raises(InputError, match="no file"):
        pcavs(tmp_path / "demo.zip")
    (tmp_path / "demo.zip").write_bytes(b"not an archive")
    with pytest.raises(InputError, match="neither a checkpoint"):
        pcavs(tmp_path / "demo.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="no network of PC-AVS"):
        pcavs(tmp_path / "empty")
    lacking = {name: value for name, value in states["G"].items() if name != "convs.1.conv.weight"}
    torch.save(lacking, tmp_path / "latest_net_G.pth")
    with pytest.raises(WeightsError, match="convs.1.conv.weight"):
        pcavs(tmp_path / "latest_net_G.pth")
    other = {**states["E"], "mouth_embed.1.weight": torch.zeros(3, 32)}
    torch.save(other, tmp_path / "E.pth")
    with pytest.raises(WeightsError, match="mouth_embed.1.weight"):
        pcavs(tmp_path / "E.pth")
    with pytest.raises(UsageError, match="both identity"):
        torch.save(states["V"], tmp_path / "latest_V.pth")
        pcavs(files["V"], tmp_path / "latest_V.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "whole.pth")
    with pytest.raises(WeightsError, match="refused"):
        pcavs(tmp_path / "whole.pth")


def test_the_latest_of_several_is_taken(files, states):
    older = {**states["G"], "to_rgb1.bias": states["G"]["to_rgb1.bias"] + 1}
    torch.save(older, files["G"].with_name("10_net_G.pth"))
    found = pcavs(files["G"].parent)
    assert found.card["parts"]["generator"] == "latest_net_G.pth"
    np.testing.assert_array_equal(found.tensors["generator.to_rgb1.bias"], states["G"]["to_rgb1.bias"])
