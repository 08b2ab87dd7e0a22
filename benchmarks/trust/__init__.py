"""What results say about themselves: what it costs, what it survives, what goes unseen."""

TARGETS = {"trust": "benchmarks.trust.parts:trust"}
