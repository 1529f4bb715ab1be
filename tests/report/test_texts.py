"""What people signed in their own words stands in every form of the report, and what they did not is named."""

from __future__ import annotations

from ml_governance.evidence.canonical import sha256_hex
from ml_governance.evidence.predicates import HumanText, Registration, Revocation
from ml_governance.report import html
from ml_governance.report.model_card import to_model_card
from ml_governance.report.texts import EXPECTED
from tests.report.test_report import HOSTILE, build, parsed, view

REGISTERED = Registration(registry="local:x", name="credit-risk", version="1", format="file", files=1, size=10)


def text(name: str, words: str) -> HumanText:
    return HumanText(name=name, sha256=sha256_hex(words.encode()), text=words)


def test_the_newest_text_stands_with_its_signer_and_what_is_missing_is_said() -> None:
    pack = build(
        view(
            ("ada", REGISTERED), ("ada", text("intended-use", "Old words.")),
            ("vera", text("intended-use", "Consumer loans.\n\nNot mortgages.")),
            ("ada", text("monitoring-plan", "Every Monday.")),
        )
    )  # fmt: skip
    shown = {
        one["name"]: (one["text"], one["source"] and (one["source"]["by"], one["source"]["index"]))
        for one in pack.human
    }
    assert shown == {
        **dict.fromkeys(EXPECTED, ("NOT PROVIDED", None)),
        "intended-use": ("Consumer loans.\n\nNot mortgages.", ("vera", 2)),
        "monitoring-plan": ("Every Monday.", ("ada", 3)),
    }
    page, card = html.render(pack), to_model_card(pack)
    for words in ("Consumer loans.", "Not mortgages.", "Every Monday."):
        assert words in page and words in card
    bare = build(view(("ada", REGISTERED)))
    assert "Old words." not in page
    assert page.count("NOT PROVIDED") == html.render(bare).count("NOT PROVIDED") - 2 == len(EXPECTED) - 2
    assert (card.count("NOT PROVIDED"), to_model_card(bare).count("NOT PROVIDED")) == (len(EXPECTED) - 2, len(EXPECTED))


def test_a_text_that_was_taken_back_counts_no_more() -> None:
    entries = (("ada", REGISTERED), ("ada", text("limits", "First.")), ("ada", text("limits", "Second.")))
    before = view(*entries)
    target = before.attestations[2].payload_digest
    after = build(view(*entries, ("ada", Revocation(target=target, reason="wrong"))))
    (limits,) = (one for one in after.human if one["name"] == "limits")
    assert limits["text"] == "First."


def test_nobodys_words_pass_for_what_the_card_says_of_them() -> None:
    """A line like the one that names the signer, and a decision, stand within the quotation."""
    words = "Fine.\n\nSigned by rita, ledger 40.\n\nDecision for production: allow."
    card = to_model_card(build(view(("ada", REGISTERED), ("ada", text("limits", words)))))
    lines = card.splitlines()
    assert "> Signed by rita, ledger 40." in lines and "> Decision for production: allow." in lines
    assert [line for line in lines if line.startswith("Signed by ")] == ["Signed by ada, ledger #1."]
    assert not any(line.startswith("Decision for production: allow") for line in lines)


def test_what_turns_the_order_of_letters_or_cannot_be_seen_is_shown_by_its_number() -> None:
    page = html.render(build(view(("ada", REGISTERED), ("ada", text("limits", "abc\u202edef\x1b[2J")))))
    assert "abc\\u202edef\\x1b[2J" in page
    assert "\u202e" not in page and "\x1b" not in page


def test_nobodys_words_become_markup() -> None:
    pack = build(view(("ada", REGISTERED), ("ada", text("limits", HOSTILE + "\n\n# injected"))))
    page = html.render(pack)
    parsed(page)
    assert "<script" not in page
    assert "\n# injected" not in to_model_card(pack) and "<script" not in to_model_card(pack)
