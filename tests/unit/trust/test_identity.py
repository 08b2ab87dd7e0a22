"""The key and certificates that sign: made once, private, renewed, replaced by the user's own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from talkingface.core.errors import InputError, OutputError, TalkingFaceWarning
from talkingface.trust import identity
from talkingface.trust.certificates import make_chain, read_chain, read_key

NOW = datetime.now(timezone.utc)
posix = pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's key is made."""
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config" / "trust"


def put(folder: Path, now: datetime) -> str:
    """An installation whose key was made at `now`; returns its serial."""
    folder.mkdir(parents=True)
    key, chain = make_chain(now)
    (folder / "identity.pem").write_bytes(key + chain.pem)
    (folder / "identity.pem").chmod(0o600)
    return chain.serial


def own_files(folder: Path, now: datetime = NOW) -> dict[str, str]:
    """A certificate of the user's own and its key, in files."""
    folder.mkdir(exist_ok=True)
    key, chain = make_chain(now)
    (folder / "key.pem").write_bytes(key)
    (folder / "key.pem").chmod(0o600)
    (folder / "chain.pem").write_bytes(chain.pem)
    return {"certificate": str(folder / "chain.pem"), "key": str(folder / "key.pem")}


def test_it_is_made_once_and_is_private(folder: Path) -> None:
    first, again = identity.signing_identity(), identity.signing_identity()
    assert first.origin == "installation" and first.chain.serial == again.chain.serial
    assert [entry.name for entry in folder.iterdir()] == ["identity.pem"]
    if sys.platform != "win32":
        assert stat.S_IMODE((folder / "identity.pem").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(first.chain.certificates) == 2 and first.chain.algorithm() == "es256"


def test_nothing_is_made_by_looking(folder: Path) -> None:
    assert identity.known_chains() == []
    assert not folder.exists()


def test_processes_that_start_together_share_one_key(folder: Path) -> None:
    code = "from talkingface.trust.identity import signing_identity; print(signing_identity().chain.serial)"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate()[0] for process in running}) == 1
    assert all(process.returncode == 0 for process in running)


@posix
def test_a_key_that_others_may_read_is_refused(folder: Path) -> None:
    identity.signing_identity()
    (folder / "identity.pem").chmod(0o644)
    with pytest.raises(OutputError, match="chmod 600") as caught:
        identity.signing_identity()
    assert "\n" not in str(caught.value)
    (folder / "identity.pem").chmod(0o600)
    assert identity.signing_identity().origin == "installation"


@posix
def test_so_is_ones_own(tmp_path: Path, folder: Path) -> None:
    own = own_files(tmp_path / "own")
    (tmp_path / "own" / "key.pem").chmod(0o640)
    with pytest.raises(OutputError, match="chmod 600") as caught:
        identity.store_own_means(own)
    assert "--new" not in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b"-----BEGIN", b"\0" * 99])
def test_a_damaged_key_is_not_replaced_silently(folder: Path, damage: bytes) -> None:
    identity.signing_identity()
    (folder / "identity.pem").write_bytes(damage)
    with pytest.raises(OutputError, match="trust init --new"):
        identity.signing_identity()
    identity.new_identity()
    assert identity.signing_identity().origin == "installation"


@pytest.mark.parametrize("place", ["a file", "a name that is too long", "the kernel's"])
def test_where_nothing_can_be_stored_a_key_lasts_for_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").write_text("")
    places = {"a file": tmp_path / "file", "the kernel's": "/proc/self/keys"}
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(places.get(place, tmp_path / ("x" * 300))))
    with pytest.warns(TalkingFaceWarning, match="key for this run.*TALKINGFACE_CONFIG"):
        first = identity.signing_identity()
    assert first.origin == "run" and identity.signing_identity().chain.serial == first.chain.serial
    with pytest.raises(OutputError):
        identity.new_identity()


def test_without_a_home_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "config_dir", lambda: None)
    with pytest.warns(TalkingFaceWarning, match="no home folder"):
        assert identity.signing_identity().origin == "run"


def test_an_ended_certificate_gives_way_and_stays_known(folder: Path) -> None:
    old = put(folder, NOW - timedelta(days=4000))
    with pytest.warns(TalkingFaceWarning, match="had ended"):
        new = identity.signing_identity()
    assert new.origin == "installation" and new.chain.serial != old
    assert [chain.serial for chain in identity.known_chains()] == [new.chain.serial, old]
    assert b"PRIVATE" not in (folder / "earlier.pem").read_bytes()


def test_a_clock_set_back_makes_a_key_for_the_run(folder: Path) -> None:
    kept = put(folder, NOW + timedelta(days=400))
    with pytest.warns(TalkingFaceWarning, match="clock"):
        found = identity.signing_identity()
    assert found.origin == "run" and found.chain.problem(NOW) is None
    assert [chain.serial for chain in identity.known_chains()] == [kept]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_time_zones_change_nothing(folder: Path, zone: str) -> None:
    code = "from talkingface.trust.identity import signing_identity as s; print(s().chain.signer.not_valid_before_utc)"
    environment = {**os.environ, "TZ": zone}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
    found = identity.signing_identity()
    assert found.origin == "installation" and abs(found.chain.signer.not_valid_before_utc - NOW) < timedelta(days=3)


def test_a_new_key_leaves_the_old_one_known(folder: Path) -> None:
    serials = [identity.signing_identity().chain.serial]
    serials += [identity.new_identity().chain.serial for _ in range(2)]
    assert len(set(serials)) == 3
    assert {chain.serial for chain in identity.known_chains()} == set(serials)


def test_ones_own_certificate_by_environment(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = own_files(tmp_path / "own")
    monkeypatch.setenv("TALKINGFACE_SIGN_CERT", own["certificate"])
    with pytest.raises(OutputError, match="TALKINGFACE_SIGN_KEY"):
        identity.signing_identity()
    monkeypatch.setenv("TALKINGFACE_SIGN_KEY", own["key"])
    assert identity.signing_identity().origin == "own" and not folder.exists()
    other = own_files(tmp_path / "other")
    monkeypatch.setenv("TALKINGFACE_SIGN_KEY", other["key"])
    with pytest.raises(OutputError, match="does not belong"):
        identity.signing_identity()
    monkeypatch.setenv("TALKINGFACE_SIGN_KEY", str(tmp_path / "none.pem"))
    with pytest.raises(OutputError, match="cannot be read"):
        identity.signing_identity()


def test_ones_own_ended_certificate_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OutputError, match="ended on"):
        identity.store_own_means(own_files(tmp_path / "own", NOW - timedelta(days=4000)))
    assert not folder.exists()


def test_ones_own_certificate_is_kept_and_forgotten(tmp_path: Path, folder: Path) -> None:
    identity.store_own_means({**own_files(tmp_path / "own"), "timestamp_url": "http://127.0.0.1:1/"})
    found = identity.signing_identity()
    assert (found.origin, found.timestamp_url) == ("own", "http://127.0.0.1:1/")
    identity.store_own_means({})
    assert identity.signing_identity().origin == "installation"


def test_keys_and_chains_that_are_none(tmp_path: Path) -> None:
    key, chain = make_chain()
    with pytest.raises(InputError, match="no readable certificate"):
        read_chain(key, "key.pem")
    with pytest.raises(InputError, match="no readable private key"):
        read_key(chain.pem, chain, "chain.pem")
    assert b"PRIVATE" not in chain.pem
