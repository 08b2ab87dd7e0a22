"""Certificates for signing: a chain of two made on the spot, and what has to be known about chains of others."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from talkingface.core.errors import InputError

VALID_DAYS = 3650
"""C2PA asks for no end. A certificate that ends makes its owner renew it; ten years is longer than most computers."""
BEFORE = timedelta(days=2)
"""Chains begin so long before they are made: clocks of two systems on one computer differ by a time zone."""
_EC_ALGORITHMS = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True, slots=True)
class Chain:
    """A certificate chain, signer first."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def pem(self) -> bytes:
        """All of it, one after the other."""
        return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in self.certificates)

    @property
    def signer(self) -> x509.Certificate:
        """The certificate that signs."""
        return self.certificates[0]

    @property
    def root_pem(self) -> bytes:
        """The last certificate: what others have to trust."""
        return self.certificates[-1].public_bytes(serialization.Encoding.PEM)

    @property
    def name(self) -> str:
        """The signer's organisation, or else its common name."""
        return name_of(self.signer.subject)

    @property
    def serial(self) -> str:
        """The signer's serial number in decimal digits, as credentials show it."""
        return str(self.signer.serial_number)

    def algorithm(self) -> str:
        """How C2PA calls the algorithm of the signer's key. Raises InputError for a key that C2PA does not take."""
        key = self.signer.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _EC_ALGORITHMS:
            return _EC_ALGORITHMS[key.curve.name]
        if isinstance(key, rsa.RSAPublicKey):
            return "ps256"
        if isinstance(key, ed25519.Ed25519PublicKey):
            return "ed25519"
        raise InputError("the certificate's key must be of a NIST curve (P-256, P-384, P-521), RSA or Ed25519")

    def problem(self, now: datetime) -> str | None:
        """Why it cannot sign at `now`: a sentence for the user, or None."""
        for certificate in self.certificates:
            if now > certificate.not_valid_after_utc:
                return f"the certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}"
            if now < certificate.not_valid_before_utc:
                return (
                    f"the computer's clock says {now:%Y-%m-%d}, but the certificate begins on "
                    f"{certificate.not_valid_before_utc:%Y-%m-%d}"
                )
        return None


def name_of(name: x509.Name) -> str:
    """The organisation of a name in a certificate, or else its common name."""
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        if found := name.get_attributes_for_oid(oid):
            return str(found[0].value)
    return ""


def read_chain(pem: bytes, name: str) -> Chain:
    """The certificates in `pem`, signer first; `name` begins the sentence of the InputError where there is none."""
    try:
        return Chain(tuple(x509.load_pem_x509_certificates(pem)))
    except ValueError as error:
        raise InputError(f"{name} holds no readable certificate (PEM)") from error


def read_key(pem: bytes, chain: Chain, name: str) -> Any:
    """The private key in `pem`, which must belong to the signer of `chain`. Raises InputError."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise InputError(f"{name} holds no readable private key (PEM, without a password)") from error
    plain = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*plain) != chain.signer.public_key().public_bytes(*plain):
        raise InputError(f"the private key in {name} does not belong to its certificate")
    return key


def make_chain(now: datetime | None = None) -> tuple[bytes, Chain]:
    """A new private key (PEM) and its chain: a certificate for signing, and the root that it was issued by.

    The root's own key is thrown away: nothing else can be issued in its name. Names in it say nothing about the user.
    """
    now = datetime.now(timezone.utc) if now is None else now
    organisation = f"talkingface installation {secrets.token_hex(3)}"
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = _name("root", organisation), _name("signer", organisation)
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    root = _certificate(root_name, root_name, root_key, now, _key_usage("key_cert_sign", "crl_sign"))
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    signer = _certificate(name, root_name, key, now, _key_usage("digital_signature"))
    signer = signer.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    # C2PA takes this purpose of certificates that are on no list of its own
    signer = signer.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    signer = signer.add_extension(authority, critical=False)
    return key_pem(key), Chain(tuple(builder.sign(root_key, hashes.SHA256()) for builder in (signer, root)))


def key_pem(key: Any) -> bytes:
    """A private key as PEM, without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(role: str, organisation: str) -> x509.Name:
    attributes = {NameOID.COMMON_NAME: f"talkingface {role}", NameOID.ORGANIZATION_NAME: organisation}
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes.items()])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, usage: x509.KeyUsage
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - BEFORE).not_valid_after(now + timedelta(days=VALID_DAYS))
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return builder.add_extension(usage, critical=True)


def _key_usage(*purposes: str) -> x509.KeyUsage:
    known = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{purpose: purpose in purposes for purpose in known})
