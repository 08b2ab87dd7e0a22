"""What the credentials of a result say about the job that made it."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

import talkingface
from clips import sway, write_face_video
from talkingface.api import animation as module
from talkingface.core.cache import content_hash
from talkingface.core.errors import OutputError, UsageError
from talkingface.core.samples import sample
from talkingface.core.types import Audio
from talkingface.trust.mark import ALGORITHM
from talkingface.trust.reading import check_credentials
from talkingface.trust.sidecar import sidecar_of
from talkingface.video import write
from voices import make_voice

pytestmark = pytest.mark.usefixtures("meter")
OF_METER = {"system": "meter", "device": "cpu"}


def actions(path: Path) -> list[dict]:
    """The actions in the credentials of a result, and all of it that is text."""
    import c2pa

    with open(path, "rb") as file, c2pa.Reader("video/mp4", file) as reader:
        store = json.loads(reader.json())
    assertions = store["manifests"][store["active_manifest"]]["assertions"]
    return next(a["data"]["actions"] for a in assertions if a["label"].startswith("c2pa.actions"))


def tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as file:
        return {name.lower(): value for name, value in file.metadata.items()}


def test_a_photo_that_speaks_is_made(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    made = talkingface.animate(photo, voice_file, **OF_METER)
    out = made.save(tmp_path / "out.mp4")
    found = check_credentials(out)
    assert found.state == "trusted" and found.result is not None
    assert [action["action"] for action in actions(out)] == ["c2pa.created", "c2pa.watermarked.bound"]
    assert found.mark == (ALGORITHM, made.payload)
    when = datetime.fromisoformat(actions(out)[0]["when"].replace("Z", "+00:00"))
    assert abs(when - datetime.now(timezone.utc)) < timedelta(minutes=5), "by the computer's clock, in UTC"
    assert actions(out)[0]["digitalSourceType"].endswith("/trainedAlgorithmicMedia")
    assert found.result["job"] == made.job and found.result["weights"]["name"] == "meter.none"
    facts = [(part["role"], part["title"], part["sha256"]) for part in found.result["made_from"]]
    assert facts == [("face", "photo.png", content_hash(photo)), ("speech", voice_file.name, content_hash(voice_file))]
    assert made.report["credentials"]["origin"] == "installation" and made.report["withheld"] == {}


def test_a_dubbed_clip_is_changed(voice_file: Path, tmp_path: Path) -> None:
    clip = write_face_video(tmp_path / "clip.mp4", sway(20), size=(96, 96))
    out = talkingface.animate(clip, voice_file, **OF_METER).save(tmp_path / "out.mp4")
    assert [action["action"] for action in actions(out)] == ["c2pa.opened", "c2pa.edited", "c2pa.watermarked.bound"]
    assert actions(out)[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    (parent, voice) = check_credentials(out).ingredients
    assert (parent["title"], parent["relationship"]) == ("clip.mp4", "parentOf")
    assert voice["relationship"] == "inputTo"


def test_results_made_from_results_carry_them_on(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    first = talkingface.animate(photo, voice_file, **OF_METER).save(tmp_path / "first.mp4")
    driven = talkingface.animate(photo, drive=first, pose="still", **OF_METER).save(tmp_path / "out.mp4")
    found = check_credentials(driven)
    assert [(part["title"], part["has_credentials"]) for part in found.ingredients] == [
        ("photo.png", False),
        ("first.mp4", True),
    ]


def test_credentials_of_a_photo_are_carried_on(voice_file: Path, tmp_path: Path) -> None:
    import c2pa

    from talkingface.trust.identity import signing_identity

    signs = signing_identity()
    info = c2pa.C2paSignerInfo(b"es256", signs.chain.pem, signs.key, None)
    taken = {
        "action": "c2pa.created",
        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
    }
    said = {"claim_generator_info": [{"name": "camera"}],
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [taken]}}]}  # fmt: skip
    photo = tmp_path / "photo.jpg"
    with (
        open(sample("portrait"), "rb") as source,
        open(photo, "w+b") as target,
        c2pa.Context() as context,
        c2pa.Builder(json.dumps(said), context) as builder,
        c2pa.Signer.from_info(info) as signer,
    ):
        builder.sign(signer, "image/jpeg", source, target)
    assert talkingface.verify(photo).verdict == "nothing", "a camera took it"
    found = check_credentials(talkingface.animate(photo, voice_file, size=128, **OF_METER).save(tmp_path / "out.mp4"))
    assert found.state == "trusted" and found.is_synthetic
    assert found.ingredients[0] == {"title": "photo.jpg", "relationship": "inputTo", "has_credentials": True}


def test_what_is_in_memory_has_no_name(photo: Path, tmp_path: Path) -> None:
    voice = Audio(samples=make_voice(0.6)[None], rate_hz=16000)
    avatar = talkingface.fit(photo, **OF_METER)
    motion = talkingface.motion(voice, face=avatar, **OF_METER)
    picture = np.zeros((48, 64, 3), np.uint8)
    for made in (talkingface.animate(picture, voice, **OF_METER), talkingface.render(avatar, motion, **OF_METER)):
        found = check_credentials(made.save(tmp_path / "out.mp4"))
        assert found.result is not None
        assert [part["title"] for part in found.result["made_from"]] in (["face", "speech"], ["face", "motion"])
        assert all(len(part["sha256"]) == 64 for part in found.result["made_from"])


def test_a_job_in_pieces_is_signed_as_a_whole(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESUME_FROM_S", 1.0)
    monkeypatch.setattr(write, "VideoWriter", partial(write.VideoWriter, segment_frames=10))
    for suffix in (".mp4", ".webm"):
        out = talkingface.animate(photo, voice_file, **OF_METER).save(tmp_path / f"out{suffix}")
        assert check_credentials(out).state == "trusted"


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_transparent_results_are_signed(photo: Path, voice_file: Path, tmp_path: Path, suffix: str) -> None:
    made = talkingface.animate(photo, voice_file, background="transparent", **OF_METER)
    found = talkingface.verify(made.save(tmp_path / f"out{suffix}"))
    assert found.verdict == "intact" and found.credentials.is_synthetic


def test_a_long_job_is_refused_before_work(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESUME_FROM_S", 1.0)
    monkeypatch.setenv("TALKINGFACE_SIGN_CERT", str(tmp_path / "none.pem"))
    monkeypatch.setenv("TALKINGFACE_SIGN_KEY", str(tmp_path / "none.key"))
    made = talkingface.animate(photo, voice_file, **OF_METER)
    monkeypatch.setattr(type(made), "frames", lambda *_: pytest.fail("frames were drawn"))
    with pytest.raises(OutputError, match="cannot sign"):
        made.save(tmp_path / "out.mp4")


def test_a_result_without_a_mark_names_none(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    made = talkingface.animate(photo, voice_file, no_mark="a test", **OF_METER)
    out = made.save(tmp_path / "out.mp4")
    found = check_credentials(out)
    assert found.mark is None and found.result is not None and found.result["withheld"] == {"mark": "a test"}
    assert [action["action"] for action in actions(out)] == ["c2pa.created"] and tags(out)["no_mark"] == "a test"


def test_frames_come_while_speech_arrives(photo: Path, voice_file: Path) -> None:
    motion = talkingface.motion(voice_file, **OF_METER)
    pieces = lambda: iter([make_voice(0.5), make_voice(0.5)])  # noqa: E731
    for made in (
        talkingface.animate(photo, pieces(), **OF_METER),
        talkingface.render(photo, motion, speech=pieces(), **OF_METER),
    ):
        assert sum(len(frames) for frames in made) > 20


def test_a_folder_where_credentials_go_is_refused_before_the_work(
    photo: Path, voice_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "out.webm.c2pa").mkdir()
    made = talkingface.animate(photo, voice_file, **OF_METER)
    with pytest.raises(OutputError, match=r"out.webm.c2pa: it is a folder"):
        made.save(tmp_path / "out.webm")
    assert [file.name for file in tmp_path.glob("out*")] == ["out.webm.c2pa"]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_credentials_are_left_out_with_a_reason(photo: Path, voice_file: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    talkingface.animate(photo, voice_file, **OF_METER).save(out)
    made = talkingface.animate(photo, voice_file, no_credentials="a  test", **OF_METER)
    made.save(out)
    assert check_credentials(out).state == "none" and not sidecar_of(out).exists()
    assert tags(out)["no_credentials"] == "a test" and tags(out)["synthetic_media"] == "true"
    assert made.report["withheld"] == {"credentials": "a test"} and made.report["credentials"] is None
    with pytest.raises(UsageError, match="--no-credentials needs a reason"):
        talkingface.animate(photo, voice_file, no_credentials=" ", **OF_METER)


def test_an_input_is_not_replaced_by_credentials(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    voice = tmp_path / "out.webm.c2pa"
    os.replace(voice_file, voice)
    with pytest.raises(UsageError, match="is also an input"):
        talkingface.animate(photo, voice, **OF_METER).save(tmp_path / "out.webm")


def test_nothing_of_it_is_loaded_before_it_is_needed() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from talkingface.api import animate; sys.exit(bool({'c2pa', 'cryptography'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
