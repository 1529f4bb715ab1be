"""A PDF with a person's signature inside it (PAdES baseline B, ETSI EN 319 142-1), with pyHanko: the extra ``pdf``.

The key is the person's own, whose public part stands in the trust file. The certificate that a PDF needs is made of it here and signed
by itself: it names the person and vouches for nothing. Who compares its key with the trust file knows who signed; a reader of PDFs
alone knows that the file was not changed.
"""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

    from ml_governance.evidence.keys import Signer

FIELD = "Signature"
CERTIFIED_FOR = timedelta(days=3653)
"""How long the certificate says that it is good for; the trust file says how long the key is."""


def signed(pdf: bytes, signer: Signer, *, name: str, reason: str, at: datetime) -> bytes:
    """Return a PDF with an invisible signature over all of it.

    Parameters
    ----------
    pdf : bytes
        The document.
    signer : Signer
        Whose key signs, wherever it is kept.
    name : str
        Who signs, as the trust file calls them.
    reason : str
        What the signature is for.
    at : datetime
        When, UTC; it is the signer's word, no timestamp.

    Returns
    -------
    bytes
        The document with an incremental update that holds the signature; further changes break it.

    Raises
    ------
    ConfigurationError
        If the extra is not installed.
    KeyFileError
        If the key cannot sign.
    """
    try:
        from asn1crypto import x509
        from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
        from pyhanko.sign import fields, signers
        from pyhanko.sign.signers.pdf_cms import Signer as CmsSigner
        from pyhanko_certvalidator.registry import SimpleCertificateStore
    except ImportError as error:
        raise ConfigurationError(
            f"a PDF cannot be signed: {error}", expected="pyHanko", next_step="pip install 'ml-governance[pdf]'"
        ) from error

    class Ours(CmsSigner):  # type: ignore[misc]  # pyHanko's types are not followed
        """Signs with whatever key the person has: a file, a hardware module or a service."""

        async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:  # noqa: FBT001, FBT002  pyHanko calls it so
            if digest_algorithm != "sha256":
                raise ConfigurationError(f"a signature over {digest_algorithm} was asked for", expected="sha256")
            return bytes(80) if dry_run else signer.sign(data)

    certificate = x509.Certificate.load(_certificate(signer, name=name, at=at))
    own = Ours(
        signing_cert=certificate, cert_registry=SimpleCertificateStore(), prefer_pss=False, embed_roots=True,
    )  # fmt: skip
    metadata = signers.PdfSignatureMetadata(
        field_name=FIELD, md_algorithm="sha256", name=name, reason=reason, certify=True,
        subfilter=fields.SigSeedSubFilter.PADES, docmdp_permissions=fields.MDPPerm.NO_CHANGES,
    )  # fmt: skip
    written = io.BytesIO()
    writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
    signers.PdfSigner(metadata, own).sign_pdf(writer, output=written)
    return written.getvalue()


def _certificate(signer: Signer, *, name: str, at: datetime) -> bytes:
    """Return a certificate of the signer's key, signed by itself, DER."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.x509.oid import NameOID

    public: Any = serialization.load_pem_public_key(signer.public.pem.encode("ascii"))
    subject = x509.Name([
        x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
        x509.NameAttribute(NameOID.SERIAL_NUMBER, signer.keyid),
    ])  # fmt: skip
    usage = dict.fromkeys(
        (
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(int(signer.keyid[:16], 16) or 1)
        .not_valid_before(at)
        .not_valid_after(at + CERTIFIED_FOR)
        .add_extension(x509.KeyUsage(digital_signature=True, content_commitment=True, **usage), critical=True)
    )
    return _self_signed(built, signer)


def _self_signed(built: Any, signer: Signer) -> bytes:
    """Have the signer sign a certificate: its key may be in a module that gives nothing away but signatures."""
    from asn1crypto import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    # What is to be signed does not depend on who signs it: a passing key shapes it, and its signature is replaced.
    shaped = built.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    certificate = x509.Certificate.load(shaped.public_bytes(serialization.Encoding.DER))
    certificate["signature_value"] = signer.sign(certificate["tbs_certificate"].dump())
    made: bytes = certificate.dump(force=True)
    return made
