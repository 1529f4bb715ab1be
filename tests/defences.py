"""Every attack and fault that the ledger claims to withstand, what it withstands it with, and the tests that say so.

``python tests/remove_defences.py`` removes each defence from a copy of the package and requires its tests to fail. A defence is
removed by replacing text that stands exactly once in a file, so that an entry here cannot outlive what it removes. Where
several checks would stop the same thing, they are removed together, and ``without`` names all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LINES = (
    "payload bit flipped",
    "payloadType or predicateType changed",
    "signature from another envelope",
    "leaf row edited",
    "blob edited",
    "middle leaf deleted",
    "tail truncated",
    "old database restored",
    "leaves reordered",
    "envelope replayed",
    "copied to another log",
    "event dropped by the operator",
    "fork with the same size",
    "tree re-signed after a rewrite",
    "truncated, padded or oversized proof",
    "sizes 0, 1, 255, 256, 257, 65,536",
    "wrong key hint in a note",
    "cosignature below quorum",
    "unknown, expired or revoked signer",
    "one key under two ids",
    "backdated event by a stolen key",
    "duplicate JSON keys",
    "facet copied to another run",
    "kill -9 mid-append with two writers",
    "kill between commit and checkpoint",
    "EIO and ENOSPC on write",
    "read-only database",
    "clock moved back",
    "corrupt, mismatched or world-readable key file",
    "unauthorised erasure",
    "symlink or ../ in a model folder",
    "hostile envelope (1 GB payload, 10^5 signatures)",
    "torn tiles",
    "every acknowledged event survives",
    "every refusal names the reason",
    "entry from the far future",
    "retired or stolen log key",
    "last good checkpoint from after the theft",
    "what is said without proof",
    "rules: a weak model put up as the champion",
    "rules: numbers from different rows compared",
    "rules: many tries on one test set",
    "rules: test set that is the training set",
    "rules: a text nobody stands for",
    "rules: a policy weakened unnoticed",
    "rules: a control that no catalogue has",
    "rules: an expression that says neither yes nor no, or never ends",
    "a branch brings its own trust root",
    "another policy in force than the pinned one",
    "a pipeline that pins itself",
    "an old log shown to a pipeline",
    "easier rows in a pipeline",
    "measurements by whoever may not",
    "strangers' text in a pipeline",
    "a red check that looks green",
    "evidence of later in a decision of then",
    "roles: self-approval by a second key, or a role lent to somebody else or oneself",
    "roles: more than the charter allows",
    "roles: one person where several are required",
    "roles: an error in the engine",
    "roles: keys in one place passed for several people's",
    "roles: protected rows without a role, a record, or the registered bytes",
)
"""What the ledger, the rules and the roles are tested with, in the words of their design."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Text that stands exactly once in a file of the package, and what to put in its place."""

    file: str
    find: str
    put: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Defence:
    """What stops an attack, how to remove it, and the tests that fail without it."""

    line: str
    without: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]

    def removed(self, root: Path) -> dict[str, str]:
        """Return the files of the package as they are without it; a ValueError says what no longer stands there once."""
        texts: dict[str, str] = {}
        for one in self.changes:
            text = texts.get(one.file) or (root / one.file).read_text(encoding="utf-8")
            if text.count(one.find) != 1:
                raise ValueError(f"{one.file} has {text.count(one.find)} times: {one.find}")
            texts[one.file] = text.replace(one.find, one.put)
        return texts


def change(file: str, find: str, put: str) -> Change:
    return Change(file=f"ml_governance/{file}.py", find=find, put=put)


def defence(line: str, without: str, changes: tuple[Change, ...] | Change, *tests: str) -> Defence:
    changes = (changes,) if isinstance(changes, Change) else changes
    return Defence(line=line, without=without, changes=changes, tests=tuple(f"tests/{test}" for test in tests))


def named(*attacks: str) -> tuple[str, ...]:
    return tuple(f"evidence/test_attacks.py::test_an_attack_on_the_database_is_named[{attack}]" for attack in attacks)


BAD_SIGNATURE = change(
    "evidence/keys",
    'raise VerificationError(f"the signature of key {self.keyid[:16]} does not verify") from error',
    "return",
)
SIGNED = change("evidence/walk", "if not one.signed:", "if False:")
REPEATS = change("evidence/walk", "if leaf.seq <= session.seq:", "if False:")
FOLLOWS = change(
    "evidence/walk", "elif leaf.seq != session.seq + 1 or (known and one.prev != session.payload):", "elif False:"
)
PINS = change("evidence/verify", "for pin, whose in pins:", "for pin, whose in ():")
VALID_AT = change(
    "evidence/holders",
    "return self.valid_from <= index and (self.valid_until is None or index < self.valid_until)",
    "return True",
)
DATED = change("evidence/walk", "if not self.time.behind(at):", "if True:")
CHAINED = change("evidence/ledger", "door.continue_chains(sql, entries, tails)", "")

R = "workspace/test_roles.py::"
P = "workspace/test_protected.py::"
DOOR = change(
    "evidence/door",
    "if (fault := mandate.fault(one.content, principal, current, one.chain.recorded_at)) is not None:",
    "if (fault := None) is not None:",
)
LENT, CHARTER, SEVERAL, ENGINE, PLACES, ROWS = LINES[-6:]

ROLES = (
    defence(
        LENT,
        "barring whoever acts in the maker's place",
        (
            change("decide/delegation", "if one.by in self.made[subject.sha256]:", "if False:"),
            change("decide/cedar", " || {these}.containsAny(principal.behalf) }};", " }};"),
        ),
        R + "test_nobody_approves_in_the_place_of_the_models_maker",
    ),
    defence(
        LENT,
        "the bar in Cedar",
        change("decide/cedar", " || {these}.containsAny(principal.behalf) }};", " }};"),
        "decide/test_cedar.py::test_whoever_acts_for_the_maker_is_barred_as_the_maker_is",
    ),
    defence(
        LENT,
        "one voice for whoever delegates",
        change("decide/delegation", "return None if other is None else", "return None if True else"),
        R + "test_whoever_delegates_has_one_voice",
        R + "test_two_delegates_of_one_person_are_one_voice",
    ),
    defence(
        LENT,
        "what else speaks for whoever delegates, where it is about other models",
        change(
            "decide/reach",
            "spoken = {Approval.kind} if isinstance(entry.content, Approval) else frozenset()",
            "spoken = frozenset()",
        ),
        "workspace/test_concerning.py::test_every_way_in_which_other_entries_count_is_followed[the one voice, about another]",
    ),
    defence(
        LENT,
        "a delegation's end",
        change("decide/delegation", "if at >= self.expires:", "if False:"),
        R + "test_a_delegates_yes_ends_with_the_delegation",
    ),
    defence(
        LENT,
        "a delegation's beginning",
        change("decide/delegation", "if index <= self.entry.index or at < self.entry.recorded_at - SKEW:", "if False:"),
        R + "test_a_delegation_counts_from_its_own_index_on",
    ),
    defence(
        LENT,
        "a delegation's withdrawal",
        change("decide/delegation", "if self.ended is not None and index >= self.ended:", "if False:"),
        R + "test_a_withdrawn_delegation_takes_the_delegates_yes_with_it_and_leaves_their_no",
    ),
    defence(
        LENT,
        "the key that signed a delegation",
        change(
            "decide/delegation",
            "if (reason := one.void or one.refusal(evidence.size, at)) is not None:",
            "if (reason := one.refusal(evidence.size, at)) is not None:",
        ),
        R + "test_what_rests_on_a_delegation_by_a_stolen_key_counts_no_more_but_for_a_no",
    ),
    defence(
        LENT,
        "what a delegate's no rests on",
        change(
            "evidence/walk",
            "STANDS = (Revocation.kind, BreakGlass.kind, Delegation.kind)",
            "STANDS = (Revocation.kind, BreakGlass.kind)",
        ),
        R + "test_what_rests_on_a_delegation_by_a_stolen_key_counts_no_more_but_for_a_no",
    ),
    defence(
        LENT,
        "keeping delegations from being erased",
        change("evidence/walk", "Erasure.kind, Delegation.kind)", "Erasure.kind)"),
        R + "test_a_delegation_is_never_erased",
    ),
    defence(
        CHARTER,
        "the door's look at the charter",
        DOOR,
        R + "test_who_trains_and_registers_is_asked_at_the_door",
        P + "test_only_whom_the_charter_lets_registers",
    ),
    defence(
        CHARTER,
        "the reader's look at the charter",
        change("decide/delegation", "fault=mandate.fault(content, own, current, entry.recorded_at)", "fault=None"),
        R + "test_a_delegated_role_is_not_delegated_further",
    ),
    defence(
        CHARTER,
        "voiding evidence by whom the charter did not let",
        change("evidence/mandate", "if action is None or action not in charter.grants", "if True"),
        R + "test_a_model_by_whom_the_charter_does_not_let_blocks",
    ),
    defence(
        CHARTER,
        "roles that are kept apart",
        change(
            "evidence/charter",
            "if len(both := sorted(group & roles)) > 1:",
            "if len(both := sorted(group & roles)) > 9:",
        ),
        R + "test_roles_that_the_charter_keeps_apart_do_not_meet_in_a_delegate",
        "evidence/test_charter.py::test_roles_kept_apart_clash_wherever_two_meet",
    ),
    defence(
        CHARTER,
        "projects in Cedar",
        change(
            "decide/cedar",
            '"unless { principal.everywhere || principal.projects.contains(resource.project) };"',
            '"when { false };"',
        ),
        "decide/test_cedar.py::test_projects_and_stages_are_judged",
    ),
    defence(
        SEVERAL,
        "counting the people behind a promotion",
        change("decide/rbac", "if len(standing) < evidence.charter.people:", "if False:"),
        R + "test_a_policy_owner_who_drops_all_approvals_still_cannot_promote_alone",
        "decide/test_cedar.py::test_who_promotes_and_who_approves_counts_once_each",
    ),
    defence(
        SEVERAL,
        "for whom each of them speaks",
        change("decide/rbac", "one.isdisjoint(taken)), None)", "True), None)"),
        R + "test_whoever_promotes_does_not_count_again_in_a_delegate",
        "workspace/test_lent_roles.py::test_whoever_promotes_in_the_place_of_an_approver_brings_no_second_person[whoever lends it]",
        "workspace/test_lent_roles.py::test_whoever_promotes_in_the_place_of_an_approver_brings_no_second_person"
        "[another delegate of theirs]",
    ),
    defence(
        ENGINE,
        "refusing on any error",
        change(
            "decide/cedar",
            "return bool(answer.allowed) and not answer.diagnostics.errors",
            "return bool(answer.allowed)",
        ),
        "decide/test_cedar.py::test_a_forbid_that_errors_denies",
    ),
    defence(
        PLACES,
        "looking at the key files",
        change("workspace/verifying", "return key_places.noted(view, ws.key_folders)", "return view"),
        R + "test_keys_in_one_folder_are_one_custody_whatever_the_trust_file_says",
    ),
    defence(
        PLACES,
        "a policy's word on custody, in the decision",
        change("decide/decision", 'if policy.custody == "separate" and assured != SEPARATE_CUSTODY:', "if False:"),
        R + "test_a_policy_can_ask_for_separate_custody",
    ),
    defence(
        PLACES,
        "a policy's word on custody, for who promotes",
        change("decide/rbac", "if name != principal.id and (shared := places & people[principal.id]):", "if False:"),
        R + "test_who_promotes_holds_their_key_apart_too",
    ),
    defence(
        ROWS,
        "the role check",
        (change("workspace/protected", "if not verdict.allowed:", "if False:"), DOOR),
        P + "test_whoever_the_charter_does_not_let_gets_no_row_and_the_try_is_recorded",
        P + "test_rows_are_not_read_in_somebody_elses_place",
    ),
    defence(
        ROWS,
        "the role check at the moment of the record",
        (change("workspace/protected", "subjects(registered), guard=guard)", "subjects(registered))"), DOOR),
        P + "test_a_role_lost_while_the_rows_are_being_opened_opens_nothing",
    ),
    defence(
        ROWS,
        "the record before the rows",
        change("workspace/protected", "ws.writer.record(granted, subjects(registered), guard=guard)", "pass"),
        P + "test_rows_are_returned_after_a_signed_record_of_who_when_which_and_what_for",
        P + "test_without_a_record_there_are_no_rows",
    ),
    defence(
        ROWS,
        "the record of a refusal",
        change(
            "workspace/protected",
            'ws.writer.record(access.model_copy(update={"detail": error.found[:4000]}), subjects(registered))',
            "pass",
        ),
        P + "test_whoever_the_charter_does_not_let_gets_no_row_and_the_try_is_recorded",
    ),
    defence(
        ROWS,
        "the digest of the bytes",
        change("workspace/protected", "if found != registered.sha256:", "if False:"),
        P + "test_bytes_that_are_not_those_registered_are_refused_on_the_record",
    ),
    defence(
        ROWS,
        "parsing the bytes that were digested",
        change(
            "workspace/protected",
            "frame = _table(data, registered.format, name)",
            "frame = _table(_bytes(path or ws.root / registered.location), registered.format, name)",
        ),
        P + "test_what_is_digested_is_what_is_parsed",
    ),
)

