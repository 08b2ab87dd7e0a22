"""The speed of `headpose`, measured on small networks."""

from __future__ import annotations

import json

from benchmarks.systems.headpose.speed import Sizes, measure_headpose
from benchmarks.targets import find_targets, target_table

SMALL = Sizes(
    ngf=1,
    feature=8,
    style_hidden=8,
    query_width=2,
    atc_channels=(2, 2, 2, 2, 2),
    atc_hidden=4,
    atc_hidden_fc=4,
    slots=20,
)


def test_both_ways_are_measured_in_both_precisions():
    found = measure_headpose(SMALL, rounds=1, frames=3)
    rows = {row.name.split(",")[0]: row for row in found.rows if "float32" in row.name and "bfloat16" not in row.name}
    assert set(rows) == {"plain", "fast", "plain over fast", "largest difference"}
    assert rows["largest difference"].met and rows["plain over fast"].met is not None
    assert any("bfloat16" in row.name for row in found.rows)
    json.dumps(found.details, allow_nan=False)
    rows_json = [{"name": r.name, "value": r.value, "target": r.target, "met": r.met} for r in found.rows]
    assert ">= 1.3" in target_table({"rows": rows_json})
    assert "headpose" in find_targets()
