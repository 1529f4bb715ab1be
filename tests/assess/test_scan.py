"""Attacks on the scanner, each as it was once reported against another one, and the models that must pass it."""

from __future__ import annotations

import bz2
import collections
import datetime as dt
import gzip
import io
import json
import lzma
import os
import pickle
import struct
import sys
import zipfile
import zlib
from importlib import metadata
from pathlib import Path
from pickle import (
    BINPUT,
    BUILD,
    DICT,
    EXT1,
    GLOBAL,
    MARK,
    MEMOIZE,
    NONE,
    PROTO,
    REDUCE,
    STACK_GLOBAL,
    STOP,
    TUPLE,
    TUPLE1,
    TUPLE2,
    UNICODE,
)  # fmt: skip
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_governance.assess import advisories, dependencies, known_imports, pickles
from ml_governance.assess.scan import ScanReport, scan_artifact
from ml_governance.errors import DataError


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def scanned(tmp_path: Path, data: bytes, name: str = "model.pkl", **options: Any) -> ScanReport:
    (tmp_path / name).write_bytes(data)
    return scan_artifact(tmp_path / name, **options)


def loading(report: ScanReport) -> str:
    (one,) = report.details["files"]
    return str(one["loading"])


def text(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def joblibbed(value: Any) -> bytes:
    target = io.BytesIO()
    joblib.dump(value, target)
    return target.getvalue()


# --- attacks --------------------------------------------------------------------------------------------

SYSTEM = text("cos", "system")
CALL = MARK + UNICODE + text("true") + TUPLE + REDUCE
V5 = PROTO + b"\x05"
SET_ON_IMPORT = (
    V5
    + GLOBAL
    + text("collections", "OrderedDict")
    + NONE
    + MARK
    + UNICODE
    + text("a")
    + UNICODE
    + text("os")
    + DICT
    + TUPLE2
    + BUILD
    + STOP
)
MEMO_CONFUSED = (
    V5 + UNICODE + text("os") + BINPUT + b"\x00" + UNICODE + text("system") + BINPUT + b"\x01"
    + UNICODE + text("collections") + MEMOIZE + UNICODE + text("OrderedDict") + MEMOIZE
    + b"h\x00h\x01" + STACK_GLOBAL + CALL + STOP
)  # fmt: skip
COMPUTED = (
    V5
    + GLOBAL
    + text("builtins", "str")
    + UNICODE
    + text("os")
    + TUPLE1
    + REDUCE
    + UNICODE
    + text("system")
    + STACK_GLOBAL
    + CALL
    + STOP
)
RETURNED = V5 + GLOBAL + text("collections", "OrderedDict") + MARK + TUPLE + REDUCE + CALL + STOP

CODE = {
    **{f"a command, protocol {one}": pickle.dumps([1, Evil()], one) for one in range(6)},
    "an import without a call": SYSTEM + STOP,
    "the name of Python 2": text("c__builtin__", "eval") + CALL + STOP,
    "the opcode INST": MARK + UNICODE + text("true") + text("ios", "system") + STOP,
    "the opcode OBJ": MARK + SYSTEM + UNICODE + text("true") + b"o" + STOP,
    "a dotted name": V5 + UNICODE + text("numpy") + UNICODE + text("core._internal.sys.modules") + STACK_GLOBAL + STOP,
    "the builtins of a module": V5 + UNICODE + text("numpy") + UNICODE + text("__builtins__") + STACK_GLOBAL + STOP,
    "a memo that is confused": MEMO_CONFUSED,
    "an import, then a broken opcode": SYSTEM + CALL + b"\xff",
    "an import, then the end": SYSTEM + CALL,
    "a second pickle behind the first": pickle.dumps(1) + pickle.dumps(Evil()),
    "a chain by operator": text("coperator", "attrgetter") + STOP,
    "a gadget of profilers": text("ccProfile", "run") + CALL + STOP,
    "a gadget of mailcap": text("cmailcap", "findmatch") + STOP,
    "a gadget of pkgutil": text("cpkgutil", "resolve_name") + STOP,
    "a gadget of numpy": text("cnumpy.testing._private.utils", "runstring") + STOP,
    "a module that nobody knows": text("ccreditlib.model", "Scorecard") + STOP,
    "a function by cloudpickle": __import__("cloudpickle").dumps(lambda rows: rows),
    "in joblib": joblibbed({"a": np.ones(9), "b": Evil()}),
    "in an array of objects in joblib": joblibbed([np.array([Evil()], dtype=object), np.ones(3)]),
}  # fmt: skip
UNKNOWN = {
    "attributes set on an import": SET_ON_IMPORT,
    "an import whose name is computed": COMPUTED,
    "a call of what a call returned": RETURNED,
    "an extension code": V5 + EXT1 + b"\x01" + STOP,
    "bytes behind the end": pickle.dumps({"a": 1}) + b"\x00\x01\x02",
    "a pickle that breaks off": pickle.dumps({"a": [1, 2, 3]})[:-3],
    "nothing at all": b"",
    "bytes of no format": b"\x00\x01\x02\x03" * 50,
}


@pytest.mark.parametrize("attack", CODE)
@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "weights.pt", "notes.txt", "model"])
def test_what_runs_code_is_code_whatever_it_is_called(attack: str, name: str, tmp_path: Path) -> None:
    report = scanned(tmp_path, CODE[attack], name)
    assert loading(report) == "code"
    assert report.get("unsafe_files").value == 1
    named = report.details["files"][0]
    assert named.get("dangerous") or named.get("unlisted")


