"""A key that never leaves a PKCS#11 module signs entries: SoftHSM2 here, a card or a vault in life."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_governance.errors import KeyFileError
from ml_governance.testing import FrozenClock, workspace
from ml_governance.workspace import new_keys
from tests.workspace.test_custody import NOTE, record

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.interop
LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
PIN = "123456"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A token with a P-256 key under id 2, and its label."""
    library = next((path for path in LIBRARIES if Path(path).exists()), None)
    if library is None or shutil.which("softhsm2-util") is None:
        pytest.skip("needs Debian's softhsm2")
    pkcs11 = pytest.importorskip("pkcs11")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("PYKCS11LIB", library)
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "mlgov", "--pin", PIN, "--so-pin", PIN],
        check=True, capture_output=True,
    )  # fmt: skip
    module = pkcs11.lib(library)
    module.reinitialize()
    with module.get_token(token_label="mlgov").open(user_pin=PIN, rw=True) as session:
        from pkcs11.util.ec import encode_named_curve_parameters

        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
        )
        parameters.generate_keypair(store=True, id=bytes([2]), label="vera")
    yield "mlgov"
    module.finalize()


def test_a_key_in_a_module_signs_and_never_leaves(token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from securesystemslib.signer import HSMSigner

    uri, key = HSMSigner.import_(2, token_label=token, secrets_handler=lambda _: PIN)
    (tmp_path / "vera.pem.pub").write_text(key.keyval["public"])
    ws = workspace(tmp_path / "ws", clock=FrozenClock())
    monkeypatch.setenv("MLGOV_PIN", PIN)
    made = new_keys.new_key(ws.config.keys, "vera", uri=uri, public=tmp_path / "vera.pem.pub")
    ws.custody.trust("vera", made.public, roots=["root"], roles=["validator"])
    index = record(ws, "vera", NOTE)
    assert next(a.principal.id for a in ws.view().attestations if a.index == index) == "vera"
    monkeypatch.setenv("MLGOV_PIN", "999999")
    with pytest.raises(KeyFileError, match="did not sign"):
        record(ws, "vera", NOTE)
    monkeypatch.delenv("MLGOV_PIN")
    with pytest.raises(KeyFileError, match="did not sign|asks for its pin"):
        record(ws, "vera", NOTE)
