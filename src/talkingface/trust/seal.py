"""The seal: a signature over every byte of a file, in its last box.

C2PA leaves some bytes out of its hashes: the file type box, labels of boxes within the manifest, padding. In a small
video that is every sixth byte. So the manifest of a result names a public key made for that file alone, and the file
ends with a signature by it, in a `free` box, which players and other readers of C2PA skip.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature

_MAGIC = b"talkingface seal 1\n"
_HEAD = (8 + len(_MAGIC) + 64).to_bytes(4, "big") + b"free" + _MAGIC
LENGTH = len(_HEAD) + 64
"""Bytes of the box."""
_SIGNS = ec.ECDSA(Prehashed(hashes.SHA256()))


class Seal:
    """A key for one file: `public` goes into the manifest, `close` ends the file."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        form = serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
        self.public = self._key.public_key().public_bytes(*form).hex()

    def close(self, file: Path, *, beside: Sequence[Path] = ()) -> None:
        """Append the seal over `beside` and then `file` to `file`. Raises OSError."""
        r, s = decode_dss_signature(self._key.sign(_digest([*beside, file]), _SIGNS))
        with open(file, "ab") as opened:
            opened.write(_HEAD + r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def unsealed(data: bytes) -> bytes:
    """The bytes of a file without its seal, if it has one."""
    return data[:-LENGTH] if data[-LENGTH:].startswith(_HEAD) else data


def has_seal(file: Path) -> bool:
    """Whether the file ends with a seal, intact or not. Raises OSError."""
    return _tail(file).startswith(_HEAD)


def is_intact(file: Path, public: str, *, beside: Sequence[Path] = ()) -> bool:
    """Whether the file ends with a seal by the key `public` over the bytes before it as they are. Raises OSError."""
    tail = _tail(file)
    if not tail.startswith(_HEAD):
        return False
    value = tail[len(_HEAD) :]
    signature = encode_dss_signature(int.from_bytes(value[:32], "big"), int.from_bytes(value[32:], "big"))
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(public))
        key.verify(signature, _digest([*beside, file], without_end=LENGTH), _SIGNS)
    except (InvalidSignature, ValueError):
        return False
    return True


def _tail(file: Path) -> bytes:
    with open(file, "rb") as opened:
        opened.seek(max(0, os.fstat(opened.fileno()).st_size - LENGTH))
        return opened.read(LENGTH)


def _digest(files: Sequence[Path], without_end: int = 0) -> bytes:
    """SHA-256 over files, the last without so many bytes at its end."""
    digest = hashlib.sha256()
    for number, file in enumerate(files):
        with open(file, "rb") as opened:
            left = os.fstat(opened.fileno()).st_size - (without_end if number == len(files) - 1 else 0)
            while block := opened.read(min(left, 1 << 20)):
                digest.update(block)
                left -= len(block)
    return digest.digest()
