"""The page that shows an avatar from all around: what it answers, to whom, and that it ends."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

import talkingface
from talkingface.api import Shot
from talkingface.apps.cli import main
from talkingface.apps.viewer import ViewServer
from talkingface.apps.viewer.shots import read_wish
from talkingface.apps.viewer.turns import Turns
from talkingface.core.errors import OutputError, SpeechError, UsageError
from talkingface.core.motion import save_motion
from talkingface.core.types import Audio, Avatar, Motion
from talkingface.core.view import View
from talkingface.core.weights import save_avatar
from talkingface.video.jpeg import from_jpeg
from voices import make_voice

TOLERANCE = 8  # grey levels that the mark and JPEG change at most


@pytest.fixture
def page(globe: Path, voice_file: Path) -> Iterator[ViewServer]:
    with talkingface.view(globe, voice_file) as server:
        yield server


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()


def ask(
    page: ViewServer, path: str = "", *, body: Any = None, method: str | None = None, token: str | None = None,
    **headers: str,
) -> Answer:  # fmt: skip
    """One request over a connection of its own; `token` in place of the right one."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    whole = urlsplit(page.address).path if token is None else f"/{token}/"
    sent = json.dumps(body) if isinstance(body, dict) else body
    connection.request(method or ("GET" if body is None else "POST"), whole + path, sent, headers)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


_number = iter(range(1 << 20))


def draw(page: ViewServer, **shot: Any) -> np.ndarray:
    answer = ask(page, "frame", body={"page": "a", "number": next(_number), **shot})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg"), answer.body
    assert re.fullmatch(r"draw;dur=[\d.]+, jpeg;dur=[\d.]+", answer.headers["Server-Timing"])
    return from_jpeg(answer.body).astype(int)


def middle(picture: np.ndarray) -> np.ndarray:
    side = len(picture)
    return picture[:, 3 * side // 8 : 5 * side // 8].mean(axis=(0, 1))


def test_pictures_are_as_the_page_asks(page: ViewServer) -> None:
    plain = middle(draw(page, frame=20))
    np.testing.assert_allclose(plain, [0.1 * 255, 127.5, 0.25 * 255], atol=TOLERANCE)
    moved = middle(draw(page, frame=20, added={"0": 1.0}, closure=1, view={"yaw": 0.8, "zoom": 2, "fov": 0.5}))
    np.testing.assert_allclose(moved, [0.6 * 255, 0.9 * 255, 255], atol=TOLERANCE)
    assert draw(page, size=256).shape == (256, 256, 3)
    assert draw(page, frame=10_000).shape == (96, 96, 3)  # the last one stays
    left = draw(page, background="#ff8000")[:80, :16].mean(axis=(0, 1))
    np.testing.assert_allclose(left, [255, 128, 0], atol=TOLERANCE)
    assert draw(page, frame=30)[:80, -16:].mean() == pytest.approx(0.3 * 255, abs=TOLERANCE)
    assert draw(page, frame=30, still=True)[:80, -16:].mean() == pytest.approx(0, abs=TOLERANCE)


def test_depth_is_light_where_it_is_near_and_black_without_any(page: ViewServer) -> None:
    depth = draw(page, depth=True)
    assert depth[:, :40].max() < TOLERANCE
    assert depth[5, 70].min() > 220 > 90 > depth[-8, 70].max() > 30


def test_landmarks_of_any_frame_are_drawn_over(page: ViewServer) -> None:
    changed = np.abs(draw(page, frame=2, landmarks=25) - draw(page, frame=2)).max(axis=-1) > 60
    rows, columns = np.nonzero(changed)
    assert (rows.mean(), columns.mean()) == (pytest.approx(35, abs=2), pytest.approx(25, abs=2))


def test_pictures_are_marked(page: ViewServer) -> None:
    from talkingface.trust.mark import find_mark

    picture = page.viewing.draw(Shot(size=512, view=View(yaw=0.1)))
    assert find_mark(iter([picture] * 3)).state == "found"


WRONG = [
    {"frame": -1}, {"frame": 1.5}, {"frame": "1"}, {"frame": True}, {"number": None}, {"page": "../x"},
    {"added": {"30": 1.0}}, {"added": {"x": 1.0}}, {"added": {"0": 99}}, {"added": [1]}, {"closure": 2},
    {"size": 10_000}, {"size": 10}, {"background": "/etc/passwd"}, {"background": "red"}, {"view": {"zoom": 0}},
    {"view": {"yaw": "left"}}, {"view": {"spin": 1}}, {"view": {"settings": {"samples": None}}}, {"shell": 1},
    {"view": {"settings": {"sample": 2}}}, {"view": {"settings": {"samples": 9}}},
    {"landmarks": -2}, {"closure": float("nan")},
]  # fmt: skip


def test_what_cannot_be_drawn_is_refused_in_one_line(page: ViewServer) -> None:
    for wrong in WRONG:
        answer = ask(page, "frame", body={"page": "a", "number": next(_number), **wrong})
        assert answer.status == 400, wrong
        assert answer.body.count(b"\n") == 1 and len(answer.body) < 200
    draw(page)  # and goes on


def test_bodies_that_are_no_wishes_are_refused(page: ViewServer) -> None:
    for body in ("", "[]", "{", "[" * 9000, '"x"', "\x00"):
        assert ask(page, "frame", body=body).status == 400
    assert ask(page, "frame", body="x" * 20_000).status == 400
    assert ask(page, "voice.wav", body={}).status == 404
    assert ask(page, "../../secret").status == 404


def test_only_this_machine_and_only_who_knows_the_address(page: ViewServer) -> None:
    assert ask(page).status == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "", "192.168.1.2:80", "[::1"):
        for path in ("", "facts.json", "voice.wav"):
            assert ask(page, path, Host=host).status == 403, host
        assert ask(page, "frame", body={"page": "a", "number": 1}, Host=host).status == 403
    assert ask(page, Host=f"localhost:{page.port}").status == 200
    assert ask(page, Origin="https://evil.example").status == 403
    assert ask(page, Origin=f"http://localhost:{page.port}").status == 200
    for token in ("x", "", "%2e%2e", urlsplit(page.address).path.strip("/")[:-1], "%C3%BC"):
        answer = ask(page, token=token)
        assert answer.status == 403 and b"globe" not in answer.body
    assert page.address.startswith("http://127.0.0.1:") and len(page.address) > 40
    with pytest.raises(OSError):  # another address of this machine
        socket.create_connection(("127.0.0.2", page.port), timeout=2)


