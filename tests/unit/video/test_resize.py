from __future__ import annotations

import numpy as np

from talkingface.video.resize import shrink, with_longest


def test_shrinking_averages_and_equal_sizes_are_kept():
    board = np.zeros((8, 8, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 200
    assert (shrink(board, (4, 4)) == 100).all()
    assert shrink(board, (8, 8)) is board
    assert shrink(board, (16, 12)).shape == (12, 16, 3)


def test_the_longer_side_decides_and_no_side_vanishes():
    assert with_longest(np.zeros((30, 60, 3), np.uint8), 40).shape == (20, 40, 3)
    assert with_longest(np.zeros((60, 30), np.uint8), 90).shape == (90, 45)
    assert with_longest(np.zeros((1000, 1, 3), np.uint8), 10).shape == (10, 2, 3)