@pytest.mark.parametrize("attack", UNKNOWN)
def test_what_cannot_be_followed_is_unknown_and_leaves_no_count_of_imports(attack: str, tmp_path: Path) -> None:
    report = scanned(tmp_path, UNKNOWN[attack])
    assert loading(report) == "unknown"
    assert report.get("unsafe_files").value == report.get("unknown_files").value == 1
    for metric in ("dangerous_imports", "unlisted_imports"):
        assert report.get(metric).status == "undefined" and "model.pkl" in report.get(metric).reason


@pytest.mark.parametrize("name", ["model.onnx", "model.h5", "saved_model.pb", "model"])
def test_a_format_that_nobody_knows_is_unknown(name: str, tmp_path: Path) -> None:
    report = scanned(tmp_path, b"\x08\x07\x12\x05model" * 9, name)
    assert loading(report) == "unknown" and report.get("unsafe_files").value == 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_compression_hides_nothing(pack: Any, tmp_path: Path) -> None:
    assert loading(scanned(tmp_path, pack(pickle.dumps(Evil())), "model.joblib")) == "code"
    assert loading(scanned(tmp_path, pack(pickle.dumps({"a": 1})), "model.joblib")) == "listed"
    assert loading(scanned(tmp_path, pack(pickle.dumps({"a": 1}))[:-6], "model.joblib")) == "unknown"


def test_an_array_inside_a_frame_is_no_place_to_hide(tmp_path: Path) -> None:
    """joblib reads the array behind the frame and goes on inside it; whoever skips right behind the object misses the call."""
    clean = joblibbed(np.frombuffer(SYSTEM + CALL + STOP, dtype=np.uint8))
    at = clean.index(SYSTEM)
    framed = clean[:2] + b"\x95" + struct.pack("<Q", len(clean)) + clean[11:] if clean[2:3] == b"\x95" else clean
    assert at > 0 and framed != clean
    assert loading(scanned(tmp_path, clean)) == "listed"
    assert loading(scanned(tmp_path, framed)) == "unknown"


def test_bytes_of_an_array_that_are_a_call_to_pickle_are_found(tmp_path: Path) -> None:
    """As joblib loads it this is an array; as pickle.load does, it is a command."""
    data = joblibbed(np.frombuffer(SYSTEM + CALL + STOP, dtype=np.uint8))
    position = data.index(SYSTEM)
    padding = data[data.rindex(b"b", 0, position) + 1 : position]
    hostile = data[: position - len(padding)] + SYSTEM + CALL + STOP
    assert loading(scanned(tmp_path, hostile)) == "code"


