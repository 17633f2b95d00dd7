"""The measurement of NIQE's speed: the target it is held to, and that the documentation has what was measured."""

import json

from benchmarks.niqe_speed import MARKS, table
from benchmarks.report import RESULTS, ROOT


def test_the_documentation_has_what_was_measured():
    report = json.loads((RESULTS / "niqe_speed.json").read_text())
    assert report["threads"] == 1
    assert all(row["seconds"] < report["target_seconds"] for row in report["rows"] if row["side"] == 512)
    assert f"{MARKS[0]}\n\n{table(report['rows'])}\n\n{MARKS[1]}" in (ROOT / "docs" / "niqe.md").read_text()
