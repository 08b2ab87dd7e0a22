"""Official files by their true names and layout, with small networks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from talkingface.core.config import from_dict
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.system import Weights
from talkingface.core.weights import find_weights, load_weights
from talkingface.nn.speech_encoder_config import SpeechHeadConfig
from talkingface.nn.state import tensors_of
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.systems.headpose.fit.stages import FitJob, general_audio
from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.motion.head_motion_generator import (
    BehaviourEncoder,
    HeadMotionGenerator,
    MotionDecoder,
    encode_behaviour,
)
from talkingface.systems.headpose.official.convert import memory_to_official, to_official
from talkingface.systems.headpose.official.importing import SOURCES, import_headpose
from talkingface.systems.headpose.official.memory import MemoryBank, QueryNet
from talkingface.systems.headpose.official.networks import Discriminator, UNetAC, UNetAdaIN
from talkingface.systems.headpose.official.stage import initial_networks
from voices import make_voice


@pytest.fixture
def official(tmp_path: Path) -> dict[str, Path]:
    """The files of the model archive, small."""
    torch.manual_seed(3)
    atcnet = AtcNet(channels=(2, 2, 2, 2, 2), hidden_fc=4, hidden=4, layers=3)
    generator = UNetAdaIN(ngf=1, feature=8, style_hidden=4)
    query, bank = QueryNet(feature=8, width=2), MemoryBank.make(12, query=8, feature=8)
    parts = {
        "atcnet_lstm_general.pth": to_official("atcnet", atcnet.state_dict()),
        "0_net_G.pth": to_official("generator", generator.state_dict()),
        "0_net_D.pth": to_official("discriminator", Discriminator(12, 2).state_dict()),
        "0_net_mem.pth": memory_to_official(query.state_dict(), bank),
    }
    for name, state in parts.items():
        torch.save(state, tmp_path / name)
    return {name: tmp_path / name for name in parts}


def job_with(files: list[Path], folder: Path) -> FitJob:
    found = import_headpose(files)
    config = from_dict(HeadposeConfig, found.card["config"])
    weights = Weights(dict(found.tensors), dict(found.card))
    return FitJob(path=folder / "me.mp4", folder=folder, config=config, weights=weights, device="cpu")


def test_a_fit_begins_with_them(official, tmp_path):
    job = job_with(list(official.values()), tmp_path)
    initial = initial_networks(job)
    assert initial.renderer is not None and initial.discriminator is not None and initial.query is not None
    stored = torch.load(official["0_net_G.pth"], weights_only=True)
    assert torch.allclose(initial.renderer["e3.body.1.weight"], stored["e3.body.1.weight"], atol=1e-4)
    audio = general_audio(job)
    assert audio is not None
    assert audio["lstm_fc.0.weight"].shape == (26, 4)  # of 20 expressions instead of 64
    assert not audio["lstm_fc.0.weight"].any() and audio["lstm.weight_ih_l2"].any()


def test_weights_of_before_a_new_setting_still_fit(tmp_path):
    shipped = load_weights(find_weights("headpose.general"))
    del shipped.card["config"]["audio"]["layers"]  # as if it were newer, and at its default
    config = from_dict(HeadposeConfig, shipped.card["config"])
    job = FitJob(path=tmp_path / "me.mp4", folder=tmp_path, config=config, weights=shipped, device="cpu")
    assert general_audio(job)
    other = replace(config, audio=replace(config.audio, speech=SpeechHeadConfig(width=8)))
    assert general_audio(replace(job, config=other)) is None


def test_weights_with_the_discriminators_earlier_name_still_fit(official, tmp_path):
    job = job_with(list(official.values()), tmp_path)
    assert job.weights is not None
    old = {"discriminator_width": "judge_width"}
    renderer = {old.get(key, key): value for key, value in job.weights.card["config"]["renderer"].items()}
    renderer["loss_weights"] = {"fool": 1.0, "picture": 100.0, "mask": 2.0, "mask_smoothness": 1e-5}
    card = {**job.weights.card, "config": {**job.weights.card["config"], "renderer": renderer}}
    tensors = {re.sub(r"^discriminator\.", "judge.", name): value for name, value in job.weights.tensors.items()}
    before = initial_networks(replace(job, weights=Weights(tensors, card))).discriminator
    now = initial_networks(job).discriminator
    assert before is not None and now is not None and before.keys() == now.keys()
    assert general_audio(replace(job, weights=Weights(tensors, card)))


def test_a_bank_of_other_features_is_not_taken(official, tmp_path):
    assert initial_networks(job_with(list(official.values()), tmp_path)).bank is None


def test_parts_are_told_apart_by_their_contents(official, tmp_path):
    for number, path in enumerate(official.values()):
        path.rename(tmp_path / f"file{number}.bin")
    found = import_headpose([tmp_path])  # a folder stands for its files
    assert found.name == "headpose.official"
    assert found.card["parts"] == {
        "audio": "file0.bin", "renderer": "file1.bin", "discriminator": "file2.bin", "memory": "file3.bin",
    }  # fmt: skip


def test_what_is_missing_is_named_with_its_source(official):
    notes = import_headpose([official["0_net_G.pth"]]).card["notes"]
    assert "renderer: 0_net_G.pth" in notes
    for part in ("audio", "discriminator", "memory", "arcface", "bfm", "reconstruction"):
        assert f"{part} is missing and starts untrained; get {SOURCES[part]}" in notes
    assert any("faces.dmi.unibas.ch" in note and "registration" in note for note in notes)


def test_the_journal_version_has_a_name_of_its_own(tmp_path):
    torch.save(UNetAC(ngf=1).state_dict(), tmp_path / "0_net_G.pth")
    found = import_headpose([tmp_path / "0_net_G.pth"])
    config = from_dict(HeadposeConfig, found.card["config"])
    assert found.name == "headpose.journal" and config.renderer.kind == "unetac" and config.relative_matching


def test_motion_networks_choose_the_clips_frames(tmp_path):
    torch.manual_seed(1)
    encoder, decoder = BehaviourEncoder(hidden=3, layers=2, widths=(4, 4)), MotionDecoder(hidden=3, widths=(6, 5))
    torch.save(encoder.state_dict(), tmp_path / "iddNet.pth")
    torch.save(decoder.state_dict(), tmp_path / "cttMotionNet.pth")
    found = import_headpose([tmp_path])
    assert found.name == "headpose.journal" and set(found.card["parts"]) == {"behaviour", "motion"}
    rng = np.random.default_rng(2)
    poses = rng.normal(size=(90, 6)).astype(np.float32).cumsum(axis=0) / 50
    behaviour = encode_behaviour(tensors_of(found.tensors, "behaviour"), poses)
    with torch.inference_mode():
        true = encoder.eval()(torch.from_numpy(poses)[None])[0].numpy()
    np.testing.assert_allclose(behaviour, true, atol=2e-3)  # stored in half precision
    head_motion = HeadMotionGenerator(
        tensors_of(found.tensors, "motion"), behaviour, poses[:, :3], np.ones(90, bool), "cpu"
    )
    voice = make_voice(3.0)
    source = head_motion.source_frames(voice, 75, seed=1)
    assert source.shape == (75,) and source.min() >= 0 and source.max() < 90
    assert np.abs(np.diff(source)).max() <= 2  # one frame of the clip a frame, and rounding
    np.testing.assert_array_equal(source, head_motion.source_frames(voice, 75, seed=1))
    assert not np.array_equal(source, head_motion.source_frames(voice, 75, seed=2))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda state: [state.pop(f"d5.{name}.weight") for name in ("body.1", "deconv")], "d5.body.1.weight"),
        (lambda state: state.update({"d8.img_reg.0.weight": torch.zeros(3, 9, 7, 7)}), "d8.img_reg.0.weight"),
        (lambda state: state.update({"e2.body.1.bias": torch.full((2,), torch.nan)}), "e2.body.1.bias"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(official, change, named):
    state = torch.load(official["0_net_G.pth"], weights_only=True)
    change(state)
    torch.save(state, official["0_net_G.pth"])
    with pytest.raises(WeightsError, match=named):
        import_headpose([official["0_net_G.pth"]])


def test_files_of_something_else_are_refused(tmp_path):
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="no file of headpose: it holds conv.weight"):
        import_headpose([tmp_path / "net.pth"])
    with pytest.raises(InputError, match="no file"):
        import_headpose([tmp_path / "none.pth"])
    with pytest.raises(UsageError, match="files to import"):
        import_headpose([])


def test_pickled_modules_are_refused_with_a_way_out(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "latest_iddNet.pth")
    with pytest.raises(WeightsError, match="state_dict"):
        import_headpose([tmp_path / "latest_iddNet.pth"])


def test_parts_of_the_basel_model_name_the_others(tmp_path):
    np.savetxt(tmp_path / "std_exp.txt", np.ones((1, 79)))
    with pytest.raises(InputError, match="01_MorphableModel.mat from https://faces.dmi.unibas.ch"):
        import_headpose([tmp_path / "std_exp.txt"])


def test_the_basel_model_is_taken_whole(tmp_path):
    rng, count = np.random.default_rng(4), 90
    sizes = {"idBase": 80, "exBase": 64, "texBase": 80}
    savemat(
        tmp_path / "BFM_model_front.mat",
        {
            **{name: rng.normal(size=(3 * count, columns)) for name, columns in sizes.items()},
            "meanshape": rng.normal(size=(1, 3 * count)),
            "meantex": rng.uniform(0, 255, (1, 3 * count)),
            "tri": 1 + rng.integers(0, count, (150, 3)),
            "keypoints": 1 + np.arange(68)[None],
        },
    )
    found = import_headpose([tmp_path / "BFM_model_front.mat"])
    assert found.card["parts"] == {"bfm": "BFM_model_front.mat"}
    assert found.tensors["bfm.identity"].shape == (count, 3, 80)
    assert found.tensors["bfm.texture"].shape == (count, 3, 80) and found.tensors["bfm.triangles"].shape == (150, 3)
    assert not any(note.startswith("bfm is not there") for note in found.card["notes"])
