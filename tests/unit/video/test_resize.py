from __future__ import annotations

import numpy as np

from talkingface.video.resize import shrink


def test_shrinking_averages_and_equal_sizes_are_kept():
    board = np.zeros((8, 8, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 200
    assert (shrink(board, (4, 4)) == 100).all()
    assert shrink(board, (8, 8)) is board
    assert shrink(board, (16, 12)).shape == (12, 16, 3)
