"""Gestures are learned where they are: around what is heard, from clips in which they are made."""

from __future__ import annotations

import numpy as np

from talkingface.face.head_motion import EVENT_LEAD_FRAMES
from talkingface.face.phrases import KINDS
from talkingface.training.gesture_fit import blink_starts, gaze_shifts, heard_events, learn_gestures
from talkingface.training.speaking_clips import SpeakingClip

START, END = KINDS.index("start"), KINDS.index("end")


def make_clip(seed: int, frames: int = 150) -> SpeakingClip:
    """Two phrases; the head goes down as each begins, and a blink ends it."""
    rng = np.random.default_rng(seed)
    pose, blink, loud = 0.002 * rng.normal(size=(frames, 6)), np.zeros((frames, 1)), np.zeros(frames)
    for first, last in ((20, 60), (95 + seed % 10, 130)):
        loud[first:last] = 0.3
        pose[first : first + 9, 0] += 0.04 * np.hanning(9)
        blink[last - 2 : last + 2] = 1
    samples = np.repeat(loud, 640) * rng.normal(size=frames * 640)
    return SpeakingClip(
        slug=str(seed), person=str(seed), samples=samples.astype(np.float32),
        expression=np.zeros((frames, 20), np.float32), neutral_measures=np.zeros(3, np.float32),
        measures=np.zeros((frames, 3), np.float32), pose=pose.astype(np.float32), blink=blink.astype(np.float32),
        gaze=np.zeros((frames, 2), np.float32), weight=np.ones(frames, np.float32),
    )  # fmt: skip


def test_a_nod_at_the_beginning_of_phrases_is_found() -> None:
    clips = [make_clip(seed) for seed in range(12)]
    rows = [
        (np.concatenate([clip.pose - clip.pose.mean(axis=0), clip.expression[:, 16:]], axis=1), clip) for clip in clips
    ]
    learned = learn_gestures(rows, np.ones(10))
    pitch = learned["gestures"][:, :, 0]
    at = EVENT_LEAD_FRAMES
    # a long pause comes before each beginning: what they have in common is shared by both kinds
    both = pitch[START] + pitch[KINDS.index("breath")]
    assert both.argmax() in range(at + 2, at + 8) and both.max() > 0.012
    assert abs(pitch[END]).max() < 0.5 * both.max()
    np.testing.assert_allclose(learned["gestures"].sum(axis=1), 0, atol=1e-3)
    blinks = learned["gestures"][END, :, -2]
    assert blinks.argmax() in range(at - 5, at + 4) and blinks.max() > 1
    assert ((learned["chance"] >= 0.4) & (learned["chance"] <= 1)).all()
    assert np.isfinite(learned["nod"]).all() and learned["gaze"].shape == (2,)


def test_events_lie_where_the_sound_says() -> None:
    heard = heard_events(make_clip(0).samples, 150)
    assert abs(np.flatnonzero(heard[:, START]) - [20, 95]).max() <= 1
    assert abs(np.flatnonzero(heard[:, END]) - [60, 130]).max() <= 1


def test_blinks_and_shifts_of_gaze_are_counted_once() -> None:
    closure, gaze = np.zeros(100), np.zeros((100, 2))
    closure[20:24], closure[60:63] = 1, 0.9
    gaze[40:, 0] += 0.1
    gaze[60:, 1] += 0.1  # behind shut lids
    assert np.flatnonzero(blink_starts(closure)).tolist() == [20, 60]
    found = np.flatnonzero(gaze_shifts(gaze, closure))
    assert len(found) == 1 and abs(found[0] - 40) <= 2
