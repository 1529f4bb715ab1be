"""One request over the web and its answer, bounded in time and size: how witnesses and timestamping authorities are asked."""

from __future__ import annotations

import urllib.error
import urllib.request
from http.client import HTTPException

from ml_governance.errors import ConfigurationError, UnavailableError

SECONDS = 30


def send(url: str, body: bytes, kind: str) -> tuple[int, bytes]:
    """Post bytes of a content type; return the status and at most 1 MiB of the answer.

    Raises
    ------
    ConfigurationError
        If it is no web address.
    UnavailableError
        If it cannot be reached, or does not answer in time.
    """
    if not url.startswith(("https://", "http://")):
        raise ConfigurationError(f"{url!r} is no web address", expected="https://...")
    try:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": kind}, method="POST")  # noqa: S310  checked above
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  checked above
            return int(answer.status), answer.read(1 << 20)
    except ValueError as error:
        raise UnavailableError(f"{url!r} is no web address: {error}", expected="https://...") from error
    except urllib.error.HTTPError as error:
        return error.code, error.read(1 << 16)
    except urllib.error.URLError as error:
        raise UnavailableError(
            f"{url} cannot be reached: {error.reason}", next_step="check the address and the network, and try again"
        ) from error
    except (OSError, HTTPException) as error:
        raise UnavailableError(
            f"{url} answered nonsense, or not in time: {error!r}",
            expected=f"an answer over HTTP within {SECONDS} seconds",
        ) from error


def post(url: str, body: bytes) -> tuple[int, str]:
    """Post text to a witness; return the status and the answer.

    Raises
    ------
    OSError
        If it cannot be reached.
    """
    try:
        status, answer = send(url, body, "text/plain")
    except UnavailableError as error:
        raise OSError(error.found) from error
    return status, answer.decode("utf-8", "replace")
