"""The verbs that sign, and those that check."""

from __future__ import annotations

import json
from pathlib import Path

import av
import pytest

from talkingface.apps.cli import main
from talkingface.core.samples import sample
from talkingface.trust.certificates import make_chain, read_chain
from voices import make_voice, write_wav


class Shell:
    """Runs a command in this process; gives its exit code, what it printed and what it said on stderr."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = self._capsys.readouterr()
        return code, said.out, said.err


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Commands with a key of this test's own."""
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(tmp_path / "config"))
    return Shell(capsys)


def test_what_signs_is_shown_exported_and_replaced(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell("trust", "show", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["origin"] == "installation" and facts["time_stamps"] == "none"
    assert facts["signer"] in shell("trust", "show")[1]
    assert shell("trust", "export-root", "-o", tmp_path / "root.pem")[0] == 0
    root = (tmp_path / "root.pem").read_bytes()
    assert len(read_chain(root, "").certificates) == 1 and b"PRIVATE" not in root
    assert shell("trust", "init", "--new")[0] == 0
    again = json.loads(shell("trust", "show", "--json")[1])
    assert again["serial"] != facts["serial"] and again["earlier"] == [facts["serial"]]


def test_a_certificate_of_ones_own_is_chosen_and_forgotten(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, chain = make_chain()
    for name, data in (("key.pem", key), ("chain.pem", chain.pem)):
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o600)
    monkeypatch.chdir(tmp_path)
    assert shell("trust", "init", "--certificate", "chain.pem", "--key", "key.pem")[0] == 0
    monkeypatch.chdir("/")
    assert json.loads(shell("trust", "show", "--json")[1])["serial"] == chain.serial
    assert shell("trust", "init", "--forget")[0] == 0
    assert json.loads(shell("trust", "show", "--json")[1])["origin"] == "installation"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["export-root"], 2, "name the file to write"),
        (["show", "--new"], 2, "--new goes with: talkingface trust init"),
        (["init", "--forget", "--new"], 2, "--forget goes alone"),
        (["init", "--json"], 2, "trust show"),
        (["init", "--key", "nothing.pem"], 6, "give --certificate"),
        (["init", "--timestamp-url", "ftp://x"], 2, "http://"),
        (["init", "--certificate", "nothing.pem", "--key", "nothing.pem"], 6, "cannot be read"),
    ],
)
def test_what_does_not_go_together_is_one_line(shell: Shell, arguments: list[str], code: int, words: str) -> None:
    found, out, err = shell("trust", *arguments)
    assert found == code and out == "" and words in err and err.count("\n") == 1


def test_files_are_verified(shell: Shell, tmp_path: Path, photo: Path, voice_file: Path, meter: None) -> None:
    out, plain = tmp_path / "out.mp4", tmp_path / "plain.mp4"
    meter_of = ("--system", "meter")
    assert shell("animate", photo, voice_file, "-o", out, *meter_of)[0] == 0
    assert shell("animate", photo, voice_file, "-o", plain, *meter_of, "--no-credentials", "a test")[0] == 0
    code, said, _ = shell("verify", out)
    assert code == 0 and said.startswith(f"{out}: synthetic, and as it was made\n") and said.count("\n") == 4
    assert shell("verify", plain)[0] == 10
    assert shell("verify", photo)[0] == 11
    code, _, err = shell("verify", tmp_path / "none.mp4")
    assert code == 3 and err.count("\n") == 1
    code, said, err = shell("verify", out, tmp_path / "none.mp4", plain)
    assert code == 3 and said.count("credentials") >= 2 and "no file" in err
    code, said, _ = shell("verify", "--json", out, photo, tmp_path / "none.mp4")
    assert [json.loads(line)["exit_code"] for line in said.splitlines()] == [0, 11, 3]
    data = bytearray(out.read_bytes())
    data[-200] ^= 1
    out.write_bytes(data)
    assert shell("verify", plain, out)[0] == 12


def test_a_signing_command_is_tried_out(shell: Shell, tmp_path: Path) -> None:
    root = tmp_path / "root.pem"
    shell("trust", "export-root", "-o", root)
    for command, words in (("no-such-program", "cannot be run"), ("cat", "wrote no signature")):
        code, out, err = shell("trust", "init", "--certificate", root, "--command", command)
        assert code == 6 and out == "" and words in err and err.count("\n") == 1
    assert json.loads(shell("trust", "show", "--json")[1])["origin"] == "installation"


@pytest.mark.filterwarnings("default::talkingface.core.errors.TalkingFaceWarning")  # shown as notes
def test_a_key_for_one_run_is_not_handed_out(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(tmp_path / "file" / "config"))
    for arguments in (["init"], ["export-root", "-o", str(tmp_path / "root.pem")]):
        code, out, err = shell("trust", *arguments)
        assert code == 6 and out == "" and "a key that lasts" in err
    assert not (tmp_path / "root.pem").exists()
    assert shell("trust", "show")[0] == 0


