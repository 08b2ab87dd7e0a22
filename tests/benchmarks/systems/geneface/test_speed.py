"""The measurement of the published head of `geneface`, in small."""

from __future__ import annotations

from benchmarks.systems.geneface.speed import measure_head, scene, see_plain
from talkingface.systems.geneface.config import tiny_official
from talkingface.systems.geneface.official.render import see_head


def test_both_ways_draw_the_same():
    found = measure_head(tiny_official().renderer, 48, 1)
    rows = {row.name: row for row in found.rows}
    assert all(row.met for name, row in rows.items() if "difference of colours, fast (" in name)
    assert sum("plain over" in name for name in rows) == 4
    assert found.details["haze"]["samples"] > 1000


def test_plain_is_what_training_uses_too():
    import torch

    from benchmarks.systems.geneface.speed import make_head

    field = make_head(tiny_official().renderer, dense=True)
    rays, condition = scene(40), torch.randn(8)
    plain, _ = see_plain(field, rays, condition, field.individual_embeddings[0])
    ours = see_head(field, rays, condition, field.individual_embeddings[0])
    assert (plain.rgb - ours.rgb).abs().max() < 1e-4