def test_a_pickle_that_is_also_something_else_is_a_pickle(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"a": "x" * 400}}).encode()
    length = (len(header) // 256 + 1) * 256 + ord(
        "C"
    )  # the first byte is the opcode SHORT_BINBYTES, the second how much it skips
    skip = (length >> 8) & 0xFF
    body = header[:-1] + b" " * (length - len(header)) + b"}"
    data = bytearray(struct.pack("<Q", length) + body)
    data[2 + skip : 2 + skip + len(SYSTEM)] = SYSTEM
    assert loading(scanned(tmp_path, bytes(data), "model.safetensors")) == "code"
    catboost = b"CBM1" + b"x" * 64 + SYSTEM + CALL + STOP
    assert loading(scanned(tmp_path, catboost, "model.cbm")) == "code"


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


TENSOR = (
    V5 + GLOBAL + text("torch._utils", "_rebuild_tensor_v2") + MARK + MARK + UNICODE + text("storage") + GLOBAL
    + text("torch", "FloatStorage") + UNICODE + text("0") + UNICODE + text("cpu") + b"K\x04" + TUPLE + b"Q" + b"K\x00"
    + b"K\x04\x85" + b"K\x01\x85" + b"\x89" + TUPLE + REDUCE + STOP
)  # fmt: skip
TORCH = {"m/data.pkl": TENSOR, "m/version": b"3\n", "m/data/0": b"\0" * 16, "m/byteorder": b"little"}
KERAS = {"metadata.json": b"{}", "model.weights.h5": b"\x89HDF", "config.json": json.dumps(
    {"module": "keras", "class_name": "Sequential", "config": {"layers": [{"module": "keras.layers", "class_name": "Dense", "config": {}}]}}
).encode()}  # fmt: skip


def test_zips_of_tensors_and_layers_are_what_is_in_them(tmp_path: Path) -> None:
    assert loading(scanned(tmp_path, zipped(TORCH), "model.pt")) == "listed"
    assert loading(scanned(tmp_path, zipped({**TORCH, "m/data.pkl": pickle.dumps(Evil())}), "model.pt")) == "code"
    assert loading(scanned(tmp_path, zipped({**TORCH, "m/code/__torch__.py": b"def f(): ..."}), "model.pt")) == "code"
    assert loading(scanned(tmp_path, zipped({**TORCH, "other/data.pkl": pickle.dumps(Evil())}), "model.pt")) == "code"
    assert loading(scanned(tmp_path, zipped(KERAS), "model.keras")) == "data"
    for layer in (
        {"module": "keras.layers", "class_name": "Lambda"},
        {"module": "os", "class_name": "system"},
        {"class_name": "__lambda__"},
    ):
        config = json.dumps({"module": "keras", "class_name": "Model", "config": {"layers": [layer]}}).encode()
        assert loading(scanned(tmp_path, zipped({**KERAS, "config.json": config}), "model.keras")) == "code"
    assert loading(scanned(tmp_path, zipped({**KERAS, "x.py": b""}), "model.keras")) == "unknown"


def test_a_zip_is_of_one_format_and_damaged_ones_are_unknown(tmp_path: Path) -> None:
    both = {**TORCH, "m/data.pkl": pickle.dumps(Evil()), "schema.json": b"{}"}
    assert loading(scanned(tmp_path, zipped(both), "model.skops")) == "code"
    assert loading(scanned(tmp_path, zipped({"a.bin": b"x"}), "model.zip")) == "unknown"
    damaged = bytearray(zipped(TORCH))
    damaged[damaged.index(TENSOR) + 5] ^= 0xFF
    assert loading(scanned(tmp_path, bytes(damaged), "model.pt")) == "unknown"
    encrypted = bytearray(zipped(TORCH))
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1
    assert loading(scanned(tmp_path, bytes(encrypted), "model.pt")) == "unknown"
    assert loading(scanned(tmp_path, b"#!/bin/sh\n" + zipped(TORCH), "model.pt")) == "unknown"