DEFENCES = (
    *ROLES,
    defence(
        "payload bit flipped",
        "a signature over the payload's bytes",
        BAD_SIGNATURE,
        "evidence/test_envelope.py::test_any_flipped_bit_is_refused",
        *named("flip_payload"),
    ),
    defence(
        "payloadType or predicateType changed",
        "the payloadType, when signatures are verified and when entries are read",
        (
            change("evidence/envelope", "if envelope.payload_type != payload_type:", "if False:"),
            change("evidence/entry", "if envelope.payload_type != PAYLOAD_TYPE:", "if False:"),
        ),
        "evidence/test_envelope.py::test_another_payload_type_is_refused_though_the_signature_is_good",
        "evidence/test_faults.py::test_a_signature_of_another_entry_does_not_count",
    ),
    defence(
        "payloadType or predicateType changed",
        "the payloadType of trust files, when they are read and when their signatures are verified",
        (
            change("evidence/trust", "if envelope.payload_type != TRUST_TYPE:", "if False:"),
            change("evidence/envelope", "if envelope.payload_type != payload_type:", "if False:"),
        ),
        "evidence/test_trust.py::test_a_statement_never_passes_for_a_trust_file",
    ),
    defence(
        "payloadType or predicateType changed",
        "the payloadType inside what is signed",
        change(
            "evidence/envelope",
            'return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)',
            "return payload",
        ),
        "evidence/test_envelope.py::test_another_payload_type_is_refused_though_the_signature_is_good",
        "evidence/test_envelope.py::test_the_encoding_is_the_one_of_the_specification",
    ),
    defence(
        "payloadType or predicateType changed",
        "the kind, and all else that leaf and statement must agree on",
        change("evidence/check", "if different:", "if False:"),
        *named("edit_leaf_and_hash"),
    ),
    defence(
        "payloadType or predicateType changed",
        "the form of the predicate",
        change("evidence/check", "faults += [unread] if unread else []", ""),
        *named("change_kind"),
    ),
    defence(
        "signature from another envelope",
        "the signature, when appending",
        change("evidence/authorship", "verify(one.envelope, current.verification_keys)", ""),
        "evidence/test_ledger.py::test_a_signature_of_another_record_does_not_count[sqlite]",
    ),
    defence(
        "signature from another envelope",
        "a signature over the payload's bytes",
        BAD_SIGNATURE,
        "evidence/test_envelope.py::test_a_signature_from_another_envelope_is_refused",
        "evidence/test_ledger.py::test_a_signature_of_another_record_does_not_count[sqlite]",
    ),
    defence(
        "leaf row edited",
        "the leaf's hash",
        change("evidence/check", "if hashed != stored.leaf_hash:", "if False:"),
        *named("edit_leaf"),
    ),
    defence(
        "leaf row edited",
        "what leaf and statement must agree on",
        change("evidence/check", "if different:", "if False:"),
        *named("edit_leaf_and_hash"),
    ),
    defence(
        "blob edited",
        "the envelope's digest in the leaf",
        change("evidence/check", "if digest != leaf.envelope:", "if False:"),
        *named("flip_payload", "swap_envelopes"),
    ),
    defence(
        "blob edited",
        "content that is gone without an erasure",
        change("evidence/walk", 'self.problem(index, f"{leaf.kind}: its content is missing from {where}")', "continue"),
        *named("drop_blob"),
        "workspace/test_custody.py::test_content_that_vanished_is_not_called_erased",
        "evidence/test_offline.py::test_a_change_in_a_bundle_is_named[remove_content]",
    ),
    defence(
        "middle leaf deleted",
        "the gapless count of entries",
        change("evidence/walk", "if one.place != index:", "if False:"),
        *named("delete_middle"),
        "evidence/test_offline.py::test_a_change_in_a_bundle_is_named[drop_entry]",
    ),
    defence(
        "middle leaf deleted",
        "the writers' chains",
        (REPEATS, FOLLOWS),
        *named("delete_and_close_the_gap"),
    ),
    defence(
        "tail truncated",
        "the size in the checkpoint",
        change("evidence/verify", "elif signed.size != computed.size:", "elif False:"),
        *named("truncate"),
    ),
    defence(
        "tail truncated",
        "the size that was verified before",
        change("evidence/verify", "if since is not None and self.head.size < since.frontier.size:", "if False:"),
        "evidence/test_incremental.py::test_a_rollback_is_named",
    ),
    defence(
        "old database restored",
        "checkpoints that the verifier keeps or remembers",
        PINS,
        "evidence/test_attacks.py::test_an_old_database_is_told_from_the_new_one_by_what_was_verified_before",
        "evidence/test_attacks.py::test_a_rewritten_log_does_not_continue_what_was_verified_before",
        "workspace/test_custody.py::test_a_pinned_checkpoint_shows_a_rollback",
    ),
    defence(
        "old database restored",
        "what a process knows of the trust file, forgotten where it is not the last that appended",
        change("evidence/ledger", "        self._trust = None  # where", "        # where"),
        "evidence/test_ledger.py::test_whoever_a_restored_database_does_not_trust_is_refused_by_a_process_that_knew_them",
    ),
    defence(
        "old database restored",
        "the verification of what is restored",
        change("evidence/copying", "if verified.problems:", "if False:"),
        "workspace/test_custody.py::test_a_backup_restores_what_was_there_and_no_less",
    ),
    defence(
        "every refusal names the reason",
        "what is said of a process that was killed while it verified",
        change("evidence/parallel", "except BrokenProcessPool as error:", "except ZeroDivisionError as error:"),
        "evidence/test_attacks.py::test_a_process_that_is_killed_while_it_verifies_leaves_the_log_unverified_and_says_so",
    ),
    defence(
        "every refusal names the reason",
        "the form of keys in the look-up table",
        change("evidence/index_build", "        path_of(key)  # refuses what is no key", "        pass"),
        *named("shorten_lookup", "empty_lookup"),
    ),
    defence(
        "leaves reordered",
        "the writers' chains",
        (REPEATS, FOLLOWS),
        *named("swap_leaves"),
    ),
    defence(
        "envelope replayed",
        "what a process knows of a session, forgotten once another has appended",
        change("evidence/ledger", "        return head, {}", "        return head, {} if mine is None else mine[2]"),
        "evidence/test_ledger.py::test_what_a_process_knows_of_a_session_ends_where_another_goes_on_with_it[sqlite]",
    ),
    defence(
        "envelope replayed",
        "the writers' chains when appending, and the unique (writer, seq)",
        (
            CHAINED,
            change("evidence/schema", 'Index("leaves_writer_seq", "writer", "seq", unique=True),', ""),
        ),
        "evidence/test_ledger.py::test_a_replayed_entry_is_refused[sqlite]",
        "evidence/test_operator.py::test_a_replay_is_known_by_what_it_says_not_by_its_bytes",
    ),
    defence(
        "envelope replayed",
        "records that repeat, when verifying",
        REPEATS,
        "evidence/test_operator.py::test_a_replay_is_known_by_what_it_says_not_by_its_bytes",
        "evidence/test_incremental.py::test_the_operator_replays_an_old_session_in_vain[False]",
        "evidence/test_incremental.py::test_the_operator_replays_an_old_session_in_vain[True]",
    ),
    defence(
        "envelope replayed",
        "one key for each session, when appending",
        change("evidence/door", "if tail is not None and one.leaf.keyid != tail[1].keyid:", "if False:"),
        "evidence/test_ledger.py::test_nobody_goes_on_with_the_session_of_another[sqlite]",
    ),
    defence(
        "envelope replayed",
        "one key for each session, when verifying",
        change("evidence/walk", "if leaf.keyid != session.keyid:", "if False:"),
        "evidence/test_ledger.py::test_nobody_goes_on_with_the_session_of_another[sqlite]",
    ),
    defence(
        "copied to another log",
        "the log's name in the statement, when appending",
        change("evidence/ledger", "if one.chain.log != self.origin:", "if False:"),
        "evidence/test_ledger.py::test_an_entry_of_another_log_is_refused",
    ),
    defence(
        "copied to another log",
        "the log's name in the statement, when verifying",
        change("evidence/walk", "if one.log != self.origin:", "if False:"),
        "evidence/test_operator.py::test_a_record_of_another_log_is_named",
    ),
    defence(
        "event dropped by the operator",
        "the writers' chains",
        FOLLOWS,
        *named("rewrite_history_with_the_log_key"),
        "evidence/test_incremental.py::test_the_operator_drops_a_record_of_an_open_session_in_vain",
    ),
    defence(
        "event dropped by the operator",
        "the beginning of a chain",
        change(
            "evidence/walk",
            "if leaf.seq != 0 or leaf.kind != WriterOpen.kind or (known and one.prev is not None):",
            "if False:",
        ),
        "evidence/test_attacks.py::test_an_entry_under_another_writers_name_is_named",
    ),
    defence(
        "event dropped by the operator",
        "the number of records in a session's end, when appending",
        change(
            "evidence/door",
            "if isinstance(one.content, WriterClose) and one.content.records != one.chain.seq + 1:",
            "if False:",
        ),
        "evidence/test_ledger.py::test_a_session_closes_with_the_number_of_its_records[sqlite]",
    ),
    defence(
        "event dropped by the operator",
        "the number of records in a session's end, when verifying",
        change("evidence/walk", "if one.closes is not None and one.closes != leaf.seq + 1:", "if False:"),
        "evidence/test_ledger.py::test_a_session_closes_with_the_number_of_its_records[sqlite]",
    ),
    defence(
        "event dropped by the operator",
        "the receipt that the writer keeps",
        PINS,
        "evidence/test_operator.py::test_a_session_that_the_operator_drops_shows_through_its_receipt",
    ),
    defence(
        "event dropped by the operator",
        "the subject index, recomputed in full",
        change("evidence/index_check", "        faults.append(LOOKUP)", "        pass"),
        *named("drop_lookup", "invent_lookup"),
        "evidence/test_incremental.py::test_an_entry_hidden_from_the_index_is_named",
    ),
    defence(
        "event dropped by the operator",
        "the subject index, continued: new entries are in it",
        change("evidence/index_check", "if any(trie.get(key) != value for key, value in grown.items()):", "if False:"),
        "evidence/test_incremental.py::test_an_entry_hidden_from_the_index_is_named",
    ),
    defence(
        "event dropped by the operator",
        "the subject index, continued: old entries are still in it",
        change(
            "evidence/index_check",
            "return new, (faults if trie.commit()[0] == old else [*faults, CONTINUES])",
            "return new, faults",
        ),
        "evidence/test_incremental.py::test_an_older_entry_that_left_the_index_is_named",
    ),
    defence(
        "event dropped by the operator",
        "the completeness of a bundle",
        change("evidence/offline", "self._complete(signed, checked)", "pass"),
        "evidence/test_offline.py::test_a_change_in_a_bundle_is_named[drop_entry]",
        "evidence/test_offline.py::test_a_change_in_a_bundle_is_named[drop_revocations]",
    ),
    defence(
        "fork with the same size",
        "the roots of two trees of one size",
        change("evidence/merkle", "if proof or not expected:", "if proof:"),
        "evidence/test_operator.py::test_a_fork_of_the_same_size_shows_by_either_checkpoint",
        "evidence/test_operator.py::test_a_witness_cosigns_one_history_only",
    ),
    defence(
        "fork with the same size",
        "the root in the checkpoint, held against the entries and against what was verified before",
        (
            change("evidence/verify", "elif signed.root != computed.root and since is not None:", "elif False:"),
            change("evidence/verify", "elif signed != computed:", "elif False:"),
        ),
        *named("another_tree_of_the_same_size"),
        "evidence/test_operator.py::test_a_fork_of_the_same_size_shows_to_whoever_verified_before",
    ),
    defence(
        "tree re-signed after a rewrite",
        "the person's signature, when verifying",
        SIGNED,
        "evidence/test_operator.py::test_a_content_that_the_operator_edits_has_no_signature",
    ),
    defence(
        "tree re-signed after a rewrite",
        "the writers' chains",
        FOLLOWS,
        *named("rewrite_history_with_the_log_key"),
    ),
    defence(
        "tree re-signed after a rewrite",
        "the tree that was verified before",
        change("evidence/verify", "elif signed.root != computed.root and since is not None:", "elif False:"),
        "evidence/test_incremental.py::test_a_rewritten_past_is_named",
    ),
    defence(
        "tree re-signed after a rewrite",
        "the log's signature on the checkpoint",
        change("evidence/checkpoint", "if not good:", "if False:"),
        *named("forge_checkpoint"),
        "evidence/test_checkpoint.py::test_a_note_by_another_key_or_log_is_refused",
    ),
    defence(
        "tree re-signed after a rewrite",
        "the last signed root, before the next one is signed",
        change("evidence/ledger", "if self._signed[1] != head.promise(self.origin)[0]:", "if False:"),
        "evidence/test_attacks.py::test_an_append_refuses_an_edge_that_was_not_signed",
    ),
    defence(
        "truncated, padded or oversized proof",
        "the least length of an inclusion proof",
        change("evidence/merkle", 'raise VerificationError("the inclusion proof is too short")', "pass"),
        "evidence/test_merkle.py::test_a_truncated_proof_does_not_make_an_inner_node_a_leaf",
    ),
    defence(
        "truncated, padded or oversized proof",
        "the least length of a consistency proof",
        change(
            "evidence/merkle",
            '    if last != 0:\n        raise VerificationError("the consistency proof is too short")',
            "",
        ),
        "evidence/test_merkle.py::test_a_truncated_proof_does_not_make_an_inner_node_a_leaf",
    ),
    defence(
        "truncated, padded or oversized proof",
        "the greatest length of an inclusion proof",
        change("evidence/merkle", 'raise VerificationError("the inclusion proof is too long")', "pass"),
        "evidence/test_merkle.py::test_a_padded_proof_does_not_fit_a_tree_below_the_root",
    ),
    defence(
        "truncated, padded or oversized proof",
        "the greatest length of a consistency proof",
        change("evidence/merkle", 'raise VerificationError("the consistency proof is too long")', "pass"),
        "evidence/test_merkle.py::test_a_padded_proof_does_not_fit_a_tree_below_the_root",
    ),
    defence(
        "truncated, padded or oversized proof",
        "the bound on hashes that are looked at",
        change("evidence/merkle", "if len(proof) > MAX_PROOF or any(", "if any("),
        "evidence/test_merkle.py::test_endless_proofs_are_refused_unread",
    ),
    defence(
        "truncated, padded or oversized proof",
        "the bound on a proof file",
        change("evidence/proof", "if len(text) > MAX_PROOF_FILE:", "if False:"),
        "evidence/test_offline.py::test_an_oversized_proof_is_refused_unread",
    ),
    defence(
        "truncated, padded or oversized proof",
        "the bound on hashes in a proof file",
        change("evidence/proof", "if len(lines) - 3 > merkle.MAX_PROOF:", "if False:"),
        "evidence/test_offline.py::test_an_oversized_proof_is_refused_unread",
    ),
    defence(
        "sizes 0, 1, 255, 256, 257, 65,536",
        "the greatest length of a proof, at every size",
        change("evidence/merkle", 'raise VerificationError("the inclusion proof is too long")', "break"),
        *(
            f"evidence/test_faults.py::test_proofs_of_the_wrong_length_are_refused_at_every_size[{size}]"
            for size in (1, 2, 255, 256, 257, 65_536)
        ),
    ),
    defence(
        "sizes 0, 1, 255, 256, 257, 65,536",
        "the way along the ragged edge of trees that are not full",
        change(
            "evidence/merkle",
            "            current = node_hash(sibling, current)\n            while not position & 1 and position:",
            "            current = node_hash(sibling, current)\n            while False:",
        ),
        "evidence/test_faults.py::test_proofs_of_the_wrong_length_are_refused_at_every_size[257]",
        "evidence/test_merkle.py::test_inclusion_proofs_hold",
    ),
    defence(
        "sizes 0, 1, 255, 256, 257, 65,536",
        "places outside an empty tree, when proving",
        change(
            "evidence/merkle",
            '    if not 0 <= index < size:\n        raise VerificationError(f"leaf {index} is not in a tree of {size}", '
            'expected="an index below the size")\n    start, stop = 0, size',
            "    start, stop = 0, size",
        ),
        "evidence/test_merkle.py::test_places_outside_the_tree_are_refused[0-0]",
        "evidence/test_merkle.py::test_places_outside_the_tree_are_refused[4-4]",
    ),
    defence(
        "sizes 0, 1, 255, 256, 257, 65,536",
        "tiles of at most 256 entries",
        change("evidence/tiles", "if done % WIDTH == 0 or done == size:", "if done == size:"),
        "evidence/test_offline.py::test_tiles_verify_and_grow[600]",
    ),
    defence(
        "wrong key hint in a note",
        "the hint beside the name, in the log's signatures",
        (
            change(
                "evidence/checkpoint",
                "known = {(key.name, key_hint(key.name, bytes.fromhex(key.public))): key for key in log_keys}",
                "known = {key.name: key for key in log_keys}",
            ),
            change("evidence/checkpoint", "key = known.get((name, blob[:4]))", "key = known.get(name)"),
        ),
        "evidence/test_checkpoint.py::test_a_good_signature_under_a_wrong_hint_does_not_count",
    ),
    defence(
        "wrong key hint in a note",
        "the hint in a verifier key",
        change("evidence/checkpoint", "if key_hint(name, data[1:], kind).hex() != hint:", "if False:"),
        "evidence/test_checkpoint.py::test_a_verifier_key_under_a_wrong_hint_is_refused",
    ),
    defence(
        "wrong key hint in a note",
        "the hint beside the name, in cosignatures",
        (
            change(
                "evidence/witness",
                "known[witness.key.name, key_hint(witness.key.name, raw, COSIGNATURE)] = (witness, raw)",
                "known[witness.key.name] = (witness, raw)",
            ),
            change("evidence/witness", "if (name, blob[:4]) not in known:", "if name not in known:"),
            change("evidence/witness", "= known[name, blob[:4]]", "= known[name]"),
        ),
        "evidence/test_witness.py::test_a_wrong_key_hint_is_no_cosignature",
    ),
    defence(
        "cosignature below quorum",
        "the count of cosignatures",
        change("evidence/witness", "if not policy.met(frozenset(found)):", "if False:"),
        "evidence/test_witness.py::test_a_quorum_is_counted",
    ),
    defence(
        "cosignature below quorum",
        "the cosignatures themselves",
        change(
            "evidence/witness",
            'raise VerificationError(f"the cosignature by {name} does not verify") from error',
            "pass",
        ),
        "evidence/test_witness.py::test_a_false_cosignature_is_refused",
    ),
    defence(
        "unknown, expired or revoked signer",
        "the trust file, when appending and when verifying: unknown",
        change("evidence/authorship", "return current.signer(keyid, index)", "return trust.ROOT"),
        "evidence/test_attacks.py::test_what_nobody_may_sign_does_not_get_in[eve]",
        "evidence/test_attacks.py::test_an_unknown_signer_is_named",
    ),
    defence(
        "unknown, expired or revoked signer",
        "what root keys may sign",
        change("evidence/authorship", "if leaf.kind not in ROOT_KINDS:", "if False:"),
        "evidence/test_attacks.py::test_what_nobody_may_sign_does_not_get_in[root]",
        "evidence/test_attacks.py::test_a_root_key_signs_nothing_but_trust",
    ),
    defence(
        "unknown, expired or revoked signer",
        "the indices for which a key counts",
        VALID_AT,
        "evidence/test_trust.py::test_keys_count_only_in_their_range_of_indices",
        "evidence/test_trust.py::test_a_revoked_key_signs_nothing_more_and_its_past_stays",
        "workspace/test_custody.py::test_a_revoked_key_signs_nothing_new_and_keeps_what_it_signed",
    ),
    defence(
        "unknown, expired or revoked signer",
        "the expiry of the trust file",
        change("decide/circumstances", "if at >= evidence.trust_expires_at:", "if False:"),
        "decide/test_decision.py::test_an_expired_trust_file_decides_nothing",
    ),
    defence(
        "unknown, expired or revoked signer",
        "the root's digest, which the verifier brings along",
        change("evidence/trust", "if trust.root_digest != root:", "if False:"),
        "evidence/test_trust.py::test_the_first_version_is_believed_for_its_root_only",
        "evidence/test_attacks.py::test_another_root_of_trust_is_named",
        "evidence/test_offline.py::test_another_root_is_refused",
    ),
    defence(
        "unknown, expired or revoked signer",
        "the old root's signature under a new trust file",
        change("evidence/trust", '_signed_by_root(envelope, current, "the previous")', ""),
        "evidence/test_trust.py::test_a_later_version_is_signed_by_the_old_root_and_the_new",
    ),
    defence(
        "one key under two ids",
        "counting keys, not ids",
        change(
            "evidence/envelope",
            "verified.setdefault(key.spki_sha256, signature.keyid)",
            "verified.setdefault(signature.keyid, signature.keyid)",
        ),
        "evidence/test_envelope.py::test_one_key_under_two_ids_counts_once",
    ),
    defence(
        "one key under two ids",
        "a key for each person",
        change("evidence/trust", "if other != principal.id:", "if False:"),
        "evidence/test_trust.py::test_people_and_keys_are_distinct",
    ),
    defence(
        "one key under two ids",
        "distinct root keys",
        (
            change("evidence/trust", "if len(distinct) != len(trust.root_keys) or not", "if not"),
            change("evidence/trust", "<= len(distinct):", "<= len(trust.root_keys):"),
        ),
        "evidence/test_trust.py::test_people_and_keys_are_distinct",
    ),
    defence(
        "one key under two ids",
        "the id that is a key's own",
        change("evidence/keys", "if key.keyid != _derived_keyid(key.pem):", "if False:"),
        "evidence/test_keys.py::test_a_key_id_must_be_the_id_of_its_key",
    ),
    defence(
        "backdated event by a stolen key",
        "the indices for which a key counts",
        VALID_AT,
        "evidence/test_operator.py::test_a_stolen_key_cannot_sign_into_the_past",
    ),
    defence(
        "backdated event by a stolen key",
        "times that do not fall, when verifying",
        DATED,
        "evidence/test_operator.py::test_a_stolen_key_cannot_claim_an_old_time",
        "evidence/test_attacks.py::test_a_backdated_entry_is_named",
        "evidence/test_incremental.py::test_the_operator_replays_an_old_session_in_vain[True]",
    ),
    defence(
        "backdated event by a stolen key",
        "taking back what a stolen key signed",
        change("evidence/walk", "current.signer(one.keyid, one.index)", "pass"),
        "workspace/test_custody.py::test_what_a_stolen_key_signed_counts_no_more",
    ),
    defence(
        "backdated event by a stolen key",
        "void evidence that blocks",
        change("decide/circumstances", "if _still_matters(gone, subject, stage, policy, evidence):", "if False:"),
        "workspace/test_custody.py::test_void_evidence_blocks_until_it_is_replaced",
    ),
    defence(
        "duplicate JSON keys",
        "the one form of a predicate",
        change("evidence/entry", "if not _as_written(predicate(chain, content), parsed):", "if False:"),
        "evidence/test_entry.py::test_a_field_in_another_spelling_is_refused[{'seq': '0'}]",
    ),
    defence(
        "duplicate JSON keys",
        "the one form of a trust file",
        change("evidence/trust", "if trust.digest != sha256_hex(envelope.payload):", "if False:"),
        "evidence/test_trust.py::test_a_trust_file_has_one_form[a role twice]",
        "evidence/test_trust.py::test_a_trust_file_has_one_form[another zone]",
    ),
    defence(
        "duplicate JSON keys",
        "duplicate keys, and the one canonical form",
        (
            change("evidence/canonical", "_ENCODER.encode(value) == text and (", "("),
            change("evidence/canonical", "if rfc8785.dumps(value) != data:", "if False:"),
            change("evidence/canonical", "if len(value) != len(pairs):", "if False:"),
        ),
        'evidence/test_canonical.py::test_bytes_from_strangers_are_refused_by_name[b\'{"a":1,"a":1}\'-twice]',
        "evidence/test_faults.py::test_a_signature_of_another_entry_does_not_count",
    ),
    defence(
        "facet copied to another run",
        "the event's digest in the facet",
        change("integrations/openlineage", "if found.event not in digests:", "if False:"),
        "integrations/test_openlineage.py::test_a_changed_event_or_a_borrowed_facet_is_named",
    ),
    defence(
        "facet copied to another run",
        "the event in the entry that the facet names",
        change("integrations/openlineage", "or sha256_hex(canonicalise(read.content.event)) != found.event", ""),
        "integrations/test_openlineage.py::test_a_facet_that_points_to_another_runs_entry_is_named",
    ),
    defence(
        "kill -9 mid-append with two writers",
        "one transaction for each append",
        (
            change("evidence/ledger", 'raw.cursor().execute("BEGIN IMMEDIATE")', "pass"),
            change("evidence/ledger", "raw.rollback()", "pass"),
            change("evidence/ledger", "raw.commit()", "pass"),
        ),
        "evidence/test_faults.py::test_two_writers_that_are_killed_lose_nothing",
        "evidence/test_faults.py::test_a_kill_at_any_step_of_an_append_leaves_all_of_it_or_nothing",
    ),
    defence(
        "kill -9 mid-append with two writers",
        "the lock that is taken before the head is read",
        change("evidence/ledger", 'raw.cursor().execute("BEGIN IMMEDIATE")', 'raw.cursor().execute("BEGIN")'),
        "evidence/test_faults.py::test_two_writers_that_are_killed_lose_nothing",
    ),
    defence(
        "kill between commit and checkpoint",
        "entry and checkpoint in one transaction",
        change(
            "evidence/ledger",
            '        sql.run("save_head", **row)',
            '        sql._cursor.execute("COMMIT")\n        sql._cursor.execute("BEGIN IMMEDIATE")\n'
            '        sql.run("save_head", **row)',
        ),
        "evidence/test_faults.py::test_a_kill_at_any_step_of_an_append_leaves_all_of_it_or_nothing",
        "evidence/test_faults.py::test_an_append_that_is_interrupted_at_its_last_step_leaves_nothing",
    ),
    defence(
        "EIO and ENOSPC on write",
        "the error of a commit",
        change(
            "evidence/ledger",
            "            raw.commit()",
            "            try:\n                raw.commit()\n"
            "            except Exception:\n"
            "                raw.rollback()",
        ),
        "evidence/test_faults.py::test_a_disk_that_fails_loses_nothing_that_was_acknowledged[pwrite64:error=EIO:when=40+7]",
        "evidence/test_faults.py::test_a_disk_that_fails_loses_nothing_that_was_acknowledged[pwrite64:error=ENOSPC:when=40+5]",
        "evidence/test_faults.py::test_a_disk_that_fails_loses_nothing_that_was_acknowledged[fdatasync:error=EIO:when=3+2]",
    ),
    defence(
        "EIO and ENOSPC on write",
        "the reason that a full disk is told with",
        change(
            "evidence/database",
            'raise LedgerError(f"the ledger at {self.shown} cannot be used: {said}"',
            'raise LedgerError("failed"',
        ),
        "evidence/test_ledger.py::test_a_full_disk_loses_nothing",
    ),
    defence(
        "read-only database",
        "database errors, told as ours",
        change("evidence/database", "except Exception as error:", "except ZeroDivisionError as error:"),
        "evidence/test_faults.py::test_a_database_that_cannot_be_written_is_still_read",
    ),
    defence(
        "clock moved back",
        "the newest time in the log, when appending",
        change("evidence/door", "if latest is not None and latest - at > MAX_SKEW:", "if False:"),
        "evidence/test_ledger.py::test_a_clock_that_runs_back_is_refused_when_writing[sqlite]",
    ),
    defence(
        "clock moved back",
        "the newest time in the log, when verifying",
        DATED,
        "evidence/test_attacks.py::test_a_backdated_entry_is_named",
        "evidence/test_attacks.py::test_an_entry_from_the_beginning_of_time_is_told_not_thrown",
    ),
    defence(
        "clock moved back",
        "the newest time in the log, when deciding",
        change("decide/circumstances", "if latest - clock > SKEW:", "if False:"),
        "decide/test_decision.py::test_a_clock_behind_the_log_decides_nothing",
    ),
    defence(
        "clock moved back",
        "a session's own last time, in its writer",
        change("evidence/writer", "if before is not None and timedelta(0) < before - now <= MAX_SKEW:", "if False:"),
        "evidence/test_ledger.py::test_a_clock_that_is_set_right_by_a_little_does_not_spoil_a_session[sqlite-1]",
    ),
    defence(
        "clock moved back",
        "a session's own last time, when appending",
        change("evidence/door", "if writer in latest and at < latest[writer]:", "if False:"),
        "evidence/test_ledger.py::test_a_record_from_before_its_sessions_last_is_refused[sqlite]",
    ),
    defence(
        "clock moved back",
        "a session's own last time, when verifying",
        change(
            "evidence/walk", "if one.at is not None and session.at is not None and one.at < session.at:", "if False:"
        ),
        "evidence/test_ledger.py::test_a_record_from_before_its_sessions_last_is_refused[sqlite]",
    ),
    defence(
        "corrupt, mismatched or world-readable key file",
        "the mode of a key file",
        change("evidence/keys", "if status.st_mode & 0o077:", "if False:"),
        *(
            f"evidence/test_keys.py::test_a_key_that_others_can_touch_is_refused[{mode}]"
            for mode in (0o644, 0o640, 0o604, 0o660, 0o610)
        ),
    ),
    defence(
        "corrupt, mismatched or world-readable key file",
        "the owner of a key file",
        change("evidence/keys", "if status.st_uid != os.geteuid():", "if False:"),
        "evidence/test_keys.py::test_a_key_of_somebody_else_is_refused",
    ),
    defence(
        "corrupt, mismatched or world-readable key file",
        "a key file that is no link",
        change("evidence/keys", "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_RDONLY | os.O_NONBLOCK"),
        "evidence/test_keys.py::test_a_symbolic_link_is_refused",
    ),
    defence(
        "corrupt, mismatched or world-readable key file",
        "the reading of a corrupt key file",
        change(
            "evidence/keys",
            "    except (ValueError, UnsupportedAlgorithm) as error:\n        raise KeyFileError(",
            "    except UnsupportedAlgorithm as error:\n        raise KeyFileError(",
        ),
        "evidence/test_keys.py::test_other_things_are_no_keys",
        "evidence/test_keys.py::test_encrypted_keys_need_their_passphrase",
    ),
    defence(
        "corrupt, mismatched or world-readable key file",
        "the type of a person's key",
        change(
            "evidence/keys",
            'if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":',
            "if False:",
        ),
        "evidence/test_keys.py::test_keys_of_other_types_are_refused",
    ),
    defence(
        "corrupt, mismatched or world-readable key file",
        "the log key that the trust file names",
        change(
            "evidence/door",
            "    if known is None:\n        raise",
            "    if known is None:\n        return\n        raise",
        ),
        "evidence/test_ledger.py::test_another_log_key_cannot_go_on[sqlite]",
        "workspace/test_custody.py::test_the_log_changes_its_key",
    ),
    defence(
        "corrupt, mismatched or world-readable key file",
        "the signature that a key service returns",
        change("evidence/keys", "        self._public.verify(signature, message)\n", ""),
        "evidence/test_keys.py::test_a_signature_that_a_service_makes_with_another_key_is_refused",
    ),
    defence(
        "unauthorised erasure",
        "the eraser's role, when appending",
        change("evidence/door", "if isinstance(one.content, Erasure) and ERASER not in principal.roles:", "if False:"),
        "workspace/test_custody.py::test_an_erasure_by_somebody_without_the_role_does_not_get_in",
    ),
    defence(
        "unauthorised erasure",
        "the entry under which content goes",
        change("evidence/door", "if leaf is None or (index, leaf.payload) not in said:", "if False:"),
        "workspace/test_custody.py::test_content_goes_only_under_an_entry_that_names_it",
    ),
    defence(
        "unauthorised erasure",
        "kinds that are never erased, when appending",
        change("evidence/door", "if leaf.kind in NEVER_ERASED:", "if False:"),
        "workspace/test_custody.py::test_what_the_rest_is_verified_with_is_never_erased",
    ),
    defence(
        "unauthorised erasure",
        "kinds that are never erased, when verifying",
        change("evidence/walk", "if leaf.kind in NEVER_ERASED:", "if False:"),
        "workspace/test_custody.py::test_what_the_rest_is_verified_with_is_never_erased",
    ),
    defence(
        "unauthorised erasure",
        "the eraser's role, when verifying",
        change("evidence/walk", "if ERASER in principal.roles:", "if True:"),
        "workspace/test_custody.py::test_an_erasure_by_somebody_without_the_role_is_a_problem",
        "evidence/test_offline.py::test_an_erasure_by_somebody_without_the_role_excuses_nothing",
    ),
    defence(
        "unauthorised erasure",
        "the eraser's role, when checking a bundle",
        change(
            "evidence/offline",
            "if checked.erases is not None and ERASER in principal.roles:",
            "if checked.erases is not None:",
        ),
        "evidence/test_offline.py::test_an_erasure_by_somebody_without_the_role_excuses_nothing",
    ),
    defence(
        "unauthorised erasure",
        "the eraser's role, before anything is signed",
        change("workspace/keeping", "if ERASER not in me.roles:", "if False:"),
        "workspace/test_custody.py::test_erased_content_is_gone_and_every_proof_stays",
    ),
    defence(
        "unauthorised erasure",
        "an erased rejection that only its signer replaces",
        change("decide/circumstances", "if gone.kind == Approval.kind and gone.erased:", "if False:"),
        "decide/test_decision.py::test_an_erased_rejection_is_replaced_by_its_signer_alone",
    ),
    defence(
        "unauthorised erasure",
        "an erased report that one which counts replaces",
        change(
            "decide/circumstances", "any(entry is not None and entry.index < gone.index for entry in resting)", "False"
        ),
        "decide/test_decision.py::test_an_erased_report_is_replaced_by_one_that_counts",
    ),
    defence(
        "unauthorised erasure",
        "an erased policy that one in force replaces",
        change(
            "decide/circumstances", "return in_force(evidence, stage).attestation.index < gone.index", "return False"
        ),
        "decide/test_decision.py::test_an_erased_policy_is_replaced_by_one_in_force",
    ),
    defence(
        "unauthorised erasure",
        "an erased revocation, which blocks",
        change("decide/circumstances", "return True  # what it withdrew, nobody can tell any more", "return False"),
        "decide/test_decision.py::test_a_revocation_that_was_erased_blocks_whatever_it_was_about",
    ),
    defence(
        "unauthorised erasure",
        "who made a model, when the record of it is erased",
        change("decide/rules", "frozenset(void | {", "frozenset({"),
        "decide/test_decision.py::test_who_made_a_model_stays_known_when_the_record_is_erased",
    ),
    defence(
        "cosignature below quorum",
        "how much an anchor covers, from its note",
        change(
            "evidence/anchors",
            "anchored.append(_vouched(anchor, kept.size, ",
            "anchored.append(_vouched(anchor, anchor.size, ",
        ),
        "evidence/test_witness.py::test_the_database_does_not_say_how_much_an_anchor_covers",
    ),
    defence(
        "unknown, expired or revoked signer",
        "roles of another project",
        change("workspace/verifying", "    view = view.within(ws.config.project)\n", ""),
        "workspace/test_custody.py::test_a_role_in_another_project_is_none_here",
    ),
    defence(
        "unknown, expired or revoked signer",
        "a key that was taken back, trusted again",
        change("evidence/succession", "    if ended:", "    if False:"),
        "workspace/test_custody.py::test_a_key_that_was_taken_back_is_not_trusted_again",
    ),
    defence(
        "event dropped by the operator",
        "a view of everything only",
        change("evidence/verified", "if not self.collected:", "if False:"),
        "evidence/test_attacks.py::test_a_view_that_could_omit_something_is_none",
    ),
    defence(
        "symlink or ../ in a model folder",
        "links in a folder, seen and not followed",
        (
            change("evidence/fingerprint", "found.stat(follow_symlinks=False).st_mode", "found.stat().st_mode"),
            change(
                "evidence/fingerprint", "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK", "os.O_RDONLY | os.O_NONBLOCK"
            ),
        ),
        "evidence/test_fingerprint.py::test_a_link_in_a_model_folder_is_refused_wherever_it_points[../outside]",
        "evidence/test_fingerprint.py::test_a_link_in_a_model_folder_is_refused_wherever_it_points[../outside/weights.bin]",
    ),
    defence(
        "symlink or ../ in a model folder",
        "plain names in a folder",
        change("evidence/fingerprint", 'if "\\n" in found.name or "\\\\" in found.name:', "if False:"),
        "evidence/test_fingerprint.py::test_a_name_that_another_system_reads_as_a_way_out_is_refused",
    ),
    defence(
        "symlink or ../ in a model folder",
        "plain names of models in a registry",
        change("promote/registry", "if not _NAME.fullmatch(name):", "if False:"),
        "promote/test_registry.py::test_names_stay_inside[../up]",
    ),
    defence(
        "hostile envelope (1 GB payload, 10^5 signatures)",
        "the bound on a document",
        change("evidence/canonical", "if len(data) > max_bytes:", "if False:"),
        "evidence/test_faults.py::test_a_hostile_envelope_is_refused_quickly[payload]",
        "evidence/test_canonical.py::test_size_is_bounded_before_anything_is_parsed",
    ),
    defence(
        "hostile envelope (1 GB payload, 10^5 signatures)",
        "the bound on signatures",
        change("evidence/envelope", "or not 1 <= len(signatures) <= MAX_SIGNATURES:", "or not signatures:"),
        "evidence/test_faults.py::test_a_hostile_envelope_is_refused_quickly[signatures]",
        "evidence/test_faults.py::test_more_signatures_than_anybody_needs_are_not_looked_at",
        "evidence/test_envelope.py::test_many_signatures_are_refused_before_any_is_verified",
    ),
    defence(
        "hostile envelope (1 GB payload, 10^5 signatures)",
        "the bound on nesting",
        change("evidence/canonical", "if deepest > MAX_DEPTH:", "if False:"),
        "evidence/test_faults.py::test_a_hostile_envelope_is_refused_quickly[nesting]",
    ),
    defence(
        "hostile envelope (1 GB payload, 10^5 signatures)",
        "the bound on the number of values",
        change("evidence/canonical", "if _commas_and_brackets(bare) > max_values:", "if False:"),
        "evidence/test_canonical.py::test_the_number_of_values_is_bounded_before_any_is_made",
        "evidence/test_faults.py::test_a_hostile_envelope_is_refused_quickly[parts]",
    ),
    defence(
        "hostile envelope (1 GB payload, 10^5 signatures)",
        "counting faults where they are very many",
        change("evidence/entry", "if (count := error.error_count()) > MAX_FAULTS:", "if False:"),
        "evidence/test_entry.py::test_very_many_faults_are_counted_and_not_listed",
    ),
    defence(
        "hostile envelope (1 GB payload, 10^5 signatures)",
        "the bound on the text of a key",
        change("evidence/keys", "if len(pem) > _MAX_PEM:", "if False:"),
        "evidence/test_keys.py::test_what_stands_around_a_key_is_bounded",
    ),
    defence(
        "hostile envelope (1 GB payload, 10^5 signatures)",
        "the bound on a number's digits",
        (
            change("evidence/canonical", "if len(text) > 15:", "if False:"),
            change("evidence/canonical", "if len(text) > 17:", "if False:"),
        ),
        "evidence/test_faults.py::test_a_hostile_envelope_is_refused_quickly[number]",
    ),
    defence(
        "torn tiles",
        "whole leaves in an entry tile",
        change("evidence/tiles", "if at != len(data) or len(leaves) != width:", "if False:"),
        "evidence/test_offline.py::test_a_torn_entry_tile_is_called_torn",
    ),
    defence(
        "torn tiles",
        "hash tiles held against their entries",
        change("evidence/tiles", 'if _get(folder / name, WIDTH * merkle.HASH) != b"".join(hashes):', "if False:"),
        "evidence/test_offline.py::test_a_torn_or_edited_tile_is_named",
    ),
    defence(
        "torn tiles",
        "a line for each envelope",
        (
            change("evidence/tiles", 'if not line.endswith(b"\\n"):', "if False:"),
            change("evidence/tiles", "if stream.read(1):", "if False:"),
        ),
        "evidence/test_offline.py::test_a_torn_or_edited_tile_is_named",
    ),
    defence(
        "torn tiles",
        "the size of a tile, before it is taken for done",
        change("evidence/tiles", "tile.stat().st_size == WIDTH * merkle.HASH", "True"),
        "evidence/test_offline.py::test_a_torn_or_edited_tile_is_named",
    ),
    defence(
        "every acknowledged event survives",
        "waiting for the disk before an append is acknowledged",
        change("evidence/database", '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = OFF"'),
        "evidence/test_faults.py::test_a_disk_that_fails_loses_nothing_that_was_acknowledged[fdatasync:error=EIO:when=3+2]",
        "evidence/test_faults.py::test_a_disk_that_fails_loses_nothing_that_was_acknowledged[fdatasync:signal=SIGKILL:when=5]",
    ),
    defence(
        "every acknowledged event survives",
        "the commit of every append",
        change(
            "evidence/ledger",
            "raw.commit()",
            'size = raw.cursor().execute("SELECT size FROM head").fetchone()[0]\n'
            "            raw.rollback() if size > 20 and size % 7 == 0 else raw.commit()",
        ),
        "evidence/test_faults.py::test_two_writers_that_are_killed_lose_nothing",
    ),
    defence(
        "every refusal names the reason",
        "the problems, where a view is refused",
        change("evidence/verified", 'f"the ledger does not verify: {shown}{more}"', '"the ledger does not verify"'),
        *named("flip_payload", "delete_middle", "truncate", "forge_checkpoint"),
    ),
    defence(
        "every refusal names the reason",
        "what was found, in an error's text",
        change("errors", "parts = [self.found]", 'parts = ["refused"]'),
        "evidence/test_ledger.py::test_a_full_disk_loses_nothing",
        "evidence/test_keys.py::test_a_symbolic_link_is_refused",
        "evidence/test_trust.py::test_a_statement_never_passes_for_a_trust_file",
    ),
    defence(
        "entry from the far future",
        "the clock of whoever appends",
        change("evidence/door", "if at - now > MAX_SKEW:", "if False:"),
        "evidence/test_timeline.py::test_what_is_ahead_of_the_clock_of_whoever_appends_is_refused",
    ),
    defence(
        "entry from the far future",
        "a session that ends when its own time was wrong",
        change("evidence/writer", "if before is not None and before - now > MAX_SKEW:", "if False:"),
        "evidence/test_timeline.py::test_a_session_whose_own_time_was_wrong_ends_and_spoils_nothing",
    ),
    defence(
        "entry from the far future",
        "the root's setting the time right, when appending",
        change("evidence/door", "said = timeline.resumption(one) if current is not None else None", "said = None"),
        "evidence/test_timeline.py::test_one_entry_from_the_future_closes_the_log_until_the_root_sets_the_time_right[sqlite]",
        "workspace/test_last_good.py::test_a_log_that_a_wrong_clock_closed_is_opened_again_by_the_root",
    ),
    defence(
        "entry from the far future",
        "the root's setting the time right, when verifying",
        change("evidence/walk", "if update is not None and update.resumes is not None:", "if False:"),
        "evidence/test_timeline.py::test_one_entry_from_the_future_closes_the_log_until_the_root_sets_the_time_right[sqlite]",
    ),
    defence(
        "entry from the far future",
        "entries that nobody doubts, behind which no time is set",
        change("evidence/timeline", "if kept and kept[-1][1] - min(at, said.at) > MAX_SKEW:", "if False:"),
        "evidence/test_timeline.py::test_time_is_never_set_back_behind_entries_that_nobody_doubts",
        "evidence/test_timeline.py::test_a_bundle_refuses_a_resumption_that_leads_too_far_back",
        "evidence/test_timeline.py::test_no_resumption_leads_behind_what_it_does_not_doubt",
    ),
    defence(
        "entry from the far future",
        "the time that the root's threshold signed",
        change("evidence/timeline", "if not -MAX_SKEW <= at - said.at <= CEREMONY:", "if False:"),
        "evidence/test_timeline.py::test_the_entry_is_from_the_time_that_the_root_signed",
    ),
    defence(
        "entry from the far future",
        "the root's threshold, for a time too",
        change(
            "evidence/trust",
            '    _signed_by_root(envelope, current, "the previous")\n    _signed_by_root(envelope, trust, "its own")\n',
            "",
        ),
        "evidence/test_timeline.py::test_one_holder_of_a_root_of_two_moves_no_time",
    ),
    defence(
        "entry from the far future",
        "the session that opens only to set the time right, when appending",
        change(
            "evidence/door",
            "and any(two.chain.writer == one.chain.writer and timeline.resumption(two) is not None for two in following)",
            "",
        ),
        "evidence/test_timeline.py::test_a_root_key_alone_cannot_write_behind_the_logs_time",
    ),
    defence(
        "entry from the far future",
        "the session that opens only to set the time right, when verifying",
        (
            change("evidence/walk", "self.problems.append(self._behind[1])", "pass"),
            change("evidence/walk", "self.problems.remove(behind[1])", "pass"),
        ),
        "evidence/test_timeline.py::test_a_root_key_alone_cannot_write_behind_the_logs_time",
    ),
    defence(
        "entry from the far future",
        "what counts no more, because its time had not come",
        change(
            "evidence/timeline", "return self.since <= index < self.index and at - self.at > MAX_SKEW", "return False"
        ),
        "evidence/test_timeline.py::test_what_claims_a_time_that_had_not_come_counts_no_more_but_a_no_stays_a_no",
        "evidence/test_timeline.py::test_whoever_gets_the_log_accepts_the_resumption_and_is_told[subject]",
    ),
    defence(
        "entry from the far future",
        "everything verified again, where the time was set right",
        change("evidence/walk", "if self.continued:", "if False:"),
        "evidence/test_timeline.py::test_a_verifier_with_a_memory_verifies_everything_when_the_time_was_set_right",
    ),
    defence(
        "entry from the far future",
        "what whoever verifies is told",
        change("evidence/walk", "return [*(one.sentence() for one in self.time.resumed), *self.remarks]", "return []"),
        "evidence/test_timeline.py::test_one_entry_from_the_future_closes_the_log_until_the_root_sets_the_time_right[sqlite]",
        "evidence/test_timeline.py::test_whoever_gets_the_log_accepts_the_resumption_and_is_told[tiles]",
        "workspace/test_last_good.py::test_a_bare_assertion_counts_only_when_it_is_made_as_one_and_stays_on_record",
    ),
    defence(
        "entry from the far future",
        "every holder's own clock",
        change(
            "workspace/custody",
            "if not -timeline.MAX_SKEW <= now - version.resumes.at <= timeline.CEREMONY:",
            "if False:",
        ),
        "workspace/test_last_good.py::test_every_holder_holds_the_drafts_time_against_a_clock_of_their_own",
    ),
    defence(
        "entry from the far future",
        "a no, whatever time it claims",
        change(
            "decide/approval",
            'elif content.verdict == "approve" and at - entry.recorded_at < -SKEW:',
            "elif at - entry.recorded_at < -SKEW:",
        ),
        "workspace/test_last_good.py::test_a_no_counts_whatever_time_it_claims",
    ),
    defence(
        "retired or stolen log key",
        "the sizes at which a log key counts",
        change("evidence/checkpoint", "if key.valid_at(checkpoint.size):", "if True:"),
        "evidence/test_log_keys.py::test_every_verifier_refuses_a_tree_by_a_retired_key[log]",
        "evidence/test_log_keys.py::test_every_verifier_refuses_a_tree_by_a_retired_key[tiles]",
        "evidence/test_log_keys.py::test_every_verifier_refuses_a_tree_by_a_retired_key[bundle]",
        "evidence/test_log_keys.py::test_every_verifier_refuses_a_tree_by_a_retired_key[subject]",
        "evidence/test_log_keys.py::test_every_verifier_refuses_a_tree_by_a_retired_key[proof]",
        "evidence/test_log_keys.py::test_a_retired_log_key_counts_for_its_own_trees_and_for_no_larger_ones",
        "evidence/test_log_keys.py::test_a_new_log_key_signs_no_tree_from_before_its_time",
        "evidence/test_log_keys.py::test_what_a_stolen_log_key_signed_is_taken_back",
    ),
    defence(
        "retired or stolen log key",
        "the end that a rotation sets",
        change(
            "evidence/succession",
            "key if _over(key, until) else replace(key, valid_until=until) for key in draft.log_keys",
            "draft.log_keys",
        ),
        "evidence/test_log_keys.py::test_a_retired_log_key_counts_for_its_own_trees_and_for_no_larger_ones",
    ),
    defence(
        "retired or stolen log key",
        "the size at which a log key signs, when appending",
        change("evidence/door", "if not known.valid_at(size):", "if False:"),
        "evidence/test_log_keys.py::test_a_process_that_still_has_the_old_log_key_appends_nothing",
    ),
    defence(
        "retired or stolen log key",
        "a log key that stays in use",
        (
            change(
                "evidence/succession",
                "if not any(one is not key and one.valid_until is None for one in draft.log_keys):",
                "if False:",
            ),
            change("evidence/trust", "if all(key.valid_until is not None for key in trust.log_keys):", "if False:"),
        ),
        "evidence/test_log_keys.py::test_what_a_stolen_log_key_signed_is_taken_back",
    ),
    defence(
        "retired or stolen log key",
        "the log key that is here when a trust file comes into force",
        change("workspace/custody", "if signer.public.public in in_use:", "if True:"),
        "workspace/test_last_good.py::test_no_trust_file_comes_into_force_after_which_nobody_could_append",
    ),
    defence(
        "retired or stolen log key",
        "a root that nothing could be held against",
        change("workspace/received", "if (root is None) != (trust_file is None):", "if False:"),
        "evidence/test_log_keys.py::test_a_proof_is_held_against_the_root_with_a_trust_file",
    ),
    defence(
        "retired or stolen log key",
        "the root's signature under a trust file that comes alone",
        change(
            "evidence/trust",
            '    _signed_by_root(envelope, trust, "its own")\n    return trust\n\n\ndef verify_successor',
            "    return trust\n\n\ndef verify_successor",
        ),
        "evidence/test_log_keys.py::test_a_proof_is_held_against_the_root_with_a_trust_file",
    ),
    defence(
        "last good checkpoint from after the theft",
        "an anchor that is older than the theft",
        change("workspace/last_good", "if first is None or first.at >= stolen:", "if first is None:"),
        "workspace/test_last_good.py::test_a_checkpoint_that_nothing_shows_to_be_older_than_the_theft_is_refused[{'x': 0, 'y': 3}]",
        "workspace/test_last_good.py::test_a_checkpoint_that_nothing_shows_to_be_older_than_the_theft_is_refused[{'x': 2, 'y': 2}]",
    ),
    defence(
        "last good checkpoint from after the theft",
        "the quorum of a checkpoint that is brought along",
        (
            change("workspace/last_good", "if policy.met(frozenset(cosigned)):", "if cosigned:"),
            change(
                "evidence/witness",
                "if policy.met(frozenset(name for name, when in cosigned.items() if when <= at))",
                "",
            ),
        ),
        "workspace/test_last_good.py::test_a_checkpoint_that_nothing_shows_to_be_older_than_the_theft_is_refused[{'x': 0}]",
        "workspace/test_last_good.py::test_a_checkpoint_that_nothing_shows_to_be_older_than_the_theft_is_refused[{'x': 0, 'y': 3}]",
    ),
    defence(
        "last good checkpoint from after the theft",
        "the time by which the whole quorum had cosigned",
        change(
            "evidence/witness", "if policy.met(frozenset(name for name, when in cosigned.items() if when <= at))", ""
        ),
        "workspace/test_last_good.py::test_a_checkpoint_that_nothing_shows_to_be_older_than_the_theft_is_refused[{'x': 0, 'y': 3}]",
    ),
    defence(
        "last good checkpoint from after the theft",
        "anchors that cover the checkpoint",
        change("workspace/last_good", "if one.size >= size", ""),
        "workspace/test_last_good.py::test_an_anchor_over_a_later_checkpoint_covers_an_earlier_one",
    ),
    defence(
        "last good checkpoint from after the theft",
        "a reason for what nothing shows",
        change("workspace/last_good", "if not reason.strip():", "if False:"),
        "workspace/test_last_good.py::test_a_bare_assertion_counts_only_when_it_is_made_as_one_and_stays_on_record",
        "cli/test_log.py::test_a_stolen_key_needs_a_checkpoint_from_before_or_loses_everything",
    ),
    defence(
        "last good checkpoint from after the theft",
        "the record of what a revocation rests on",
        change(
            "workspace/custody",
            "return replace(changed, remark=None if last_good is None else last_good.remark(who))",
            "return changed",
        ),
        "workspace/test_last_good.py::test_a_bare_assertion_counts_only_when_it_is_made_as_one_and_stays_on_record",
        "workspace/test_last_good.py::test_a_checkpoint_that_a_quorum_cosigned_before_the_theft_is_good",
    ),
    defence(
        "clock moved back",
        "anchors, when deciding",
        change("workspace/verifying", "anchors.claimed(ws.ledger)", "None"),
        "workspace/test_last_good.py::test_nobody_decides_on_a_clock_behind_a_cosignature",
        "workspace/test_last_good.py::test_nobody_decides_on_a_clock_behind_a_timestamp",
    ),
    defence(
        "clock moved back",
        "the newest time of the log, at which a decision judges",
        change(
            "decide/decision",
            "clock, at = at, at if evidence.newest is None else max(at, evidence.newest)",
            "clock = at",
        ),
        "workspace/test_last_good.py::test_what_depends_on_time_is_judged_at_the_newest_time_that_the_log_shows",
    ),
    defence(
        "clock moved back",
        "the earliest of several cosignatures",
        change(
            "evidence/witness",
            "return min((datetime.fromtimestamp(at, UTC) for at in times), default=None)",
            "return max((datetime.fromtimestamp(at, UTC) for at in times), default=None)",
        ),
        "workspace/test_last_good.py::test_nobody_decides_on_a_clock_behind_a_cosignature",
    ),
    defence(
        "clock moved back",
        "an anchor from a time that has not come",
        change("workspace/keeping", "if at - now > MAX_SKEW:", "if False:"),
        "workspace/test_last_good.py::test_an_anchor_from_a_time_that_has_not_come_is_not_kept",
    ),
    defence(
        "what is said without proof",
        "the signer of a timestamp, from its certificate",
        change("evidence/anchors", "by=(stamp.by,)", "by=(anchor.name,)"),
        "evidence/test_timestamp.py::test_the_database_does_not_say_who_made_a_timestamp",
    ),
    defence(
        "what is said without proof",
        "what a bundle is about",
        change("evidence/offline", "if not self.subjects:", "if True:"),
        "cli/test_log.py::test_a_bundle_says_what_it_is_about",
    ),
    defence(
        "what is said without proof",
        "destinations that the outbox cannot tell apart",
        change("workspace/config", "if len(file.openlineage.destinations) > 1:", "if False:"),
        "workspace/test_last_good.py::test_destinations_that_the_outbox_could_not_tell_apart_are_refused[https://b.example/v1?key_env=OL_TWO]",
        "workspace/test_last_good.py::test_destinations_that_the_outbox_could_not_tell_apart_are_refused[https://u:secret@b.example/v1]",
    ),
    defence(
        "what is said without proof",
        "controls in JSON",
        change("cli/render", '_CONTROL.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)', "text"),
        "cli/test_cli.py::test_json_holds_no_control_either_and_means_what_it_meant",
    ),
    defence(
        "old database restored",
        "the newer memory",
        change("workspace/memory", "if known is None or known.frontier.size <= prefix.frontier.size:", "if True:"),
        "workspace/test_last_good.py::test_a_slower_process_does_not_forget_what_a_faster_one_has_verified",
    ),
    defence(
        "rules: a weak model put up as the champion",
        "the role of whoever promoted it",
        change(
            "decide/champion",
            "counting = [a for a in done if a.principal.roles & set(policy.promote.roles)]",
            "counting = done",
        ),
        "decide/test_champion.py::test_a_promotion_by_somebody_who_may_not_promote_makes_no_champion",
    ),
    defence(
        "rules: a weak model put up as the champion",
        "one champion, whatever names the candidate has",
        change("decide/champion", "if len(others) > 1:", "if False:"),
        "decide/test_champion.py::test_a_second_name_does_not_bring_a_weaker_champion",
    ),
    defence(
        "rules: a weak model put up as the champion",
        "promotions that count no more",
        change("decide/champion", "for gone in evidence.void:", "for gone in ():"),
        "decide/test_champion.py::test_a_promotion_that_counts_no_more_leaves_the_question_to_people",
    ),
    defence(
        "rules: a weak model put up as the champion",
        "evidence about it that counts no more",
        change("decide/rules", "if any(v.index > other.index for v in gone):", "if False:"),
        "decide/test_champion.py::test_evidence_about_the_model_in_use_that_counts_no_more_blocks",
    ),
    defence(
        "rules: a weak model put up as the champion",
        "evidence about it that came while the gate decided",
        change(
            "promote/gate",
            "for a in (*decision.inputs, *decision.approvals) for one in a.subjects),",
            "for a in () for one in a.subjects),",
        ),
        "workspace/test_asking.py::test_new_evidence_about_the_model_in_use_makes_the_gate_decide_again",
    ),
    defence(
        "rules: numbers from different rows compared",
        "the digest of the rows",
        change("decide/rules", "or a.content.dataset.sha256 == content.dataset.sha256", "or True"),
        "decide/test_champion.py::test_numbers_from_different_rows_are_not_compared",
    ),
    defence(
        "rules: numbers from different rows compared",
        "half the error for each of two numbers",
        change("decide/champion", "half = 1 - (1 - require.confidence) / 2", "half = require.confidence"),
        "decide/test_champion.py::test_the_bounds_are_those_of_two_wilson_intervals_at_half_the_error",
    ),
    defence(
        "rules: numbers from different rows compared",
        "groups that only one of the two models was measured on",
        change(
            "decide/champion",
            "absent += [named(group) for group in by_group if group not in {one.group for one in ours}]",
            "",
        ),
        "decide/test_champion.py::test_a_group_that_one_of_the_two_lacks_is_an_error",
    ),
    defence(
        "rules: numbers from different rows compared",
        "joint counts that contradict what was signed of each model",
        change(
            "decide/champion",
            "if (pair[0].counts, pair[1].counts) != ((both + first, n), (both + second, n)):",
            "if False:",
        ),
        "decide/test_champion.py::test_joint_counts_that_contradict_what_was_signed_of_each_are_an_error[joint3]",
    ),
    defence(
        "rules: numbers from different rows compared",
        "the digest of the model that joint counts are about",
        change("decide/champion", 'if said["with"] != champion.sha256:', "if False:"),
        "decide/test_champion.py::test_joint_counts_with_another_model_say_nothing_of_this_one",
    ),
    defence(
        "rules: numbers from different rows compared",
        "a paired difference held against what was signed of each model",
        change(
            "decide/champion",
            "if joint.value is None or abs(joint.value - gap) > TOLERANCE * max(1.0, abs(pair[0].value), abs(pair[1].value)):",
            "if joint.value is None:",
        ),
        "decide/test_champion.py::test_a_paired_difference_that_contradicts_what_was_signed_of_each_model_is_an_error",
    ),
    defence(
        "rules: many tries on one test set",
        "attempts with earlier versions",
        change(
            "decide/conditions",
            "versions = versions_of(names_of(subject, evidence), evidence) | {subject.sha256}",
            "versions = frozenset({subject.sha256})",
        ),
        "decide/test_conditions.py::test_attempts_on_one_test_set_are_counted_over_all_versions[3-3-fail]",
    ),
    defence(
        "rules: many tries on one test set",
        "attempts that were erased",
        change("decide/conditions", "total = own + gone", "total = own"),
        "decide/test_conditions.py::test_an_attempt_that_was_revoked_or_erased_still_counts",
    ),
    defence(
        "rules: many tries on one test set",
        "the digests of test data that a policy names",
        change("decide/conditions", 'for suffix, ask in (("dataset", _dataset), ', "for suffix, ask in ("),
        "decide/test_conditions.py::test_a_condition_stands_beside_the_bound_and_hides_nothing",
    ),
    defence(
        "rules: test set that is the training set",
        "the digests of what was trained on",
        change("decide/conditions", "if content.dataset.sha256 in trained_on:", "if False:"),
        "decide/test_conditions.py::test_the_training_data_are_no_test_data",
    ),
    defence(
        "rules: test set that is the training set",
        "shared rows that were not measured",
        (
            change("decide/conditions", "    if unknown:", "    if False:"),
            change("decide/conditions", "max(shared[sha256] for", "max(shared.get(sha256, 0) for"),
        ),
        "decide/test_conditions.py::test_another_digest_alone_does_not_show_that_no_row_is_shared",
        "workspace/test_asking.py::test_rows_that_were_trained_on_are_found_among_the_test_rows",
    ),
    defence(
        "rules: test set that is the training set",
        "numbers of shared rows that cannot be",
        change("decide/conditions", "if most > rows:", "if False:"),
        "decide/test_conditions.py::test_shared_rows_are_counted_where_the_evidence_has_them[2000-0.5-error]",
    ),
    defence(
        "rules: test set that is the training set",
        "the digest of what is shown as training data",
        change(
            "workspace/overlap",
            "matching = [sha256 for sha256 in known if sha256 in digests]",
            "matching = list(known)",
        ),
        "workspace/test_asking.py::test_only_what_the_model_was_trained_on_passes_for_its_training_data",
    ),
    defence(
        "rules: a text nobody stands for",
        "the digest of the text",
        change("evidence/predicates", "if found != self.sha256:", "if False:"),
        "evidence/test_human_text.py::test_a_text_that_is_not_its_digest_or_not_of_its_form_is_refused[intended-use-To lend.-To spend.]",
    ),
    defence(
        "rules: a text nobody stands for",
        "a role, when appending",
        change("evidence/door", "if isinstance(one.content, HumanText) and not principal.roles:", "if False:"),
        "workspace/test_asking.py::test_the_ledger_refuses_a_text_of_somebody_without_a_role",
    ),
    defence(
        "rules: a text nobody stands for",
        "a role, when deciding",
        change("decide/rules", "about = tuple(a for a in about if a.principal.roles)", "outside = []"),
        "decide/test_conditions.py::test_a_text_of_somebody_without_a_role_is_named_and_does_not_count",
    ),
    defence(
        "rules: a text nobody stands for",
        "the text's name",
        change("decide/rules", "and a.content.name == require.text)", ")"),
        "decide/test_conditions.py::test_a_text_counts_by_its_name_its_age_and_its_signer",
    ),
    defence(
        "rules: a control that no catalogue has",
        "holding a policy against the catalogue before it is signed",
        change("workspace/shipped", ", controls=controls_beside(file).ids", ""),
        "decide/test_controls.py::test_nobody_signs_a_policy_that_names_an_unknown_control",
    ),
    defence(
        "rules: a policy weakened unnoticed",
        "bounds that become bare numbers",
        change("decide/difference", "if old.judged_by_interval and not new.judged_by_interval:", "if False:"),
        "decide/test_difference.py::test_a_bound_that_lets_more_pass_is_weaker_whatever_its_number",
    ),
    defence(
        "rules: a policy weakened unnoticed",
        "confidence and sides",
        change("decide/difference", "weaker = _tail(new) > _tail(old)", "weaker = False"),
        "decide/test_difference.py::test_each_key_is_weaker_or_stronger_as_it_should_be[change5-weaker]",
    ),
    defence(
        "rules: a policy weakened unnoticed",
        "keys without a value",
        change(
            "decide/policy",
            "mistakes += [one for one in reading.empty_values(value, lines) if one.line not in told]",
            "",
        ),
        "decide/test_language.py::test_what_cannot_be_meant_is_refused[signed_by: validator-signed_by:-nothing stands here]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "only true is true",
        change(
            "decide/expression",
            "    if answer is True or answer is False:\n        return bool(answer)\n    raise",
            "    return bool(answer)\n    raise",
        ),
        "decide/test_expression.py::test_whatever_the_engine_returns_that_is_not_true_never_passes",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "a panic of the engine",
        change(
            "decide/expression",
            '    except BaseException as error:  # a panic of the engine is no Exception\n        raise PolicyError(f"it has',
            '    except Exception as error:\n        raise PolicyError(f"it has',
        ),
        "decide/test_expression.py::test_whatever_the_engine_returns_that_is_not_true_never_passes",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "null is absent",
        (
            change(
                "decide/expression",
                " for key, part in value.items() if part is not None}",
                " for key, part in value.items() if True}",
            ),
            change(
                "decide/expression",
                "isinstance(value, bool | str)",
                "isinstance(value, bool | str | None)",
            ),
        ),
        "decide/test_expression.py::test_a_check_sees_what_the_evidence_says[details.gone != 1-error]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "numbers that are finite and of 64 bits",
        (
            change(
                "decide/expression",
                "isinstance(value, float) and math.isfinite(value)",
                "isinstance(value, float)",
            ),
            change(
                "decide/expression",
                "isinstance(value, int) and -(2**63) <= value < 2**63",
                "isinstance(value, int)",
            ),
        ),
        "decide/test_expression.py::test_a_value_that_is_no_plain_value_is_an_error[x != 1-nan]",
        "decide/test_expression.py::test_a_value_that_is_no_plain_value_is_an_error[x != 1-1000000000000000000000000000000]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "the size of what is asked about",
        change(
            "decide/expression",
            "    if left < 0:",
            "    if False:",
        ),
        "decide/test_expression.py::test_more_than_can_be_looked_through_is_refused[value0]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "the depth of what is asked about",
        change("decide/expression", "if depth > MAX_DEPTH:", "if False:"),
        "decide/test_expression.py::test_values_too_deep_within_each_other_are_refused",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "a rule added where none may have applied",
        change(
            "decide/difference", '"changed" if all(rule.when is not None for rule in old.rules) else "added"', '"added"'
        ),
        "decide/test_expression.py::test_a_rule_added_where_none_may_have_applied_may_let_something_pass",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "the length of an expression",
        change(
            "decide/expression",
            "    if len(text) > MAX_LENGTH:",
            "    if False:",
        ),
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[text0-404 characters]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "a pass within a pass over the same",
        change(
            "decide/expression",
            "scope = {_variable(tokens, i, names), *(set(SMALL) & set(names))}",
            "scope = {_variable(tokens, i, names), *scope}",
        ),
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[all within all]",
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[all over an outer variable]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "a pass over what was put together",
        change(
            "decide/expression",
            "    while i >= 0 and _ends_value(tokens, i):",
            "    while True:\n        return variable.text",
        ),
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[sum of lists]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "lists added to each other",
        change(
            "decide/expression",
            "    if len(sums) > MAX_SUMS:",
            "    if False:",
        ),
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[1 + 1 + 1 + 1 + 1 + 1 > 0-one more +]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "functions by name",
        change(
            "decide/expression",
            "if token.text not in FUNCTIONS and not (field and token.text in MACROS):",
            "if False:",
        ),
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[now() > 1-the function now]",
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[model.name.matches('(a*)*')-the function matches]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "text that hides a pass",
        (
            change(
                "decide/expression",
                'if token.kind == "text" and last.kind in ("text", "name"):',
                "if False:",
            ),
            change(
                "decide/expression",
                'if token.text == last.text == "/":',
                "if False:",
            ),
        ),
        'decide/test_expression.py::test_what_is_left_out_is_refused_and_told[r"a" == model.name-quotes of another kind]',
        "decide/test_expression.py::test_what_is_left_out_is_refused_and_told[true // measurements.all(m, true)-a comment]",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "a condition without an answer",
        change(
            "decide/facts",
            "        return False, _unanswered(WHEN, text, problem)",
            "        pass",
        ),
        "decide/test_expression.py::test_a_condition_without_an_answer_blocks",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "no rule applies",
        change(
            "decide/decision",
            "    if all(idle(rule, found) for rule in policy.rules):",
            "    if False:",
        ),
        "decide/test_expression.py::test_nothing_passes_because_no_rule_applies",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "registrations that differ",
        change(
            "decide/facts",
            "if all(one.get(key) == value for one in registered)",
            "if True",
        ),
        "decide/test_expression.py::test_what_two_registrations_say_differently_is_not_known",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "approvals bind to what was read",
        (
            change(
                "decide/rules",
                "_judged(rule, told, facts.sources(rule.when, subject, evidence))",
                "_judged(rule, told, ())",
            ),
            change(
                "decide/rules",
                "(entry, *facts.sources(rule.check, subject, evidence))",
                "(entry,)",
            ),
        ),
        "decide/test_expression.py::test_approvals_bind_to_all_that_an_expression_reads",
    ),
    defence(
        "rules: an expression that says neither yes nor no, or never ends",
        "another expression is never stronger",
        change(
            "decide/difference",
            '"weaker" if new.check is None else "changed"',
            '"weaker" if new.check is None else "stronger"',
        ),
        "decide/test_expression.py::test_nobody_can_tell_which_of_two_expressions_is_stronger[another number]",
    ),
    defence(
        "a branch brings its own trust root",
        "the pinned root, whenever governance.toml is read",
        change("workspace/config", "    pins.require_root(file.trust.root, path)\n", ""),
        "cli/test_check.py::test_a_branch_with_its_own_trust_root_is_refused_by_every_command",
    ),
    defence(
        "a branch brings its own trust root",
        "the root that an option pins",
        change("workspace/checking", "            held.root,\n", "            (),\n"),
        "cli/test_check.py::test_the_root_in_an_option_is_held_as_well",
    ),
    defence(
        "another policy in force than the pinned one",
        "the pinned policy, before anything is signed",
        change("workspace/checking", "pins.require(held.policy,", "pins.require((),"),
        "cli/test_check.py::test_another_policy_than_the_pinned_one_is_refused_before_anything_is_signed",
        "cli/test_check.py::test_pins_add_up_and_none_overrides_another",
    ),
    defence(
        "another policy in force than the pinned one",
        "the policy again, after the decision",
        change("workspace/checking", "if decision.policy_sha256 != reference.sha256 or not", "if not"),
        "cli/test_check.py::test_a_policy_that_comes_into_force_while_a_model_is_measured_is_noticed",
    ),
    defence(
        "a pipeline that pins itself",
        "the refusal to check in a pipeline without pins from outside",
        change("cli/check", "            pins.require_pinned(held, environ=os.environ, unpinned=unpinned)\n", ""),
        "cli/test_check.py::test_a_pipeline_without_pins_is_refused_even_if_governance_toml_pins_itself",
    ),
    defence(
        "a pipeline that pins itself",
        "the difference between pins from outside and those of governance.toml",
        change("workspace/pins", "if not any(pin.outside for pin in found)", "if not found"),
        "cli/test_check.py::test_a_pipeline_without_pins_is_refused_even_if_governance_toml_pins_itself",
    ),
    defence(
        "a pipeline that pins itself",
        "the refusal of a variable that is set and empty",
        change(
            "workspace/pins",
            "if text is not None and not text.strip():",
            "if text == '':\n        return None\n    if False:",
        ),
        "cli/test_check.py::test_a_pipeline_without_pins_is_refused_even_if_governance_toml_pins_itself",
    ),
    defence(
        "an old log shown to a pipeline",
        "the pinned checkpoint",
        change("workspace/checking", "pinned=held.read_checkpoints()", "pinned=()"),
        "cli/test_check.py::test_an_older_log_is_refused_by_a_pinned_checkpoint",
    ),
    defence(
        "easier rows in a pipeline",
        "the pinned rows",
        change("workspace/checking", "if self.held.data:", "if False:"),
        "cli/test_check.py::test_other_rows_than_the_pinned_ones_are_not_measured",
    ),
    defence(
        "measurements by whoever may not",
        "the roles that the policy asks of whoever measures, and that they did not make the model",
        change("workspace/checking", "if not asked or any(", "if True or any("),
        "cli/test_check.py::test_nobody_signs_measurements_that_the_policy_does_not_take_from_them[author-who made the model]",
        "cli/test_check.py::test_nobody_signs_measurements_that_the_policy_does_not_take_from_them[release-manager-whose roles are]",
    ),
    defence(
        "strangers' text in a pipeline",
        "making visible what is no character, in every format",
        change("report/outcome", "return _INVISIBLE.sub(_shown, cut)", "return cut"),
        "report/test_check_formats.py::test_no_text_breaks_a_format",
        "report/test_check_formats.py::test_what_cannot_be_seen_is_made_visible",
    ),
    defence(
        "strangers' text in a pipeline",
        "escaping in Markdown",
        change(
            "report/markdown", "return _MARKUP.sub(_reference, one_line(text, limit))", "return one_line(text, limit)"
        ),
        "report/test_check_formats.py::test_no_text_becomes_markup_in_markdown",
    ),
    defence(
        "strangers' text in a pipeline",
        "the word joiner after what calls people or links",
        change(
            "report/markdown", "return reference + _JOINER if found[0] in _JOINED else reference", "return reference"
        ),
        "report/test_check_formats.py::test_nobody_is_called_and_nothing_is_linked_by_a_name[@everyone]",
        "report/test_check_formats.py::test_nobody_is_called_and_nothing_is_linked_by_a_name[:white_check_mark:]",
    ),
    defence(
        "strangers' text in a pipeline",
        "escaping in annotations",
        change(
            "report/annotations",
            'return text.replace("%", "%25").replace("\\r", "%0D").replace("\\n", "%0A")',
            "return text",
        ),
        "report/test_check_formats.py::test_an_annotation_is_one_command_on_one_line_whoever_wrote_its_text",
    ),
    defence(
        "strangers' text in a pipeline",
        "taking commands apart in what people read",
        change("cli/check", "said = quoted if annotations else str", "said = str"),
        "cli/test_check.py::test_a_reason_that_somebody_gave_is_no_command",
    ),
    defence(
        "a red check that looks green",
        "removing what an earlier run wrote",
        change("cli/check", "    files.clear()\n", ""),
        "cli/test_check.py::test_a_green_file_of_an_earlier_run_is_not_found_after_one_that_died",
    ),
    defence(
        "a red check that looks green",
        "a case for approvals that are missing",
        change("report/outcome", "    if decision.approvals_missing:\n", "    if False:\n"),
        "report/test_check_formats.py::test_nothing_is_green_that_is_not_allowed[no-approvals]",
    ),
    defence(
        "a red check that looks green",
        "what went wrong on the way, in the exit code",
        change(
            "report/outcome",
            "code = worst([decision.exit_code, *(error.exit_code for error in errors)])",
            "code = decision.exit_code",
        ),
        "report/test_check_formats.py::test_what_went_wrong_on_the_way_outweighs_what_was_decided",
        "cli/test_check.py::test_a_measurement_that_fails_outweighs_the_decision_and_both_are_told",
    ),
    defence(
        "evidence of later in a decision of then",
        "the cut of the log at the time",
        change("evidence/past", "(one.index for one in view.attestations if one.recorded_at > at)", "iter(())"),
        "workspace/test_considering.py::test_what_was_decided_then_is_decided_again_from_the_log_as_it_stood",
        "workspace/test_considering.py::test_what_was_revoked_later_counted_then_and_does_not_now",
        "workspace/test_considering.py::test_roles_and_policy_are_those_of_then",
    ),
)

