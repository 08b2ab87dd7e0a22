"""Things kept for the next use, asked for by many threads."""

from __future__ import annotations

import gc
import threading

import pytest

from talkingface.core.kept import Kept, once


class Thing:
    """Something costly."""


def test_one_thing_for_each_key_however_many_threads_ask() -> None:
    kept, made, found = Kept[Thing](2), [], []
    all_ask = threading.Barrier(8)

    def make() -> Thing:
        made.append(Thing())
        return made[-1]

    def ask() -> None:
        all_ask.wait()
        found.append(kept.get("key", make))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and all(thing is made[0] for thing in found)


def test_what_is_in_use_is_never_made_again_and_the_rest_is_let_go() -> None:
    kept, made = Kept[Thing](2), []

    def get(key: int) -> Thing:
        made.append(key)
        return kept.get(key, lambda: made.append(key) or Thing())

    in_use = get(0)
    for key in range(1, 5):
        get(key)
    made.clear()
    assert get(0) is in_use and made == [0]
    gc.collect()
    get(1)
    assert made == [0, 1, 1]


def test_a_fault_while_making_is_raised_and_not_kept() -> None:
    kept = Kept[Thing](2)

    def fail() -> Thing:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        kept.get("key", fail)
    assert isinstance(kept.get("key", Thing), Thing)


def test_a_property_is_made_once_for_each_object_however_many_threads_ask() -> None:
    made: list[object] = []

    class Owner:
        @once
        def thing(self) -> Thing:
            """Made on first use."""
            made.append(self)
            return Thing()

    owners, found = (Owner(), Owner()), []
    all_ask = threading.Barrier(8)

    def ask(owner: Owner) -> None:
        all_ask.wait()
        found.append(owner.thing)

    threads = [threading.Thread(target=ask, args=(owners[k % 2],)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(map(id, found))) == 2 and len(made) == 2
    assert owners[0].thing is owners[0].thing and Owner.thing.__doc__ == "Made on first use."