def test_reading_a_skops_file_imports_nothing_that_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skops import io as skops

    (tmp_path / "sideeffect.py").write_text(
        "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nclass Model: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    schema = skops.dumps({"a": 1})
    with zipfile.ZipFile(io.BytesIO(schema)) as archive:
        told = json.loads(archive.read("schema.json"))
    told["__module__"], told["__class__"], told["__loader__"] = "sideeffect", "Model", "ObjectNode"
    told["content"] = {**told["content"], "__loader__": "DictNode"} if isinstance(told.get("content"), dict) else None
    report = scanned(tmp_path, zipped({"schema.json": json.dumps(told).encode()}), "model.skops")
    assert loading(report) in {"code", "unknown"}
    assert not (tmp_path / "sideeffect.ran").exists() and "sideeffect" not in sys.modules


def test_yaml_and_loaders_that_are_code_are_code(tmp_path: Path) -> None:
    assert loading(scanned(tmp_path, b"a: !!python/object/apply:os.system ['true']\n", "conda.yaml")) == "code"
    own = b"flavors: {python_function: {loader_module: mycompany.loader}}\n"
    assert loading(scanned(tmp_path, own, "MLmodel")) == "code"
    assert (
        loading(scanned(tmp_path, b"flavors: {python_function: {loader_module: mlflow.sklearn}}\n", "MLmodel"))
        == "data"
    )
    assert loading(scanned(tmp_path, b"print(1)\n", "code.py")) == "code"
    assert loading(scanned(tmp_path, b"channels:\n- conda-forge\ndependencies:\n- pip\n", "conda.yaml")) == "data"


def test_only_what_is_harmless_may_be_trusted(tmp_path: Path) -> None:
    data = text("ccreditlib.model", "Scorecard") + STOP
    report = scanned(tmp_path, data, trusted=["creditlib.model.Scorecard"])
    assert loading(report) == "listed" and report.details["trusted"] == ["creditlib.model.Scorecard"]
    with pytest.raises(DataError, match="runs what it is told to"):
        scanned(tmp_path, data, trusted=["os.system"])


def test_links_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "a.pkl").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="symbolic link"):
        scan_artifact(tmp_path / "model")


# --- what must pass -------------------------------------------------------------------------------------


