"""Who signs: this installation, by a key and a chain of certificates made on first use, or the user's own certificate.

The installation's lie in one file, `trust/identity.pem` of the user's configuration, which only the user may read. The
user's own are named by environment variables, or stored by `talkingface trust init`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes

from talkingface.core.cache import config_dir, output_error, user_path, write_atomic
from talkingface.core.config import parse_json
from talkingface.core.errors import InputError, OutputError, UsageError, warn_once
from talkingface.core.work_folder import WorkFolder
from talkingface.trust.certificates import Chain, key_pem, make_chain, read_chain, read_key

VARIABLES = {
    "certificate": "TALKINGFACE_SIGN_CERT",
    "key": "TALKINGFACE_SIGN_KEY",
    "command": "TALKINGFACE_SIGN_COMMAND",
    "timestamp_url": "TALKINGFACE_TIMESTAMP_URL",
}
"""Environment variables of the user's own means; each comes before what `talkingface trust init` stored."""
_WAIT_S = 20.0
_OR_NEW = ", or make a new key with: talkingface trust init --new"
_making = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What signs: a chain and the private key (PEM) of its first certificate, or a command that has the key.

    `origin`: "installation", "run" (made for this run, because nothing can be stored) or "own" (the user's).
    """

    chain: Chain
    key: bytes | None
    origin: str
    command: str | None = None
    timestamp_url: str | None = None


def trust_folder() -> Path | None:
    """The folder of keys and certificates; None for a user without a home folder. It may not exist yet."""
    folder = config_dir()
    return None if folder is None else folder / "trust"


def signing_identity() -> Identity:
    """What signs results here. Makes the installation's key on first use.

    Where nothing can be stored, or the clock stands before the certificate's time, a key for this run is used, with a
    warning. A certificate of the installation that has ended is replaced. Raises OutputError, with what to do, for a
    key that others may read, a damaged one, and for a certificate of the user's own that cannot be used.
    """
    own = own_means()
    timestamp_url = own.get("timestamp_url")
    if "certificate" in own or "key" in own or "command" in own:
        return own_identity(own)
    folder = trust_folder()
    if folder is None:
        return _for_this_run("there is no home folder", timestamp_url)
    try:
        found = _stored(folder) or _make(folder)
    except OSError as error:
        return _for_this_run(f"{folder} cannot be written: {(error.strerror or '').lower()}", timestamp_url)
    now = datetime.now(timezone.utc)
    if now > found.chain.signer.not_valid_after_utc:
        with _reported(folder):
            found = _make(folder, instead_of=found.chain.serial)
        warn_once(f"the signing certificate had ended; a new one was made in {folder}")
    elif problem := found.chain.problem(now):
        return _for_this_run(f"{problem}; set the clock", timestamp_url)
    return Identity(chain=found.chain, key=found.key, origin=found.origin, timestamp_url=timestamp_url)


def lasting_identity() -> Identity:
    """`signing_identity`, but raises OutputError where that is a key for this run, which nobody else need know."""
    found = signing_identity()
    if found.origin == "run":
        raise OutputError(
            "this needs a key that lasts; set TALKINGFACE_CONFIG to a writable folder, or do what the note says"
        )
    return found


def new_identity() -> Identity:
    """A new key for this installation in place of the one it has, whose certificate stays trusted here. Raises
    OutputError."""
    folder = trust_folder()
    if folder is None:
        raise OutputError("there is no home folder to keep a key in; set TALKINGFACE_CONFIG to a writable folder")
    with _reported(folder):
        return _make(folder, anew=True)


def own_means() -> dict[str, str]:
    """The user's own certificate, key, signing command and time-stamp address, as far as there are any."""
    folder, found = trust_folder(), {}
    if folder is not None and os.path.isfile(file := folder / "settings.json"):
        try:
            stored = parse_json(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError, InputError) as error:
            raise OutputError(f"cannot read {file}; run talkingface trust init again") from error
        if isinstance(stored, dict):
            found = {name: str(stored[name]) for name in VARIABLES if stored.get(name)}
    named = {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}
    if "certificate" in named:  # its key is named beside it, or nowhere
        found = {name: value for name, value in found.items() if name == "timestamp_url"}
    return found | named


def store_own_means(means: dict[str, str]) -> Path:
    """Keep the user's own means for later runs, after a look at them; an empty dict forgets what was kept. Raises
    OutputError."""
    paths = {name: os.path.abspath(user_path(means[name])) for name in ("certificate", "key") if name in means}
    means = {**means, **paths}  # later runs begin elsewhere
    if "certificate" in means or "key" in means or "command" in means:
        own_identity(means)
    folder = trust_folder()
    if folder is None:
        raise OutputError("there is no home folder to keep settings in; set TALKINGFACE_CONFIG to a writable folder")
    with _reported(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with write_atomic(folder / "settings.json", "w", private=True) as file:
        json.dump(means, file, indent=2)
        file.write("\n")
    return folder / "settings.json"


def described() -> dict[str, Any]:
    """Who signs, from when to when, where the key lies, and the fingerprint of what others have to trust; JSON-ready.
    Makes the installation's key if there is none."""
    identity = signing_identity()
    signer, root = identity.chain.signer, identity.chain.certificates[-1]
    places = {"installation": str(trust_folder()), "run": "nowhere: this key is for one run"}
    facts: dict[str, Any] = {
        "signer": identity.chain.name,
        "origin": identity.origin,
        "key": places.get(identity.origin) or identity.command or own_means().get("key", ""),
        "valid_from": f"{signer.not_valid_before_utc:%Y-%m-%d}",
        "valid_until": f"{signer.not_valid_after_utc:%Y-%m-%d}",
        "serial": identity.chain.serial,
        "root_sha256": root.fingerprint(hashes.SHA256()).hex(),
        "time_stamps": identity.timestamp_url or "none",
    }
    if earlier := [chain.serial for chain in known_chains() if chain.serial != identity.chain.serial]:
        facts["earlier"] = earlier
    return facts


def known_chains() -> list[Chain]:
    """The chains of this installation: the one that signs now and those before it. Nothing is made."""
    folder, found = trust_folder(), []
    if folder is None:
        return []
    for name in ("identity.pem", "earlier.pem"):
        with contextlib.suppress(OSError, InputError, UnicodeDecodeError):
            chain = _chain_in(folder / name)
            pairs = zip(chain.certificates[::2], chain.certificates[1::2], strict=False)
            found += [Chain(pair) for pair in pairs]
    return found


def known_signers() -> list[tuple[Chain, str]]:
    """Chains whose signatures are known here, and as what: of this installation, and the user's own certificate."""
    found = [(chain, "this installation") for chain in known_chains()]
    with contextlib.suppress(OSError, InputError, OutputError):
        place = user_path(own_means()["certificate"]) if "certificate" in own_means() else None
        if place is not None:
            found.append((_chain_in(place), "your own certificate"))
    return found


def _chain_in(file: Path) -> Chain:
    return read_chain(file.read_bytes(), str(file))


def own_identity(means: dict[str, str]) -> Identity:
    """The user's own certificate with its key or command. Raises OutputError."""
    if "certificate" not in means:
        raise OutputError(
            f"a signing key or command needs its certificates: give --certificate, or set {VARIABLES['certificate']}"
        )
    if "key" not in means and "command" not in means:
        raise OutputError(
            f"the certificate {means['certificate']} needs its key or a signing command: give --key or --command, or "
            f"set {VARIABLES['key']} or {VARIABLES['command']}"
        )
    place = user_path(means["certificate"])
    try:
        chain = read_chain(place.read_bytes(), str(place))
        chain.algorithm()
        key = None
        if "command" not in means:
            _check_private(user_path(means["key"]), "")
            key = key_pem(read_key(user_path(means["key"]).read_bytes(), chain, means["key"]))
    except OSError as error:
        raise OutputError(f"cannot sign: {error.filename} cannot be read ({(error.strerror or '').lower()})") from error
    except InputError as error:
        raise OutputError(f"cannot sign: {error}") from error
    if problem := chain.problem(datetime.now(timezone.utc)):
        raise OutputError(f"cannot sign with {place}: {problem}")
    return Identity(
        chain=chain, key=key, origin="own", command=means.get("command"), timestamp_url=means.get("timestamp_url")
    )


def _stored(folder: Path) -> Identity | None:
    """The installation's identity, None if it has none yet. Raises OutputError for one that must not be used."""
    file = folder / "identity.pem"
    try:
        _check_private(file, _OR_NEW)
        pem = file.read_bytes()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise OutputError(f"the signing key {file} may not be read; run: chmod 600 {file}{_OR_NEW}") from error
    try:
        chain = read_chain(pem, str(file))
        key = key_pem(read_key(pem, chain, str(file)))
    except InputError as error:
        raise OutputError(f"{error}; make a new key with: talkingface trust init --new") from error
    return Identity(chain=chain, key=key, origin="installation")


def _check_private(file: Path, otherwise: str) -> None:
    """Raise OutputError if others may read or change a private key. Windows keeps users' folders apart by itself."""
    status = file.stat()
    if sys.platform != "win32" and status.st_mode & 0o077:
        raise OutputError(f"the signing key {file} can be read by others; run: chmod 600 {file}{otherwise}")


def _make(folder: Path, *, instead_of: str | None = None, anew: bool = False) -> Identity:
    """A new key in the folder; or the one of another run that was quicker, if it is not `instead_of`, the serial of a
    chain that has to give way. `anew`: in any case. Raises OSError, OutputError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with alone(folder):
        present = None
        with contextlib.suppress(OSError, InputError):
            present = _chain_in(folder / "identity.pem")
        if not anew and (instead_of is None or present is None or present.serial != instead_of):
            found = _stored(folder)
            if found is not None:
                return found
        if present is not None:
            earlier = present.pem
            with contextlib.suppress(FileNotFoundError):
                earlier += (folder / "earlier.pem").read_bytes()
            _write(folder / "earlier.pem", earlier)
        key, chain = make_chain()
        _write(folder / "identity.pem", key + chain.pem)
        return Identity(chain=chain, key=key, origin="installation")


def _write(file: Path, data: bytes) -> None:
    """Write a private file. Raises OSError where the folder refuses, unlike `write_atomic` itself."""
    try:
        with write_atomic(file, private=True) as opened:
            opened.write(data)
    except OutputError as error:
        raise error.__cause__ or error from None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other threads and processes out of the folder of keys meanwhile. Raises OSError, OutputError."""
    end_s = time.monotonic() + _WAIT_S
    while True:
        try:
            work = WorkFolder(folder / ".making", "the signing key")
            break
        except UsageError:
            if time.monotonic() > end_s:
                raise OutputError(f"another run has been changing {folder} for long; stop it") from None
            time.sleep(0.02)
        except OutputError as error:
            raise error.__cause__ or error from None
    with work:
        yield


@lru_cache(1)
def _run_key() -> tuple[bytes, Chain]:
    return make_chain()


def _for_this_run(reason: str, timestamp_url: str | None) -> Identity:
    """An identity that lasts as long as this process."""
    warn_once(
        f"results are signed with a key for this run, which nothing will recognise later ({reason}); "
        "TALKINGFACE_CONFIG names another folder for keys"
    )
    with _making:
        key, chain = _run_key()
    return Identity(chain=chain, key=key, origin="run", timestamp_url=timestamp_url)


@contextlib.contextmanager
def _reported(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise output_error(folder / "identity.pem", error) from error
