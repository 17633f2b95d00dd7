"""Make the table by which `reflect_conv2d` chooses: ``python -m benchmarks.conv_table``, after the GPU queue has run.

Of the implementations whose median is within a hundredth of the fastest one's the first in the order of `RIVALS` is
taken: where nothing is gained, the plainest.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.gpu_items import ITEMS
from benchmarks.gpu_queue import fingerprint
from benchmarks.report import RESULTS
from fastsr_kernels.reflect_conv_choice import RIVALS, TABLE

ITEM = "reflect-conv"
WORTH = 1.01


def table(reports: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return device -> rows, from the reports of the queue's item."""
    found = {}
    for report in reports:
        cases: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in report["result"]["rows"]:
            if row["rival"] in RIVALS:
                cases[row["case"]].append(row)
        rows = []
        for case in cases.values():
            fastest = min(row["microseconds"] for row in case)
            good = [row["rival"] for row in case if row["microseconds"] <= WORTH * fastest]
            rows.append({**case[0]["labels"], "impl": min(good, key=RIVALS.index)})
        found[report["device"]] = rows
    return found


def main(results: Path = RESULTS, target: Path = TABLE) -> int:
    """Write the table; return 1 where there is nothing to make it of."""
    reports = [json.loads(path.read_text()) for path in sorted(results.glob(f"*/{ITEM}.json"))]
    (item,) = (item for item in ITEMS if item.name == ITEM)
    done = [report for report in reports if report["status"] == "done" and report["fingerprint"] == fingerprint(item)]
    if not done:
        print(f"no {ITEM}.json below {results} of the sources as they are: nothing was measured", file=sys.stderr)
        return 1
    target.write_text(json.dumps(table(done), indent=1) + "\n")
    print(f"{target}: {', '.join(report['device'] for report in done)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
