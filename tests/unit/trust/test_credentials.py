"""Credentials of finished files: signed before they appear, in every container; what was changed afterwards shows."""

from __future__ import annotations

import json
import os
import random
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from talkingface.core.errors import InputError, OutputError
from talkingface.trust.certificates import make_chain
from talkingface.trust.credentials import Ingredient, Statement, manifest_of, sign_result
from talkingface.trust.reading import check_credentials
from talkingface.trust.sidecar import remove_sidecar, sidecar_of
from talkingface.video.write import Synthetic, VideoWriter

SAID = Statement(
    system="portrait", job="ab" * 32, weights={"name": "portrait.clean"}, mark=("org.example.mark", 0xABCDEF)
)
MADE = Synthetic(tool_version="1.2", system="portrait")
SUFFIXES = (".mp4", ".mov", ".webm", ".mkv")


def write(path: Path, said: Statement = SAID, sign: Callable[..., object] | None = sign_result, **options) -> Path:
    """A signed video of twelve frames."""
    hook = None if sign is None else partial(sign, statement=said) if sign is sign_result else sign
    with VideoWriter(path, (64, 48), 25, synthetic=MADE, sign=hook, **options) as writer:
        for shade in range(writer.frames_done, 12):
            writer.write(np.full((48, 64, 3), 20 * shade, np.uint8))
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A certificate of somebody else, in whose name this test signs."""
    folder = tmp_path / "own"
    folder.mkdir()
    key, chain = make_chain()
    for name, data in (("key.pem", key), ("chain.pem", chain.pem), ("root.pem", chain.root_pem)):
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    monkeypatch.setenv("TALKINGFACE_SIGN_CERT", str(folder / "chain.pem"))
    monkeypatch.setenv("TALKINGFACE_SIGN_KEY", str(folder / "key.pem"))
    return folder


@pytest.mark.parametrize("key", [None, "job"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_container_is_signed(tmp_path: Path, suffix: str, key: str | None) -> None:
    path = write(tmp_path / f"résultat 图{suffix}", key=key, segment_frames=5)
    found = check_credentials(path)
    assert (found.state, found.known_as, found.is_synthetic) == ("trusted", "this installation", True)
    assert found.mark == SAID.mark and found.result is not None and found.result["system"] == "portrait"
    beside = suffix in (".webm", ".mkv")
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name} | ({sidecar_of(path).name} if beside else set())
    assert found.place == (sidecar_of(path) if beside else path)


def test_a_signature_of_somebody_unknown_is_valid_and_no_more(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4")
    assert check_credentials(path).known_as == "your own certificate"
    monkeypatch.delenv("TALKINGFACE_SIGN_CERT")
    monkeypatch.delenv("TALKINGFACE_SIGN_KEY")
    assert check_credentials(path).state == "valid"
    found = check_credentials(path, {"root.pem": (own / "root.pem").read_bytes()})
    assert (found.state, found.known_as) == ("trusted", "root.pem")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_no_changed_byte_goes_unseen(tmp_path: Path, suffix: str) -> None:
    """C2PA alone does not see about every sixth one in so small a file."""
    path = write(tmp_path / f"a{suffix}")
    for file in {path, check_credentials(path).place}:
        assert file is not None
        data = file.read_bytes()
        chosen = random.Random(3).sample(range(len(data)), 150)
        for place in [*range(40), *range(len(data) - 100, len(data)), *chosen]:
            changed = bytearray(data)
            changed[place] ^= 1 << place % 8
            file.write_bytes(changed)
            assert check_credentials(path).state == "broken" or file != check_credentials(path).place, place
            assert check_credentials(path).state not in ("valid", "trusted"), place
        for changed in (data[:-1], data + b"\0", data[: len(data) // 2], data[:40]):
            file.write_bytes(changed)
            assert check_credentials(path).state not in ("valid", "trusted")
        file.write_bytes(data)
    assert check_credentials(path).state == "trusted"


def test_threads_sign_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(tmp_path / "config"))  # the first key is made by one of them
    paths = [tmp_path / f"{number}.mp4" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, paths))
    found = [check_credentials(path) for path in paths]
    assert {one.state for one in found} == {"trusted"} and len({one.signer for one in found}) == 1


def test_what_was_signed_twice_counts_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4")
    sign_result(path, path, SAID)
    assert check_credentials(path).state == "trusted"


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_failure_leaves_the_earlier_file(tmp_path: Path, own: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"earlier")
    (own / "key.pem").write_bytes(b"nothing")
    with pytest.raises(OutputError, match="private key") as caught:
        write(path)
    assert "\n" not in str(caught.value) and path.read_bytes() == b"earlier"
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, "own"}


def test_a_full_disk_while_signing_says_so(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = write(tmp_path / "plain.mp4", sign=None)
    target = tmp_path / "a.mp4"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))  # there is room for the video alone
    try:
        with pytest.raises(OutputError, match=r"cannot write .*a\.mp4"):
            write(target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [entry.name for entry in tmp_path.iterdir()] == ["plain.mp4"]


@pytest.mark.parametrize("form", ["DER", "plain"])
def test_a_command_signs(tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    program = tmp_path / "sign.py"
    program.write_text(f"""
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
key = serialization.load_pem_private_key(open({str(own / "key.pem")!r}, "rb").read(), None)
made = key.sign(sys.stdin.buffer.read(), ec.ECDSA(hashes.SHA256()))
r, s = utils.decode_dss_signature(made)
sys.stdout.buffer.write(made if {form!r} == "DER" else r.to_bytes(32, "big") + s.to_bytes(32, "big"))
""")
    monkeypatch.delenv("TALKINGFACE_SIGN_KEY")
    monkeypatch.setenv("TALKINGFACE_SIGN_COMMAND", f"{sys.executable} {program}")
    assert check_credentials(write(tmp_path / "a.mp4")).known_as == "your own certificate"


@pytest.mark.parametrize(
    ("command", "words"),
    [("/nowhere/sign", "cannot be run"), (f"{sys.executable} -c \"raise SystemExit('no card')\"", "no card")],
)
def test_a_command_that_fails_fails_the_job(
    tmp_path: Path, own: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: str
) -> None:
    monkeypatch.setenv("TALKINGFACE_SIGN_COMMAND", command)
    with pytest.raises(OutputError, match=words):
        write(tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()


def test_a_time_stamp_authority_that_does_not_answer_fails_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALKINGFACE_TIMESTAMP_URL", "http://127.0.0.1:1/")
    with pytest.raises(OutputError, match="cannot sign"):
        write(tmp_path / "a.mp4")


def test_credentials_of_inputs_are_carried_on(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4")
    parent = Ingredient(title="clip.mp4", role="face", sha256="aa", media_type="video/mp4", path=clip, is_parent=True)
    voice = Ingredient(title="hi.wav", role="speech", sha256="bb", media_type="audio/wav", path=tmp_path / "gone.wav")
    said = Statement(system="portrait", job="1", is_composite=True, ingredients=(parent, voice))
    for path in (write(tmp_path / "out.mp4", said), write(tmp_path / "out.mkv", said)):
        found = check_credentials(path)
        assert found.state == "trusted" and found.was_synthetic
        assert [(i["title"], i["relationship"]) for i in found.ingredients] == [
            ("clip.mp4", "parentOf"),
            ("hi.wav", "inputTo"),
        ]
        assert [i["has_credentials"] for i in found.ingredients] == [True, False]
    assert b"thumbnail" not in path.read_bytes() and str(tmp_path).encode() not in path.read_bytes()


def test_those_beside_inputs_too(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.webm")
    given = Ingredient(title="clip.webm", role="face", sha256="aa", media_type="video/webm", path=clip, is_parent=True)
    said = Statement(system="portrait", job="1", is_composite=True, ingredients=(given,))
    found = check_credentials(write(tmp_path / "out.mp4", said))
    assert found.state == "trusted"
    assert found.ingredients == ({"title": "clip.webm", "relationship": "parentOf", "has_credentials": True},)
    sidecar_of(clip).write_bytes(sidecar_of(write(tmp_path / "another.webm", key="k")).read_bytes()[:-200])
    found = check_credentials(write(tmp_path / "out.mp4", said))
    assert found.state == "trusted" and not found.ingredients[0]["has_credentials"], "they are of another file"


def test_files_without_credentials(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        assert check_credentials(write(tmp_path / f"a{suffix}", sign=None)).state == "none"
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty.mp4").write_bytes(b"")
    for name in ("a.txt", "empty.mp4"):
        assert check_credentials(tmp_path / name).state == "none"
    with pytest.raises(InputError, match="cannot read"):
        check_credentials(tmp_path / "nothing.mp4")
    with pytest.raises(InputError, match="cannot read"):
        check_credentials(tmp_path)


def test_credentials_that_were_cut_out_are_missed(tmp_path: Path) -> None:
    """The seal at the end tells of them."""
    path = write(tmp_path / "a.mp4")
    data = path.read_bytes()
    start = data.index(b"uuid") - 4
    path.write_bytes(data[:start] + data[start + int.from_bytes(data[start : start + 4], "big") :])
    assert check_credentials(path).state == "broken"


def test_credentials_of_an_earlier_file_do_not_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "a.webm")
    write(path, sign=remove_sidecar)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.webm"]
    os.replace(write(tmp_path / "b.webm"), path)
    os.replace(sidecar_of(tmp_path / "b.webm"), sidecar_of(path))
    assert check_credentials(path).state == "trusted", "both may be renamed"


def test_credentials_on_the_network_are_not_fetched(tmp_path: Path) -> None:
    """What somebody sends must not make this computer call anybody: neither when it is checked nor as an input."""
    import c2pa

    from talkingface.trust.identity import signing_identity

    plain, path, signs = write(tmp_path / "plain.mp4", sign=None), tmp_path / "a.mp4", signing_identity()
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.setblocking(False)
        info = c2pa.C2paSignerInfo(b"es256", signs.chain.pem, signs.key, None)
        with (
            c2pa.Context() as context,
            c2pa.Builder(json.dumps(manifest_of("a", SAID, "")), context) as builder,
            c2pa.Signer.from_info(info) as signer,
        ):
            builder.set_no_embed()
            builder.set_remote_url(f"http://127.0.0.1:{server.getsockname()[1]}/a.c2pa")
            with open(plain, "rb") as source, open(path, "w+b") as target:
                builder.sign(signer, "video/mp4", source, target)
        found = check_credentials(path)
        assert found.state == "none" and "is not asked" in found.detail
        clip = Ingredient(title="a.mp4", role="face", sha256="aa", media_type="video/mp4", path=path, is_parent=True)
        write(tmp_path / "b.mp4", Statement(system="portrait", job="1", ingredients=(clip,)))
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("beside", [b"", b"\0" * 4000, b"\x00\x00\x00\xffjumb" * 500])
def test_files_beside_a_video_that_are_no_credentials(tmp_path: Path, beside: bytes) -> None:
    path = write(tmp_path / "a.mkv")
    sidecar_of(path).write_bytes(beside)
    assert check_credentials(path).state == "broken"
