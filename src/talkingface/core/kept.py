"""A small cache of objects that are costly to make: by key, for any number of threads, with a limit."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class _Place(Generic[T]):
    """Where one thing is made, by one thread at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: weakref.ref[T] | None = None


class Kept(Generic[T]):
    """The last `most` objects that were asked for, and all others that are still in use.

    An object is made once for its key, also when several threads ask for it at the same time; they wait. A key
    should stand for all that the thing depends on (a content hash, not a name or an `id`).

    Example: `nets = Kept[Network](2); net = nets.get(digest, lambda: load(path))`
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._places: dict[Hashable, _Place[T]] = {}
        self._last: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of this key, made by `make` unless it is still there. Raises what `make` raises."""
        with self._lock:
            self._places = {k: p for k, p in self._places.items() if p.made is None or p.made() is not None}
            place = self._places.setdefault(key, _Place())
        with place.lock:
            found = None if place.made is None else place.made()
            if found is None:
                found = make()
                place.made = weakref.ref(found)
        with self._lock:
            self._places[key] = place
            self._last[key] = found
            self._last.move_to_end(key)
            while len(self._last) > self._most:
                self._last.popitem(last=False)
        return found


class once(Generic[T]):  # noqa: N801 (a decorator)
    """A property that is made at its first use, once, however many threads ask for it at the same time.

    `functools.cached_property` is that up to Python 3.11; later ones make it as often as threads ask.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make, self._lock = make, threading.RLock()
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, owner: None, kind: type) -> once[T]: ...

    @overload
    def __get__(self, owner: object, kind: type) -> T: ...

    def __get__(self, owner: object, kind: type) -> once[T] | T:
        if owner is None:
            return self
        made = vars(owner)  # a value there comes before this descriptor from now on
        with self._lock:
            if self._name not in made:
                made[self._name] = self._make(owner)
        return made[self._name]
