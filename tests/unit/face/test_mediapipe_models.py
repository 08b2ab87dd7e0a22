"""The models of mediapipe in programs with threads and in forked processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from faces import sample_picture
from talkingface.core.samples import sample
from talkingface.face.detect import detect_faces
from talkingface.face.mediapipe_models import quiet_stderr
from talkingface.face.track import track_image


def test_overlapping_blocks_leave_stderr_as_it_was() -> None:
    before = os.fstat(2)
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with quiet_stderr():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait()
    with quiet_stderr():
        leave.set()
        thread.join()
        assert os.fstat(2).st_ino == os.stat(os.devnull).st_ino  # still hidden for this block
    assert os.fstat(2) == before


def test_nothing_is_hidden_where_stderr_is_closed() -> None:
    code = (
        "import os\nfrom talkingface.face.mediapipe_models import quiet_stderr\nos.close(2)\nwith quiet_stderr(): pass"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_import_leaves_matplotlib_alone() -> None:
    code = (
        "import sys\nfrom talkingface.face.topology import skin_triangles\nskin_triangles()\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import mediapipe\n"
        "assert mediapipe.solutions.drawing_utils.draw_landmarks and 'matplotlib.pyplot' in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_threads_share_models() -> None:
    picture = sample_picture()
    expected = track_image(picture).landmarks
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(track_image(picture).landmarks)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for landmarks in found:
        np.testing.assert_array_equal(landmarks, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_draws_avatars_and_refuses_to_track() -> None:
    code = (
        "import os, sys, talkingface\n"
        "face, speech = sys.argv[1:]\n"
        "avatar = talkingface.fit(face, size=256)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    drawn = sum(len(piece) for piece in talkingface.animate(avatar, speech))\n"
        "    try:\n"
        "        talkingface.fit(face, size=128)\n"
        "    except talkingface.TalkingFaceError as error:\n"
        "        os._exit(0 if drawn > 100 and \"get_context('spawn')\" in str(error) else 3)\n"
        "    os._exit(4)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    command = [sys.executable, "-c", code, str(sample("portrait")), str(sample("speech"))]
    assert subprocess.run(command, timeout=100).returncode == 0


def test_a_fork_before_any_face_tracks() -> None:
    code = (
        "import os, sys\n"
        "from talkingface.face.track import track_image\n"
        "from talkingface.video.image import read_image\n"
        "child = os.fork() if hasattr(os, 'fork') else 0\n"
        "if child == 0:\n"
        "    track_image(read_image(sys.argv[1]).rgb)\n"
        "    os._exit(0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(sample("portrait"))], timeout=100).returncode == 0


def test_a_picture_that_cannot_be_looked_at_does_not_spoil_the_next() -> None:
    with pytest.raises(RuntimeError):
        detect_faces(np.zeros((0, 8, 3), np.uint8))
    assert len(detect_faces(sample_picture())) == 1
