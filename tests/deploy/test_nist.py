"""The report of NIST 800-53 is what a synthesis says today, and every finding has an answer."""

from pathlib import Path

from deploy import nist

PAGE = Path(nist.__file__).with_name("NIST.md")


def test_the_report_is_true_and_nothing_is_open() -> None:
    found = nist.findings(nist.EXAMPLE)
    assert set(found) == set(nist.ANSWERS)
    assert nist.table(found) in PAGE.read_text(), "run `make nist`"
