"""Whole commands and finished files, measured from outside."""

TARGETS = {
    "speed": "benchmarks.media.commands:speed",
    "memory": "benchmarks.media.commands:memory",
    "muxing": "benchmarks.media.muxing:muxing",
    "reencode": "benchmarks.media.reencode:reencode",
}
