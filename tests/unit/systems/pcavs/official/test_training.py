"""The three stages of the published training, on networks of toy size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from crops import ArrayClip
from talkingface.core.config import from_dict, upgrade
from talkingface.core.errors import InputError, UsageError, WeightsError
from talkingface.core.weights import find_weights, load_weights, save_weights
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import FORMAT
from talkingface.systems.pcavs.official.config import NetworkSizes, OfficialConfig, tiny_official
from talkingface.systems.pcavs.official.data import ClipSet, apart, distant
from talkingface.systems.pcavs.official.fast import FastRenderer
from talkingface.systems.pcavs.official.generator_stage import GeneratorRecipe
from talkingface.systems.pcavs.official.losses import split
from talkingface.systems.pcavs.official.networks.build import PARTS, load_official, make_nonidentity
from talkingface.systems.pcavs.official.networks.vgg import VggMaps
from talkingface.systems.pcavs.official.pipeline import earlier_networks, train_official
from talkingface.systems.pcavs.official.stages import IdentityRecipe, SyncRecipe
from talkingface.systems.pcavs.recipes import PIPELINES, RECIPES
from talkingface.training.checkpoint import load_networks
from talkingface.training.trainer import Trainer

FRAMES = 24
STAGES = {"identity": IdentityRecipe, "sync": SyncRecipe, "generator": GeneratorRecipe}


def make_clip(number: int, *, frames: int = FRAMES, speaks: bool = True) -> ArrayClip:
    rng = np.random.default_rng(number)
    crops = rng.integers(0, 256, (frames, 4, 4, 3), np.uint8).repeat(56, 1).repeat(56, 2)
    mel = rng.random((4 * frames, 80), np.float32)
    return ArrayClip(person=f"person{number % 2}", crops=crops, mel=mel, speaks=speaks)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks of this size run many times faster on one thread, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def clips() -> list[ArrayClip]:
    return [make_clip(number) for number in range(3)]


def write_crops(folder: Path, clips: list[ArrayClip]) -> Path:
    """The clips as `data.crops.prepare_crops` leaves them, the last one held back."""
    folder.mkdir()
    rows = []
    for number, clip in enumerate(clips):
        facts = {
            "slug": f"clip{number}",
            "person": clip.person,
            "split": "val" if number == len(clips) - 1 else "train",
            "licence_class": "cc-by",
            "speaks": True,
            "scale": 1.0,
            "outside": 0.0,
            "late_s": 0.0,
        }
        jpegs = [cv2.imencode(".jpg", crop)[1].tobytes() for crop in clip.crops]
        count = len(clip.crops)
        np.savez(
            folder / f"clip{number}.npz",
            facts=json.dumps({"format": FORMAT, **facts}),
            jpegs=np.frombuffer(b"".join(jpegs), np.uint8),
            starts=np.cumsum([0, *map(len, jpegs)]),
            landmarks=np.zeros((count, 478, 2), np.float16),
            matrices=np.zeros((count, 2, 3), np.float32),
            pose=np.zeros((count, 3), np.float32),
            mel=clip.mel,
            weight=np.ones(count, np.float32),
        )
        rows.append(facts)
    (folder / "index.json").write_text(json.dumps(rows))
    return folder


def changed(**settings: object) -> OfficialConfig:
    config = tiny_official()
    return replace(config, training=replace(config.training, **settings))


def train(recipe, folder, steps: int, until: int | None = None, **options) -> dict:
    trainer = Trainer(recipe, folder, steps=steps, seed=3, device="cpu", **options)
    trainer.run(until)
    return trainer.averaged()


def assert_same(a: dict, b: dict) -> None:
    for network, state in a.items():
        for name, value in state.items():
            torch.testing.assert_close(value, b[network][name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("stage", STAGES)
def test_resumed_training_gives_the_same_networks(stage, clips, tmp_path):
    make = STAGES[stage]
    whole = train(make(clips, tiny_official()), tmp_path / "whole", 3)
    train(make(clips, tiny_official()), tmp_path / "parts", 3, until=1)
    assert_same(whole, train(make(clips, tiny_official()), tmp_path / "parts", 3))


def test_stages_go_on_from_each_other(clips, tmp_path):
    config = tiny_official()
    options = {"evaluate_every": 1, "preview_every": 1}
    seen = train(IdentityRecipe(clips, config, validation=clips[:1]), tmp_path / "identity", 1, **options)
    met = train(SyncRecipe(clips, config, validation=clips[:1]), tmp_path / "sync", 1, **options)
    recipe = GeneratorRecipe(clips, config, validation=clips[:1], begin={**seen, **met})
    Trainer(recipe, tmp_path / "generator", steps=1, device="cpu")
    for name, state in {**seen, **met}.items():
        own = getattr(recipe.nets, name).state_dict()
        for key, value in state.items():
            torch.testing.assert_close(own[key], value)
    train(GeneratorRecipe(clips, config, validation=clips[:1]), tmp_path / "fresh", 1, **options)
    assert list((tmp_path / "fresh").rglob("*.png"))


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_a_new_encoder_begins_alive(seed):
    torch.manual_seed(seed)
    sizes = tiny_official().sizes
    network = make_nonidentity(sizes).eval()
    maps = []
    network.model.conv6.register_forward_hook(lambda _module, _inputs, output: maps.append(output))
    network(torch.rand(4, 3, sizes.crop_px, sizes.crop_px) * 2 - 1)
    assert (maps[0] > 0).float().mean() > 0.5


def test_everything_learns_but_what_is_frozen(clips, tmp_path):
    config = changed(sync_backbone=False)
    recipe = SyncRecipe(clips, config)
    trainer = Trainer(recipe, tmp_path, steps=1, device="cpu", ema_decay=None)
    before = {name: value.clone() for name, value in recipe.nonidentity.named_parameters()}
    trainer.run()
    moved = {name for name, value in recipe.nonidentity.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if name.startswith("to_mouth.")}


def test_options_of_the_generator_stage(clips, tmp_path):
    config = changed(audio_only=True, frames=2, frame_interval=2, contrast="distance", augment=False)
    vgg = VggMaps((2, 2, 2, 5, 5), normalised=False, widths=(4, 0, 4))
    face = VggMaps((3, 3, 3, 7, 7), normalised=True, widths=(4, 0, 4))
    recipe = GeneratorRecipe(clips, config, words=[0, 1, 2], vgg=vgg, vgg_face=face)
    assert {"vgg_audio", "face_audio", "wordless", "word"} <= set(recipe.loss_weights)
    assert not {"vgg_video", "match_video"} & set(recipe.loss_weights)
    states = train(recipe, tmp_path, 1)
    assert set(states) == {"identity", "nonidentity", "speech", "generator", "discriminator", "words"}
    batch = recipe.batch(0, 0)
    assert batch["target"].shape == (4, 3, 56, 56) and batch["reference"].shape == (2, 1, 3, 56, 56)
    assert torch.equal(batch["target"], batch["augmented"])


def test_batches_depend_on_step_and_seed_alone(clips):
    recipe = GeneratorRecipe(clips, tiny_official())
    one, same, other = recipe.batch(4, 1), recipe.batch(4, 1), recipe.batch(5, 1)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["target"], other["target"])
    assert not torch.equal(one["target"], one["augmented"])


def test_moments_of_a_clip_lie_apart():
    rng = np.random.default_rng(0)
    frames = np.arange(10, 27)
    for _ in range(50):
        assert np.diff(apart(rng, frames, 4, 5)).min() >= 5
    assert distant(rng, frames, np.array([12]), 50) == 26
    assert abs(distant(rng, frames, np.array([12]), 8) - 12) >= 8


def test_people_are_mixed_and_numbered_by_name():
    material = ClipSet([make_clip(number, frames=2) for number in (1, 3, 5, 0)], speaking=True)
    assert material.people == ["person0", "person1"] and list(material.labels) == [1, 1, 1, 0]
    for seed in range(5):
        chosen = material.choose(np.random.default_rng(seed), 4)
        assert sorted(chosen) == [0, 1, 2, 3] and 3 in chosen[:2]


def test_parts_of_a_joined_batch():
    scale = [torch.arange(6.0)[:, None], torch.arange(6.0)[:, None] * 10]
    first, second = split([scale, scale], 2)
    assert first[1][0].flatten().tolist() == [0, 1, 2] and second[0][1].flatten().tolist() == [30, 40, 50]


def test_bad_material(clips):
    with pytest.raises(InputError, match="two of them"):
        IdentityRecipe([clips[0], clips[2]], tiny_official())
    with pytest.raises(InputError, match="of its own speech"):
        SyncRecipe([make_clip(0, frames=4, speaks=False)], tiny_official())
    with pytest.raises(InputError, match="usable frames"):
        SyncRecipe([make_clip(0, frames=4)], tiny_official())
    with pytest.raises(WeightsError, match="speech network to begin with"):
        SyncRecipe(clips, tiny_official(), begin={"speech": {"fc.weight": torch.zeros(1)}}).networks()


def test_all_stages_from_a_folder_of_crops(clips, tmp_path):
    data = write_crops(tmp_path / "crops", clips)
    config = tiny_official()
    weights = load_weights(find_weights(train_official(data, tmp_path / "run", config)))
    assert {name.partition(".")[0] for name in weights.tensors} == set(PARTS)
    sizes = from_dict(NetworkSizes, weights.card["config"]["official"]["sizes"])
    assert sizes == config.sizes and "no perceptual loss" in weights.card["origin"]
    assert {"sync.found", "generator.audio_db"} <= set(weights.card["metrics"])
    picture = torch.zeros(1, 3, sizes.crop_px, sizes.crop_px)
    drawn = FastRenderer(load_official(weights.tensors, sizes)).draw(picture, torch.rand(1, 1, 80, 20), picture, [0])
    assert next(drawn).isfinite().all()
    begun = replace(config, training=replace(config.training, begin=(str(tmp_path / "run" / "identity"),)))
    recipe = RECIPES["generator"](SimpleNamespace(official=begun), data)
    own = recipe.networks()["identity"].state_dict()
    np.testing.assert_array_equal(own["conv1x1.weight"], weights_of(tmp_path / "run" / "identity"))
    assert {"identity", "sync", "generator"} <= set(RECIPES) and "official" in PIPELINES


def weights_of(folder: Path) -> torch.Tensor:
    return load_networks(folder)["identity"]["conv1x1.weight"]


def test_names_of_version_1_are_understood(tmp_path: Path) -> None:
    """Cards, configs and trainings made before."""
    old = {"sizes": {"judge_width": 8}, "training": {"heard_only": True, "loss_weights": {"fool_heard": 3.0}}}
    config = from_dict(PcavsConfig, upgrade({"kind": "compact", "official": old}, PcavsConfig))
    assert config.variant == "compact" and config.official.sizes.discriminator_width == 8
    weights = config.official.training.all_loss_weights()
    assert config.official.training.audio_only and weights["adversarial_audio"] == 3.0
    assert weights["adversarial_video"] == 1.0, "what is not named keeps the published weight"
    save_weights(tmp_path / "old", {"judge.model0.weight": np.zeros(2, np.float32)}, {"name": "pcavs.old"})
    assert set(earlier_networks((str(tmp_path / "old"),))) == {"discriminator"}


def test_a_mistyped_loss_is_named(clips) -> None:
    with pytest.raises(UsageError, match="'adversarial_sound'"):
        GeneratorRecipe(clips, changed(loss_weights={"adversarial_sound": 1.0}))
