from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from crops import crop_clip, draw_face, speaking_head
from talkingface.face.morphable import load_mesh478
from talkingface.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER
from talkingface.systems.pcavs.alignment.crop import on_square, view
from talkingface.systems.pcavs.compact.data import Choice, Pairs, clip_features, inner_mouth, place, placed_features
from talkingface.systems.pcavs.compact.mouth_recipe import (
    EYES_REGION,
    LANDMARKS_FROM,
    MOUTH,
    REGION_PX,
    LandmarkNet,
    MouthsRecipe,
    parting_loss,
)
from talkingface.systems.pcavs.compact.networks import Drawn
from talkingface.systems.pcavs.compact.reenact_recipe import ReenactRecipe
from talkingface.systems.pcavs.compact.speech_recipe import (
    SEGMENT,
    SILENT_ROWS,
    SpeechClip,
    SpeechRecipe,
    contrast_loss,
    encode_mouths,
)
from talkingface.systems.pcavs.config import CompactConfig, preset
from talkingface.training.recipe import Recipe, make_rng
from talkingface.training.trainer import Trainer

TINY = preset("tiny")
TRUSTED = np.r_[np.ones(16), np.zeros(8)].astype(np.float32)


@pytest.fixture(scope="module")
def clips() -> list:
    return [crop_clip("one"), crop_clip("two", seed=1)]


@pytest.fixture(scope="module")
def pairs(clips) -> Pairs:
    return Pairs(clips, TINY.compact)


def batches_equal(a: dict, b: dict) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_batch_depends_on_its_generator_alone(pairs):
    first = pairs.draw(make_rng(7, 3), 4)
    pairs.draw(make_rng(7, 4), 4)
    assert batches_equal(first, pairs.draw(make_rng(7, 3), 4))
    for other in (make_rng(7, 4), make_rng(8, 3)):
        assert not batches_equal(first, pairs.draw(other, 4))


def test_a_batch_has_what_the_networks_take(pairs):
    batch, config = pairs.draw(make_rng(0, 0), 3), TINY.compact
    size, mouth, pose = config.size_px, config.mouth_px, config.pose_px
    shapes = {
        "source": (size, size, 3), "target": (size, size, 3), "own_pose": (pose, pose, 3), "pose": (pose, pose, 3),
        "mouth": (mouth, mouth), "inside": (size, size), "source_points": (478, 2), "target_points": (478, 2),
        "own_features": (8,), "pose_features": (8,), "mouth_features": (3,), "exact": (),
    }  # fmt: skip
    assert {name: tuple(value.shape[1:]) for name, value in batch.items()} == shapes
    for name, value in batch.items():
        is_picture = name in ("source", "target", "own_pose", "pose", "mouth", "inside")
        assert value.dtype == (torch.uint8 if is_picture else torch.float32), name
        assert torch.isfinite(value.float()).all(), name


def test_frames_that_do_not_count_are_never_shown():
    """Frames without weight are painted red here: no batch, and no choice of frames, may hold any red."""
    points, _ = speaking_head(24)
    pictures = [draw_face(p) if w else np.full((256, 256, 3), (255, 0, 0), np.uint8)
                for p, w in zip(points, TRUSTED, strict=True)]  # fmt: skip
    pairs = Pairs([crop_clip(weight=TRUSTED, pictures=pictures)], TINY.compact, augmented=False)
    for step in range(12):
        batch = pairs.draw(make_rng(0, step), 4)
        for name in ("source", "target"):
            middle = batch[name][:, 8:24, 8:24].float()
            assert not ((middle[..., 0] > 240) & (middle[..., 1:].amax(-1) < 20)).any()
    assert set(pairs.some_frames(0, 100)) == set(range(16))
    few = crop_clip("few", weight=np.eye(24, dtype=np.float32)[0])
    assert len(Pairs([few], TINY.compact)) == 0, "one frame makes no pair"


