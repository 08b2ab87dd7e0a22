"""Every verb of `api` once as users run it: shipped weights, real files, nothing replaced."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from clips import sway, write_face_video
from talkingface import api
from talkingface.core.motion import save_motion
from talkingface.core.samples import sample
from talkingface.core.types import Frames
from talkingface.core.view import View
from talkingface.core.weights import save_avatar
from talkingface.video.read import probe, read_frames
from voices import write_wav

OPTIONS = {"device": "cpu", "seed": 3}
SIDE_PX = 192


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """0.8 s of the shipped speech, from where it has begun."""
    from talkingface.audio.read import read_audio

    samples = read_audio(sample("speech"), 16000).samples[0, 6400:19200]
    return write_wav(tmp_path_factory.mktemp("speech") / "speech.wav", samples)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_face_video(tmp_path_factory.mktemp("clip") / "clip.mp4", sway(30), size=(256, 256))


def _rgb(pieces: object) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in pieces if isinstance(piece, Frames)])  # type: ignore[union-attr]


def test_a_photo_speaks_in_one_go_and_in_parts(speech: Path, tmp_path: Path) -> None:
    photo = sample("portrait")
    plain = {"size": SIDE_PX, "no_mark": "pictures of different jobs are compared"}
    whole = api.animate(photo, speech, **plain, **OPTIONS)
    assert isinstance(whole, api.Animation)
    whole.save(tmp_path / "out.mp4", report=tmp_path / "report.json")
    assert probe(tmp_path / "out.mp4").has_audio and whole.report["frames"] == 20
    found = api.verify(tmp_path / "out.mp4")
    assert isinstance(found, api.Verification) and found.verdict == "intact" and found.credentials.known_as
    models = {part["name"] for part in api.read_bom(tmp_path / "out.mp4")["components"] if "model" in part["type"]}
    assert {"face_tracker.v1", "mesh478.v1", whole.weights["name"]} <= models
    motion = api.motion(speech, **OPTIONS)
    parts = api.render(photo, motion, speech=speech, device="cpu", **plain)
    np.testing.assert_array_equal(_rgb(parts), _rgb(whole))
    avatar = api.fit(photo, size=SIDE_PX, device="cpu")
    save_avatar(tmp_path / "me", avatar)
    np.testing.assert_array_equal(_rgb(api.animate(tmp_path / "me", speech, **plain, **OPTIONS)), _rgb(whole))
    assert api.load("portrait", device="cpu") is api.load("portrait", device="cpu")


@pytest.mark.parametrize("system", ["portrait", "pcavs"])
def test_a_clip_is_dubbed_and_drives(system: str, speech: Path, clip: Path, tmp_path: Path) -> None:
    dubbed = api.animate(clip, speech, system=system, size=SIDE_PX, **OPTIONS)
    dubbed.save(tmp_path / "dubbed.mp4")
    assert len(list(read_frames(tmp_path / "dubbed.mp4"))) == 20
    driven = api.animate(sample("portrait"), drive=str(clip), system=system, size=SIDE_PX, **OPTIONS)
    assert _rgb(driven).shape[0] == 30


def test_a_stored_avatar_speaks(speech: Path, tmp_path: Path) -> None:
    made = api.animate("headpose.grid-s1", speech, size=SIDE_PX, **OPTIONS)
    spoken = _rgb(made)
    assert len(spoken) == 20 and (spoken != spoken[:1]).any()
    made.save(tmp_path / "out.mp4")
    names = {part["name"] for part in api.read_bom(tmp_path / "out.mp4")["components"]}
    assert "headpose.grid-s1" in names, "an avatar with networks of its own"


def test_a_head_in_three_dimensions_speaks_and_is_seen_from_the_side(speech: Path, tmp_path: Path) -> None:
    moved = tmp_path / "motion.npz"
    made = api.animate("geneface.grid-s1", speech, size=SIDE_PX, **OPTIONS)
    assert len(_rgb(made)) == 20
    save_motion(moved, api.motion(speech, face="geneface.grid-s1", **OPTIONS))
    assert api.is_motion_file(moved)
    viewing = api.open_viewing("geneface.grid-s1", moved, speech=speech, size=SIDE_PX)
    assert isinstance(viewing, api.Viewing) and viewing.num_frames == 20
    front, side = (viewing.draw(api.Shot(frame=5, view=View(yaw=yaw))) for yaw in (0.0, 0.3))
    assert front.shape == side.shape and np.abs(front.astype(int) - side).mean() > 3
    assert api.write_preview(tmp_path / "points.mp4", viewing.motion, speech=speech).is_file()


def test_a_face_is_tracked_and_a_video_scored(clip: Path, tmp_path: Path) -> None:
    found = api.track(clip, preview=tmp_path / "points.mp4")
    assert isinstance(found, api.TrackedFace) and found.track.confidence.all()
    assert len(list(read_frames(tmp_path / "points.mp4"))) == 30
    report = api.evaluate(clip, tmp_path / "r.json", reference=clip, workers=1)
    assert report["failed"] == 0 and report["summary"]["picture.ssim.frame"]["mean"] == 1


@pytest.mark.usefixtures("meter")
def test_a_system_is_trained_and_foreign_weights_taken(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert api.train("meter.gain", tmp_path / "data", tmp_path / "one", steps=2, device="cpu").finished
    assert api.pipeline_names("meter") == ["meter.none"]
    made = api.make_weights("meter.none", tmp_path / "data", tmp_path / "all")
    assert api.load("meter", weights=made, device="cpu").weights is not None
    torch.save({"gain": torch.ones(1)}, tmp_path / "theirs.pth")
    assert "meter" in api.importer_kinds()
    assert api.import_weights("meter", tmp_path / "theirs.pth", folder=tmp_path / "mine").folder == tmp_path / "mine"


def test_no_verb_is_left_out() -> None:
    """`evaluate_systems` costs the most; the toy in tests/apps runs it. `read_style` is in test_style."""
    text = Path(__file__).read_text(encoding="utf-8")
    left_out = [name for name in api.__all__ if not re.search(rf"\bapi\.{name}\b", text)]
    assert left_out == ["evaluate_systems", "read_style"]
