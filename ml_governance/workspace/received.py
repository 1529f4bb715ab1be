"""What somebody gave away, read and checked with no workspace: bundles, tiles, proofs, checkpoints, policies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_governance.errors import ConfigurationError, DataError, UsageError, VerificationError
from ml_governance.evidence import bundle, offline, trust, witness
from ml_governance.evidence.canonical import MAX_BYTES, parse
from ml_governance.evidence.checkpoint import MAX_NOTE, as_text, parse_body, parse_vkey, split_note
from ml_governance.evidence.envelope import Envelope
from ml_governance.evidence.proof import HEADER, MAX_PROOF_FILE, TlogProof

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_governance.evidence.checkpoint import Checkpoint
    from ml_governance.evidence.offline import Checkout
    from ml_governance.evidence.trust import LogKey


def read_pin(path: Path) -> Checkpoint:
    """Read a checkpoint that the verifier kept. It counts because of where it was kept; who signed it adds nothing."""
    return parse_body(split_note(as_text(read_bytes(path, MAX_NOTE), str(path)))[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """An entry that is proven to be in a log.

    Parameters
    ----------
    proof : TlogProof
        The proof.
    kind : str
        What the entry is.
    size : int
        Of the tree that it is in.
    root_known : bool
        Whether the key that signed the tree is held against the trust root; if not, the verifier key was believed as it is, at any size.
    """

    proof: TlogProof
    kind: str
    size: int
    root_known: bool


def verify_path(
    path: Path,
    *,
    root: str | None,
    vkey: str | None = None,
    trust_file: Path | None = None,
    pinned: Sequence[Path] = (),
    witnesses: Path | None = None,
) -> Checkout | Proven:
    """Check a bundle, a folder of tiles or a proof, with no workspace.

    Parameters
    ----------
    path : Path
        What somebody gave away.
    root : str, optional
        ``sha256:...`` of the trust root.
    vkey : str, optional
        The log's verifier key, for a proof.
    trust_file : Path, optional
        A trust file under that root, for a proof: it says which log key counts for a tree of which size.
    pinned : sequence of Path
        Checkpoints that the verifier kept.
    witnesses : Path, optional
        A witness policy; the checkpoint must have its quorum.

    Raises
    ------
    UsageError
        If what was given with it cannot be held against it.
    VerificationError
        If it does not verify.
    """
    pins = [read_pin(one) for one in pinned]
    found: Checkout | Proven
    if path.is_dir():
        _for_a_proof(vkey, trust_file)
        found = offline.verify_tiles(path, root=root, pins=pins)
        note = found.note
    elif (data := read_bytes(path, bundle.MAX_BUNDLE)).startswith(HEADER.encode()):
        found = _proof(data, str(path), root, vkey, trust_file, pins)
        note = found.proof.checkpoint
    elif not data.lstrip().startswith(b"{"):
        raise VerificationError(
            f"{path} is neither a bundle nor a proof",
            expected="what `mlgov log export` or `mlgov log prove` wrote",
            next_step="a checkpoint is given beside one of them: --pin FILE",
        )
    else:
        _for_a_proof(vkey, trust_file)
        found = offline.verify_bundle(data, root=root, pins=pins)
        note = found.note
    if witnesses is not None:
        witness.require_quorum(note, witness.parse_policy(read_text(witnesses)))
    return found


def _for_a_proof(vkey: str | None, trust_file: Path | None) -> None:
    if vkey is not None or trust_file is not None:
        raise UsageError(
            "a bundle and tiles bring the log's keys and the trust files along",
            expected="--root alone; --vkey and --trust are for a .tlog-proof",
        )


def _proof(
    data: bytes, name: str, root: str | None, vkey: str | None, trust_file: Path | None, pins: Sequence[Checkpoint]
) -> Proven:
    if len(data) > MAX_PROOF_FILE:
        raise VerificationError(f"{name} is too long for a proof", expected=f"at most {MAX_PROOF_FILE} bytes")
    if (root is None) != (trust_file is None):
        raise UsageError(
            "a proof holds no trust file, so the root alone says nothing about it",
            expected="--root sha256:... and --trust FILE together, or --vkey KEY",
            next_step="ask for the log's trust file, or for a bundle, which holds all of them",
        )
    if vkey is None and trust_file is None:
        raise UsageError(
            "a proof is checked with the log's verifier key",
            next_step="--vkey KEY, as `mlgov keys root --log-key` prints it; or --root sha256:... --trust FILE",
        )
    given = None if vkey is None else parse_vkey(vkey)
    keys: Sequence[LogKey] = () if given is None else (given,)
    version = None
    if root is not None and trust_file is not None:
        version = trust.verify_alone(Envelope.from_dict(parse(read_bytes(trust_file, MAX_BYTES))), root=root)
        keys = [
            key for key in version.log_keys if given is None or (key.name, key.public) == (given.name, given.public)
        ]
        if not keys:
            raise VerificationError(
                f"version {version.version} of the trust file does not name that verifier key",
                expected=f"one of its {len(version.log_keys)} log keys",
            )
    proof = TlogProof.from_text(as_text(data, name))
    leaf, checkpoint = proof.verify(keys, origin=keys[0].name if version is None else version.origin)
    for pin in pins:
        if pin != checkpoint:
            raise VerificationError(
                f"the proof is for {checkpoint.size} entries of {checkpoint.origin}, with the root {checkpoint.root.hex()}",
                expected=f"the pinned {pin.size} entries of {pin.origin}, with the root {pin.root.hex()}",
                next_step="ask for a proof for the pinned checkpoint, or for tiles, which any pin can be held against",
            )
    return Proven(proof=proof, kind=leaf.kind, size=checkpoint.size, root_known=root is not None)


def read_bytes(path: Path, limit: int) -> bytes:
    """Read a file that may be a stranger's, if it is no larger than it may be."""
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise DataError(f"{path} is too large", expected=f"at most {limit:,} bytes")
    return data


def read_text(path: Path) -> str:
    """Read a small text file."""
    return as_text(read_bytes(path, 1 << 20), str(path))
