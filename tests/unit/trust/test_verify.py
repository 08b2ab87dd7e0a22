"""The verdict over files as people meet them: untouched, copied, re-encoded, cut, hostile."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from talkingface import verify
from talkingface.core.errors import InputError
from talkingface.core.samples import sample
from talkingface.trust.credentials import Statement, sign_result
from talkingface.trust.sidecar import sidecar_of
from talkingface.video.write import Synthetic, VideoWriter

MADE = Synthetic(tool_version="1.2", system="portrait", weights="portrait.clean")


def sign(part: Path, target: Path) -> None:
    sign_result(part, target, Statement(system="portrait", job="ab" * 32))


def write(path: Path, *, signed: bool = True, synthetic: Synthetic | None = MADE) -> Path:
    """A video of a few frames in which there is no mark."""
    with VideoWriter(path, (64, 48), 25, synthetic=synthetic, sign=sign if signed else None) as writer:
        for shade in range(12):
            writer.write(np.full((48, 64, 3), 20 * shade, np.uint8))
    return path


def remux(source: Path, target: Path, *, tags: bool = True) -> Path:
    """The same encoded pictures in a new container, as `ffmpeg -c copy` makes it."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "use_metadata_tags"}) as new:
        if tags:
            new.metadata.update(old.metadata)
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv"])
def test_what_was_made_here_is_intact_under_any_name(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}")
    found = verify(path)
    assert (found.verdict, found.exit_code, found.credentials.state) == ("intact", 0, "trusted")
    assert found.metadata.made_by == "talkingface 1.2, system portrait, weights portrait.clean"
    if suffix == ".mp4":
        assert verify(shutil.copy(path, tmp_path / "b.bin")).verdict == "intact"


def test_a_remuxed_file_is_altered_and_says_nothing_without_its_tags(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    copied = verify(remux(path, tmp_path / "b.mp4"))
    assert (copied.verdict, copied.exit_code, copied.credentials.state) == ("altered", 10, "none")
    bare = verify(remux(path, tmp_path / "c.mp4", tags=False))
    assert (bare.verdict, bare.exit_code) == ("nothing", 11)
    assert "does not mean that it is real" in bare.text() and " real:" not in bare.text()


def test_a_sidecar_that_was_lost_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm")
    sidecar_of(path).unlink()
    found = verify(path)
    assert found.verdict == "altered" and "there is no a.webm.c2pa beside it" in found.credentials.detail


def test_a_changed_file_is_tampered_with(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    data[-300] ^= 1
    path.write_bytes(data)
    found = verify(path)
    assert (found.verdict, found.exit_code) == ("tampered", 12)
    assert "the file is not what was signed" in found.text()


def test_what_was_left_out_on_purpose_is_told(tmp_path: Path) -> None:
    made = Synthetic(tool_version="1", system="x", withheld={"credentials": "for a\x1b[31m test"})
    found = verify(write(tmp_path / "a.mkv", signed=False, synthetic=made))
    assert found.verdict == "altered" and found.metadata.withheld == {"credentials": "for a\x1b[31m test"}
    assert "without credentials: for a?[31m test" in found.text()


def test_files_of_other_programs_say_nothing(tmp_path: Path) -> None:
    for path in (write(tmp_path / "a.mp4", signed=False, synthetic=None), sample("speech"), sample("portrait")):
        assert verify(path).exit_code == 11
    assert verify(sample("portrait")).mark.state == verify(sample("speech")).mark.state == "not_looked_for"


def test_credentials_that_call_nothing_synthetic_are_no_finding(tmp_path: Path) -> None:
    import c2pa

    from talkingface.trust.identity import signing_identity

    camera = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": camera}]}
    said = {"claim_generator_info": [{"name": "camera"}], "assertions": [{"label": "c2pa.actions.v2", "data": actions}]}
    signs = signing_identity()
    info = c2pa.C2paSignerInfo(b"es256", signs.chain.pem, signs.key, None)
    plain = write(tmp_path / "a.mp4", signed=False, synthetic=None)
    with (
        open(plain, "rb") as source,
        open(tmp_path / "b.mp4", "w+b") as target,
        c2pa.Context() as context,
        c2pa.Builder(json.dumps(said), context) as builder,
        c2pa.Signer.from_info(info) as signer,
    ):
        builder.sign(signer, "video/mp4", source, target)
    found = verify(tmp_path / "b.mp4")
    assert found.credentials.state == "trusted" and not found.credentials.is_synthetic and found.exit_code == 11


def test_what_cannot_be_verified_is_refused_in_one_sentence(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    sidecar = sidecar_of(write(tmp_path / "a.webm"))
    cases = {"a.gif": "is a GIF", "text.mp4": "cannot be read", "empty.mp4": "is empty", "none.mp4": "no file",
             ".": "is a folder", sidecar.name: "verify a.webm"}  # fmt: skip
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            verify(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe or device"):
        verify(os.devnull)
    with pytest.raises(InputError, match="no readable certificate"):
        verify(tmp_path / "a.webm", trust=[tmp_path / "text.mp4"])


@pytest.mark.parametrize("grown", [".mp4", ".webm.c2pa"])
def test_files_of_gigabytes_are_answered(tmp_path: Path, grown: str) -> None:
    """They have a hole: they take no room on the disk."""
    path = write(tmp_path / ("a.webm" if "webm" in grown else "a.mp4"))
    file = tmp_path / f"a{grown}"
    size = file.stat().st_size
    with open(file, "r+b") as opened:
        opened.seek(0, os.SEEK_END)
        opened.write((1).to_bytes(4, "big") + b"free" + (5 << 30).to_bytes(8, "big"))
    os.truncate(file, size + (5 << 30))
    assert verify(path).verdict == "tampered"


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_answered(tmp_path: Path, seed: int) -> None:
    """Whatever happens to a file on its way, there is an answer or one sentence."""
    random = np.random.default_rng(seed)
    path = write(tmp_path / ("a.mp4" if seed % 2 else "a.mkv"))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    for _ in range(10):
        changed = data.copy()
        places = random.integers(0, len(data), 40)
        changed[places] = random.integers(0, 256, 40)
        path.write_bytes(changed[: random.integers(1, len(data))].tobytes())
        try:
            assert verify(path).verdict in ("tampered", "altered", "nothing")
        except InputError as error:
            assert "\n" not in str(error)


def test_the_answer_is_json_ready(tmp_path: Path) -> None:
    facts = json.loads(json.dumps(verify(write(tmp_path / "a.mp4")).to_dict()))
    assert facts["credentials"]["result"]["system"] == "portrait" and facts["exit_code"] == 0
    assert facts["ledger"] == [] and "bom" not in facts["credentials"]