def test_the_page_needs_no_other_host(page: ViewServer) -> None:
    for name in ("index.html", "viewer.css", "viewer.js"):
        text = (files("talkingface.apps.viewer") / "page" / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text), name
        answer = ask(page, "" if name == "index.html" else name)
        assert answer.body.decode() == text
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "http" not in policy and "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


class _Page(HTMLParser):
    """Ids, controls and what labels them."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.controls: list[dict[str, str | None]] = []
        self.inside_label = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids += [name for name in (found.get("id"),) if name]
        self.inside_label += tag == "label"
        if tag == "label" and found.get("for"):
            self.labelled.add(str(found["for"]))
        if tag in ("input", "select"):
            named = bool(self.inside_label or found.get("aria-label"))
            self.controls.append({**found, "named": "yes" if named else None})

    def handle_endtag(self, tag: str) -> None:
        self.inside_label -= tag == "label"


def test_every_control_is_named_for_screen_readers_and_known_to_the_script() -> None:
    folder = files("talkingface.apps.viewer") / "page"
    html, script = ((folder / name).read_text(encoding="utf-8") for name in ("index.html", "viewer.js"))
    page = _Page()
    page.feed(html)
    assert len(page.ids) == len(set(page.ids))
    for control in page.controls:
        assert control["named"] or control.get("id") in page.labelled, control
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(page.ids)
    assert {name for control in page.controls if (name := control.get("id"))} <= set(re.findall(r'"([\w-]+)"', script))
    assert 'lang="en"' in html and "width=device-width" in html


@pytest.mark.skipif(shutil.which("node") is None, reason="node.js checks the script")
def test_the_script_parses(tmp_path: Path) -> None:
    script = tmp_path / "viewer.mjs"
    script.write_bytes((files("talkingface.apps.viewer") / "page" / "viewer.js").read_bytes())
    subprocess.run(["node", "--check", str(script)], check=True)


def test_facts_name_what_can_be_moved(page: ViewServer) -> None:
    facts = json.loads(ask(page, "facts.json").body)
    assert (facts["frames"], facts["fps"], facts["size"], facts["sound"]) == (40, 25.0, [96, 96], True)
    assert facts["movements"][0] == {"column": 0, "negative": "mouth open", "positive": "mouth shut"}
    assert len(facts["movements"]) >= 6 and facts["landmarks"] and facts["colours"]
    assert facts["settings"] == [{"name": "samples", "low": 1, "high": 8, "default": 4, "whole": True}]


def test_names_of_movements_are_what_they_do() -> None:
    from talkingface.face.landmarks68 import mesh478_landmarks
    from talkingface.face.mesh478_space import MESH478

    def points(column: int, value: float) -> np.ndarray:
        expression = np.zeros((1, 20), np.float32)
        expression[0, column] = value
        return mesh478_landmarks(Motion(space="mesh478", expression=expression, pose=None, blink=None, fps=25.0))[0]

    def grows(word: str, measure: Any) -> None:
        (movement,) = [m for m in MESH478.movements if word in (m.negative, m.positive)]
        sign = 2.0 if word == movement.positive else -2.0
        assert measure(points(movement.column, sign)) > measure(points(movement.column, 0)) + 0.01, word

    grows("mouth open", lambda p: p[66, 1] - p[62, 1])
    grows("smile", lambda p: p[54, 0] - p[48, 0])
    grows("lips spread", lambda p: p[54, 0] - p[48, 0])
    grows("upper lip raised", lambda p: -p[62, 1])
    grows("mouth right", lambda p: p[57, 0])
    grows("chin up", lambda p: -p[8, 1])
    grows("brows raised", lambda p: -p[17:27, 1].mean())


def test_the_sound_comes_whole_and_in_parts(page: ViewServer) -> None:
    whole = ask(page, "voice.wav").body
    with wave.open(io.BytesIO(whole)) as sound:
        assert sound.getnchannels() == 1
        assert sound.getnframes() / sound.getframerate() == pytest.approx(1.6, abs=0.01)
    part = ask(page, "voice.wav", Range="bytes=100-299")
    assert (part.status, part.body) == (206, whole[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(whole)}"
    assert ask(page, "voice.wav", Range="bytes=1000-").body == whole[1000:]
    assert ask(page, "voice.wav", Range=f"bytes={len(whole)}-").status == 416


def test_a_motion_is_shown_as_a_voice_is(globe: Path, tmp_path: Path, voice: np.ndarray) -> None:
    expression = np.zeros((5, 20), np.float32)
    expression[:, 0] = 1
    moved = Motion(space="mesh478", space_version=2, expression=expression, pose=None, blink=None, fps=25.0)
    save_motion(tmp_path / "m.npz", moved)
    for moving in (moved, tmp_path / "m.npz"):
        with talkingface.view(globe, moving) as page:
            np.testing.assert_allclose(middle(draw(page)), [127.5, 127.5, 0], atol=TOLERANCE)
            assert ask(page, "voice.wav").status == 404
    with talkingface.view(globe, moved, speech=Audio(samples=voice[None], rate_hz=16000)) as page:
        assert page.viewing.num_frames == 5 and len(ask(page, "voice.wav").body) == 44 + 2 * len(voice)
    with talkingface.view(globe) as page:
        assert page.viewing.num_frames == 250 and page.viewing.speech is None
    with talkingface.view(globe, Audio(samples=np.stack([voice, voice]), rate_hz=16000)) as page:
        assert len(ask(page, "voice.wav").body) == 44 + 2 * len(voice)


def test_several_pages_are_served_over_lasting_connections(page: ViewServer) -> None:
    seen: dict[str, list[float]] = {}

    def look(name: str, yaw: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
        for number in range(12):
            body = json.dumps({"page": name, "number": number, "view": {"yaw": yaw}})
            connection.request("POST", urlsplit(page.address).path + "frame", body)
            answer = connection.getresponse()
            seen.setdefault(name, []).append(middle(from_jpeg(answer.read()).astype(int))[1])
        connection.close()

    threads = [threading.Thread(target=look, args=(f"p{k}", -0.5 + 0.5 * k)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(3):
        np.testing.assert_allclose(seen[f"p{k}"], (0.25 + 0.25 * k) * 255, atol=TOLERANCE)


def test_of_waiting_wishes_of_a_page_only_the_newest_is_drawn() -> None:
    turns, drawn, busy, go = Turns(), [], threading.Event(), threading.Event()

    def first() -> None:
        with turns.take("a", 0) as mine:
            assert mine
            busy.set()
            go.wait(10)

    def later(page: str, number: int) -> None:
        with turns.take(page, number) as mine:
            drawn.append((page, number, mine))

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert busy.wait(10)
    for page, number in (("a", 1), ("b", 0), ("a", 2), ("a", 3)):
        threads.append(threading.Thread(target=later, args=(page, number)))
        threads[-1].start()
        while turns._newest.get(page) != number:
            pass
    for thread in (threads[1], threads[3]):
        thread.join(10)  # given up at once, while the renderer is busy
    assert sorted(drawn) == [("a", 1, False), ("a", 2, False)]
    go.set()
    for thread in threads:
        thread.join(10)
    assert drawn[2:] == [("a", 3, True), ("b", 0, True)]  # page a waited first
    with turns.take("a", 2) as mine:
        assert not mine  # came late


def test_it_ends_and_frees_its_port(globe: Path) -> None:
    with talkingface.view(globe) as page:
        port = page.port
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        kept.request("GET", urlsplit(page.address).path)
        assert kept.getresponse().read()
        with pytest.raises(OutputError, match="name another with --port"):
            talkingface.view(globe, port=port)
    page.close()
    with pytest.raises((http.client.HTTPException, OSError)):
        kept.request("GET", urlsplit(page.address).path)
        kept.getresponse()
    with talkingface.view(globe, port=port) as again:
        assert again.port == port and again.address != page.address
        again_thread = again._thread
    assert not again_thread.is_alive()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_the_address_and_ends_on_ctrl_c(globe: Path, voice_file: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-m", "talkingface.apps.cli", "view", str(globe), str(voice_file), "--no-open"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert running.stdout is not None
        assert select.select([running.stdout], [], [], 60)[0]
        address = running.stdout.readline().strip()
        port = urlsplit(address).port
        connection = http.client.HTTPConnection("127.0.0.1", port or 0, timeout=20)
        connection.request("GET", urlsplit(address).path + "facts.json")
        assert json.loads(connection.getresponse().read())["system"] == "globe"
        connection.close()
        running.send_signal(end)
        assert running.wait(20) == (0 if end == signal.SIGINT else 143)
        assert running.stderr is not None and "Traceback" not in running.stderr.read()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port or 0), timeout=2)
    finally:
        running.kill()
        running.communicate()


def test_bad_requests_are_one_line_before_any_work(
    globe: Path, photo: Path, tmp_path: Path, voice_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = tmp_path / "flat.avatar"
    save_avatar(flat, Avatar(system="meter", card={"kind": "photo"}, tensors={"base": np.zeros((8, 8, 3), np.uint8)}))
    (tmp_path / "no.npz").write_bytes(b"nothing")
    for code, words, *arguments in (
        (2, "cannot be viewed from all around", flat),
        (2, "make an avatar of it first", photo, "--system", "globe"),
        (2, "cannot be viewed from all around", photo),
        (3, "there is no file", tmp_path / "gone"),
        (3, "is not a motion file", globe, tmp_path / "no.npz"),
        (3, "there is no file", globe, tmp_path / "gone.wav"),
        (5, "", globe, photo),
        (2, "transparent is for files", globe, "--background", "transparent"),
        (2, "leave it out where a voice moves", globe, voice_file, "--speech", voice_file),
        (2, "port must be", globe, "--port", "70000"),
        (2, "neither keep", globe, "--background", "no colour"),
    ):
        assert main(["view", *map(str, arguments), "--no-open"]) == code, words
        said = capsys.readouterr()
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and words in said.err, said.err
        assert said.out == ""
    silent = Motion(space="mesh478", expression=np.zeros((5, 20), np.float32), pose=None, blink=None, fps=25.0)
    with pytest.raises(UsageError, match="leave --pose-scale out"):
        talkingface.view(globe, silent, pose_scale=0.5)
    with pytest.raises(UsageError, match="not in pieces"):
        talkingface.view(globe, iter([make_voice(1.0)]))
    with pytest.raises(SpeechError):
        talkingface.view(globe, Audio(samples=np.zeros((1, 100), np.float32), rate_hz=16000))
    with pytest.raises(UsageError, match="did you mean"):
        talkingface.view(globe, voice_file, backgroun="red")


def test_wishes_are_read_as_they_are_written() -> None:
    wish = read_wish(b'{"page": "a", "number": 3, "view": {"pan_x": 0.5, "settings": {"samples": 2}}, "closure": null}')
    assert (wish.page, wish.number) == ("a", 3)
    assert wish.shot == Shot(view=View(pan_x=0.5, settings={"samples": 2.0}))
