"""The speed of `pcavs`, measured on small networks."""

from __future__ import annotations

import json

from benchmarks.systems.pcavs.speed import measure_pcavs
from benchmarks.targets import find_targets, target_table
from talkingface.systems.pcavs.official.config import tiny_official


def test_both_ways_are_measured_for_moving_and_still_heads():
    found = measure_pcavs(tiny_official().sizes, rounds=1, frames=2)
    for what, least in (("moving head", "2.9"), ("one pose", "3.5")):
        rows = [row for row in found.rows if row.name.startswith(what)]
        assert len(rows) == 7
        (difference,) = [row for row in rows if row.name.endswith("difference, fast")]
        (ratio,) = [row for row in rows if "plain over fast (" in row.name]
        assert difference.met and ratio.target == f">= {least}"
    json.dumps(found.details, allow_nan=False)
    rows_json = [{"name": r.name, "value": r.value, "target": r.target, "met": r.met} for r in found.rows]
    assert "bfloat16" in target_table({"rows": rows_json})
    assert "pcavs" in find_targets()
