from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from ml_governance.errors import DataError, RegistryError
from ml_governance.evidence import fingerprint
from ml_governance.promote.registry import LocalRegistry, load

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> LocalRegistry:
    return LocalRegistry(tmp_path / "models")


def test_a_stored_model_loads_back_and_has_its_digest(registry: LocalRegistry) -> None:
    stored = registry.store({"weights": [1, 2]}, name="credit")
    assert (stored.version, stored.format, stored.files) == ("1", "joblib", 1)
    assert load(registry.artifact("credit", "1")) == {"weights": [1, 2]}
    assert fingerprint.artifact(registry.artifact("credit", "1")).sha256 == stored.sha256
    assert registry.store({"weights": []}, name="credit").version == "2"
    assert registry.versions("credit") == ("1", "2")


def test_files_and_folders_are_copied_byte_for_byte(registry: LocalRegistry, tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "weights.bin").write_bytes(b"\x00\x01")
    stored = registry.store(tmp_path / "net", name="net")
    assert stored.sha256 == fingerprint.folder(tmp_path / "net").sha256
    single = registry.store(tmp_path / "net" / "weights.bin", name="one")
    assert (single.path / "weights.bin").read_bytes() == b"\x00\x01"
    (tmp_path / "net" / "link").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="symbolic link"):
        registry.store(tmp_path / "net", name="net")
    assert registry.versions("net") == ("1",)


def test_versions_are_never_shared(registry: LocalRegistry) -> None:
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda i: registry.store({"i": i}, name="m"), range(24)))
    assert sorted(int(one.version) for one in stored) == list(range(1, 25))
    assert {load(one.path)["i"] for one in stored} == set(range(24))


def test_aliases_point_to_versions_that_exist(registry: LocalRegistry) -> None:
    registry.store(1, name="m")
    assert registry.alias("m", "production") is None
    registry.set_alias("m", "production", "1")
    assert registry.alias("m", "production") == "1"
    with pytest.raises(RegistryError, match="no version '7'"):
        registry.set_alias("m", "production", "7")
    (registry.root / "m" / "aliases.json").write_text("{")
    with pytest.raises(RegistryError, match="cannot be read"):
        registry.alias("m", "production")


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "x" * 200])
def test_names_stay_inside(registry: LocalRegistry, name: str) -> None:
    with pytest.raises(DataError):
        registry.store(1, name=name)


def test_what_cannot_be_kept_is_told(registry: LocalRegistry, tmp_path: Path) -> None:
    broken: list[Any] = [(i for i in range(3)), __import__("threading").Lock()]
    for model in broken:
        with pytest.raises(DataError, match="cannot be pickled"):
            registry.store(model, name="m")
    assert registry.versions("m") == ()
    with pytest.raises(DataError):
        load(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match="cannot be written"):
        LocalRegistry(tmp_path / "file").store(1, name="m")
    assert list((registry.root / "m").iterdir()) == []


def test_aliases_that_are_set_at_once_are_all_kept(registry: LocalRegistry) -> None:
    registry.store({"weights": []}, name="m")
    names = [f"stage-{number}" for number in range(48)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda alias: registry.set_alias("m", alias, "1"), names))
    assert [name for name in names if registry.alias("m", name) != "1"] == []
