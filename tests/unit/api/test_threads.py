"""Jobs in threads, from the first moment of a process on: the same pictures as alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import talkingface
from clips import write_face_video
from talkingface.core.samples import sample
from voices import make_voice, write_wav

PROGRAM = """
import hashlib, json, sys, threading, talkingface
portrait, clip, voice = sys.argv[1:]
JOBS = {
    "photo": (portrait, {"seed": 1}),
    "clip": (clip, {}),
    "pcavs": (portrait, {"system": "pcavs"}),
    "another photo": (portrait, {"seed": 2, "background": "#204060"}),
}
def run(name, results):
    face, options = JOBS[name]
    digest = hashlib.sha256()
    for piece in talkingface.animate(face, voice, size=256, device="cpu", **options):
        digest.update(piece.rgb.tobytes())
    results[name] = digest.hexdigest()
together, alone = {}, {}
threads = [threading.Thread(target=run, args=(name, together)) for name in JOBS]
for thread in threads: thread.start()
for thread in threads: thread.join()
for name in JOBS: run(name, alone)
print(json.dumps([together, alone]))
"""


def test_jobs_in_cold_threads_give_the_bits_of_jobs_alone(tmp_path: Path) -> None:
    clip = write_face_video(tmp_path / "clip.mp4", size=(240, 300))
    voice = write_wav(tmp_path / "voice.wav", make_voice(1.2))
    command = [sys.executable, "-c", PROGRAM, str(sample("portrait")), str(clip), str(voice)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    together, alone = json.loads(done.stdout)
    assert len(set(alone.values())) == 4 and together == alone


def test_nobody_imports_a_part_of_scipy_that_its_package_imports_too() -> None:
    """Two threads would wait for each other: one for the part, the other for the package."""
    sources = Path(talkingface.__file__).parent.rglob("*.py")
    found = [str(path) for path in sources if "scipy.spatial.transform import" in path.read_text(encoding="utf-8")]
    assert not found, "write `from scipy.spatial import transform`"
