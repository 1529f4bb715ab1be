from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from ml_governance.errors import VerificationError
from ml_governance.evidence import merkle

# The well-known vectors of certificate-transparency for RFC 6962: leaf inputs, and the root of each size.
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZE = 300


class Tree:
    def __init__(self, size: int = SIZE) -> None:
        self.leaves = [merkle.leaf_hash(str(i).encode()) for i in range(size)]
        self.nodes: dict[tuple[int, int], bytes] = {}
        frontier = merkle.Frontier()
        self.roots = [frontier.root]
        for leaf in self.leaves:
            frontier, nodes = frontier.append(leaf)
            self.nodes.update({(level, at): value for level, at, value in nodes})
            self.roots.append(frontier.root)

    def node(self, level: int, position: int) -> bytes:
        return self.nodes[level, position]


TREE = Tree()
INDEX_IN_SIZE = st.integers(1, SIZE).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size)))
TWO_SIZES = st.integers(0, SIZE).flatmap(lambda new: st.tuples(st.integers(0, new), st.just(new)))


def test_the_published_roots() -> None:
    assert merkle.Frontier().root == hashlib.sha256(b"").digest()
    for size in range(1, 9):
        assert merkle.root_of(merkle.leaf_hash(bytes.fromhex(i)) for i in INPUTS[:size]).hex() == ROOTS[size - 1]


def test_an_independent_library_has_the_same_roots() -> None:
    other = InmemoryTree(algorithm="sha256")
    for size in range(1, 65):
        other.append_entry(str(size - 1).encode())
        assert other.get_root() == TREE.roots[size]


@given(INDEX_IN_SIZE)
def test_inclusion_proofs_hold(case: tuple[int, int]) -> None:
    index, size = case
    proof = merkle.inclusion_proof(TREE.node, index, size)
    merkle.verify_inclusion(TREE.leaves[index], index, size, proof, TREE.roots[size])


@given(TWO_SIZES)
def test_consistency_proofs_hold(case: tuple[int, int]) -> None:
    old, new = case
    merkle.verify_consistency(old, new, TREE.roots[old], TREE.roots[new], merkle.consistency_proof(TREE.node, old, new))


@given(INDEX_IN_SIZE, st.integers(0, 3), st.integers(min_value=0))
def test_a_changed_inclusion_proof_fails(case: tuple[int, int], way: int, at: int) -> None:
    index, size = case
    proof = list(merkle.inclusion_proof(TREE.node, index, size))
    leaf = TREE.leaves[index]
    if way == 0:
        leaf = merkle.leaf_hash(b"another")
    elif way == 1:
        proof.append(bytes(32))
    elif proof and way == 2:
        proof.pop(at % len(proof))
    elif proof:
        proof[at % len(proof)] = bytes(32)
    else:
        proof.append(b"short")
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(leaf, index, size, proof, TREE.roots[size])


@given(TWO_SIZES.filter(lambda case: 0 < case[0] < case[1]), st.integers(min_value=0))
def test_a_changed_consistency_proof_fails(case: tuple[int, int], at: int) -> None:
    old, new = case
    proof = list(merkle.consistency_proof(TREE.node, old, new))
    proof[at % len(proof)] = bytes(32)
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, new, TREE.roots[old], TREE.roots[new], proof)
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, new, TREE.roots[old], TREE.roots[new], [])


@given(st.integers(0, SIZE))
def test_the_frontier_survives_storage_and_is_small(size: int) -> None:
    frontier = merkle.Frontier()
    for leaf in TREE.leaves[:size]:
        frontier, _ = frontier.append(leaf)
    assert len(frontier.peaks) == size.bit_count()
    assert merkle.Frontier.from_bytes(size, frontier.to_bytes()).root == TREE.roots[size]


@given(st.integers(0, SIZE), st.integers(0, SIZE))
def test_leaves_that_come_together_give_the_tree_that_they_give_one_by_one(first: int, second: int) -> None:
    alone, nodes = merkle.Frontier(), []
    for leaf in TREE.leaves[: first + second]:
        alone, made = alone.append(leaf)
        nodes += made
    begun, one = merkle.Frontier().append(*TREE.leaves[:first])
    together, other = begun.append(*TREE.leaves[first : first + second])
    assert (together, one + other) == (alone, nodes)


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_places_outside_the_tree_are_refused(index: int, size: int) -> None:
    with pytest.raises(VerificationError):
        merkle.inclusion_proof(TREE.node, index, size)
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(TREE.leaves[0], index, size, [], TREE.roots[1])


def test_a_truncated_proof_does_not_make_an_inner_node_a_leaf() -> None:
    inner, sibling = TREE.node(1, 0), TREE.node(1, 1)
    with pytest.raises(VerificationError, match="inclusion proof is too short"):
        merkle.verify_inclusion(inner, 0, 4, [sibling], TREE.roots[4])
    with pytest.raises(VerificationError, match="consistency proof is too short"):
        merkle.verify_consistency(2, 4, TREE.roots[2], TREE.roots[2], [])


def test_a_padded_proof_does_not_fit_a_tree_below_the_root() -> None:
    left, right = TREE.leaves[:2]
    with pytest.raises(VerificationError, match="inclusion proof is too long"):
        merkle.verify_inclusion(right, 0, 1, [left], TREE.roots[2])
    steps = (*merkle.consistency_proof(TREE.node, 3, 4), bytes(32))
    old, new = (merkle.node_hash(bytes(32), TREE.roots[size]) for size in (3, 4))
    with pytest.raises(VerificationError, match="consistency proof is too long"):
        merkle.verify_consistency(3, 4, old, new, steps)


def test_endless_proofs_are_refused_unread() -> None:
    with pytest.raises(VerificationError, match="wrong form"):
        merkle.verify_inclusion(TREE.leaves[0], 0, 2, [bytes(32)] * 10_000, TREE.roots[2])