def fitted() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(
        {"a": generator.normal(size=200), "b": generator.normal(size=200), "job": generator.choice(["x", "y"], 200)}
    )
    y, numbers = (rows.a > 0).astype(int), rows[["a", "b"]]
    mixed = ColumnTransformer(
        [("n", StandardScaler(), ["a", "b"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["job"])]
    )
    models = [
        LogisticRegression(), RandomForestClassifier(5), HistGradientBoostingClassifier(max_iter=5),
        GradientBoostingClassifier(n_estimators=5),
        KNeighborsClassifier(),
    ]  # fmt: skip
    made = {type(model).__name__: model.fit(numbers, y) for model in models}
    return {**made, "Pipeline": make_pipeline(mixed, LogisticRegression()).fit(rows, y)}


MODELS = fitted()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("write", [pickle.dumps, joblibbed], ids=["pickle", "joblib"])
def test_models_of_scikit_learn_are_listed(name: str, write: Any, tmp_path: Path) -> None:
    report = scanned(tmp_path, write(MODELS[name]))
    assert report.details["files"] == [{"path": "model.pkl", "format": "pickle", "loading": "listed"}]
    assert [report.get(one).value for one in ("unsafe_files", "dangerous_imports", "unlisted_imports")] == [0, 0, 0]


@pytest.mark.parametrize("name", MODELS)
def test_what_this_library_writes_passes(name: str, tmp_path: Path) -> None:
    from ml_governance.capture import serialisation

    serialisation.write(MODELS[name], tmp_path)
    report = scan_artifact(tmp_path)
    assert report.get("unsafe_files").value == 0


def test_data_formats_are_data(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    rows, y = np.random.default_rng(0).normal(size=(60, 2)), np.arange(60) % 2
    boosted = xgboost.XGBClassifier(n_estimators=2).fit(rows, y)
    boosted.save_model(tmp_path / "a.ubj")
    boosted.save_model(tmp_path / "b.json")
    lightgbm.LGBMClassifier(n_estimators=2, verbose=-1).fit(rows, y).booster_.save_model(tmp_path / "c.txt")
    np.save(tmp_path / "d.npy", rows)
    np.savez(tmp_path / "e.npz", rows=rows)
    pd.DataFrame(rows, columns=["a", "b"]).to_parquet(tmp_path / "f.parquet")
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "g.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    report = scan_artifact(tmp_path)
    assert {one["path"][0]: one["format"] for one in report.details["files"]} == {
        "a": "xgboost", "b": "xgboost", "c": "lightgbm", "d": "npy", "e": "npz", "f": "parquet", "g": "safetensors",
    }  # fmt: skip
    assert {one["loading"] for one in report.details["files"]} == {"data"}
    (tmp_path / "g.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 7)
    assert scan_artifact(tmp_path).get("unknown_files").value == 1


@pytest.mark.filterwarnings("ignore")  # MLflow's own, when it is imported and when it saves
def test_a_folder_of_mlflow_is_read_with_what_it_needs(tmp_path: Path) -> None:
    import mlflow

    mlflow.sklearn.save_model(
        MODELS["Pipeline"], tmp_path / "m", pip_requirements=[f"scikit-learn=={metadata.version('scikit-learn')}"]
    )
    report = scan_artifact(tmp_path / "m")
    assert report.get("unsafe_files").value == 0
    names = {one["name"]: one for one in report.details["dependencies"]}
    assert names["scikit-learn"]["licence"] == "BSD-3-Clause"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.sampled_from([
        dt.date(2026, 1, 1), collections.OrderedDict(a=1), np.float64(1), np.arange(3), pd.Series([1, 2]), len, os.path.join,
        complex(1, 2), {1, 2}, frozenset("ab"), slice(1, 2), collections.Counter("aab"), bytearray(b"x"), Path("a"),
    ]),
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


class Witness(pickle.Unpickler):
    """The real machine, which tells what it imports."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.seen: set[tuple[str, str]] = set()

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        self.seen.add((module, name))
        return found


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(0, 5))
def test_the_imports_are_those_that_the_real_machine_makes(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    witness = Witness(data)
    witness.load()
    found = pickles.read(io.BytesIO(data), len(data))
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    now = {NAME_MAPPING.get(one, (IMPORT_MAPPING.get(one[0], one[0]), one[1])) for one in witness.seen}
    assert found.imports == now and found.problems == ()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_to_an_answer(data: bytes) -> None:
    found = pickles.read(io.BytesIO(data), len(data))
    assert found.problems or found.imports is not None


def test_nothing_on_the_list_runs_what_it_is_told_to() -> None:
    assert not [one for one in known_imports.known() if known_imports.dangerous(*one.rpartition(".")[::2])]
    for one in (
        "os.system",
        "builtins.eval",
        "builtins.getattr",
        "subprocess.Popen",
        "joblib.load",
        "numpy.load",
        "torch.load",
    ):
        assert one not in known_imports.known() and known_imports.dangerous(*one.rpartition(".")[::2])


# --- dependencies and advisories ------------------------------------------------------------------------


def test_requirements_are_read_with_versions_and_digests() -> None:
    lines = f"""
# a comment
NumPy=={metadata.version("numpy")} \\
    --hash=sha256:{"a" * 64} --hash=sha256:{"b" * 64}
pandas>=2   # not exact
scikit_learn[extra]==1.0 ; python_version > "3.8"
--extra-index-url https://example.org/simple
-r other.txt
thing @ https://example.org/thing.whl
wild==1.*
"""
    found = {one.name: one for one in dependencies.parse(lines)}
    assert found["numpy"].version == metadata.version("numpy") and found["numpy"].digests == (
        f"sha256:{'a' * 64}",
        f"sha256:{'b' * 64}",
    )
    assert found["numpy"].licence is not None and "BSD" in found["numpy"].licence
    assert (
        found["scikit-learn"].version == "1.0" and found["scikit-learn"].licence is None
    )  # that version is not installed here
    assert {name for name, one in found.items() if one.version is None} == {"pandas", "-r other.txt", "thing", "wild"}


def osv(*events: dict[str, str], **more: Any) -> dict[str, Any]:
    ranges = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    return {"id": "PYSEC-1", "modified": "2026-02-03T00:00:00Z", "affected": [
        {"package": {"ecosystem": "PyPI", "name": "Some_Thing"}, "ranges": ranges, **more.pop("affected", {})}
    ], **more}  # fmt: skip


@pytest.mark.parametrize(
    ("advisory", "affected", "free"),
    [
        (osv({"introduced": "0"}, {"fixed": "1.5"}), ["0.1", "1.4.9", "1.5rc1"], ["1.5", "1.5.0", "2"]),
        (osv({"introduced": "1.2"}, {"last_affected": "1.9"}), ["1.2", "1.9", "1.10a0.dev1"][:2], ["1.1", "1.10"]),
        (
            osv({"fixed": "1.5"}, {"introduced": "1.0"}, {"introduced": "2.0"}, {"fixed": "2.1"}),
            ["1.4", "2.0"],
            ["0.9", "1.7", "2.1"],
        ),
        (osv({"introduced": "3"}), ["3", "99"], ["2.9"]),
        (osv(affected={"versions": ["1.0", "1.1"]}), ["1.0", "1.1.0"], ["1.2"]),
        (osv({"introduced": "nonsense"}), ["1.0"], []),
        (osv({"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"), [], ["1.0"]),
    ],
)
def test_versions_are_held_by_ranges_as_the_format_says(
    advisory: dict[str, Any], affected: list[str], free: list[str], tmp_path: Path
) -> None:
    (tmp_path / "osv.json").write_text(json.dumps([advisory]))
    known = advisories.read(tmp_path / "osv.json")
    assert [version for version in affected if not known.of("some-thing", version)] == []
    assert [version for version in free if known.of("some-thing", version)] == []


def needs(tmp_path: Path, requirements: str, advisory: Any = None) -> ScanReport:
    (tmp_path / "m").mkdir(exist_ok=True)
    (tmp_path / "m" / "requirements.txt").write_text(requirements)
    if advisory is None:
        return scan_artifact(tmp_path / "m")
    (tmp_path / "osv").mkdir(exist_ok=True)
    (tmp_path / "osv" / "one.json").write_text(json.dumps(advisory))
    return scan_artifact(tmp_path / "m", advisories=tmp_path / "osv")


def test_vulnerabilities_are_counted_by_dependency_and_named(tmp_path: Path) -> None:
    report = needs(
        tmp_path,
        "some.thing==1.0\nother==2\n",
        [osv({"introduced": "0"}), osv({"introduced": "0"}, id="PYSEC-2", aliases=["CVE-1"])],
    )
    one = report.get("vulnerable_dependencies")
    assert (one.value, one.n, one.status) == (1, 2, "ok")
    assert report.details["vulnerabilities"] == [
        {"name": "some-thing", "version": "1.0", "id": "PYSEC-1", "aliases": []},
        {"name": "some-thing", "version": "1.0", "id": "PYSEC-2", "aliases": ["CVE-1"]},
    ]  # fmt: skip
    assert report.details["advisories"]["newest"] == "2026-02-03T00:00:00Z"


@pytest.mark.parametrize(
    ("requirements", "advisory", "reason"),
    [
        ("a==1\n", None, "no advisories were given"),
        ("a>=1\n", osv({"introduced": "0"}), "no exact version of a is named"),
        ("a===not-a-version\n", osv({"introduced": "0"}), "no exact version of a is named"),
        (
            "a==1\n",
            {"id": "X", "affected": [{"package": {"ecosystem": "npm", "name": "a"}}]},
            "the advisories name no package of PyPI",
        ),
    ],
    ids=["none given", "not exact", "no version", "for others"],
)
def test_what_was_not_looked_up_is_undefined_and_never_zero(
    requirements: str, advisory: Any, reason: str, tmp_path: Path
) -> None:
    one = needs(tmp_path, requirements, advisory).get("vulnerable_dependencies")
    assert (one.status, one.value, one.reason) == ("undefined", None, reason)


def test_an_artifact_that_names_nothing_has_no_count_of_dependencies(tmp_path: Path) -> None:
    report = scanned(tmp_path, pickle.dumps(1))
    for metric in ("unpinned_dependencies", "unlicensed_dependencies", "vulnerable_dependencies"):
        assert report.get(metric).status == "undefined"


@pytest.mark.parametrize("wrong", ["[1]", '{"id": 5}', "nonsense", '[{"id": "X", "affected": 3}]'])
def test_what_is_no_advisory_is_refused(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "osv.json").write_text(wrong)
    with pytest.raises(DataError, match="advisory"):
        advisories.read(tmp_path / "osv.json")
