from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence import subject_index as index
from ml_governance.evidence.index_build import build

KEYS = st.lists(st.integers(0, 40), max_size=60)
KINDS = index.pack_kinds({"fairness": index.chain([(3, bytes(32))]), "approval": index.Value()})


def key(number: int) -> bytes:
    # A few keys share long prefixes, so that the trie grows deep.
    digest = hashlib.sha256(str(number).encode()).digest()
    return (b"\xaa" * 6 + digest[6:]) if number % 4 == 0 else digest


class Stored:
    """A trie that is kept in a dictionary, as the ledger keeps it in a table."""

    def __init__(self) -> None:
        self.nodes: dict[str, bytes] = {}
        self.leaves: dict[bytes, list[tuple[int, bytes]]] = {}
        self.top = index.EMPTY_TRIE

    def add(self, start: int, numbers: list[int]) -> Stored:
        trie = index.Trie(self.nodes.get, self.top)
        for position, number in enumerate(numbers, start):
            leaf = hashlib.sha256(bytes([position % 256])).digest()
            self.leaves.setdefault(key(number), []).append((position, leaf))
            assert trie.extend(key(number), (position, leaf)) == [index.chain(self.leaves[key(number)])]
        self.top, changed = trie.commit()
        self.nodes.update(changed)
        return self

    @property
    def root(self) -> bytes:
        return index.index_root(self.top, KINDS)

    def value(self, one: bytes) -> index.Value:
        return index.verify_key(self.root, one, index.prove(self.nodes.get, one), KINDS)


@given(KEYS, st.integers(1, 7))
def test_every_key_is_proven_with_all_its_leaves(numbers: list[int], group: int) -> None:
    stored = Stored()
    for start in range(0, len(numbers), group):
        stored.add(start, numbers[start : start + group])
    for one, leaves in stored.leaves.items():
        assert stored.value(one) == index.chain(leaves)
    for absent in (key(1000), bytes(32), b"\xaa" * 32):
        assert stored.value(absent).count == 0


@given(KEYS)
def test_leaves_that_come_together_give_the_index_that_they_give_one_by_one(numbers: list[int]) -> None:
    alone = Stored().add(0, numbers)
    together, nodes = index.Trie(), dict[str, bytes]()
    for one, leaves in alone.leaves.items():
        values = together.extend(one, *leaves)
        assert values == [index.chain(leaves[: count + 1]) for count in range(len(leaves))]
    top, changed = together.commit()
    nodes.update(changed)
    assert (top, nodes) == (alone.top, alone.nodes)


@given(KEYS, st.integers(1, 60))
def test_the_shape_depends_on_the_keys_alone(numbers: list[int], group: int) -> None:
    one, other = Stored().add(0, numbers), Stored()
    for start in range(0, len(numbers), group):
        other.add(start, numbers[start : start + group])
    assert (one.top, one.nodes) == (other.top, other.nodes)
    assert build(sorted((k, index.chain(v)) for k, v in one.leaves.items())) == one.top


@given(KEYS, KEYS)
def test_restoring_the_old_values_gives_the_old_root(before: list[int], after: list[int]) -> None:
    stored = Stored().add(0, before)
    old, values = stored.top, {k: index.chain(v) for k, v in stored.leaves.items()}
    stored.add(len(before), after)
    trie = index.Trie(stored.nodes.get, stored.top)
    for number in sorted(set(after)):
        assert trie.get(key(number)) == index.chain(stored.leaves[key(number)])
    for number in sorted(set(after)):
        trie.restore(key(number), values.get(key(number), index.Value()))
    assert trie.commit()[0] == old


@given(KEYS.filter(bool), st.integers(min_value=0), st.integers(min_value=0))
def test_a_changed_proof_fails(numbers: list[int], at: int, byte: int) -> None:
    stored = Stored().add(0, numbers)
    one = sorted(stored.leaves)[at % len(stored.leaves)]
    proof = list(index.prove(stored.nodes.get, one))
    part = bytearray(proof[at % len(proof)])
    part[byte % len(part)] ^= 1
    proof[at % len(proof)] = bytes(part)
    with pytest.raises(VerificationError):
        index.verify_key(stored.root, one, proof, KINDS)
    with pytest.raises(VerificationError):
        index.verify_key(stored.root, one, index.prove(stored.nodes.get, one), KINDS + KINDS)


def test_a_withheld_leaf_does_not_fit() -> None:
    stored = Stored().add(0, [1, 2, 1, 1])
    leaves = stored.leaves[key(1)]
    assert stored.value(key(1)) != index.chain(leaves[:-1])
    assert stored.value(key(1)) != index.chain([leaves[0], leaves[2]])


def test_proofs_of_wrong_length_are_refused() -> None:
    stored = Stored().add(0, list(range(40)))
    proof = index.prove(stored.nodes.get, key(4))
    assert len(proof) > 2
    for wrong in ((), proof[:-1], (*proof, proof[-1]), proof * 40):
        with pytest.raises(VerificationError):
            index.verify_key(stored.root, key(4), wrong, KINDS)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_node_or_refused(data: bytes) -> None:
    try:
        list(index.children_of(data))
        index.unpack_kinds(data)
        index.verify_key(index.index_root(index.node_hash(data), b""), key(1), [data], b"")
    except VerificationError:
        pass


def test_kinds_are_proven_beside_the_trie() -> None:
    stored = Stored().add(0, [1, 2])
    assert index.verify_kind(stored.root, "fairness", stored.top, KINDS).count == 1
    assert index.verify_kind(stored.root, "waiver", stored.top, KINDS).count == 0
    with pytest.raises(VerificationError):
        index.verify_kind(stored.root, "fairness", stored.top, index.pack_kinds({}))


def test_keys_out_of_order_build_nothing() -> None:
    with pytest.raises(VerificationError):
        build([(b"b" * 32, index.Value(1)), (b"a" * 32, index.Value(1))])


def test_an_append_touches_few_nodes() -> None:
    generator = random.Random(5)
    nodes: dict[str, bytes] = {}
    top = index.EMPTY_TRIE
    for position in range(3000):
        trie = index.Trie(nodes.get, top)
        trie.extend(generator.randbytes(32), (position, bytes(32)))
        top, changed = trie.commit()
        nodes.update(changed)
        assert len(changed) <= 7


def test_a_node_that_does_not_hang_from_the_root_is_refused() -> None:
    stored = Stored().add(0, list(range(40)))
    prefix = next(name for name in stored.nodes if len(name) == 2)
    stored.nodes[prefix] = stored.nodes[""]
    with pytest.raises(VerificationError, match="root commits to"):
        for number in range(40):
            index.Trie(stored.nodes.get, stored.top).extend(key(number), (50, bytes(32)))
