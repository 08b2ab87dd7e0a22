"""The Python in the documentation runs: against the test plug-in, which needs no time, and the first one for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from docs.pages import ROOT, Block, blocks
from talkingface.apps.bench.command import write_speech
from talkingface.core.errors import WeightsError
from talkingface.core.samples import sample
from talkingface.core.weights import find_weights
from voices import make_voice, write_wav

PYTHON = list(blocks("python"))
RUN = [block for block in PYTHON if block.is_test]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with me.jpg and hi.wav, where the snippet runs."""
    shutil.copy(sample("portrait"), tmp_path / "me.jpg")
    write_wav(tmp_path / "hi.wav", make_voice(0.6))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_snippets_compile(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", RUN, ids=str)
@pytest.mark.usefixtures("meter", "desk")
def test_snippets_run(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkingface.api.verbs.DEFAULT_SYSTEM", "meter")
    exec(compile(block.text, str(block), "exec"), {"__name__": "snippet"})


def test_there_are_snippets_to_run() -> None:
    assert {block.page.name for block in RUN} >= {"README.md", "tutorial.md", "python.md"}


@pytest.mark.weights
def test_the_readme_snippet_runs_with_the_shipped_weights(desk: Path) -> None:
    try:
        find_weights("portrait.clean")
    except WeightsError:
        pytest.skip("no weights portrait.clean in the store")
    write_speech(sample("speech"), 0.6, desk / "hi.wav")
    (block,) = [block for block in RUN if block.page == ROOT / "README.md"]
    exec(compile(block.text, str(block), "exec"), {"__name__": "snippet"})
    assert (desk / "out.mp4").stat().st_size > 5000
