"""Files that run code, or name what they need, where a reader that differs from the real one in a detail sees nothing.

Every pickle here is loaded for real: it makes a folder, which proves that the disguise works.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
import yaml

from ml_governance.assess import advisories, dependencies
from ml_governance.assess.scan import scan_artifact
from ml_governance.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def said(path: Path, data: bytes) -> tuple[str, str | None]:
    path.write_bytes(data)
    (one,) = scan_artifact(path).details["files"]
    return one["loading"], one.get("why")


def text(value: str) -> bytes:
    data = value.encode()
    return b"\x8c" + bytes([len(data)]) + data


def imported(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


START = b"\x80\x04"
WRAPPER = imported("joblib.numpy_pickle", "NumpyArrayWrapper")
MADE = WRAPPER + b")\x81"
BYTES = b"J\xff\xff\xff\xff"


def typed(code: str, size: bytes = BYTES, alignment: bytes = BYTES, flags: bytes = b"K\x00") -> bytes:
    state = b"(K\x03" + text("|") + b"NNN" + size + alignment + flags + b"t"
    return imported("numpy", "dtype") + text(code) + b"\x89\x88\x87R" + state + b"b"


def array(length: int, more: bytes = b"", dtype: bytes | None = None) -> bytes:
    return (
        b"}(" + text("subclass") + imported("numpy", "ndarray") + text("shape") + b"K" + bytes([length]) + b"\x85"
        + text("order") + text("C") + text("dtype") + (dtype or typed("u1")) + text("allow_mmap") + b"\x89" + more + b"ub"
    )  # fmt: skip


def skipped_by_us(head: bytes, real: int) -> Any:
    """Code in the bytes of an array, of which joblib reads fewer."""
    return lambda code: START + head + (b"\0" * real + code + b".").ljust(200, b".") + b"."


def skipped_by_joblib(head: bytes) -> Any:
    """Code in a constant, into which joblib jumps."""
    return lambda code: START + head + array(5) + b"B" + struct.pack("<I", len(code) + 1) + code + b"." + b"."


def twice(code: bytes) -> bytes:
    """A wrapper that says at first, and no more, that bytes come before its array."""
    first = array(0, text("numpy_array_alignment_bytes") + b"K\x10")
    hidden = b"B" + struct.pack("<I", len(code) + 1)
    return START + MADE + b"\x94" + first + b"\x000h\x00" + array(1) + bytes([len(hidden) - 1]) + hidden + code + b".."


DISGUISES = {
    "an object made by a helper of scikit-learn": skipped_by_joblib(
        imported("sklearn.metrics._dist_metrics", "newObj") + WRAPPER + b"\x85R"
    ),
    "an object made by a helper of pandas": skipped_by_joblib(
        imported("pandas.core.indexes.base", "_new_Index") + WRAPPER + b"}\x86R"
    ),
    "arguments that are made": skipped_by_joblib(
        imported("copyreg", "_reconstructor") + imported("builtins", "tuple")
        + b"](" + WRAPPER + imported("builtins", "object") + b"Ne\x85RR"
    ),
    "a shape under a key that is made": skipped_by_us(
        MADE + array(200, imported("builtins", "str") + text("shape") + b"\x85RK\x04\x85"), 4
    ),
    "a method of its own": skipped_by_us(MADE + array(200, text("read") + imported("builtins", "slice")), 0),
    "an item of another size": skipped_by_us(MADE + array(1, dtype=typed("V200", b"K\x04", b"K\x01")), 4),
    "objects by a flag": lambda code: (
        START + MADE + array(1, dtype=typed("V200", b"K\xc8", b"K\x01", b"K\x3f")) + (START + code + b".").ljust(200, b".") + b"."
    ),
    "a state that is set twice": twice,
}  # fmt: skip


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.filterwarnings("ignore")
def test_no_array_of_joblib_is_a_place_to_hide(disguise: str, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    data = DISGUISES[disguise](imported("os", "mkdir") + text(str(ran)) + b"\x85R")
    loading, _ = said(tmp_path / "model.joblib", data)
    try:
        joblib.load(tmp_path / "model.joblib")
    except (AttributeError, TypeError):
        assert ran.exists()
    assert ran.exists() and loading in {"unknown", "code"}


@pytest.mark.filterwarnings("ignore")
def test_the_method_of_its_own_is_not_found_by_luck(tmp_path: Path) -> None:
    """Of a module that is not installed here, the plain reading says nothing; the array itself must be what is wrong."""
    data = DISGUISES["a method of its own"](imported("not_here", "f") + b")R")
    assert said(tmp_path / "m.joblib", data) == ("unknown", "an array is told in another form than joblib writes")


def test_pointers_that_are_said_to_be_numbers_are_unknown(tmp_path: Path) -> None:
    """The pickle makes an array of objects at addresses of its choice; only known functions are called for that."""
    lie = typed("O8")
    data = (
        START
        + imported("numpy._core.numeric", "_frombuffer")
        + b"(C\x08AAAAAAAA"
        + lie
        + b"K\x01\x85"
        + text("C")
        + b"tR."
    )
    assert pickle.loads(data).dtype == object
    assert said(tmp_path / "m.pkl", data)[0] == "unknown"


def test_the_fields_of_a_type_are_not_changed_afterwards(tmp_path: Path) -> None:
    """NumPy keeps the mapping that it is given."""
    number = typed("f4")
    fields = b"}\x94" + text("a") + number + b"K\x00\x86s"
    state = b"(K\x03" + text("|") + b"N" + text("a") + b"\x85" + fields + b"K\x04K\x01K\x00t"
    made = START + imported("numpy", "dtype") + text("V4") + b"\x89\x88\x87R" + state + b"b"
    assert said(tmp_path / "m.pkl", made + b".")[0] == "listed"
    assert pickle.loads(made + b".") == np.dtype([("a", "f4")])
    later = made + b"h\x00" + text("a") + typed("O8", flags=b"K\x3f") + b"K\x00\x86s0."
    assert pickle.loads(later).fields["a"][0].hasobject
    assert said(tmp_path / "m.pkl", later) == ("unknown", "it changes the fields of a type of arrays")


TYPES = [
    "f8", ">f8", "M8[ns]", "m8[D]", "S5", "U7", "V4", "O", "?", "c16", "f2", "g", [("a", "f4"), ("b", "O")], [("a", "f4", (2, 3))],
    [("a", "M8[s]"), ("b", [("c", "U3")])], np.dtype([("a", "i1"), ("b", "f8")], align=True), np.dtype("f8", metadata={"a": 1}),
]  # fmt: skip


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("protocol", [0, 2, 5, None])
@pytest.mark.filterwarnings("ignore")  # metadata of a type
def test_arrays_of_every_type_are_listed(dtype: Any, protocol: int | None, tmp_path: Path) -> None:
    values = [np.zeros(3, dtype), np.zeros((0, 2), dtype), np.zeros((), dtype)]
    target = io.BytesIO()
    pickle.dump(values, target, protocol) if protocol is not None else joblib.dump(values, target)
    assert said(tmp_path / "m.pkl", target.getvalue()) == ("listed", None)


@pytest.mark.parametrize("protocol", [2, 3])
def test_names_of_python_2_are_those_of_today_only_in_its_protocols(protocol: int, tmp_path: Path) -> None:
    data = b"\x80" + bytes([protocol]) + b"c__builtin__\nset\n."
    assert said(tmp_path / "m.pkl", data)[0] == {2: "listed", 3: "code"}[protocol]


# --- texts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "a: !!%70ython/object/apply:os.getcwd []",
        "%TAG !p! tag:yaml.org,2002:py\n---\na: !p!thon/object/apply:os.getcwd []",
        "a: !<tag:yaml.org,2002:python/object/apply:os.getcwd> []",
    ],
    ids=["escaped", "abbreviated", "whole"],
)
def test_tags_of_python_are_found_however_they_are_written(line: str, tmp_path: Path) -> None:
    assert isinstance(yaml.unsafe_load(line)["a"], str)  # it was called
    assert said(tmp_path / "conda.yaml", line.encode())[0] == "code"


def test_yaml_without_objects_is_data_and_a_broken_one_is_unknown(tmp_path: Path) -> None:
    assert said(tmp_path / "a.yaml", b"a: !!str 5\nb: hello!\nc: !!set {x}\n") == ("data", None)
    assert said(tmp_path / "a.yaml", b"a: !x! 5 : [\n")[0] == "unknown"


@pytest.mark.parametrize(
    ("flavor", "why"),
    [
        ("{loader_module: mlflow.sklearn, code: /tmp/elsewhere}", "it names code of its own"),
        ("{loader_module: mlflow.pyfunc.model, model_code_path: model.py}", "it names code of its own"),
        ("{loader_module: mlflow.sklearn, model_path: ../../other.pkl}", "it names files outside the model"),
        ("{loader_module: mlflow.sklearn, artifacts: {a: {path: 'C:\\other'}}}", "it names files outside the model"),
        ("{loader_module: mlflow.sklearn, data: '..\\other'}", "it names files outside the model"),
        ("{loader_module: mlflow.keras, keras_module: mine}", "its loader is not MLflow's own"),
        ("{loader_module: mlflow.xgboost, model_class: mine.Model}", "its loader is not MLflow's own"),
        ("{loader_module: mlflow.sklearn, code: null, artifacts: {a: {path: artifacts/a, uri: /home/me/a}}}", None),
        ("{loader_module: mlflow.xgboost, model_class: xgboost.sklearn.XGBClassifier, a: &a [*a]}", None),
    ],
    ids=[
        "code path",
        "code file",
        "above",
        "a drive",
        "above, as in Windows",
        "a module",
        "a class",
        "its own",
        "a loop",
    ],
)
def test_a_model_of_mlflow_loads_what_is_in_it_and_nothing_else(flavor: str, why: str | None, tmp_path: Path) -> None:
    for place in (f"flavors: {{python_function: {flavor}}}", f"flavors: {{sklearn: {flavor}}}"):
        assert said(tmp_path / "MLmodel", place.encode()) == ("code" if why else "data", why)


# --- zips -----------------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def test_a_zip_that_another_reader_would_read_otherwise_is_unknown(tmp_path: Path) -> None:
    clean, hostile = zipped({"a.npy": npy()}), zipped({"a.npy": npy(), "b.npy": npy()})
    assert said(tmp_path / "m.npz", clean) == ("data", None)
    glued = bytearray(hostile + clean)  # Python reads the last; whoever goes by the offset in it reads the first
    struct.pack_into("<L", glued, len(glued) - 6, hostile.index(b"PK\x01\x02"))
    assert zipfile.ZipFile(io.BytesIO(bytes(glued))).namelist() == ["a.npy"]
    commented = bytearray(clean)
    struct.pack_into("<H", commented, len(commented) - 2, 3)
    for data in (bytes(glued), hostile + clean, bytes(commented) + b"abc"):
        assert said(tmp_path / "m.npz", data) == ("unknown", "readers of zips would find different members in it")


def npy() -> bytes:
    target = io.BytesIO()
    np.save(target, np.zeros(2))
    return target.getvalue()


def test_a_zip_bomb_is_too_large_before_it_is_unpacked(tmp_path: Path) -> None:
    data = bytearray(zipped({f"{n}.npy": npy() for n in range(3)}))
    at = 0
    while (at := data.find(b"PK\x01\x02", at)) >= 0:
        struct.pack_into("<L", data, at + 24, (1 << 31) - 1)
        at += 4
    assert said(tmp_path / "m.npz", bytes(data)) == ("unknown", "what is in the zip is too large")


@pytest.mark.parametrize("name", ["TorchModuleWrapper", "TFSMLayer"])
def test_layers_of_keras_that_load_pickles_or_other_models_are_code(name: str, tmp_path: Path) -> None:
    config = json.dumps({"module": "keras.layers", "class_name": name, "config": {}}).encode()
    data = zipped({"metadata.json": b"{}", "model.weights.h5": b"\x89HDF", "config.json": config})
    assert said(tmp_path / "m.keras", data)[0] == "code"


# --- what it needs --------------------------------------------------------------------------------------


def test_requirements_are_read_as_pip_reads_them() -> None:
    lines = (
        "# a note \\\nevil==1.0\na==1 \\\n # c \\\nb==2\nc==1 \\\n --hash=sha256:ab\n--pre\n-i https://example.org\n"
    )
    assert [(one.name, one.version) for one in dependencies.parse(lines)] == [
        ("a", "1"),
        ("b", "2"),
        ("c", "1"),
        ("evil", "1.0"),
    ]


@pytest.mark.parametrize(
    "line", ["-rother.txt", "--requir other.txt", "--pre -r other.txt", "-cother.txt", "--edit=./x", "./a.whl", "git+https://example.org/a"]
)  # fmt: skip
def test_a_line_that_may_name_more_is_never_left_out(line: str) -> None:
    (one,) = dependencies.parse(line)
    assert one.version is None


def test_requirements_in_another_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_bytes(b"# coding: utf-7\n# +AAo-evil==1.0\n")  # which pip decodes to a second line
    assert "\nevil==1.0" in (tmp_path / "r.txt").read_bytes().decode("utf-7")
    with pytest.raises(DataError, match="utf-7"):
        dependencies.read(tmp_path / "r.txt")
    (tmp_path / "r.txt").write_bytes(b"\xef\xbb\xbf# -*- coding: utf-8 -*-\na==1\n")
    assert [one.name for one in dependencies.read(tmp_path / "r.txt")] == ["a"]


def known(tmp_path: Path, *events: dict[str, str], versions: tuple[str, ...] = ()) -> advisories.Advisories:
    part = {"package": {"ecosystem": "PyPI", "name": "a"}, "versions": list(versions)}
    if events:
        part["ranges"] = [{"type": "ECOSYSTEM", "events": list(events)}]
    (tmp_path / "osv.json").write_text(json.dumps({"id": "X", "affected": [part]}))
    return advisories.read(tmp_path / "osv.json")


def test_a_local_build_is_as_vulnerable_as_what_it_was_built_from(tmp_path: Path) -> None:
    assert known(tmp_path, versions=("1.0",)).of("a", "1.0+cpu")
    ranged = known(tmp_path, {"introduced": "0"}, {"last_affected": "1.0"})
    assert ranged.of("a", "1.0+cpu") and not ranged.of("a", "1.0.1+cpu")


def test_a_range_that_never_begins_holds_every_version(tmp_path: Path) -> None:
    assert known(tmp_path, {"fixed": "2.0"}).of("a", "1.0")


def test_a_second_pin_of_the_same_name_hides_nothing_of_the_first(tmp_path: Path) -> None:
    known(tmp_path, {"introduced": "0"}, {"fixed": "2.0"})
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "requirements.txt").write_text("a==1.0 ; python_version > '3'\nA==9.0 ; python_version < '3'\n")
    report = scan_artifact(tmp_path / "m", advisories=tmp_path / "osv.json")
    assert report.get("vulnerable_dependencies").value == 1
    assert report.details["vulnerabilities"] == [{"name": "a", "version": "1.0", "id": "X", "aliases": []}]
