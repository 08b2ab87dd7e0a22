from __future__ import annotations

import numpy as np
import pytest

from talkingface.core.errors import UsageError
from talkingface.video.background import make_background
from talkingface.video.image import write_image


@pytest.mark.parametrize(("name", "rgb"), [("white", (255, 255, 255)), ("#20a040", (32, 160, 64)), ("#000", (0, 0, 0))])
def test_colours(name, rgb):
    picture = make_background(name, (20, 10))
    assert picture.shape == (10, 20, 3) and picture.dtype == np.uint8
    assert (picture == rgb).all()


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (200, 10), (64, 48)])
def test_a_picture_fills_the_frame_without_being_stretched(tmp_path, size):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:] = (200, 0, 0), (0, 0, 200)
    path = tmp_path / "müro 1.png"
    write_image(path, picture)
    filled = make_background(str(path), size)
    assert filled.shape == (size[1], size[0], 3)
    assert filled[size[1] // 2, 1, 0] > 190 and filled[size[1] // 2, -2, 2] > 190, "the middle stays in the middle"


def test_what_is_transparent_in_the_picture_is_white(tmp_path):
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[:, 4:, 3] = 255
    write_image(tmp_path / "logo.png", picture)
    filled = make_background(str(tmp_path / "logo.png"), (8, 8))
    assert (filled[:, 0] == 255).all() and (filled[:, -1] == 0).all()


@pytest.mark.parametrize("name", ["notacolour", "missing.png", "#12345z"])
def test_anything_else_is_refused(name):
    with pytest.raises(UsageError, match="neither keep, transparent, a colour"):
        make_background(name, (20, 10))
