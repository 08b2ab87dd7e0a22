"""Offset, confidence and distance of clips whose answer is known, by a network that hears loudness and sees opening."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.core.errors import WeightsError
from talkingface.core.weights import find_weights, load_weights, save_weights
from talkingface.face.mouth_view import SHAPE_POINTS, VIEW_HW, MouthView
from talkingface.metrics.sync_expert import MAX_LAG, WEIGHTS, SyncExpert, cut_view, vertex
from talkingface.nn.sync_config import TINY
from talkingface.nn.sync_net_cpu import SyncNetCpu

FRAMES = 120
LOWER_LIP = SHAPE_POINTS.index(14)


class Plain(SyncNetCpu):
    """Both halves point to one side while loud or open, to the other while quiet or closed."""

    def __init__(self) -> None:
        super().__init__(TINY, {})

    def audio(self, columns):
        loud = columns.reshape(-1, 4 * columns.shape[1]).mean(axis=1)
        return self._sides(loud)

    def visual(self, shape, crops):
        opening = shape[:, LOWER_LIP, 1]
        return self._sides(opening), np.full(opening.shape, 0.5)

    @staticmethod
    def _sides(values):
        high = 1 / (1 + np.exp(-20 * (values - values.mean())))
        return np.stack([np.cos(high * np.pi), np.sin(high * np.pi)], axis=-1)


def make_clip(late: int, gain: float = 1.0, seed: int = 0) -> tuple[MouthView, np.ndarray]:
    """A mouth that opens at random for three frames or more, `late` frames after its noise."""
    rng = np.random.default_rng(seed)
    talking = np.repeat(rng.integers(0, 2, FRAMES), 3)[: FRAMES + 40].astype(np.float32)
    loud = np.repeat(talking, 640) * rng.normal(0, 0.1, 640 * len(talking))
    shape = np.zeros((FRAMES, len(SHAPE_POINTS), 3), np.float32)
    shape[:, LOWER_LIP, 1] = 0.2 * talking[20 - late :][:FRAMES]
    crops = np.zeros((FRAMES, *VIEW_HW), np.uint8)
    sound = (gain * loud[640 * 20 :][: 640 * FRAMES]).astype(np.float32)
    return MouthView(crops=crops, shape=shape, seen=np.ones(FRAMES, bool)), sound


@pytest.mark.parametrize("late", [-8, -1, 0, 4, 11])
def test_the_offset_of_a_late_mouth_is_positive_and_exact(late):
    found = SyncExpert(Plain()).score(*make_clip(late))
    assert found.offset_frames == pytest.approx(late, abs=0.5)
    assert found.lags.tolist() == list(range(-MAX_LAG, MAX_LAG + 1)) and found.frames == FRAMES
    assert found.distance == pytest.approx(found.distances.min()) and 0 <= found.distance < 0.4
    assert found.confidence == pytest.approx(np.median(found.distances) - found.distances.min())
    assert found.confidence > 0.3


def test_loudness_changes_nothing():
    plain, quiet = (SyncExpert(Plain()).score(*make_clip(3, gain)) for gain in (1.0, 0.02))
    np.testing.assert_allclose(plain.distances, quiet.distances, atol=1e-3)


def test_another_persons_sound_gives_little_confidence():
    view, _ = make_clip(0)
    _, other = make_clip(0, seed=5)
    expert = SyncExpert(Plain())
    assert expert.score(view, other).confidence < 0.6 * expert.score(*make_clip(0)).confidence


def test_unseen_frames_do_not_count():
    view, sound = make_clip(2)
    seen = np.arange(FRAMES) < 60
    shape = view.shape.copy()
    shape[~seen] = np.random.default_rng(1).permutation(shape[~seen])
    found = SyncExpert(Plain()).score(MouthView(crops=view.crops, shape=shape, seen=seen), sound)
    assert found.offset_frames == pytest.approx(2, abs=0.5)
    assert found.frames == 60


def test_nothing_can_be_said_of_silence_or_a_moment():
    view, sound = make_clip(0)
    expert = SyncExpert(Plain())
    for part, heard in ((view, 0 * sound), (view, sound[:0]), (cut_view(view, 0, 8), sound)):
        found = expert.score(part, heard)
        assert np.isnan([found.offset_frames, found.confidence, found.distance]).all()
        assert found.frames == 0
    unseen = MouthView(crops=view.crops, shape=view.shape, seen=np.zeros(FRAMES, bool))
    assert np.isnan(expert.score(unseen, sound).offset_frames)


def test_a_second_is_searched_less_far():
    view, sound = make_clip(1)
    found = SyncExpert(Plain()).score(cut_view(view, 0, 20), sound[: 20 * 640])
    assert found.lags.tolist() == list(range(-10, 11))


def test_windows_stand_on_their_own():
    view, sound = make_clip(4)
    expert = SyncExpert(Plain())
    windows = expert.windows(view, sound, 2.0, 1.0)
    assert [start for start, _ in windows] == [0, 1, 2]
    assert [score.offset_frames for _, score in windows] == pytest.approx([4, 4, 4], abs=0.5)
    alone = expert.score(cut_view(view, 25, 75), sound[25 * 640 : 75 * 640])
    np.testing.assert_array_equal(windows[1][1].distances, alone.distances)
    [(start, whole)] = expert.windows(view, sound, 60.0)
    assert start == 0 and whole.frames == FRAMES


def test_the_vertex_of_a_parabola():
    x = np.arange(6.0)
    assert vertex((x - 2.3) ** 2, 2) == pytest.approx(2.3)
    assert vertex(x, 0) == 0
    assert vertex(np.ones(3), 1) == 1


@pytest.mark.weights
def test_shipped_weights_are_whole_small_and_ours():
    ref = find_weights(WEIGHTS)
    loaded = load_weights(ref)  # checks the hash
    assert (ref.folder / "model.safetensors").stat().st_size < 2 * 2**20
    assert {value.dtype for value in loaded.tensors.values()} == {np.dtype(np.float16)}
    assert {"data", "licence", "command", "steps", "metrics"} <= set(loaded.card)


@pytest.mark.weights
def test_foreign_weights_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="no sync expert"):
        SyncExpert.load("portrait.clean")
    loaded = load_weights(find_weights(WEIGHTS))
    card = {key: value for key, value in loaded.card.items() if key != "sha256"}
    tensors = dict(loaded.tensors)
    name = sorted(tensors)[0]
    save_weights(tmp_path / "less.v1", {k: v for k, v in tensors.items() if k != name}, card)
    save_weights(tmp_path / "other.v1", tensors, card | {"config": {"width": 64}})
    save_weights(tmp_path / "odd.v1", tensors, card | {"config": {"colour": 64}})
    for folder in ("less.v1", "other.v1", "odd.v1"):
        with pytest.raises(WeightsError, match="do not fit"):
            SyncExpert.load(tmp_path / folder)
