"""Motion of another person's pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from faces import sample_picture
from talkingface.clips.source import open_media
from talkingface.core.errors import InputError, SpeechError
from talkingface.core.types import Controls
from talkingface.person.driver import video_motion
from talkingface.systems.headpose.config import preset
from talkingface.systems.headpose.system import HeadposeSystem
from talkingface.video.image import write_image

COUNT = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the sample, drifting to the right."""
    path = tmp_path_factory.mktemp("frames")
    rgb = cv2.resize(sample_picture(), (240, 240), interpolation=cv2.INTER_AREA)
    for k in range(COUNT):
        write_image(path / f"{k}.png", np.roll(rgb, 4 * k, axis=1))
    return path


def test_a_folder_of_pictures_drives(folder: Path) -> None:
    motion = video_motion(folder, Controls())
    assert len(motion) == COUNT and motion.pose is not None
    assert motion.pose[-1, 3] > motion.pose[0, 3], "it drifts to the right"


def test_a_photo_holds_no_motion(folder: Path) -> None:
    with pytest.raises(InputError, match="is a photo, which holds no motion; what drives a face must be a video"):
        video_motion(folder / "0.png", Controls())


def test_a_folder_without_sound_teaches_no_avatar(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpeechError, match="has no sound"):
        HeadposeSystem(None, preset("tiny")).fit(open_media(folder), folder=tmp_path / "work")
