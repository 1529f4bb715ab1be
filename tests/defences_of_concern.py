"""What a decision that reads only what concerns it is attacked with; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

LESS = "a decision on less than concerns it"

CONCERN_LINES = (LESS,)

E, W = "evidence/test_concerned.py::", "workspace/test_concerning.py::"
EVERY = f"{W}test_every_way_in_which_other_entries_count_is_followed"

CONCERN = (
    defence(
        LESS,
        "the chain over all entries of a digest or a kind",
        change(
            "evidence/concerned",
            "if subject_index.chain((row.index, merkle.leaf_hash(row.leaf)) for row in rows) != value:",
            "if False:",
        ),
        f"{E}test_an_entry_that_the_look_up_leaves_out_is_missed[entries_by_key]",
        f"{E}test_an_entry_that_the_look_up_leaves_out_is_missed[entries_by_kind]",
    ),
    defence(
        LESS,
        "the digest of the content in its leaf",
        change("evidence/concerned", "if sha256_hex(row.envelope) != leaf.envelope:", "if False:"),
        f"{E}test_content_that_concerns_the_decision_is_not_lost_unnoticed[content exchanged]",
    ),
    defence(
        LESS,
        "the entry that explains why content is gone",
        change("evidence/concerned", "if payload != leaf.payload or leaf.kind in NEVER_ERASED:", "if False:"),
        f"{E}test_content_that_concerns_the_decision_is_not_lost_unnoticed[content deleted]",
    ),
    defence(
        LESS,
        "the leaf hash that was noted for a name",
        change(
            "evidence/concerned",
            "merkle.leaf_hash(row.leaf) != hashes[row.index] for row in rows\n        ):",
            "False for row in rows\n        ):",
        ),
        f"{E}test_an_entry_in_the_place_of_a_noted_one_is_refused",
    ),
    defence(
        LESS,
        "the promotions under the model's name",
        (
            change("decide/reach", "words = {terms.promotions_of(name) for name in names}", "words: set[str] = set()"),
            change("decide/reach", "attempts | {Promotion.kind})", "attempts)"),
        ),
        f"{EVERY}[champion and attempts]",
    ),
    defence(
        LESS,
        "all that shows whether the model in use went through the gate",
        change("decide/reach", "add([about.sha256], None)", "add([about.sha256], compared | MAKING)"),
        f"{EVERY}[a champion]",
    ),
    defence(
        LESS,
        "the assessments of others on the same test data",
        change(
            "decide/reach",
            "return {terms.assessed_on(one.dataset.sha256) for one in about if isinstance(one, Assessment)}",
            "return {'' for one in about if isinstance(one, Assessment) and False}",
        ),
        f"{EVERY}[champion and attempts]",
    ),
    defence(
        LESS,
        "who made what a delegate judges",
        change("decide/reach", "for entry in evidence.attestations if delegates else ():", "for entry in ():"),
        f"{EVERY}[delegates]",
    ),
    defence(
        LESS,
        "what came between an announced promotion and its decision",
        change("workspace/verifying", "if wanted.promotions is not None:", "if False:"),
        "integrations/test_governed_store.py::test_an_announcement_that_something_came_before_moves_nothing",
    ),
    defence(
        LESS,
        "the version that made the notes",
        change(
            "workspace/noted",
            "return bool(found == upto)",
            "return found is not None",
        ),
        f"{W}test_notes_that_lost_an_entry_are_of_no_use",
    ),
)
