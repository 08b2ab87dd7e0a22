"""Signatures by an `Identity`: with its key, or by the command that has it; and checking them."""

from __future__ import annotations

import shlex
import subprocess

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from talkingface.core.errors import OutputError
from talkingface.trust.certificates import Chain
from talkingface.trust.identity import Identity

_COMMAND_S = 60.0
_LENGTHS = {"es256": 32, "es384": 48, "es512": 66}
_HASHES = {"es256": hashes.SHA256(), "es384": hashes.SHA384(), "es512": hashes.SHA512()}
_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)


def sign_bytes(identity: Identity, data: bytes) -> bytes:
    """The signature of `data` as COSE has it: of a curve two numbers of fixed length. Raises OutputError."""
    algorithm = identity.chain.algorithm()
    if identity.command is not None:
        return _plain(_by_command(identity.command, data), algorithm)
    key = serialization.load_pem_private_key(identity.key or b"", None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _plain(key.sign(data, ec.ECDSA(_HASHES[algorithm])), algorithm)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _PSS, hashes.SHA256())
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.sign(data)


def try_out(identity: Identity) -> None:
    """Sign a few bytes and check the signature. Raises OutputError if that does not go, or goes with another key than
    that of the certificate."""
    data = b"talkingface"
    if not is_signed(identity.chain, sign_bytes(identity, data), data):
        raise OutputError(
            "the signing command does not have the key of the certificate; name the certificate of its key"
        )


def is_signed(chain: Chain, signature: bytes, data: bytes) -> bool:
    """Whether `signature` is that of `data` by the first certificate of `chain`. Raises InputError for its kind."""
    algorithm, key = chain.algorithm(), chain.signer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            half = _LENGTHS[algorithm]
            numbers = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
            key.verify(encode_dss_signature(*numbers), data, ec.ECDSA(_HASHES[algorithm]))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _PSS, hashes.SHA256())
        else:
            assert isinstance(key, ed25519.Ed25519PublicKey)
            key.verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _by_command(command: str, data: bytes) -> bytes:
    """Signing by a program: it reads what is to be signed and writes the signature. Raises OutputError."""
    try:
        done = subprocess.run(shlex.split(command), input=data, capture_output=True, timeout=_COMMAND_S)
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise OutputError(f"the signing command cannot be run: {error}") from error
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with code {done.returncode}"]
        raise OutputError(f"the signing command failed: {said[-1]}")
    return done.stdout


def _plain(signature: bytes, algorithm: str) -> bytes:
    """A signature on a curve as two numbers; programs mostly write DER. Raises OutputError."""
    length = _LENGTHS.get(algorithm)
    if length is None or len(signature) == 2 * length:
        return signature
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    except (ValueError, OverflowError) as error:
        raise OutputError(f"the signing command wrote no signature of the kind {algorithm}") from error