def test_somebody_elses_result_is_trusted_by_their_certificate(
    shell: Shell, tmp_path: Path, photo: Path, voice_file: Path, meter: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    shell("animate", photo, voice_file, "-o", out, "--system", "meter")
    shell("trust", "export-root", "-o", tmp_path / "root.pem")
    monkeypatch.setenv("TALKINGFACE_CONFIG", str(tmp_path / "somebody else"))
    assert "valid, signer unknown" in shell("verify", out)[1]
    code, said, _ = shell("verify", out, "--trust", tmp_path / "root.pem")
    assert code == 0 and "trusted: signed by root.pem" in said
    other = tmp_path / "other" / "root.pem"
    other.parent.mkdir()
    other.write_bytes(make_chain()[1].root_pem)
    code, said, _ = shell("verify", out, "--trust", tmp_path / "root.pem", "--trust", other)
    assert code == 0 and f"{tmp_path / 'root.pem'}" in said, "certificates of the same name do not displace each other"
    assert not (tmp_path / "somebody else").exists(), "checking makes no key"


@pytest.mark.usefixtures("meter")
def test_a_consent_goes_from_record_to_refusal(shell: Shell, tmp_path: Path, photo: Path, voice_file: Path) -> None:
    record, me, out = tmp_path / "consent.json", tmp_path / "me.avatar", tmp_path / "out.mp4"
    about = ("--person", "Ann", "--scope", "films", "--until", "2999-12-31", "--statement", voice_file)
    assert shell("consent", "new", *about, "-o", record)[0] == 0
    signed = record.read_bytes()
    assert shell("consent", "new", *about, "-o", record)[0] == 2 and record.read_bytes() == signed
    code, said, _ = shell("consent", "check", record, "--statement", voice_file)
    assert code == 0 and "Ann until 2999-12-31, for: films; signed by" in said
    assert shell("consent", "check", record, "--statement", photo)[0] == 9
    assert shell("fit", photo, "-o", me, "--system", "meter", "--consent", record, "--require-consent")[0] == 0
    assert shell("animate", me, voice_file, "-o", out)[0] == 0
    assert shell("consent", "revoke", me, "--reason", "asked to")[0] == 0
    code, _, err = shell("animate", me, voice_file, "-o", out)
    assert code == 9 and "revoked" in err and err.count("\n") == 1
    assert shell("consent", "check", record)[0] == 9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new", "--person", "Ann"], "needs --person, --scope, --until, --statement and -o"),
        (["check"], "name the record"),
        (["revoke", "a.json", "--person", "Ann"], "name the record"),
        (["check", "a.json", "--reason", "x"], "--reason goes with"),
    ],
)
def test_consents_that_lack_something_are_one_line(shell: Shell, arguments: list[str], words: str) -> None:
    code, out, err = shell("consent", *arguments)
    assert code == 2 and out == "" and words in err and err.count("\n") == 1


@pytest.mark.usefixtures("meter")
def test_materials_are_written_and_printed(shell: Shell, tmp_path: Path, photo: Path, voice_file: Path) -> None:
    out, bom = tmp_path / "out.mp4", tmp_path / "bom.json"
    assert shell("animate", photo, voice_file, "-o", out, "--system", "meter", "--bom", bom)[0] == 0
    code, said, _ = shell("bom", out)
    assert code == 0 and json.loads(said) == json.loads(bom.read_text())
    assert shell("bom", "-o", tmp_path / "all.json")[0] == 0
    assert json.loads((tmp_path / "all.json").read_text())["specVersion"] == "1.6"
    assert shell("bom", photo)[0] == 3
    assert shell("bom", "-o", tmp_path / "all.txt")[0] == 2
    assert shell("animate", photo, voice_file, "-o", out, "--system", "meter", "--bom", tmp_path / "b.mp4")[0] == 2
    assert shell("animate", photo, voice_file, "-o", out, "--system", "meter", "--bom", out)[0] == 2


@pytest.mark.usefixtures("meter")
def test_a_copy_by_packets_is_altered_and_finds_its_manifest(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials and metadata are gone, the mark is not."""
    monkeypatch.setenv("TALKINGFACE_STATE", str(tmp_path / "state"))
    voice, out, copy = write_wav(tmp_path / "hi.wav", make_voice(4.0)), tmp_path / "out.mp4", tmp_path / "copy.mp4"
    assert shell("animate", sample("portrait"), voice, "-o", out, "--system", "meter", "--size", "256")[0] == 0
    with av.open(str(out)) as old, av.open(str(copy), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    code, said, _ = shell("verify", copy)
    assert code == 10 and "credentials  none" in said and "mark         found" in said and "metadata     none" in said
    assert f"as {out}" in said
    facts = json.loads(shell("verify", "--json", copy)[1])
    signed = json.loads(shell("verify", "--json", out)[1])
    assert facts["mark"]["payload"] == signed["mark"]["payload"] == signed["credentials"]["mark"]["payload"]
    assert facts["ledger"][0]["job"] == signed["credentials"]["result"]["job"]
    assert shell("verify", copy, "--key", "another one")[0] == 11
