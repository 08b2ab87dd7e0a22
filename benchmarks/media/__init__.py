"""Whole commands and finished files, measured from outside."""

TARGETS = {
    "speed": "benchmarks.media.commands:speed",
    "live": "benchmarks.media.live:live",
    "memory": "benchmarks.media.commands:memory",
    "muxing": "benchmarks.media.muxing:muxing",
    "reencode": "benchmarks.media.reencode:reencode",
    "view": "benchmarks.media.view:view",
}
