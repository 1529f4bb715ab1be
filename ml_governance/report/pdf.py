"""A page as a tagged PDF (PDF/UA-1), from the same HTML, with WeasyPrint: the extra ``pdf``.

Nothing is fetched: a page that named another resource would be refused. Times come from the page's evidence, so the same page gives the
same bytes on the same machine; fonts are those that it has.
"""

from __future__ import annotations

import gc
import hashlib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ml_governance.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE = re.compile(r"var\(--[a-z]+, ?(#[0-9a-f]{3,6})\)")
"""A colour of the page inside a drawing, with what to take where there is none: paper has no themes."""


def to_pdf(page: str) -> bytes:
    """Return a page as a PDF.

    Parameters
    ----------
    page : str
        HTML of one of our templates.

    Returns
    -------
    bytes
        Tagged PDF 1.7 that claims PDF/UA-1; with the page's title, language and headings as bookmarks.

    Raises
    ------
    ConfigurationError
        If the extra is not installed.
    DataError
        If the page has no title or language, or a drawing without a text, which WeasyPrint would accept in silence; or if it asks for
        another resource.
    """
    _refuse_untold(page)
    weasyprint = _weasyprint()
    paper = _VARIABLE.sub(r"\1", page)
    identifier = hashlib.sha256(page.encode()).digest()[:16]
    document = weasyprint.HTML(string=paper, url_fetcher=_nothing(weasyprint), base_url="about:blank")
    try:
        with _no_garbage():
            made: bytes = document.write_pdf(
                finisher=_say_what_headings_head, pdf_variant="pdf/ua-1", pdf_identifier=identifier, pdf_tags=True
            )
    except weasyprint.urls.FatalURLFetchingError as error:
        raise DataError(f"the page asks for something else: {error}", expected="a page that stands alone") from error
    return made


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Let nobody look for garbage meanwhile: boxes are made by the ten thousand and all live to the end, a fifth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _say_what_headings_head(_document: Any, pdf: Any) -> None:
    """Tell of each cell that heads a table whether it heads a column or a row (``/Scope``), which WeasyPrint leaves out."""
    import pydyf

    tagged = (one for one in pdf.objects if isinstance(one, pydyf.Dictionary) and one.get("Type") == "/StructElem")
    parts = {one.reference: one for one in tagged}
    for part in parts.values():
        if part.get("S") == "/TH":
            row = parts[part["P"]]
            inside = parts.get(row.get("P"), {}).get("S")
            scope = "/Column" if inside == "/THead" else "/Row"
            part["A"] = pydyf.Dictionary({"O": "/Table", "Scope": scope})


def _refuse_untold(page: str) -> None:
    """Look for what a reader who hears the page would miss."""
    missing = [what for what, found in (("language", '<html lang="'), ("title", "<title>")) if found not in page]
    if re.search(r"<title>\s*</title>", page):
        missing.append("title")
    drawings = re.findall(r"<svg\b.*?</svg>", page, re.DOTALL)
    if any('role="img"' not in one or "<title" not in one or "<desc" not in one for one in drawings):
        missing.append("text of a drawing")
    if re.search(r"<img\b(?![^>]*\balt=)", page):
        missing.append("text of a picture")
    if missing:
        raise DataError(f"the page has no {missing[0]}", expected="a page that can be read aloud")


def _nothing(weasyprint: Any) -> Any:
    """Return what WeasyPrint is to fetch resources with: it fetches none, and ends the making of the PDF."""

    class Nothing(weasyprint.urls.URLFetcher):  # type: ignore[misc]  # WeasyPrint's types are not followed
        def fetch(self, url: str, headers: Any = None) -> Any:  # noqa: ARG002  as WeasyPrint calls it
            raise DataError(f"the page asks for {url:.100}", expected="a page that stands alone")

    return Nothing(fail_on_errors=True)


def _weasyprint() -> Any:
    try:
        import weasyprint
    except (ImportError, OSError) as error:  # OSError: the package is there and Pango is not
        raise ConfigurationError(
            f"a PDF cannot be made: {error}",
            expected="WeasyPrint, and the Pango library that it draws with",
            next_step="pip install 'ml-governance[pdf]'; on Debian also apt-get install libpango-1.0-0 libpangoft2-1.0-0",
        ) from error
    return weasyprint
