"""What the documentation promises, measured: `talkingface bench --what NAME` in a checkout.

A folder here offers targets by a mapping `TARGETS` in its `__init__.py`: name -> "module:function", a function from a
`TargetJob` to a `Finding` (`benchmarks.targets`). Folders are found, not listed. `systems/<name>` may import the
internals of the system `<name>`; everything else here keeps to what all systems share.
"""
