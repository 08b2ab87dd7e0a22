"""Is a file synthetic, and is it as it was made? Three answers that do not depend on each other, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from talkingface.core.cache import user_path
from talkingface.core.errors import InputError
from talkingface.trust.certificates import read_chain
from talkingface.trust.ledger import Entry, find_results
from talkingface.trust.reading import CredentialsFinding, check_credentials
from talkingface.video.container import check_file
from talkingface.video.image import is_image
from talkingface.video.tags import read_tags

Verdict = Literal["intact", "altered", "nothing", "tampered"]
EXIT_CODES: dict[Verdict, int] = {"intact": 0, "altered": 10, "nothing": 11, "tampered": 12}
VERDICTS: dict[Verdict, str] = {
    "intact": "synthetic, and as it was made",
    "altered": "synthetic; it is not as it was made, or nothing is left that could show it",
    "nothing": "nothing was found that says it is synthetic, which does not mean that it is real",
    "tampered": "it has credentials that do not hold: they or the file were changed",
}
_LONGEST = 200  # characters of what a file says that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAnswer:
    """What the search for the invisible mark gave: `trust.mark.MarkFinding`, or why there was none ("not_looked_for").

    `payload` are the 48 bits that name the job; `detail` is a sentence.
    """

    state: Literal["found", "too_short", "not_found", "not_looked_for"]
    detail: str
    payload: int | None = None
    score: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataAnswer:
    """What the container's metadata says: `made_by` in words, and what was left out on purpose, with the reason."""

    state: Literal["synthetic", "none"]
    made_by: str = ""
    withheld: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify` found out about a file."""

    path: Path
    verdict: Verdict
    credentials: CredentialsFinding
    mark: MarkAnswer
    metadata: MetadataAnswer
    ledger: tuple[Entry, ...] = ()
    """Results of this installation whose mark has the same payload, where the credentials do not tell."""

    @property
    def exit_code(self) -> int:
        """Of the command `talkingface verify`: 0 synthetic and intact, 10 synthetic but altered, 11 nothing found, 12
        credentials tampered with."""
        return EXIT_CODES[self.verdict]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        credentials = asdict(self.credentials)
        del credentials["bom"]  # long, and a verb of its own
        credentials["place"] = None if self.credentials.place is None else str(self.credentials.place)
        if self.credentials.mark is not None:
            credentials["mark"] = {"algorithm": self.credentials.mark[0], "payload": f"{self.credentials.mark[1]:012x}"}
        mark = asdict(self.mark)
        mark["payload"] = None if self.mark.payload is None else f"{self.mark.payload:012x}"
        return {
            "file": str(self.path),
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "credentials": credentials,
            "mark": mark,
            "metadata": asdict(self.metadata),
            "ledger": [{"job": entry.job, "made": entry.made, "file": entry.file} for entry in self.ledger],
        }

    def text(self) -> str:
        """A line for the verdict, and one for each answer."""
        credentials, mark, metadata = self.credentials, self.mark, self.metadata
        state = "valid, signer unknown" if credentials.state == "valid" else credentials.state
        signer = f" ({credentials.signer})" if credentials.signer else ""
        said = metadata.made_by if metadata.state == "synthetic" else "they do not say that it is synthetic"
        without = "".join(f"; without {name}: {reason}" for name, reason in metadata.withheld.items())
        lines = [
            f"{self.path}: {VERDICTS[self.verdict]}",
            f"  credentials  {state}: {credentials.detail}{signer}",
            f"  mark         {mark.state.replace('_', ' ')}: {mark.detail}",
            f"  metadata     {metadata.state}: {said}{without}",
        ]
        lines += [f"  ledger       made here on {entry.made} as {entry.file}" for entry in self.ledger]
        return "\n".join(_printable(line) for line in lines)


def verify(path: str | Path, *, key: str | None = None, trust: Sequence[str | Path] = ()) -> Verification:
    """Look for content credentials, the invisible mark and metadata in a video, picture or sound file.

    `key`: the private key of a mark, as in TALKINGFACE_MARK_KEY; None looks for public marks, and for those of that
    variable. `trust`: files with certificates (PEM) of signers that are trusted besides this installation. Nothing is
    fetched, nothing is sent. Raises InputError if the file cannot be read.

    Example: `talkingface.verify("out.mp4").verdict`
    """
    path = user_path(path)
    check_file(path)
    if path.suffix.lower() == ".c2pa":
        raise InputError(f"{path} holds the credentials of a file beside it; verify {path.with_suffix('').name}")
    if _is_gif(path):
        raise InputError(
            f"{path} is a GIF, which holds neither credentials nor a mark; verify the video it was made from"
        )
    roots = _roots([user_path(file) for file in trust])
    credentials = check_credentials(path, roots)
    is_still = is_image(path)
    try:
        metadata = MetadataAnswer(state="none") if is_still else _metadata(read_tags(path))
        mark = _still() if is_still else _look_for_mark(path, key, credentials.mark)
    except InputError:
        if credentials.state == "none":
            raise
        metadata, mark = MetadataAnswer(state="none"), _not_looked_for("the pictures cannot be read")
    return Verification(
        path=path,
        verdict=_verdict(credentials, mark, metadata),
        credentials=credentials,
        mark=mark,
        metadata=metadata,
        ledger=tuple(_remembered(credentials, mark)),
    )


def _roots(files: Sequence[Path]) -> dict[str, bytes]:
    """Trusted certificates by the name of their file, or by its whole path where several are called the same."""
    names = [file.name for file in files]
    return {file.name if names.count(file.name) == 1 else str(file): _root(file) for file in files}


def _remembered(credentials: CredentialsFinding, mark: MarkAnswer) -> list[Entry]:
    """What this installation made with this mark, where nothing else tells."""
    if mark.payload is None or credentials.state in ("trusted", "valid"):
        return []
    return find_results(mark.payload)


def _verdict(credentials: CredentialsFinding, mark: MarkAnswer, metadata: MetadataAnswer) -> Verdict:
    if credentials.state == "broken":
        return "tampered"
    if credentials.state != "none" and credentials.is_synthetic:
        return "intact"
    if credentials.was_synthetic or mark.state == "found" or metadata.state == "synthetic":
        return "altered"
    return "nothing"


def _look_for_mark(path: Path, key: str | None, said: tuple[str, int] | None) -> MarkAnswer:
    """`said`: algorithm and payload that the credentials name. Raises InputError if the file cannot be read."""
    from talkingface.trust.mark import PUBLIC_KEY, find_mark, mark_key
    from talkingface.video.read import probe

    if not probe(path).has_video:
        return _not_looked_for("there are no pictures; sound is not marked")
    keys = [key.encode(errors="surrogateescape")] if key else list(dict.fromkeys((PUBLIC_KEY, mark_key())))
    findings = [find_mark(path, keys[0])]
    while findings[-1].state != "found" and len(findings) < len(keys):
        findings.append(find_mark(path, keys[len(findings)]))
    found = findings[-1]
    if found.state == "found" and found.payload is not None:
        detail = f"payload {found.payload:012x}, score {found.score:.1f}{', mirrored' if found.mirrored else ''}"
        if said is not None and said[1] != found.payload:  # a dubbed clip keeps the mark that it had
            detail += f"; the credentials name {said[1]:012x}: what it was made from is marked, too"
    elif found.state == "too_short":
        detail = "a mark needs about three seconds to be found"
    else:
        detail = "no mark of this key was found"
    return MarkAnswer(
        state=found.state, detail=detail, payload=found.payload, score=found.score, mirrored=found.mirrored
    )


def _not_looked_for(why: str) -> MarkAnswer:
    return MarkAnswer(state="not_looked_for", detail=why)


def _still() -> MarkAnswer:
    return _not_looked_for("this is a still picture; only videos are marked")


def _metadata(tags: Mapping[str, str]) -> MetadataAnswer:
    """This project's own tags: those of other programs mean other things."""
    made_by = tags.get("made_by", "")
    if tags.get("synthetic_media", "").lower() != "true" and not made_by.startswith("talkingface "):
        return MetadataAnswer(state="none")
    withheld = {name[3:]: value for name, value in tags.items() if name.startswith("no_")}
    return MetadataAnswer(
        state="synthetic", made_by=made_by or "by a program that does not say its name", withheld=withheld
    )


def _root(file: Path) -> bytes:
    try:
        return read_chain(file.read_bytes(), str(file)).root_pem
    except OSError as error:
        raise InputError(f"cannot read {file}: {(error.strerror or str(error)).lower()}") from error


def _is_gif(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(6) in (b"GIF87a", b"GIF89a")


def _printable(line: str) -> str:
    """Without what would move the cursor or colour a terminal: files may say anything."""
    shown = "".join(character if character.isprintable() else "?" for character in line)
    return shown if len(shown) <= 2 * _LONGEST else f"{shown[: 2 * _LONGEST]}..."
