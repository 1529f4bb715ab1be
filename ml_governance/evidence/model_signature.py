"""Signatures in the format of OpenSSF Model Signing, for those who know that and not our log.

A Sigstore bundle 0.3 around a DSSE envelope around an in-toto statement whose predicate lists every file of the model with its
SHA-256 (OpenSSF Model Signing 1.0, predicate ``https://model_signing/signature/v1.0``, 2025). Our keys are of a kind that it has,
so a person signs with the key that the trust file names, wherever it is kept. Nothing here does I/O.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ml_governance.errors import DataError
from ml_governance.evidence import envelope
from ml_governance.evidence.bundle import sigstore_bundle
from ml_governance.evidence.canonical import canonicalise, sha256_hex
from ml_governance.evidence.statement import STATEMENT_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_governance.evidence.keys import Signer

PREDICATE_TYPE = "https://model_signing/signature/v1.0"


def statement(name: str, files: Sequence[tuple[str, str, int]]) -> bytes:
    """Return what is signed: every file by name and SHA-256, and a digest over their digests.

    Parameters
    ----------
    name : str
        A label for the model; verifiers do not compare it.
    files : sequence of (str, str, int)
        Names relative to the model's folder with ``/``, SHA-256 and size, as :func:`ml_governance.evidence.fingerprint.files`
        lists them. A model that is a single file has the one name ``.``.

    Raises
    ------
    DataError
        If there is no file, or a name is no Unicode.
    """
    if not files:
        raise DataError(f"{name} has no files to sign", expected="at least one")
    if strange := [one for one, _, _ in files if not one.isprintable()]:
        raise DataError(f"{name} holds a file with the name {strange[0]!r}", expected="printable Unicode")
    listed = sorted(files, key=lambda one: PurePosixPath(one[0]))
    root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest, _ in listed)).hexdigest()
    return canonicalise(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": root}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [],
                },
                "resources": [{"name": one, "algorithm": "sha256", "digest": digest} for one, digest, _ in listed],
            },
        }
    )


def signed(name: str, files: Sequence[tuple[str, str, int]], signer: Signer) -> bytes:
    """Return the signature file.

    Its hint is the SHA-256 of the key's PEM text, by which verifiers tell that they were given another key.

    Raises
    ------
    DataError
        As :func:`statement` does.
    """
    bundle = sigstore_bundle(envelope.sign(statement(name, files), [signer]))
    bundle["verificationMaterial"] = {
        "publicKey": {"hint": sha256_hex(pem_of(signer))},
        "tlogEntries": [],
    }
    return canonicalise(bundle)


def pem_of(signer: Signer) -> bytes:
    """Return the public key as verifiers read and hash it: SubjectPublicKeyInfo, PEM, with a newline behind."""
    return signer.public.pem.strip().encode() + b"\n"
