"""What the training hook costs for each run besides hashing and writing the model, and on top of MLflow's own logging of the same.

    python benchmarks/capture.py [--rounds 20]

Prints medians in milliseconds, of time and of processor time: on a busy machine only the second says much.
The bound we hold ourselves to: under 50 ms for each run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

import ml_governance as gov

TABLE = pd.DataFrame({"income": np.arange(40.0), "repaid": [0] * 20 + [1] * 20})
MODEL = LogisticRegression().fit(TABLE[["income"]], TABLE.repaid)


def median_ms(work, rounds):
    work()  # what is imported or made once is not counted
    times, processor = [], []
    for _ in range(rounds):
        began, used = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - began) * 1000)
        processor.append((time.process_time() - used) * 1000)
    return np.array([statistics.median(times), statistics.median(processor)])


def empty_run(ws):
    def work():
        with ws.training("bench"):
            pass

    return work


def full_run(ws):
    def work():
        with ws.training("bench") as run:
            run.uses(TABLE, name="rows")
            run.log_params({"depth": 3})
            run.produces(MODEL, name="bench")

    return work


def line(what, value, bound=None):
    print(f"{what:<66} {value[0]:9.1f} ms {value[1]:9.1f} ms" + (f"   bound {bound} ms" if bound else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        with gov.init(home / "local", project="bench", registry="local:models", signer="author") as ws:
            line("a run, ledger alone (START and COMPLETE signed and on disk)", median_ms(empty_run(ws), rounds), 50)
            whole = median_ms(full_run(ws), rounds)
            store = median_ms(lambda: ws.registry.store(MODEL, name="bench"), rounds)
            line("a run with input, parameters and model, without storing it", whole - store, 50)
        with gov.init(home / "ws", project="bench", signer="author") as ws:
            shown = median_ms(empty_run(ws), rounds)
            whole = median_ms(full_run(ws), rounds)
            import mlflow

            mlflow.set_tracking_uri(ws.registry.tracking_uri)
            mlflow.set_experiment("bench")

            def bare():
                with mlflow.start_run():
                    pass

            def logged(requirements):
                def work():
                    with mlflow.start_run():
                        mlflow.log_input(mlflow.data.from_pandas(TABLE, name="rows"))
                        mlflow.log_params({"depth": 3})
                        mlflow.sklearn.log_model(
                            MODEL, name="bench", pip_requirements=requirements, registered_model_name="plain"
                        )

                return work

            own = median_ms(bare, rounds)
            line("MLflow alone: start and end of a run", own)
            line("the same run under ws.training, shown in MLflow (SQLite)", shown)
            line("  which is more than MLflow alone by", shown - own, 50)
            given = median_ms(logged(["scikit-learn"]), rounds)
            line("MLflow alone: input, parameters, model logged and registered", given)
            line("the same under ws.training, digested and signed", whole)
            line("  which is more than MLflow alone by", whole - given, 50)
            line("MLflow alone, where log_model infers requirements", median_ms(logged(None), 1))


if __name__ == "__main__":
    main()