def test_points_lie_on_their_features_however_the_pair_is_placed():
    """The bridge of the nose carries a red dot, the chin a green one, where the points say."""
    config = CompactConfig(size_px=128)
    points, _ = speaking_head(14)
    pictures = []
    for p in points:
        picture = np.zeros((256, 256, 3), np.uint8)
        for number, colour in ((168, (255, 0, 0)), (152, (0, 255, 0))):
            at = tuple(int(v) for v in np.round((p[number, :2] - 0.5) * 16))
            cv2.circle(picture, at, 5 * 16, colour, -1, cv2.LINE_AA, shift=4)
        pictures.append(picture)
    pairs = Pairs([crop_clip(count=14, pictures=pictures)], config)
    checked = 0
    for step in range(5):
        batch = pairs.draw(make_rng(1, step), 4)
        for name in ("source", "target"):
            for picture, at in zip(batch[name].double().numpy(), batch[f"{name}_points"].numpy(), strict=True):
                for channel, number in ((0, 168), (1, 152)):
                    x, y = (at[number] + 1) * 64 - 0.5
                    if not (10 < x < 117 and 10 < y < 117):
                        continue  # the dot is cut off by the edge
                    x0, y0 = round(float(x)) - 9, round(float(y)) - 9
                    dot = np.clip(picture[y0 : y0 + 19, x0 : x0 + 19, channel] - 60, 0, None)
                    grid = np.arange(19)
                    found = np.array([(dot.sum(0) * grid).sum(), (dot.sum(1) * grid).sum()]) / dot.sum()
                    assert found + (x0, y0) == pytest.approx((x, y), abs=0.4)
                    checked += 1
    assert checked > 40


def test_mirrored_pairs_have_mirrored_pictures_and_facts(clips):
    features = clip_features(clips[0])
    plain, mirrored = (place(np.random.default_rng(3), 128, flip) for flip in (False, True))
    for number in (2, 9):
        frame = clips[0].frames([number])[0]
        a, b = (view(frame, p.matrix, 128).astype(int) for p in (plain, mirrored))
        assert np.abs(a[:, ::-1] - b)[4:-4, 4:-4].max() <= 6
        points = [on_square(features.points[number], p.matrix, 128) for p in (plain, mirrored)]
        assert points[1] == pytest.approx(points[0] * (-1, 1), abs=1e-5)
        one, other = (placed_features(features, number, at, p) for at, p in zip(points, (plain, mirrored), strict=True))
        assert other == pytest.approx(one * (1, -1, -1, -1, 1, 1, 1, 1), abs=1e-4)
        assert np.abs(one[1:4]).min() > 1e-3, "there was something to mirror"


def test_a_turned_picture_shows_a_rolled_head(clips):
    """The features of a placement are those that the placed points themselves would give."""
    features = clip_features(clips[0])
    placed = place(np.random.default_rng(5), 128, False)
    number = 4
    vector = placed_features(features, number, features.points[number], placed)[:3] * 0.2
    points, turns = speaking_head(24)
    head = points[number] - points[number].mean(0)
    spin = Rotation.from_rotvec([0, 0, placed.turn]).as_matrix()
    scale = np.hypot(*placed.matrix[:, 0])
    assert (head @ spin.T)[:, :2] == pytest.approx(head[:, :2] @ placed.matrix[:, :2].T / scale, abs=1e-3)
    assert Rotation.from_rotvec(vector).as_matrix() == pytest.approx(
        spin @ Rotation.from_rotvec(turns[number]).as_matrix(), abs=1e-4
    )


def test_facts_follow_what_the_head_does():
    features = clip_features(crop_clip(count=40))
    _, turns = speaking_head(40)
    size = [
        placed_features(features, n, features.points[n] / 112 - 1, place(np.random.default_rng(0), 128, False))
        for n in (0, 1)
    ]
    assert np.isfinite(size).all()
    assert np.corrcoef(features.turns[:, 1], turns[:, 1])[0, 1] > 0.999
    opening = 0.15 + 0.15 * np.sin(np.arange(40) / 2)
    assert np.corrcoef(features.mouth[:, 0], opening)[0, 1] > 0.95


