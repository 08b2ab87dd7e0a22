"""Cache, atomic files, device, types."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from talkingface.core import cache, device
from talkingface.core.arrays import save_arrays
from talkingface.core.errors import ArgumentError, InputError, OutputError, TalkingFaceWarning, UsageError
from talkingface.core.types import Audio, Controls, Frames, Motion, Track


def test_atomic_files_are_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "ergebnis für dich.json"
    with cache.write_atomic(target, "w") as file:
        file.write("ü")
    assert target.read_text(encoding="utf-8") == "ü"
    for fault in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(fault), cache.write_atomic(target, "w") as file:
            file.write("half")
            raise fault
    assert target.read_text(encoding="utf-8") == "ü"
    assert os.listdir(tmp_path) == [target.name]


@pytest.mark.skipif(sys.platform == "win32", reason="no umask")
def test_atomic_files_get_the_users_mode_and_never_touch_the_mask() -> None:
    code = (
        "import os, stat, sys\nfrom talkingface.core.cache import write_atomic\n"
        "os.umask(0o027)\n"
        "os.umask = None  # it belongs to all threads: even to ask for it would change it\n"
        "with write_atomic('x') as file: file.write(b'1')\n"
        "sys.exit(stat.S_IMODE(os.stat('x').st_mode) != 0o640)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        assert subprocess.run([sys.executable, "-c", code], cwd=folder).returncode == 0


@pytest.mark.parametrize("name", ["字" * 78 + ".json", "n" * 250 + ".json"])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    cache.check_writable(tmp_path / name)
    with cache.write_atomic(tmp_path / name) as file:
        file.write(b"1")
    assert os.listdir(tmp_path) == [name]
    with pytest.raises(OutputError, match="too long"):
        cache.check_writable(tmp_path / (30 * name))
    with pytest.raises(OutputError, match="too long"), cache.write_atomic(tmp_path / (30 * name)):
        pass


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    link, target = tmp_path / "link.json", tmp_path / "results" / "real.json"
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("no links")
    for text in ("new", "newer"):  # first nothing is there yet
        with cache.write_atomic(link, "w") as file:
            file.write(text)
        assert link.is_symlink() and target.read_text() == text
    assert os.listdir(target.parent) == [target.name]
    link.unlink()
    link.symlink_to(tmp_path / "gone" / "x")
    with pytest.raises(OutputError, match=r"gone does not exist"):
        cache.check_writable(link)


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no such device")
def test_pipes_are_written_and_stay() -> None:
    code = (
        "from talkingface.core.cache import check_writable, write_atomic\n"
        "check_writable('/dev/stdout')\n"
        "with write_atomic('/dev/stdout', 'w') as file: file.write('said')\n"
        "with write_atomic('/dev/null') as file: file.write(b'x')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "said" and not os.path.isfile("/dev/null")


def test_the_cache_is_done_without_where_it_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(path: Path) -> None:
        with cache.write_atomic(path) as file:
            file.write(b"1")

    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "cache"))
    cache.keep_file(cache.cache_file("kind", "a"), save)
    assert (tmp_path / "cache" / "kind" / "a").read_bytes() == b"1"
    assert cache.cache_folder("work") == tmp_path / "cache" / "work"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TALKINGFACE_CACHE", str(tmp_path / "file"))
    with pytest.warns(TalkingFaceWarning, match="set TALKINGFACE_CACHE"):
        cache.keep_file(cache.cache_file("kind", "a"), save)
    folder = cache.cache_folder("work")  # no second warning
    assert folder.is_dir() and tmp_path not in folder.parents
    folder.rmdir()


def test_a_user_without_a_home_has_no_cache() -> None:
    code = (
        "import os\nfrom talkingface.core import cache, weights\n"
        "os.path.expanduser = lambda path: path\n"  # what it does without HOME and passwd entry
        "assert cache.cache_dir() is None and cache.cache_file('a') is None\n"
        "assert weights.list_weights() and str(cache.user_path('~/x')) == os.path.join('~', 'x')\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TALKINGFACE_CACHE"}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_faults_of_the_disk_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist; create it"), cache.write_atomic(tmp_path / "no" / "x"):
        pass
    with pytest.raises(OutputError, match="disk is full"), cache.write_atomic(tmp_path / "x"):
        raise OSError(28, "No space left on device")
    with pytest.raises(OutputError, match="it is a folder"):
        cache.check_writable(tmp_path)
    with pytest.raises(OutputError, match="no permission"):
        raise cache.output_error("x/y", PermissionError(13, "Permission denied"))
    with pytest.raises(OutputError, match="no permission"):  # as in /proc
        raise cache.output_error(tmp_path / "x", FileNotFoundError(2, "No such file or directory"))
    cache.check_writable(tmp_path / "fine.mp4")
    assert os.listdir(tmp_path) == []


def test_an_empty_name_is_not_the_current_folder() -> None:
    with pytest.raises(InputError, match="is empty"):
        cache.user_path("")
    for other in (None, 3, b"x"):
        with pytest.raises(ArgumentError, match="by text or a Path"):
            cache.user_path(other)  # type: ignore[arg-type]


def test_content_hash(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert cache.content_hash(tmp_path / "a").startswith("ba7816bf")
    with pytest.raises(InputError, match="cannot read"):
        cache.content_hash(tmp_path / "b")


@pytest.mark.parametrize("name", ["cache", "config", "state"])
def test_folders_of_the_user_follow_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    find = getattr(cache, f"{name}_dir")
    monkeypatch.setenv(f"TALKINGFACE_{name.upper()}", "/somewhere")
    assert find() == Path("/somewhere")
    monkeypatch.delenv(f"TALKINGFACE_{name.upper()}")
    assert find().parts[-1] in ("talkingface", name)
    if sys.platform not in ("win32", "darwin"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", "/elsewhere")
        assert find() == Path("/elsewhere/talkingface")


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
def test_private_files_are_the_users_alone(tmp_path: Path) -> None:
    for path, private in ((tmp_path / "a", True), (tmp_path / "b", False)):
        path.write_text("earlier")
        with cache.write_atomic(path, private=private) as file:
            file.write(b"1")
        assert (path.stat().st_mode & 0o077 == 0) == private


def test_devices() -> None:
    assert device.pick_device("cpu") == "cpu"
    assert device.pick_device("auto") in ("cpu", "cuda")
    for name in ("gpu", "cuda:x", "cpu:1", ""):
        with pytest.raises(UsageError, match="unknown device"):
            device.pick_device(name)
    with pytest.raises(UsageError, match="not there"):
        device.pick_device("cuda:99")
    assert device.num_cores() >= 1
    assert (device.peak_memory_mb() or 1) > 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_the_allocator_takes_the_settings() -> None:
    command = "from talkingface.core.device import tune_allocator as t; import sys; sys.exit(not t())"
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


@pytest.mark.parametrize(
    "fault",
    [
        {"blink": -1.0}, {"blink": float("nan")}, {"pose": "wild"}, {"crop": "foot"}, {"size": 3}, {"size": "huge"},
        {"fps": 0.0}, {"pose_scale": 11.0}, {"seed": -1}, {"seed": 2**64}, {"seed": 1.5}, {"blink": "much"},
    ],
)  # fmt: skip
def test_controls_are_checked(fault: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(fault))):
        Controls(**fault)


def test_types_check_shapes_and_values() -> None:
    with pytest.raises(ValueError, match="float32"):
        Audio(samples=np.zeros((1, 4)), rate_hz=16000)
    with pytest.raises(ValueError, match="not finite"):
        Audio(samples=np.full((1, 4), np.nan, np.float32), rate_hz=16000)
    with pytest.raises(ValueError, match="pose"):
        Motion(space="x", expression=np.zeros((2, 1), np.float32), pose=np.zeros((3, 6)), blink=None, fps=25)
    with pytest.raises(ValueError, match="mask"):
        Frames(rgb=np.zeros((1, 4, 4, 3), np.uint8), mask=np.zeros((1, 4, 5), np.uint8))
    with pytest.raises(ValueError, match="landmarks"):
        Track(landmarks=np.zeros((1, 468, 3)), times_s=np.zeros(1), confidence=np.zeros(1), size=(1, 1))
    assert Audio(samples=np.zeros((1, 8000), np.float32), rate_hz=16000).duration_s == 0.5


@pytest.mark.parametrize("module", ["spec", "config", "registry", "errors", "options"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    command = (
        f"import sys, talkingface.core.{module};"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'av', 'cv2', 'numba')))"
    )
    assert subprocess.run([sys.executable, "-c", command]).returncode == 0


def test_arrays_on_a_full_disk_are_one_error_and_no_traceback() -> None:
    pytest.importorskip("resource")
    code = (
        "import resource, numpy as np\nfrom talkingface.core.arrays import save_arrays\n"
        "from talkingface.core.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))\n"
        "try:\n    save_arrays('x.npz', a=np.zeros(99_999), b=np.zeros(3))\n"
        "except OutputError:\n    print('refused')\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
        assert (done.stdout, done.stderr, os.listdir(folder)) == ("refused\n", "", [])


def test_arrays_come_back(tmp_path: Path) -> None:
    save_arrays(tmp_path / "x.npz", a=np.arange(6.0).reshape(2, 3), name="text", pair=(1, 2))
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert file["a"].shape == (2, 3) and str(file["name"]) == "text" and file["pair"].tolist() == [1, 2]