from tests.defences_of_concern import CONCERN, CONCERN_LINES  # noqa: E402  it needs what is defined above
from tests.defences_of_explanation import EXPLANATION, EXPLANATION_LINES  # noqa: E402
from tests.defences_of_fairness import FAIRNESS, FAIRNESS_LINES  # noqa: E402
from tests.defences_of_operation import OPERATION, OPERATION_LINES  # noqa: E402
from tests.defences_of_promotion import PROMOTION, PROMOTION_LINES  # noqa: E402  it needs what is defined above
from tests.defences_of_reports import REPORT_LINES, REPORTS  # noqa: E402
from tests.defences_of_rows import ROWS, ROWS_LINES  # noqa: E402
from tests.defences_of_scanning import SCANNING, SCANNING_LINES  # noqa: E402
from tests.defences_of_the_server import SERVER, SERVER_LINES  # noqa: E402  likewise
from tests.defences_of_training import TRAINING, TRAINING_LINES  # noqa: E402
from tests.defences_of_voices import VOICE_LINES, VOICES  # noqa: E402

for lines, defences in (
    (CONCERN_LINES, CONCERN),
    (EXPLANATION_LINES, EXPLANATION),
    (FAIRNESS_LINES, FAIRNESS),
    (OPERATION_LINES, OPERATION),
    (PROMOTION_LINES, PROMOTION),
    (REPORT_LINES, REPORTS),
    (ROWS_LINES, ROWS),
    (SCANNING_LINES, SCANNING),
    (SERVER_LINES, SERVER),
    (TRAINING_LINES, TRAINING),
    (VOICE_LINES, VOICES),
):
    LINES += lines
    DEFENCES += defences

from tests.defences_of_laws import ATTACKS, LAW_LINES, LAWS  # noqa: E402, F401  as above

LINES += LAW_LINES
DEFENCES += LAWS
