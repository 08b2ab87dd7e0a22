from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from talkingface.core.types import Track
from talkingface.face.morphable import close_mouth, inner_lip_gap, load_mesh478
from talkingface.face.pose import apply_similarity
from talkingface.training.face_model import learn_mesh478, region_weights

TRUE = load_mesh478()
NEUTRAL = close_mouth(TRUE, TRUE.mean)


def talking(person: int, count: int = 40) -> Track:
    """Somebody with a face of their own who opens and closes the mouth while the head turns."""
    rng = np.random.default_rng(person)
    identity = np.zeros(TRUE.identity.shape[-1])
    identity[:3] = rng.normal(size=3)
    shape = NEUTRAL + TRUE.identity @ identity
    expression = np.zeros((count, TRUE.expression.shape[-1]), np.float32)
    sign = np.sign(TRUE.displacement(np.eye(len(expression[0]))[0])[14, 1])
    expression[:, 0] = sign * 1.5 * np.clip(np.sin(np.arange(count) / 3 + person), 0, None)
    turns = Rotation.from_rotvec(0.1 * np.sin(np.arange(count)[:, None] / 9 + rng.random(3))).as_matrix()
    points = apply_similarity(
        shape + TRUE.displacement(expression),
        turns,
        np.full(count, 70.0 + 10 * person),
        rng.normal(size=(count, 3)) * 9,
    )
    return Track(
        landmarks=points.astype(np.float32),
        times_s=np.arange(count) / 25,
        confidence=np.ones(count, np.float32),
        size=(640, 480),
    )


@pytest.fixture(scope="module")
def learned():
    tracks = [(f"person {k}", talking(k)) for k in range(5)] + [("person 0", talking(0))]
    return learn_mesh478(tracks, [100 * TRUE.mean + 50])


def test_the_learned_model_has_the_promised_frame(learned):
    assert np.linalg.norm(learned.mean[33] - learned.mean[263]) == pytest.approx(1, abs=1e-3)
    assert learned.mean[33, 1] == pytest.approx(learned.mean[263, 1], abs=0.01), "eyes are level"
    assert learned.mean[10, 1] < learned.mean[152, 1] and learned.mean[1, 2] < learned.mean[234, 2]
    assert inner_lip_gap(learned.mean) < 0.03
    assert learned.mean.dtype == learned.expression.dtype == np.float32
    assert learned.mean == pytest.approx(NEUTRAL, abs=0.12)


def test_the_first_mouth_column_is_the_jaw(learned):
    opening = np.abs(learned.expression[14, 1, : learned.num_mouth] - learned.expression[13, 1, : learned.num_mouth])
    assert int(np.argmax(opening)) == 0 and opening[0] > 0.02


def test_new_people_are_explained(learned):
    from talkingface.face.morphable import fit_track

    fit = fit_track(learned, talking(9))
    true = np.clip(np.sin(np.arange(40) / 3 + 9), 0, None)
    assert abs(np.corrcoef(fit.expression[:, 0], true)[0, 1]) > 0.95


def test_regions_do_not_overlap():
    mouth, brow = region_weights(TRUE.mean)
    assert mouth[[13, 14, 152]].min() == 1 and mouth[[10, 105, 33]].max() < 0.05
    assert brow[[105, 334]].min() > 0.5 and brow[[13, 152, 33]].max() < 0.05
    assert (mouth * brow).max() == 0
