"""Consent: what a record holds, when it ends, and what avatars make of it."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

import talkingface
from talkingface.core.cache import content_hash
from talkingface.core.errors import ArgumentError, ConsentError, InputError, OutputError, TalkingFaceWarning, UsageError
from talkingface.core.weights import save_avatar
from talkingface.trust import consent
from talkingface.trust.reading import check_credentials

TODAY = datetime.now(timezone.utc).date()
OF_METER = {"system": "meter", "device": "cpu"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keys and revocations of this test's own."""
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config" / "trust"


@pytest.fixture
def statement(tmp_path: Path) -> Path:
    (tmp_path / "yes.mp4").write_bytes(b"I agree")
    return tmp_path / "yes.mp4"


def record_of(statement: Path, days: int = 30, **given: Path) -> dict:
    until = (TODAY + timedelta(days=days)).isoformat()
    return consent.make_consent(person="Ann Ünsal", scope="product films", until=until, statement=statement, **given)


def travel(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Let the clock say another day."""
    monkeypatch.setattr(consent, "_today", lambda: TODAY + timedelta(days=days))


def saved(path: Path, record: dict) -> Path:
    consent.save_consent(path, record)
    return path


def test_a_folder_that_is_no_avatar_holds_no_consent(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither an avatar folder nor a consent"):
        consent.load_consent(tmp_path)


def test_a_record_is_signed_and_read_again(statement: Path, tmp_path: Path) -> None:
    record = record_of(statement)
    assert record["statement"] == {"name": "yes.mp4", "sha256": content_hash(statement)}
    again = consent.load_consent(saved(tmp_path / "consent.json", record))
    assert again == record and consent.check_consent(again, {"statement": statement}).endswith("this installation")


@pytest.mark.parametrize("name", ["person", "scope", "made", "until", "id", "statement", "signature"])
def test_nothing_in_it_can_be_changed(statement: Path, name: str) -> None:
    record = record_of(statement)
    changed = {"statement": {"name": "a", "sha256": "0" * 64}, "signature": {**record["signature"], "value": "AAAA"},
               "until": "2999-01-01"}  # fmt: skip
    record[name] = changed.get(name, "1999-01-01")
    with pytest.raises(ConsentError, match="changed after it was signed"):
        consent.check_consent(record)


def test_it_ends(statement: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_of(statement, days=3)
    travel(monkeypatch, 3)
    consent.check_consent(record)
    travel(monkeypatch, 4)
    with pytest.raises(ConsentError, match="of Ann Ünsal ended on"):
        consent.check_consent(record)
    travel(monkeypatch, -1)
    with pytest.raises(ConsentError, match="set the clock"):
        consent.check_consent(record)


def test_it_is_revoked(statement: Path, folder: Path) -> None:
    record, other = record_of(statement), record_of(statement)
    consent.revoke(record, "changed her mind")
    consent.revoke(record)
    with pytest.raises(ConsentError, match="revoked the consent on"):
        consent.check_consent(record)
    consent.check_consent(other)
    assert json.loads((folder / "revoked.json").read_text())[record["id"]]["reason"] == "changed her mind"
    (folder / "revoked.json").write_text("{")
    with pytest.raises(ConsentError, match="cannot be read"):
        consent.check_consent(other)


def test_files_must_be_those_of_the_record(statement: Path, photo: Path, tmp_path: Path) -> None:
    record = record_of(statement, photo=photo)
    consent.check_consent(record, {"photo": photo})
    with pytest.raises(ConsentError, match="another photo"):
        consent.check_consent(record, {"photo": statement})
    with pytest.raises(ConsentError, match="names no voice"):
        consent.check_consent(record, {"voice": statement})


def test_somebody_elses_record_is_checked_too(statement: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = record_of(statement)
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(tmp_path / "another computer"))
    assert consent.check_consent(record).endswith("not known here")
    assert not (tmp_path / "another computer").exists()


@pytest.mark.filterwarnings("ignore:results are signed with a key for this run")
def test_records_that_are_not_made(statement: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"person": "Ann", "scope": "films", "statement": statement}
    for until in ("tomorrow", "2020-01-01", ""):
        with pytest.raises(ArgumentError):
            consent.make_consent(until=until, **given)
    until = (TODAY + timedelta(days=1)).isoformat()
    with pytest.raises(ArgumentError, match="person"):
        consent.make_consent(until=until, **{**given, "person": " "})
    with pytest.raises(InputError):
        consent.make_consent(until=until, **{**given, "statement": tmp_path / "none.mp4"})
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(statement))
    with pytest.raises(OutputError, match="a key that lasts"):
        consent.make_consent(until=until, **given)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"holds": "consent"}', '{"holds": "consent", "signature": {}}'])
def test_files_that_are_no_records(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError):
        consent.load_consent(tmp_path / "c.json")


@pytest.mark.usefixtures("meter")
def test_an_avatar_that_requires_it_refuses_afterwards(
    statement: Path, photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(statement)
    file = saved(tmp_path / "consent.json", record)
    avatar = talkingface.fit(photo, consent=file, require_consent=True, **OF_METER)
    save_avatar(tmp_path / "me", avatar)
    out = talkingface.animate(tmp_path / "me", voice_file, device="cpu").save(tmp_path / "out.mp4")
    found = check_credentials(out)
    assert found.consent is not None and found.consent["id"] == record["id"]
    assert "Ünsal".encode() not in out.read_bytes(), "a published video does not name the person"
    assert consent.load_consent(tmp_path / "me") == record
    travel(monkeypatch, 31)
    motion = talkingface.motion(voice_file, **OF_METER)
    for make in (lambda: talkingface.animate(tmp_path / "me", voice_file), lambda: talkingface.render(avatar, motion)):
        with pytest.raises(ConsentError, match="ended on"):
            make()
    travel(monkeypatch, 0)
    consent.revoke(record)
    with pytest.raises(ConsentError, match="revoked"):
        talkingface.animate(avatar, voice_file)


@pytest.mark.usefixtures("meter")
def test_an_avatar_that_does_not_require_it_says_so(
    statement: Path, photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    avatar = talkingface.fit(photo, consent=saved(tmp_path / "c.json", record_of(statement)), **OF_METER)
    travel(monkeypatch, 31)
    with pytest.warns(TalkingFaceWarning, match="ended on"):
        talkingface.animate(avatar, voice_file)


@pytest.mark.usefixtures("meter")
def test_avatars_are_not_made_without_what_they_require(
    statement: Path, photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="needs a consent"):
        talkingface.fit(photo, require_consent=True, **OF_METER)
    file = saved(tmp_path / "c.json", record_of(statement, photo=statement))
    with pytest.raises(ConsentError, match="another photo"):
        talkingface.fit(photo, consent=file, **OF_METER)
    file = saved(tmp_path / "c.json", record_of(statement, photo=photo))
    avatar = talkingface.fit(photo, consent=file, require_consent=True, **OF_METER)
    stripped = talkingface.Avatar(system="meter", card={**avatar.card, "consent": None}, tensors=avatar.tensors)
    with pytest.raises(ConsentError, match="does not hold"):
        talkingface.animate(stripped, voice_file)


def test_today_is_one_day_everywhere() -> None:
    assert isinstance(consent._today(), date)