class StepsOf:
    """A training of so many steps, run to the end or stopped in between."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.folder, self.steps = folder, steps

    def run(self, recipe: Recipe, name: str, stops: tuple[int, ...] = ()) -> dict[str, torch.Tensor]:
        for until in (*stops, self.steps):
            trainer = Trainer(recipe, self.folder / name, steps=self.steps, seed=2, device="cpu", ema_decay=0.9)
            trainer.run(until)
        states = trainer.averaged() | {f"last.{n}": net.state_dict() for n, net in trainer.networks.items()}
        return {f"{net}.{key}": value for net, state in states.items() for key, value in state.items()}


def losses_of(recipe: Recipe, phase: str, batch: dict[str, torch.Tensor]) -> dict[str, float]:
    torch.manual_seed(0)
    with torch.no_grad():
        found = recipe.losses(phase, batch, {"step": 10**6, "steps": 10**6})
    return {name: float(value) for name, value in found.items()}


def test_a_stopped_reenactment_goes_on_exactly(clips, tmp_path):
    def fresh() -> ReenactRecipe:
        return ReenactRecipe(clips[:1], TINY, batch_size=2, adversarial_from=1)

    runs = StepsOf(tmp_path, 3)
    once, twice = runs.run(fresh(), "once"), runs.run(fresh(), "twice", stops=(2,))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_reenactment_learns(clips):
    """Of one batch, seen over and over, every measured loss falls; and what was learned can be looked at."""
    recipe = ReenactRecipe(clips[:1], TINY, held_out=clips[1:], batch_size=2, adversarial_from=100)
    torch.manual_seed(0)
    networks = recipe.networks()
    batch = recipe.batch(0, 0)
    drawing = [p for name, net in networks.items() if name != "discriminator" for p in net.parameters()]
    optimizer = torch.optim.Adam(drawing, 4e-3)
    seen: list[dict[str, float]] = []
    for _ in range(30):
        losses = recipe.losses("draw", batch, {"step": 0, "steps": 1})
        seen.append({name: float(loss.detach()) for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(loss * recipe.loss_weights[name] for name, loss in losses.items()).backward()
        optimizer.step()
    for name in ("l1", "flow", "pose_features", "mouth_features"):
        assert seen[-1][name] < 0.9 * seen[0][name], name
    with torch.no_grad():
        figures, pictures = recipe.evaluate(), recipe.preview(0)
    assert {"made_db", "still_db", "lips_db", "flow", "gap_r", "yaw_r"} <= set(figures)
    assert pictures["people"].shape == (4 * 32, 12 * 32, 3)


def test_every_reenactment_loss_reaches_its_networks(clips):
    recipe = ReenactRecipe(clips[:1], TINY, batch_size=2)
    recipe.networks()
    batch = recipe.batch(0, 0)
    losses = recipe.losses("draw", batch, {"step": 0, "steps": 1})
    assert {*losses, "discriminator"} == set(recipe.loss_weights)
    sum(losses.values()).backward()
    for name in ("identity", "mouth", "pose", "generator"):
        grads = {key: value.grad for key, value in getattr(recipe, name).named_parameters()}
        assert all(grad is not None and grad.isfinite().all() for grad in grads.values()), name
    quiet = ReenactRecipe(clips[:1], TINY, batch_size=2, adversarial_from=5)
    quiet.networks()
    early = quiet.losses("discriminate", batch, {"step": 4, "steps": 9})
    assert float(early["discriminator"].detach()) == 0 and "adversarial" not in quiet.losses(
        "draw", batch, {"step": 4, "steps": 9}
    )


def mouths_recipe(clips: list) -> MouthsRecipe:
    first = ReenactRecipe(clips[:1], TINY, batch_size=2)
    torch.manual_seed(5)
    begin = {name: network.state_dict() for name, network in first.networks().items()}
    return MouthsRecipe(clips[:1], TINY, begin, held_out=clips[1:], batch_size=2)


def test_the_second_round_goes_on_from_the_first_and_resumes_exactly(clips, tmp_path):
    recipe = mouths_recipe(clips)
    networks = recipe.networks()
    for name, state in recipe._begin.items():
        assert all(torch.equal(value, networks[name].state_dict()[key]) for key, value in state.items())
    runs = StepsOf(tmp_path, 3)
    once, twice = runs.run(mouths_recipe(clips), "once"), runs.run(mouths_recipe(clips), "twice", stops=(2,))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_every_loss_of_the_second_round_counts_and_its_figures_are_whole(clips):
    recipe = mouths_recipe(clips)
    networks = recipe.networks()
    batch = recipe.batch(0, 0)
    late = {"step": LANDMARKS_FROM, "steps": LANDMARKS_FROM + 1}
    found = losses_of(recipe, "discriminate", batch) | losses_of(recipe, "draw", batch)
    assert set(found) == set(recipe.loss_weights)
    recipe.losses("draw", batch, late)["mouth_shape"].backward()
    moved = [p.grad for p in networks["generator"].parameters() if p.grad is not None]
    assert sum(float(g.abs().sum()) for g in moved) > 0  # reading a drawn mouth teaches those who draw it
    assert float(recipe.losses("draw", batch, {"step": 0, "steps": 9})["mouth_shape"].detach()) == 0
    with torch.no_grad():
        figures = recipe.evaluate()
    assert {"drawn_gap", "drawn_r", "read_r", "drawn_shut", "made_db"} <= set(figures)
    alone = MouthsRecipe(clips[:1], TINY, recipe._begin, batch_size=2)
    alone.networks()
    assert alone.evaluate() == {}


def test_a_reader_learns_where_points_are():
    """Dots that move about a region are found again where they are, also in places it has not seen."""
    torch.manual_seed(0)
    reader = LandmarkNet(MOUTH, torch.zeros(478, 2))
    optimizer = torch.optim.Adam(reader.parameters(), 3e-3)

    def lesson() -> torch.Tensor:
        points = torch.zeros(16, 478, 2)
        points[:, list(MOUTH.points)] = MOUTH.middle(points)[:, None] + 0.2 * torch.rand(16, 1, 2) - 0.1
        axis = (torch.arange(64) * 2 + 1) / 64 - 1
        away = [(axis - points[:, MOUTH.points[0], k, None]).square() for k in range(2)]
        dots = torch.exp(-(away[0][:, None] + away[1][:, :, None]) / 0.004)
        return reader.training_loss((2 * dots - 1)[:, None].expand(-1, 3, -1, -1), points)

    before = float(lesson().detach())
    for _ in range(60):
        optimizer.zero_grad()
        lesson().backward()
        optimizer.step()
    assert float(lesson().detach()) < 0.3 * before


def test_a_reader_asks_the_same_of_a_mirrored_face():
    points = torch.rand(1, 478, 2) - 0.5
    points[:, 33, 0], points[:, 263, 0] = -0.4, 0.4
    turned = points * torch.tensor([-1.0, 1.0])
    mean = torch.from_numpy(load_mesh478().mean[:, :2]).float()
    for region in (MOUTH, EYES_REGION):
        reader, chosen = LandmarkNet(region, torch.zeros(478, 2)), list(region.points)
        assert torch.equal(reader._own_points(turned), turned[:, chosen][:, reader.mirror])
        assert torch.equal(reader._own_points(points), points[:, chosen])
        away = mean[chosen][reader.mirror] * torch.tensor([-1.0, 1.0]) - mean[chosen]
        assert away.abs().max() < 0.1 * mean[chosen].abs().max()


def test_a_region_is_cut_where_the_mouth_is(pairs):
    batch = pairs.draw(make_rng(2, 0), 4)
    pictures = batch["target_points"].new_zeros(4, 3, 256, 256)
    points = batch["target_points"]
    for row, lips in enumerate(points[:, list(MOUTH.points)].mean(1)):
        x, y = ((lips + 1) / 2 * 256).round().int().tolist()
        pictures[row, :, y - 3 : y + 4, x - 3 : x + 4] = 1
    cut = MOUTH.cut(pictures, MOUTH.middle(points))
    middle = slice(REGION_PX // 4, -REGION_PX // 4)
    assert (cut[:, :, middle, middle].sum((1, 2, 3)) > 0.9 * cut.sum((1, 2, 3))).all() and cut.sum() > 0


def test_the_parting_loss_is_zero_where_lips_part_as_tracked_and_blind_to_shifts_of_the_head():
    rng = torch.Generator().manual_seed(0)
    target = torch.rand(1, 478, 2, generator=rng) - 0.5
    axis = (torch.arange(64) * 2 + 1) / 64 - 1
    stretch = 0.3 * axis[None, None, :, None].expand(1, 1, 64, 64)  # flow that moves lower places further
    flow = torch.cat([torch.full((1, 1, 64, 64), 0.2), stretch], dim=1)
    source = target + torch.stack([torch.full((1, 478), 0.2), 0.3 * target[..., 1]], dim=-1)
    drawn = Drawn(flow=flow, coarse=flow, mask=flow, colour=flow)
    assert parting_loss(drawn, source, target) < 1e-5
    assert parting_loss(drawn, source + 0.1, target) < 1e-5
    assert parting_loss(drawn, target, target) > 0.01


def test_the_inside_of_a_mouth_lies_between_its_lips():
    points = np.zeros((478, 2))
    across = np.linspace(-0.5, 0.5, 11)
    points[list(INNER_LIP_UPPER)] = np.stack([across, np.full(11, -0.25)], axis=1)
    points[list(INNER_LIP_LOWER)] = np.stack([across, np.full(11, 0.25)], axis=1)
    mask = inner_mouth(points, 64)
    rows, columns = np.nonzero(mask > 127)
    edges = rows.min(), rows.max(), columns.min(), columns.max()
    np.testing.assert_allclose(edges, (24, 39, 16, 47), atol=1)
    assert (mask[25:39, 18:46] > 127).all()


def test_pairs_can_prefer_other_mouths_and_shut_eyes(clips):
    gap, closure = (getattr(clip_features(clips[0]), name) for name in ("mouth", "closure"))

    def seconds(choice: Choice) -> np.ndarray:
        pairs, rng = Pairs(clips, TINY.compact, choice=choice), make_rng(1, 1)
        return np.array([pairs._second(rng, 0, 0, np.arange(len(gap))) for _ in range(200)])

    any_, other, shut = (seconds(choice) for choice in (Choice(0), Choice(0, mouth=1), Choice(0, shut=1)))
    assert closure[shut].mean() > closure[any_].mean()
    away = np.abs(gap[:, 0] - gap[0, 0])
    assert away[other].mean() > 1.3 * away[any_].mean()


def speech_clip(slug: str, seed: int, count: int = 80) -> SpeechClip:
    """A mouth that opens as a voice gets louder."""
    rng = np.random.default_rng(seed)
    at = 0.5 + 0.5 * np.sin(np.arange(count) / rng.uniform(2, 4))
    voice = rng.normal(size=640 * count) * np.interp(np.arange(640 * count) / 640, np.arange(count) + 0.5, 0.1 * at**2)
    codes = (at[:, None] * np.linspace(-1, 1, TINY.codes.mouth)).astype(np.float32)
    features = np.stack([at, 0.5 * at, -at], axis=1).astype(np.float32) * 3
    return SpeechClip(
        slug=slug, person=slug, samples=voice.astype(np.float32), codes=codes, features=features,
        weight=np.ones(count, np.float32),
    )  # fmt: skip


def speech_recipe(held_out: tuple[SpeechClip, ...] = ()) -> SpeechRecipe:
    readout = np.zeros((3, TINY.codes.mouth), np.float32), np.zeros(3, np.float32)
    readout[0][:, -1] = 3, 1.5, -3
    clips = [speech_clip("a", 0), speech_clip("b", 1)]
    return SpeechRecipe(clips, TINY, readout, held_out=held_out, batch_size=3, copies=1)


def test_speech_learns_and_resumes_exactly(tmp_path):
    runs = StepsOf(tmp_path, 4)
    once, twice = runs.run(speech_recipe(), "once"), runs.run(speech_recipe(), "twice", stops=(3,))
    assert all(torch.equal(once[name], twice[name]) for name in once)
    recipe = speech_recipe(held_out=(speech_clip("c", 2),))
    recipe.optimizers = {"speech": type(recipe.optimizers["speech"])(lr=1e-2)}
    trainer = Trainer(recipe, tmp_path / "learn", steps=30, seed=2, device="cpu", ema_decay=None)
    batch = recipe.batch(1000, 0)
    before = losses_of(recipe, "speak", batch)
    trainer.run()
    after = losses_of(recipe, "speak", batch)
    assert set(after) == set(recipe.loss_weights)
    for name in after:
        assert after[name] < before[name], name
    with torch.no_grad():
        assert recipe.evaluate()["gap"] > 0.5


def test_speech_batches_are_pure_and_whole():
    recipe = speech_recipe()
    batch = recipe.batch(5, 1)
    recipe.batch(6, 1)
    assert batches_equal(batch, recipe.batch(5, 1))
    assert not torch.equal(batch["tokens"], recipe.batch(6, 1)["tokens"])
    rows = 3 + SILENT_ROWS
    assert batch["tokens"].shape == (rows, 2 * SEGMENT, 384)
    assert batch["features"].shape == (rows, SEGMENT, 3) and batch["known"].shape == (rows, SEGMENT, 1)
    assert batch["features"].flatten(0, 1)[batch["clip"] < 0].std(dim=0).max() == 0, "without speech the mouth rests"


def test_near_frames_of_one_clip_are_no_negatives():
    """Neighbours sound alike: however close their codes are, they cost nothing; a far frame that is as close does."""
    codes = torch.eye(4)
    alike = codes.clone()
    alike[1] = codes[0]
    own = torch.eye(4, dtype=torch.bool)
    near = own.clone()
    near[0, 1] = near[1, 0] = True
    assert float(contrast_loss(alike, alike, near)) < 0.01
    assert float(contrast_loss(alike, alike, own)) > 0.3


def test_frames_that_are_near_are_told_apart_by_clip(monkeypatch):
    recipe = speech_recipe()
    recipe.networks()
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(
        "talkingface.systems.pcavs.compact.speech_recipe.contrast_loss",
        lambda heard, codes, near: seen.append(near) or heard.sum() * 0,
    )
    batch = recipe.batch(0, 0)
    recipe.losses("speak", batch, {"step": 0, "steps": 1})
    used = batch["known"].flatten().numpy() > 0
    near, clip, frame = seen[0].numpy(), batch["clip"].numpy()[used], batch["frame"].numpy()[used]
    assert near.any() and not near.all()
    for i, j in np.ndindex(near.shape):
        assert near[i, j] == (clip[i] == clip[j] and abs(int(frame[i]) - int(frame[j])) < 5)


def test_mouths_are_read_from_speaking_clips_only(clips):
    import dataclasses

    from talkingface.systems.pcavs.compact.networks import MouthNet

    torch.manual_seed(0)
    net = MouthNet(TINY.codes, TINY.compact).eval()
    silent = dataclasses.replace(clips[1], speaks=False)
    voice = np.arange(24 * 640, dtype=np.float32)
    (heard,) = encode_mouths([clips[0], silent], net, TINY, lambda clip: voice)
    assert np.array_equal(heard.samples, voice)
    assert heard.slug == "one" and heard.codes.shape == (24, TINY.codes.mouth)
    assert heard.features.shape == (24, 3) and heard.codes.std(axis=0).max() > 0
