"""The command line: help, errors, exit codes, and every verb that needs no weights of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from clips import sway, write_face_video
from talkingface.apps import cli
from talkingface.apps.cli import entry
from voices import make_voice, write_wav


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "talkingface.apps.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def check_refused(capsys: pytest.CaptureFixture[str], code: int, words: str, *arguments: object) -> None:
    """The command ends with `code` and one line on stderr that has `words`."""
    assert cli.main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and words in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("arguments", [["--help"], ["animate", "--help"], ["weights", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from talkingface.apps.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'av', 'cv2', 'numba', 'rich', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: talkingface" in done.stdout


def test_every_verb_and_option_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in cli.VERBS:
        with pytest.raises(SystemExit) as ended:
            cli.main([verb, "--help"])
        assert ended.value.code == 0
        assert "None" not in capsys.readouterr().out
    options = cli.make_parser().parse_args(["animate", "a", "b", "-o", "c", "--blink", "0.5", "--size", "native"])
    assert (options.blink, options.size) == (0.5, "native")
    assert not hasattr(options, "seed")  # defaults live in the option classes only


def test_options_may_stand_between_names(capsys: pytest.CaptureFixture[str]) -> None:
    parse = cli.make_parser().parse_args
    late = parse(["animate", "face.png", "-o", "out.mp4", "voice.wav"])
    assert (late.face, late.speech, late.output) == ("face.png", "voice.wav", "out.mp4")
    assert parse(["verify", "a.mp4", "--json", "b.mp4", "c.mp4"]).files == ["a.mp4", "b.mp4", "c.mp4"]
    check_refused(capsys, 2, "unrecognized arguments: c.wav", "animate", "a.png", "b.wav", "-o", "y.mp4", "c.wav")
    check_refused(capsys, 2, "unrecognized arguments: --nothing", "--nothing")


def test_mistyped_names_get_close_ones(capsys: pytest.CaptureFixture[str]) -> None:
    check_refused(capsys, 2, "did you mean animate?", "anmate", "x")
    check_refused(capsys, 2, "did you mean --seed", "animate", "x", "-o", "y.mp4", "--sed", "1")
    check_refused(capsys, 2, "did you mean portrait", "systems", "portrat")
    check_refused(capsys, 2, "invalid choice: 'foot'", "animate", "x", "y", "-o", "y.mp4", "--crop", "foot")
    check_refused(capsys, 2, "required: -o/--output", "animate", "x", "y")
    check_refused(
        capsys, 2, "'one' is not what it takes: random choices", "animate", "x", "y", "-o", "y.mp4", "--seed", "one"
    )
    check_refused(capsys, 2, "'big' is not what it takes: longest side", "fit", "x", "-o", "y", "--size", "big")
    check_refused(capsys, 7, "no weights named", "weights", "show", "nothing.here")


@pytest.mark.usefixtures("meter")
def test_faults_are_one_line_with_the_code_of_their_class(
    capsys: pytest.CaptureFixture[str], photo: Path, voice_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    meter = ("--system", "meter")
    check_refused(capsys, 3, "there is no file", "animate", tmp_path / "no.jpg", voice_file, "-o", out, *meter)
    check_refused(capsys, 3, "there is no file", "animate", photo, tmp_path / "no.wav", "-o", out, *meter)
    check_refused(capsys, 5, "no sound track", "animate", photo, photo, "-o", out, *meter)
    check_refused(capsys, 6, "create it first", "animate", photo, voice_file, "-o", tmp_path / "no" / "o.mp4", *meter)
    check_refused(capsys, 2, "must end in", "animate", photo, voice_file, "-o", tmp_path / "out.gif", *meter)
    check_refused(capsys, 2, ".webm or .mov", "animate", photo, voice_file, "-o", out, "--background", "transparent")
    check_refused(capsys, 2, "is also an input", "render", photo, voice_file, "-o", voice_file)
    check_refused(capsys, 2, "also an input", "animate", photo, voice_file, "-o", out, "--report", voice_file, *meter)
    check_refused(capsys, 2, "two results", "animate", photo, voice_file, "-o", out, "--report", out, *meter)
    check_refused(capsys, 2, "is also an input", "motion", voice_file, "-o", voice_file, *meter)
    check_refused(capsys, 2, "is also an input", "track", photo, "-o", tmp_path / "t.npz", "--preview", photo)
    check_refused(capsys, 2, "two results", "track", photo, "-o", out, "--preview", out)
    check_refused(capsys, 2, "must end in .npz", "track", photo, "-o", tmp_path / "t.mp4")
    check_refused(capsys, 2, "must end in .npz", "motion", voice_file, "-o", tmp_path / "m.mp4")
    check_refused(capsys, 2, "must end in .json", "evaluate", photo, "-o", tmp_path / "e.txt")
    check_refused(capsys, 2, "is also an input", "evaluate", photo, "-o", tmp_path / "e.json", "--html", photo)
    check_refused(capsys, 2, "two results", "evaluate", photo, "-o", out, "--html", out)
    check_refused(capsys, 2, "is also an input", "bench", "--face", photo, "--report", photo)
    check_refused(capsys, 2, "is also an input", "train", "portrait.face", tmp_path, "-o", tmp_path, "--steps", "1")
    check_refused(capsys, 2, "unknown device", "animate", photo, voice_file, "-o", out, *meter, "--device", "tpu")
    (tmp_path / "empty.wav").write_bytes(b"")
    check_refused(capsys, 3, "is empty", "animate", photo, tmp_path / "empty.wav", "-o", out, *meter)
    short = write_wav(tmp_path / "short.wav", make_voice(0.05))
    check_refused(capsys, 5, "at least", "animate", photo, short, "-o", out, *meter)
    assert not out.exists()


def test_what_goes_on_with_less_is_a_note(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    clip = write_face_video(tmp_path / "clip.mp4", sway(8), size=(160, 200))
    done = run("animate", clip, voice_file, "-o", tmp_path / "o.mp4", TALKINGFACE_CACHE=str(tmp_path / "file"))
    assert done.returncode == 0 and (tmp_path / "o.mp4").exists()
    notes = [line for line in done.stderr.splitlines() if "TALKINGFACE_CACHE" in line]
    assert len(notes) == 1 and notes[0].startswith("note: the cache cannot be used")


def test_names_longer_than_a_file_system_allows(capsys: pytest.CaptureFixture[str], photo: Path) -> None:
    long = "x" * 300
    check_refused(capsys, 3, "there is no file", "weights", "import", "lpips", long, long)
    check_refused(capsys, 3, "there is no file", "weights", "import", "pcavs", long)
    check_refused(capsys, 3, "there is no file", "weights", "import", "headpose", long)
    check_refused(capsys, 7, "no weights named", "fit", photo, "-o", "a", "--weights", long)
    check_refused(capsys, 6, "cannot write", "fit", photo, "-o", long)


def test_unexpected_faults_are_one_line_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(entry, "_run", broken)
    error: BaseException = ValueError("odd\nthing")
    check_refused(capsys, 1, "unexpected ValueError: odd thing; please report")
    error = OSError(28, "No space left on device")
    check_refused(capsys, 6, "disk is full")
    error = MemoryError()
    check_refused(capsys, 1, "not enough memory; use a smaller --size")
    error = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 byte")
    check_refused(capsys, 1, "not enough memory; use smaller batches or pictures", "train")
    error = ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
    check_refused(capsys, 8, "libGL.so.1 is missing; on Debian or Ubuntu: sudo apt-get install libgl1")
    error = ModuleNotFoundError("No module named 'av'", name="av")
    check_refused(capsys, 8, "package av is missing")
    error = KeyboardInterrupt()
    assert cli.main([]) == 130
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("TALKINGFACE_DEBUG", "1")
    error = ValueError("with traceback")
    with pytest.raises(ValueError, match="with traceback"):
        cli.main([])


@pytest.mark.usefixtures("meter")
def test_animate_motion_render_fit(
    capsys: pytest.CaptureFixture[str], photo: Path, voice_file: Path, tmp_path: Path
) -> None:
    def ok(*arguments: object) -> str:
        assert cli.main([str(argument) for argument in arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    meter, out, motion = ("--system", "meter"), tmp_path / "out.mp4", tmp_path / "m.npz"
    assert "40 frames" in (said := ok("animate", photo, voice_file, "-o", out, *meter, "--report", tmp_path / "r.json"))
    assert "meter.none: CC0-1.0" in said
    assert json.loads((tmp_path / "r.json").read_text())["frames"] == 40
    assert "40 frames" in ok("motion", voice_file, "-o", motion, *meter)
    with np.load(motion) as arrays:
        assert arrays["expression"].shape == (40, 1)
    assert "40 frames" in ok("render", photo, motion, "-o", tmp_path / "again.mp4", "--speech", voice_file, *meter)
    assert "avatar for system meter" in ok("fit", photo, "-o", tmp_path / "me", *meter)
    assert "40 frames" in ok("animate", tmp_path / "me", voice_file, "-o", out)
    assert "intact" in ok("weights", "verify", "meter.none")
    assert "meter.none" in ok("weights", "list")
    assert json.loads(ok("weights", "show", "meter.none"))["licence"] == "CC0-1.0"
    assert "bar that follows" in ok("systems")
    told = ok("systems", "meter")
    assert "meter1" in told and "--set shade" in told
    ok("motion", voice_file, "-o", motion, *meter, "--set", "shade=3")


def test_importing_weights_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    check_refused(capsys, 2, "name a kind and its files", "weights", "import")
    check_refused(capsys, 2, "did you mean lpips?", "weights", "import", "lpip", "a.pth")
    check_refused(capsys, 2, "2 files, not 1", "weights", "import", "lpips", "a.pth")
    check_refused(capsys, 3, "there is no file", "weights", "import", "syncnet", tmp_path / "a.pth")
    (tmp_path / "a.pth").write_bytes(b"\x80\x02cos\nmkdir\nq\x00X\x01\x00\x00\x00xq\x01\x85q\x02Rq\x03.")
    check_refused(capsys, 7, "could run code", "weights", "import", "syncnet", tmp_path / "a.pth")
    check_refused(capsys, 2, "goes with", "weights", "list", "-o", tmp_path)
    (tmp_path / "mine.txt").write_text("x")
    check_refused(capsys, 2, "holds no weights", "weights", "import", "syncnet", "a.pth", "-o", tmp_path)


@pytest.mark.usefixtures("meter")
def test_altered_weights_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    model = Path(os.environ["TALKINGFACE_WEIGHTS"]) / "meter.none" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1] + b"\1")
    assert cli.main(["weights", "verify", "meter.none"]) == 7
    assert "altered" in capsys.readouterr().err


def test_doctor_tells_what_to_do(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from talkingface.apps import doctor

    found = list(doctor.examine(doctor.CHECKS))
    assert {"Python", "torch", "face models", "codec libx264", "GPU"} <= {finding.name for finding in found}
    assert all(finding.advice for finding in found if finding.is_needed and not finding.is_good)
    broken = (lambda: iter([doctor.Finding("codec x", False, "gone", "install it")]),)
    monkeypatch.setattr(doctor, "CHECKS", broken)
    monkeypatch.setattr(doctor, "INSTALLATION", broken)
    assert doctor.doctor() == 8
    assert "-> install it" in capsys.readouterr().out
    assert doctor.check_installation() == 8
    assert capsys.readouterr().err == "error: codec x: install it\n"


def test_public_names_are_lazy_and_complete() -> None:
    import talkingface
    from talkingface import api

    for module in (talkingface, api):
        for name in module.__all__:
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="animat"):
        _ = talkingface.animat
    code = "import sys, talkingface; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_api_loads_nothing_that_only_some_verbs_need() -> None:
    heavy = "{'torch', 'cv2', 'numba', 'scipy.stats'}"
    code = f"import sys; from talkingface.api import animate, fit, motion, render; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
