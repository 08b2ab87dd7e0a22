"""Functions that a recording states in words and formulas, such as its random walk and its test picture.

walk(k, n, s): e = g(1,k).standard_normal((n, 6)); v[0]=p[0]=0; v[i] = 0.9 v[i-1] + e[i]; ...; result s * p[200:]
test_image(a,h,w): r=g(a,50); for each channel c in 0..2, five times: p=r.uniform(0,9), im[y,x,c]+=..; result ..
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from parity.formula import compute, parse

_STATED = re.compile(r"(\w+)\((\w+(?:, ?\w+)*)\): (.*)", re.DOTALL)
_LOOP = re.compile(r"for each \w+ (\w) in (\d+)\.\.(\d+), (\w+) times: (.*)")
_TIMES = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def stated_functions(texts: Iterable[str]) -> dict[str, Callable[..., Any]]:
    """The functions that the texts define, by name."""
    found = filter(None, map(_STATED.match, texts))
    return {each[1]: _Procedure(re.split(r",\s*", each[2]), each[3]) for each in found}


class _Procedure:
    def __init__(self, parameters: list[str], text: str) -> None:
        self._parameters = parameters
        self._steps = [step.removeprefix("then ") for step in re.split(r";\s*", text)]

    def __call__(self, *values: Any) -> Any:
        names: dict[str, Any] = dict(zip(self._parameters, values, strict=True))
        recurrences: list[tuple[str, str]] = []
        for step in self._steps:
            if found := _LOOP.fullmatch(step):
                _add_up(names, *found.groups())
            elif found := re.fullmatch(r"(\w)\[i\] = (.*)", step):
                recurrences.append((found[1], found[2]))
            elif re.fullmatch(r"(?:\w\[0\]\s*=\s*)+0", step):
                pass  # where recurrences start anyway
            elif step.startswith("result "):
                _repeat(names, recurrences)
                return _value(step.removeprefix("result "), names)
            else:
                _assign(step, names)
        raise ValueError("a stated function has no result")


def _value(text: str, names: dict[str, Any]) -> Any:
    tree, rest = parse(text, names)
    value = compute(tree, names)
    return value.astype(np.uint8) if "uint8" in rest else value


def _assign(step: str, names: dict[str, Any]) -> None:
    target, sign, text = re.fullmatch(r"(.*?)\s*(\+?=)\s*(.*)", step).groups()  # type: ignore[union-attr]
    value, targets = _value(text, names), target.split(",")
    if sign == "+=":
        names[target] = names[target] + value
    elif len(targets) > 1:
        names |= dict(zip(targets, value, strict=True))
    else:
        names[target] = value


def _repeat(names: dict[str, Any], recurrences: list[tuple[str, str]]) -> None:
    """ "v[i] = 0.9 v[i-1] + 0.004 e[i]; p[i] = ...", from zeros, over the rows of what was drawn."""
    if not recurrences:
        return
    rows = next(value for value in names.values() if isinstance(value, np.ndarray))
    names |= {name: np.zeros_like(rows) for name, _ in recurrences}
    trees = [(name, parse(text, names | {"i": 1})[0]) for name, text in recurrences]
    for i in range(1, len(rows)):
        for name, tree in trees:
            names[name][i] = compute(tree, names | {"i": i})


def _add_up(names: dict[str, Any], index: str, first: str, last: str, times: str, text: str) -> None:
    """ "fx,fy,p=r.uniform(0.5,9,3), im[y,x,c]+=sin(fx x + p)", again and again, on a picture [h, w, c]."""
    drawn, picture, formula = re.fullmatch(r"(.*?), (\w+)\[y,x,\w\]\+=(.*)", text).groups()  # type: ignore[union-attr]
    channels = range(int(first), int(last) + 1)
    y, x = np.mgrid[: names["h"], : names["w"]]
    names[picture] = np.zeros((*y.shape, len(channels)))
    for channel in channels:
        for _ in range(int(times) if times.isdigit() else _TIMES.index(times)):
            _assign(drawn, names)
            names[picture][..., channel] += _value(formula, names | {"y": y, "x": x, index: channel})
