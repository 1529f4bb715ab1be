"""What reports are attacked with; joined to the others in defences.py."""

from __future__ import annotations

from tests.defences import change, defence

UNVERIFIED = "reports: a log that does not verify is reported on"
GUESSED = "reports: a number is published that the log does not hold"
ELSEWHERE = "reports: making a page fetches something"
REASONS = "a declined applicant is told the reasons, and nobody else learns them"
STATING = "workspace/test_stating.py::"
UNTOLD = "reports: what is missing or withdrawn is left blank"

REPORT_LINES = (UNVERIFIED, GUESSED, ELSEWHERE, UNTOLD, REASONS)

K, W = "report/test_kinds.py::", "workspace/test_reporting.py::"

REPORTS = (
    defence(
        UNVERIFIED,
        "the page in the place of the report",
        change("workspace/reporting", "raise _told(ws, version, folder, wanted, error) from error", "raise"),
        f"{W}test_a_log_that_does_not_verify_gives_a_page_that_says_so_and_nothing_of_what_it_holds",
        f"{W}test_no_kind_of_report_passes_over_a_log_that_does_not_verify[annex-iv]",
    ),
    defence(
        GUESSED,
        "counts that are withheld",
        change(
            "report/ll144_summary",
            "if one.withheld or one.numerator is None or one.denominator is None:",
            "if one.numerator is None or one.denominator is None:\n            continue\n        if False:",
        ),
        f"{K}test_counts_that_are_not_there_are_never_guessed",
    ),
    defence(
        GUESSED,
        "whole people",
        change("report/ll144_summary", "if not (selected.is_integer() and applicants.is_integer()):", "if False:"),
        f"{K}test_counts_that_are_not_there_are_never_guessed",
    ),
    defence(
        GUESSED,
        "withdrawn assessments",
        change("report/ll144_summary", " and one.payload_digest not in withdrawn]", "]"),
        f"{K}test_an_assessment_that_was_taken_back_is_not_published",
    ),
    defence(
        GUESSED,
        "one column for each attribute",
        change("report/ll144_summary", "if len(found) != 1:", "if not found:\n        return known[-1]\n    if False:"),
        f"{K}test_which_column_is_meant_is_asked_where_it_cannot_be_told",
    ),
    defence(
        UNTOLD,
        "drawings with words, in a PDF",
        change("report/pdf", "    _refuse_untold(page)\n", ""),
        *(
            f"report/test_pdf.py::test_a_page_that_cannot_be_read_aloud_is_no_pdf[{what}]"
            for what in ("language", "title", "drawing", "picture")
        ),
    ),
    defence(
        UNTOLD,
        "windows that were taken back",
        change("report/serving", "None if taken_back is None else taken_back.index", "None"),
        "operate/test_told_in_reports.py::test_a_window_that_was_taken_back_says_so",
    ),
    defence(
        ELSEWHERE,
        "what WeasyPrint fetches with",
        change("report/pdf", ", url_fetcher=_nothing(weasyprint)", ""),
        "report/test_pdf.py::test_a_page_that_asks_for_something_elsewhere_is_refused_and_nothing_is_fetched",
    ),
    defence(
        REASONS,
        "texts that speak of a prohibited basis",
        change("report/notices", "if _speaks_of(text, one)", "if False"),
        f"{STATING}test_what_may_not_be_told_or_left_out_stops_all_notices_and_the_record[options1-DataError-speaks of sex]",
    ),
    defence(
        REASONS,
        "reasons without words",
        change("report/notices", 'if not words.get(names[at], "").strip()', "if False"),
        f"{STATING}test_what_may_not_be_told_or_left_out_stops_all_notices_and_the_record[options2-MissingEvidenceError-has no text]",
    ),
    defence(
        REASONS,
        "counts that name a few",
        change("report/notices", "FEWEST_TOLD = 10", "FEWEST_TOLD = 0"),
        f"{STATING}test_a_reason_that_few_were_told_is_recorded_without_their_number",
    ),
    defence(
        REASONS,
        "the key of the references",
        change(
            "report/notices",
            'hmac.new(key, f"{table}:{place}".encode(), sha256)',
            'sha256(f"{table}:{place}".encode())',
        ),
        f"{STATING}test_whose_a_notice_is_stands_in_one_list_that_only_its_owner_reads",
    ),
)
