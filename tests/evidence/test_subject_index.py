from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_governance.errors import VerificationError
from ml_governance.evidence import subject_index as index

KEYS = st.lists(st.integers(0, 40), max_size=60)


def key(number: int) -> bytes:
    # A few keys share long prefixes, so that the trie grows deep.
    digest = hashlib.sha256(str(number).encode()).digest()
    return (b"\xaa" * 6 + digest[6:]) if number % 4 == 0 else digest


def build(numbers: list[int]) -> tuple[dict[str, index.Node], dict[bytes, list[tuple[int, bytes]]]]:
    nodes: dict[str, index.Node] = {}
    expected: dict[bytes, list[tuple[int, bytes]]] = {}
    for position, number in enumerate(numbers):
        leaf = hashlib.sha256(bytes([position])).digest()
        nodes.update(index.update(nodes.get, key(number), position, leaf))
        expected.setdefault(key(number), []).append((position, leaf))
    return nodes, expected


def root(nodes: dict[str, index.Node]) -> bytes:
    return nodes[""].hash() if nodes else index.EMPTY_ROOT


@given(KEYS)
def test_every_key_is_proven_with_all_its_leaves(numbers: list[int]) -> None:
    nodes, expected = build(numbers)
    for one, leaves in expected.items():
        assert index.verify_proof(root(nodes), one, index.prove(nodes.get, one)) == index.chain(leaves)
    for absent in (key(1000), bytes(32)):
        assert index.verify_proof(root(nodes), absent, index.prove(nodes.get, absent)).count == 0


@given(KEYS.filter(bool), st.integers(min_value=0), st.integers(min_value=0))
def test_a_changed_proof_fails(numbers: list[int], at: int, byte: int) -> None:
    nodes, expected = build(numbers)
    one = sorted(expected)[at % len(expected)]
    proof = list(index.prove(nodes.get, one))
    part = bytearray(proof[at % len(proof)])
    part[byte % len(part)] ^= 1
    proof[at % len(proof)] = bytes(part)
    with pytest.raises(VerificationError):
        index.verify_proof(root(nodes), one, proof)


def test_a_withheld_leaf_does_not_fit() -> None:
    nodes, expected = build([1, 2, 1, 1])
    proven = index.verify_proof(root(nodes), key(1), index.prove(nodes.get, key(1)))
    assert proven != index.chain(expected[key(1)][:-1])
    assert proven != index.chain([expected[key(1)][0], expected[key(1)][2]])


def test_proofs_of_wrong_length_are_refused() -> None:
    nodes, _ = build(list(range(40)))
    proof = index.prove(nodes.get, key(4))
    assert len(proof) > 2
    for wrong in ((), proof[:-1], (*proof, proof[-1]), proof * 40):
        with pytest.raises(VerificationError):
            index.verify_proof(root(nodes), key(4), wrong)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_node_or_refused(data: bytes) -> None:
    try:
        assert index.Node.from_bytes(data).to_bytes() == data
    except VerificationError:
        pass


def test_an_append_touches_few_nodes() -> None:
    generator = random.Random(5)
    nodes: dict[str, index.Node] = {}
    for position in range(3000):
        changed = index.update(nodes.get, generator.randbytes(32), position, bytes(32))
        nodes.update(changed)
        assert len(changed) <= 7
