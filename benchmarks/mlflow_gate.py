"""What the gate costs: promotions through MLflow's own registry store and through the governed one, side by side.

    python benchmarks/mlflow_gate.py [--promotions 20] [--megabytes 10] [--entries 500]

Both stores are called in this process, on the same SQLite database; HTTP and passwords cost the same with and without the gate.
The first call of each is not counted: on a new account it verifies the whole log. Times are of the wall and, behind it, of the
processor.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
warnings.simplefilter("ignore")

from ml_governance.evidence.canonical import sha256_hex  # noqa: E402
from ml_governance.evidence.predicates import HumanText  # noqa: E402
from ml_governance.workspace.parts import utc_now  # noqa: E402
from tests.integrations.governed import Governed, MlflowException, SqlAlchemyStore, build, user  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--promotions", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=10)
    parser.add_argument("--entries", type=int, default=500, help="other entries in the log")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        house = Governed(root=build(Path(folder), "mlflow+sqlite:///mlflow.db", clock=utc_now), clock=utc_now)
        for weights in "ab":
            house.approve(house.ready(weights * (options.megabytes << 20)))
        other = (house.ready("c"), house.ready("d"))[
            1
        ]  # the third version is refused, and the entries are about the fourth
        with house.as_("vera") as ws:
            for number in range(options.entries):
                text = f"note {number}"
                ws.writer.record(HumanText(name="note", sha256=sha256_hex(text.encode()), text=text), [other])
        governed, plain = house.opened(), SqlAlchemyStore(house.database)
        print(f"{options.megabytes} MB of artifacts, {options.entries} other entries in the log; milliseconds")
        rows = {"MLflow's own store": [], "the governed store": [], "the governed store, refusing": []}
        for number in range(options.promotions + 1):
            version = str(1 + number % 2)
            took = (
                timed(plain, "challenger", version),
                timed(governed, "production", version),
                timed(governed, "production", "3"),
            )
            for times, one in zip(rows.values(), took, strict=True):
                times.extend([one] if number else [])
        for name, times in rows.items():
            wall, processor = (statistics.median(one[i] for one in times) for i in (0, 1))
            worst = max(one[0] for one in times)
            print(f"{name:<30} median {wall:8.1f}   worst {worst:8.1f}   processor {processor:8.1f}")


def timed(store, alias: str, version: str) -> tuple[float, float]:
    began, used = time.perf_counter(), time.process_time()
    with user("max"):
        try:
            store.set_registered_model_alias("credit", alias, version)
        except MlflowException as error:
            if error.error_code != "PERMISSION_DENIED" or version != "3":
                raise
    return (time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000


if __name__ == "__main__":
    main()
