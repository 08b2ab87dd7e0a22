"""Links lead somewhere, and the commands in the documentation are commands of the program."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest

from docs.pages import PAGES, ROOT, Block, anchors, blocks, prose
from talkingface.apps.cli import VERBS, make_parser
from talkingface.core import errors


def _commands() -> list[tuple[str, Block]]:
    lines = [(line.strip(), block) for block in blocks("sh") for line in block.text.splitlines()]
    return [(line.removeprefix(".venv/bin/"), block) for line, block in lines if "talkingface " in f"{line} "]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), f"{page.name} links to {target}, which is not there"
        assert not anchor or anchor in anchors(linked), f"{page.name}: {linked.name} has no heading {anchor}"


def test_every_page_can_be_reached_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        seen.add(page)
        linked = [(page.parent / name).resolve() for name in re.findall(r"\]\(([^)#\s]+\.md)", prose(page))]
        todo += [other for other in linked if other not in seen and other.exists()]
    # the README names the folder of the systems' pages: a system's page alone makes it complete
    named = {page for page in PAGES if str(page.relative_to(ROOT)) in text or page.parent.name == "systems"}
    assert set(PAGES) <= seen | named


@pytest.mark.parametrize(("command", "block"), _commands(), ids=[line for line, _ in _commands()])
def test_commands_parse(command: str, block: Block) -> None:
    words = shlex.split(command, comments=True)
    assert words[0] == "talkingface", f"{block}: {command}"
    make_parser().parse_args(words[1:])


def test_commands_outside_blocks_parse_too() -> None:
    for page in PAGES:
        for command in re.findall(r"`talkingface ([^`]+)`", prose(page)):
            if not re.search(r"\b[A-Z]{3,}\b|\.\.\.", command) and " -" in command:
                make_parser().parse_args(shlex.split(command))
            else:
                assert command.split()[0] in VERBS or command.split()[0].isupper(), f"{page.name}: {command}"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for block in blocks("sh"):
        for target in re.findall(r"^make ([\w-]+)", block.text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{block}: make {target}"


def test_the_command_reference_is_complete_and_has_nothing_else() -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(VERBS)
    (verbs,) = [action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for name, parser in verbs.choices.items():
        real = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        rows = re.findall(r"^\| `(-[^`]+)`", sections[name], re.MULTILINE)
        assert {word.rstrip(",") for row in rows for word in row.split() if word.startswith("-")} == real, name


def test_the_table_of_exit_codes_is_the_code() -> None:
    page = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")
    listed = {name: int(code) for code, name in re.findall(r"^\| (\d+) \| `(\w+)` \|", page, re.MULTILINE)}
    real = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.TalkingFaceError)
    }
    assert listed == real


def test_files_named_in_the_architecture_exist() -> None:
    page = (ROOT / "docs" / "design" / "architecture.md").read_text(encoding="utf-8")
    places = [ROOT / "src" / "talkingface", ROOT]
    for line in page.splitlines():
        names = re.findall(r"`([\w/.-]+(?:\.py|\.md|/))`", line)
        for name in names:
            beside = [place / Path(other).parent for other in names if "/" in other for place in places]
            assert any((place / name).exists() for place in (*places, *beside)), name


def test_the_tree_of_the_architecture_is_the_package() -> None:
    page = (ROOT / "docs" / "design" / "architecture.md").read_text(encoding="utf-8")
    tree = re.findall(r"(?:^  |\|  )(\w+)/ ", page.partition("```")[2].partition("```")[0], re.MULTILINE)
    package = ROOT / "src" / "talkingface"
    assert sorted(tree) == sorted(path.parent.name for path in package.glob("*/__init__.py"))


def test_places_named_in_the_readme_exist() -> None:
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What lies where")[2]
    for cell in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[2:]:
        base = Path()
        for name in re.findall(r"`([^`]+)`", cell):
            if not (ROOT / name).exists():
                name = str(base / name)  # `src/talkingface/audio/`, `video/`: beside the first
            assert (ROOT / name).exists(), name
            base = Path(name).parent


def _printed_texts() -> list[str]:
    """Every string of the package, the parts of f-strings apart; and what `make` prints."""
    texts = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for path in (ROOT / "src" / "talkingface").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        texts += [str(node.value) for node in nodes if isinstance(node, ast.Constant)]
    return texts


def test_messages_named_among_the_problems_are_printed() -> None:
    page = (ROOT / "docs" / "how-to" / "problems.md").read_text(encoding="utf-8")
    texts = _printed_texts()
    for cell in re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE):
        for message in re.findall(r"`([^`]+)`", cell):
            for part in message.split("..."):
                assert any(part.strip() in text for text in texts), message
