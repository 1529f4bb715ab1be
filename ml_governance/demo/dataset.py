"""UCI Adult (Becker and Kohavi, 1996; CC BY 4.0), shipped with the package so that the demo needs no download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ml_governance.errors import VerificationError
from ml_governance.evidence import fingerprint

if TYPE_CHECKING:
    import pandas as pd

PATH = Path(__file__).resolve().parent / "data" / "adult.parquet"
SHA256 = "5b210af681b75a11289c172aff70e81f5c1435e2b2beb92f7fd331b8c6f076c7"
LABEL = "income_over_50k"
TEST_SHARE, VALIDATION_SHARE = 0.35, 0.25
SEED = 7


def load() -> pd.DataFrame:
    """Return the 32,561 rows.

    Raises
    ------
    VerificationError
        If the shipped file is not the one that was shipped.
    """
    import pandas as pd

    found = fingerprint.file(PATH).sha256
    if found != SHA256:
        raise VerificationError(
            f"{PATH.name} has the digest sha256:{found}",
            expected=f"sha256:{SHA256}",
            next_step="install ml-governance again",
        )
    return pd.read_parquet(PATH)


def split(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return training, validation and test rows, stratified by label; the same every time.

    The test part is large (35 %), because a gate that asks for intervals needs rows.
    """
    from sklearn.model_selection import train_test_split

    rest, test = train_test_split(frame, test_size=TEST_SHARE, stratify=frame[LABEL], random_state=SEED)
    train, validation = train_test_split(rest, test_size=VALIDATION_SHARE, stratify=rest[LABEL], random_state=SEED)
    parts = tuple(part.reset_index(drop=True) for part in (train, validation, test))
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        part.attrs["name"] = f"adult/{name}"
    return parts
