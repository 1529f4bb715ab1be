"""Signing a registered model for those who know OpenSSF Model Signing and not our log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError, DataError, VerificationError
from ml_governance.evidence import fingerprint, model_signature
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.workspace import texts
from ml_governance.workspace.config import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.head import Receipt
    from ml_governance.evidence.statement import Subject
    from ml_governance.workspace.session import Workspace


def sign_model(ws: Workspace, version: str | Subject, path: Path) -> Receipt:
    """Write the signature file, and record its digest."""
    signer = ws.require_signer()
    view = ws.view()
    texts.require_role(ws, view)
    subject = ws.resolve(version, view)
    said = ws.registration(subject, view)
    if said.registry != ws.registry.uri:
        raise ConfigurationError(
            f"{subject.name} is in the registry {said.registry}", expected=f"the workspace's own, {ws.registry.uri}"
        )
    artifact = ws.registry.artifact(said.name, said.version)
    if path.exists() or path.is_symlink():
        raise DataError(f"{path} already exists", expected="a new file")
    if path.resolve().is_relative_to(artifact.resolve()):
        raise DataError(
            f"{path} is inside the model",
            expected="a place beside it: a file more in the model's folder changes its digest",
        )
    files, found = _listed(artifact)
    if found != subject.sha256:
        raise VerificationError(
            f"the artifact has the digest sha256:{found}",
            expected=f"sha256:{subject.sha256}, which was registered",
            next_step="find out who changed the files",
        )
    signature = model_signature.signed(subject.name, files, signer)
    try:
        write_atomically(path, signature)
    except OSError as error:
        raise ConfigurationError(f"the signature cannot be written to {path}: {error.strerror}") from error
    text = (
        f"{subject.name} has a signature in the format of OpenSSF Model Signing ({model_signature.PREDICATE_TYPE}), "
        f"files: {len(files)}, signature file: sha256:{sha256_hex(signature)}, "
        f"public key: sha256:{signer.public.spki_sha256} (SubjectPublicKeyInfo, DER)"
    )
    try:
        return texts.record(ws, texts.MODEL_SIGNATURE, text, subject)
    except BaseException:
        path.unlink(missing_ok=True)  # nobody is to have a signature that the log does not know
        raise


def _listed(artifact: Path) -> tuple[tuple[tuple[str, str, int], ...], str]:
    """Return the files and our digest, both from one reading: what is signed is what was compared."""
    if artifact.is_dir() and not artifact.is_symlink():
        files = fingerprint.files(artifact)
        return files, fingerprint.of_files(files).sha256
    found = fingerprint.file(artifact)
    return ((".", found.sha256, found.size or 0),), found.sha256
