"""Which frames teach and which are held back; cutting heads; what is kept of a clip."""

from __future__ import annotations

import pytest

from talkingface.systems.headpose.fit.preprocess import splits


def test_the_papers_split() -> None:
    train, test = splits(607, 300, 100, 300)
    assert train.sum() == 300 and train[:300].all()
    assert test.sum() == 100 and test[300:400].all()


def test_everything_else_teaches_but_the_neighbours_of_what_is_held_back() -> None:
    train, test = splits(607, 300, 100, None)
    assert not (train & test).any() and train.sum() == 607 - 100 - 24
    assert not train[288:412].any()


@pytest.mark.parametrize("length", [100, 320, 399])
def test_short_clips_hold_back_their_end(length: int) -> None:
    train, test = splits(length, 300, 100, None)
    assert test.sum() == min(100, length // 4) and test[-1]
    assert train.sum() >= length // 2
