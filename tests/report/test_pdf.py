"""PDF: what it says, that it can be read aloud, and that a signature holds until a bit changes. Judged by programs that are not ours."""

from __future__ import annotations

import gc
import io
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import DataError
from ml_governance.evidence import keys
from ml_governance.evidence.canonical import sha256_hex
from ml_governance.report import html, pdf, signed_pdf
from ml_governance.testing import START
from tests.report.test_report import SUBJECT, build, full

if TYPE_CHECKING:
    from pathlib import Path

    from ml_governance.evidence.keys import PublicKey


@pytest.mark.parametrize(
    "page",
    [
        "<html><title>t</title></html>",
        '<html lang="en"><title> </title></html>',
        '<html lang="en"><title>t</title><svg role="img"><title>x</title></svg></html>',
        '<html lang="en"><title>t</title><img src="data:,"></html>',
    ],
    ids=["language", "title", "drawing", "picture"],
)
def test_a_page_that_cannot_be_read_aloud_is_no_pdf(page: str) -> None:
    with pytest.raises(DataError, match="the page has no"):
        pdf.to_pdf(page)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    plain: Path
    again: bytes
    signed: Path
    key: PublicKey

    def say(self, tool: str, *words: str) -> str:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: poppler-utils")
        done = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    pytest.importorskip("weasyprint")
    pytest.importorskip("pyhanko")
    folder = tmp_path_factory.mktemp("pdf")
    page = html.render(build(full()))
    plain, signed, again = folder / "report.pdf", folder / "report.signed.pdf", pdf.to_pdf(page)
    plain.write_bytes(pdf.to_pdf(page))
    signer = keys.generate(folder / "vera.pem")
    signed.write_bytes(signed_pdf.signed(plain.read_bytes(), signer, name="Vera", reason="Looked at", at=START))
    return Made(plain=plain, again=again, signed=signed, key=signer.public)


def test_the_same_page_gives_the_same_bytes(made: Made) -> None:
    assert made.plain.read_bytes() == made.again


def checked(path: Path) -> subprocess.CompletedProcess[str]:
    """Ask a checker of PDF/UA: 0 where it finds nothing, 3 for an error."""
    return subprocess.run(
        [sys.executable, "-m", "pdfua", "check", str(path)], capture_output=True, text=True, check=False
    )


def test_a_checker_of_pdf_ua_finds_nothing_until_the_tags_are_gone(made: Made, tmp_path: Path) -> None:
    """It knows 16 of the 106 rules of PDF/UA-1; what a headline holds it cannot evaluate in these files, and says so."""
    pikepdf = pytest.importorskip("pikepdf")
    for path in (made.plain, made.signed):
        done = checked(path)
        assert done.returncode == 0 and "PASS (no findings)" in done.stdout, done.stdout
    for part in ("StructTreeRoot", "Lang", "MarkInfo"):
        with pikepdf.open(made.plain) as whole:
            del whole.Root[f"/{part}"]
            whole.save(tmp_path / f"{part}.pdf")
        assert checked(tmp_path / f"{part}.pdf").returncode == 3, part


@pytest.mark.interop
def test_it_is_tagged_and_titled_and_the_scorecard_stands_on_its_first_page(made: Made) -> None:
    said = made.say("pdfinfo", str(made.plain))
    assert "Tagged:          yes" in said and f"Title:           Audit report: {SUBJECT.name}" in said
    first = made.say("pdftotext", "-l", "1", str(made.plain), "-")
    assert "1. Summary" in first and "To verify" in first and "2. Identity" not in first


@pytest.mark.interop
def test_its_page_numbers_are_in_the_letters_of_the_text(made: Made) -> None:
    said = made.say("pdffonts", str(made.plain))
    assert "Sans" in said and "Serif" not in said


def test_garbage_is_looked_for_again_when_it_is_made_or_has_failed() -> None:
    pytest.importorskip("weasyprint")
    assert gc.isenabled()
    pdf.to_pdf('<html lang="en"><title>t</title><body>x</body></html>')
    assert gc.isenabled()
    with pytest.raises(DataError):
        pdf.to_pdf('<html lang="en"><title>t</title><body><img alt="x" src="http://127.0.0.1:9/x.png"></body></html>')
    assert gc.isenabled()


@pytest.mark.interop
def test_it_says_what_the_page_says(made: Made) -> None:
    whole = " ".join(made.say("pdftotext", str(made.plain), "-").split())
    assert SUBJECT.sha256 in whole and "13. Signatures, verification, limits" in whole
    structure = made.say("pdfinfo", "-struct-text", str(made.plain))
    assert "H1" in structure and "Figure" in structure and "TH" in structure


def test_every_cell_that_heads_others_says_which() -> None:
    pytest.importorskip("weasyprint")
    from pyhanko.pdf_utils.reader import PdfFileReader

    table = (
        '<table><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead>'
        '<tbody><tr><th scope="row">c</th><td>d</td></tr></tbody></table>'
    )
    made = pdf.to_pdf(f'<html lang="en"><head><title>t</title></head><body>{table}</body></html>')
    scopes: list[str] = []

    def walk(node: object) -> None:
        part = node.get_object() if hasattr(node, "get_object") else node
        if isinstance(part, dict):
            if part.get("/S") == "/TH":
                scopes.append(part["/A"]["/Scope"])
            walk(part.get("/K", ()))
        elif isinstance(part, list):
            for one in part:
                walk(one)

    walk(PdfFileReader(io.BytesIO(made)).root["/StructTreeRoot"]["/K"])
    assert scopes == ["/Column", "/Column", "/Row"]


def test_a_page_that_asks_for_something_elsewhere_is_refused_and_nothing_is_fetched() -> None:
    pytest.importorskip("weasyprint")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        place = f"http://127.0.0.1:{listening.getsockname()[1]}/x.png"
        page = f'<html lang="en"><title>t</title><body><img alt="x" src="{place}"></body></html>'
        with pytest.raises(DataError, match="asks for"):
            pdf.to_pdf(page)
        with pytest.raises(TimeoutError):
            listening.accept()


def test_the_signature_is_the_persons_own_and_covers_everything(made: Made) -> None:
    assert statuses(made.signed.read_bytes()) == (True, True, made.key.spki_sha256)


def test_another_signature_each_time_over_the_same_document(made: Made) -> None:
    assert made.signed.read_bytes().startswith(made.plain.read_bytes())


@pytest.mark.interop
def test_poppler_finds_the_signature_valid_until_a_bit_is_changed(made: Made, tmp_path: Path) -> None:
    said = made.say("pdfsig", "-nocert", str(made.signed))
    assert "Signature is Valid." in said and "ETSI.CAdES.detached" in said and "Total document signed" in said
    data = bytearray(made.signed.read_bytes())
    data[data.index(b"stream", 2000) + 60] ^= 1
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(data)
    assert statuses(bytes(data))[0] is False
    assert "Signature is Valid." not in made.say("pdfsig", "-nocert", str(broken))


def statuses(data: bytes) -> tuple[bool, bool, str]:
    """Return whether the one signature is intact and valid, by pyHanko's own validator, and the digest of its key."""
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko_certvalidator import ValidationContext

    (one,) = PdfFileReader(io.BytesIO(data)).embedded_signatures
    found = validate_pdf_signature(one, ValidationContext(trust_roots=[one.signer_cert], allow_fetching=False))
    return found.intact, found.valid, sha256_hex(one.signer_cert.public_key.dump())
