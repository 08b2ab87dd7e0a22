"""Inputs made from the recipes that a recording states: draws, signals, grids and pictures, in the words of its JSON.

A recipe is a list of clauses: "n=32137, t=arange(n)/16000, x=sin(2pi 200t), then x[9000:12000]=0 (float32)". A clause
assigns a name, gives an index its range ("k = 0..2"), changes what is there ("then z -= 8"), or is a formula
(`parity.formula`) whose value is the input. Clauses run as soon as the names that they use are known, in whatever order
they are written. Without a formula of its own, the input is what was assigned last. Other words are remarks; but what
assigns something and was not understood raises RecipeError, so that no input is made in part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.formula import FUNCTIONS, FormulaError, compute, evaluate, index, parse, unit_rows
from parity.procedure import stated_functions

_REWRITTEN = (
    (r"numpy\.random\.|numpy (?=Generator)", ""),
    (r"Generator\(Philox\(key=\[(.*?)\]\)\)", r"g(\1)"),
    (r"rows of (.*) divided by their L2 norm", r"L2-normalised rows of \1"),
    (r"(\.(?:standard_normal|uniform)\((?:[^()]|\([^()]*\))*\))(.*?g\([^()]*\)) same shape", r"\1\2\1"),
    (r"\[(\w+) slots\]", r"[\1_slots]"),
    (r"\b(?:frame|array) i( of \d+)?(?::| is) ", r"each\1 is "),
    (r" for (\w = \S+\.\.)", r", \1"),
    (r"\.\s+(?=[a-z]\w* =)", "; "),
)
_DRAW = re.compile(r"g\([^()]*\)\.\w+\((?:[^()]|\([^()]*\))*\)")
_SIZE = re.compile(r"(?:size )?(\d+)x(\d+) \(h x w\)")
_LIST = re.compile(r"\d+ arrays, (\w+)s (\[[\d, ]+\])")
_ASSIGNED = re.compile(r"(?:[^=()]*\s)?([A-Za-z]\w*(?:&\w+)*(?:\([\w, ]*\)|(?:\[[^\]]*\])*))\s*(\+=|-=|=)(?!=)\s*(.+)")
_FIRST = {
    "tanh of ": np.tanh,
    "sigmoid of ": FUNCTIONS["sigmoid"],
    "float32 of ": np.float32,
    "L2-normalised rows of ": unit_rows,
    "cumsum over rows of ": lambda values: np.cumsum(values, axis=0),
}
_ACTING = re.compile(r"=|set to|^(?:then|plus|minus|times|except)\b")
_AXES = ("x", "y", "z")


class RecipeError(ValueError):
    """A recipe that is not understood."""


class Recipes:
    """The inputs of one recording, made in the order of its JSON: later ones may go on with an earlier one's draws."""

    def __init__(
        self, stated: Mapping[str, Any], notes: Sequence[str] = (), elsewhere: Callable[[str, str], str] | None = None
    ) -> None:
        """`notes` may define functions; `elsewhere(recording, input)` is the recipe that another recording states."""
        self.stated = stated
        self._elsewhere = elsewhere
        texts = [rewritten(text) for text in (*stated.values(), *notes) if isinstance(text, str)]
        self._known: dict[str, Any] = dict(stated_functions(texts))
        self._made: dict[str, _Made] = {}

    def value(self, name: str, **names: Any) -> Any:
        """Input `name`, an array or a list of them; `names` gives what its recipe leaves open."""
        made = self._make(name, names)
        unread = [text for text in made.remarks if _ACTING.search(text) and text.partition(" = ")[0] not in names]
        if unread or made.value is None or np.isscalar(made.value):
            raise RecipeError(f"{name}: {unread or ''} not understood, in {self.stated[name]!r}")
        return made.value

    def parts(self, name: str, **names: Any) -> dict[str, Any]:
        """All that recipe `name` assigns, by name; what needs names that nobody gives is left out."""
        return self._make(name, names).assigned

    def text(self, name: str) -> str:
        """Recipe `name` in the spelling of this parser, with what it takes from other recipes and recordings."""
        text = rewritten(self.stated[name])
        if found := re.match(r"same formula as (\w+) of (\w+), (\d+x\d+)", text):
            if self._elsewhere is None:
                raise RecipeError(f"{name}: there are no other recordings to look for {text!r}")
            return _SIZE.sub(f"{found[3]} (h x w)", rewritten(self._elsewhere(found[2], found[1])))
        if text.startswith("same with "):
            earlier = list(self.stated)[list(self.stated).index(name) - 1]
            return _DRAW.sub(lambda _: text.removeprefix("same with ").strip(), self.text(earlier))
        return text

    def _make(self, name: str, names: Mapping[str, Any]) -> _Made:
        if name not in self.stated:
            raise RecipeError(f"there is no input {name}")
        for key in self.stated:
            if key not in self._made or (key == name and names):
                self._made[key] = self._fresh(key, names if key == name else {})
            if key == name:
                break
        return self._made[name]

    def _fresh(self, name: str, names: Mapping[str, Any]) -> _Made:
        made = _Made({**self._known, **names}, name)
        if callable(self._known.get(name)):
            return made  # a function
        if isinstance(self.stated[name], str):
            made.run(self.text(name))
        else:
            made.take(np.array(self.stated[name]))
        if made.value is not None:
            self._known.setdefault(name, made.value)
        self._known |= {key: r for key, r in made.assigned.items() if isinstance(r, np.random.Generator)}
        return made


class _Made:
    """What one recipe makes, clause by clause."""

    def __init__(self, known: Mapping[str, Any], name: str) -> None:
        self.assigned: dict[str, Any] = {}
        self.remarks: list[str] = []
        self._known = dict(known)
        self._name = name
        self._values: list[Any] = []
        self._ranges: dict[str, range] = {}
        self._lists: dict[str, Any] = {}
        self._type: str | None = None
        self._later: set[str] = set()

    @property
    def value(self) -> Any:
        made = _stacked(self._values) if len(self._values) > 1 else next(iter(self._values), None)
        if made is None and self.assigned:
            made = list(self.assigned.values())[-1]
        return made.astype(self._type) if self._type and isinstance(made, np.ndarray) else made

    def run(self, text: str) -> None:
        for height, width in _SIZE.findall(text):
            self._ranges |= {"y": range(int(height)), "x": range(int(width))}
        self._lists = {name: evaluate(values) for name, values in _LIST.findall(text)}
        clauses = list(_clauses(_LIST.sub("", _SIZE.sub("", text))))
        targets = [found[1] for found in map(_ASSIGNED.fullmatch, clauses) if found and found[2] == "="]
        self._later = {name for target in targets if "[" not in target for name in re.split(r"\(.*|&", target)}
        for name in self._later:
            self._known.pop(name, None)  # its own, whatever an earlier recipe gave that name
        while clauses:
            self.remarks = [clause for clause in clauses if not self._understood(clause)]
            if len(self.remarks) == len(clauses):
                break
            clauses = self.remarks

    def take(self, value: Any) -> None:
        """A value that is the input, or one of several."""
        self._values.append(value)
        self._known |= dict.fromkeys((self._name, self._name.rpartition("_")[2], "draw"), value)

    def _understood(self, clause: str) -> bool:
        """Whether the clause could be run; it runs wholly or not at all."""
        try:
            for pattern, act in _ACTS:
                if found := re.fullmatch(pattern, clause):
                    act(self, *found.groups())
                    return True
            text = re.sub(r"^(?:then|vertex|nested list) ", "", clause)
            _tree, rest = self._parse(text) if not text.startswith(tuple(_FIRST)) else (None, "")
            if rest and re.fullmatch(r"\w+", text.removesuffix(rest).strip()):
                return False  # one word or number with others behind it
            self.take(self._formula(text))
            return True
        except (FormulaError, IndexError):
            return False

    def _parse(self, text: str, **names: Any) -> tuple[Any, str]:
        return parse(text, self._known | names, self._later - self.assigned.keys())

    def _formula(self, text: str, **names: Any) -> Any:
        for words, function in _FIRST.items():
            if text.startswith(words):
                return function(self._formula(text.removeprefix(words), **names))
        tree, rest = self._parse(text, **names)
        value = compute(tree, self._known | names)
        stated = re.search(r"\b(float32|uint8)\b", rest)
        return np.asarray(value).astype(stated[1]) if stated else value

    def _set(self, name: str, value: Any) -> None:
        self.assigned.pop(name, None)
        self._known[name] = self.assigned[name] = value

    def assign(self, target: str, sign: str, text: str) -> None:
        name, indices = re.split(r"[\[(]", target)[0], re.findall(r"\[([^\]]*)\]", target)
        names = [part.strip() for part in ",".join(indices).split(",")]
        if indices and all(part in self._ranges for part in names):
            self._set(name, self._over(names, text, grid=len(indices) == 1))
        elif indices:
            array, where = self._place(target)
            value = np.asarray(self._formula(text))
            array[where] = value if sign == "=" else array[where] + (value if sign == "+=" else -value)
        elif "&" in name:
            for part, value in zip(name.split("&"), self._formula(text), strict=True):
                self._set(part, value)
        elif column := re.fullmatch(r"col(\d)", name):
            drawn = self._values[-1]
            drawn[:, int(column[1])] = self._formula(text, **{f"col{k}": part for k, part in enumerate(drawn.T)})
        elif sign == "=":
            self._set(name, self._formula(text))
        elif name in _AXES:  # "then z -= 8", of the points just drawn
            self._values[-1][..., _AXES.index(name)] += self._formula(text) * (1 if sign == "+=" else -1)
        else:
            raise FormulaError(f"nothing is known of {name}")

    def _place(self, target: str) -> tuple[Any, Any]:
        tree, _ = self._parse(target)
        return compute(tree.value, self._known), index(tree.slice, self._known)

    def _over(self, indices: Sequence[str], text: str, *, grid: bool, **at: Any) -> Any:
        """For all values of the indices: one array ("img[y,x,k]") or lists of arrays ("fake[i][j]")."""
        if grid:
            return self._formula(text, **dict(zip(indices, np.ix_(*(self._ranges[i] for i in indices)), strict=True)))
        if not indices:
            return self._formula(text, **at)
        first, *others = indices
        return [self._over(others, text, grid=False, **at, **{first: k}) for k in self._ranges[first]]

    def range_of(self, name: str, first: str, last: str) -> None:
        self._ranges[name] = range(int(self._formula(first)), int(self._formula(last)) + 1)
        self._known[name] = self.assigned[name] = np.array(self._ranges[name])

    def each(self, count: str | None, text: str) -> None:
        total = int(count or self._known.get("count", 0)) or min(map(len, self._lists.values()), default=0)
        numbers = [{"i": i} | {name: values[i] for name, values in self._lists.items()} for i in range(total)]
        if not numbers:
            raise FormulaError("how many there are is not known")
        self._parse(text, **numbers[0])
        self.take(_stacked([self._formula(text, **names) for names in numbers]))

    def listed(self, first: str, second: str, last: str) -> None:
        start = self._formula(first)
        self.take(np.arange(start, self._formula(last) + 1, self._formula(second) - start))

    def rolled(self, name: str, down: str, right: str) -> None:
        self.take(np.roll(self._formula(name), (int(down), int(right)), axis=(0, 1)))

    def columns(self, text: str) -> None:
        """ "columns 0:224 * 0.7, 256 -> 0.3 + 0.1 c", of the array assigned last."""
        name, rows = list(self.assigned.items())[-1]
        for first, last, sign, by in re.findall(r"(\d+)(?::(\d+))? (\*|->) ([^,]+)", text):
            part = rows[..., int(first) : int(last or int(first) + 1)]
            part[...] = part * self._formula(by) if sign == "*" else self._formula(by, **{name: part})

    def where(self, name: str, condition: str) -> None:
        self._set(name, self._formula(condition))

    def set_rows(self, rows: str, values: str) -> None:
        self._values[-1][evaluate(f"[{rows}]")] = np.array(evaluate(f"[{values}]"))[:, None]

    def set_values(self, condition: str, value: str) -> None:
        self._values[-1][self._formula(f"draw {condition}")] = self._formula(value)

    def set_at(self, mask: str, value: str) -> None:
        name = list(self.assigned)[-1]
        self.assigned[name][self._formula(mask)] = self._formula(value)

    def unit(self) -> None:
        self._values[-1][...] = unit_rows(self._values[-1])

    def plus(self, text: str) -> None:
        self._values[-1] = evaluate(f"draw + {text}", draw=self._values[-1])

    def typed(self, *names: str | None) -> None:
        self._type = next(filter(None, names))


_WHOLE: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"(?:\w+ )?each(?: of (\d+))? is (.*)", _Made.each),
    (r"then columns (.*)", _Made.columns),
    (r"(\w+) rolled cyclically by (\d+) rows down and (\d+) columns right", _Made.rolled),
    (r"rows ([\d, ]+) set to ([-\d, ]+)", _Made.set_rows),
    (r"([^,]+), ?([^,]+), ?\.\.\., ?([^,]+)", _Made.listed),
)
_ACTS: tuple[tuple[str, Callable[..., None]], ...] = (
    *_WHOLE,
    (r"(?:\w+ )*?(\w+) (?:=|in) (?:channel )?([\w +*-]+)\.\.([^.].*)", _Made.range_of),
    (r"(\w+) where (.+)", _Made.where),
    (r"values (.+) set to (.+)", _Made.set_values),
    (r"(\w+) set to (.+)", _Made.set_at),
    (r"rows normalised.*", _Made.unit),
    (r"plus (.+)", _Made.plus),
    (r"(?:float64 )?(?:then )?\(?(float32|float64)\)?|truncated toward zero to (int16)", _Made.typed),
    (_ASSIGNED.pattern, _Made.assign),
)


def rewritten(text: str) -> str:
    """The recipe with the longer spellings of draws and loops made short."""
    for pattern, words in _REWRITTEN:
        text = re.sub(pattern, words, text)
    return text.strip()


def _clauses(text: str) -> Iterator[str]:
    """The parts between ; : , "with" and "and" outside brackets; targets of several names are joined by &."""
    for chunk in split(text, ";"):
        if any(re.fullmatch(pattern, chunk) for pattern, _ in _WHOLE):
            yield chunk
            continue
        for part in split(chunk, ": "):
            found = re.match(r"([A-Za-z]\w*(?:\s*,\s*[A-Za-z]\w*)+)\s*=", part)
            part = re.sub(r"[\s,]+", "&", found[1]) + part[found.end(1) :] if found else part
            yield from split(part, ",", " with ", " and ", " -> ")


def split(text: str, *marks: str) -> Iterator[str]:
    """What stands between the marks, outside brackets."""
    depth = start = at = 0
    while at < len(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[at], 0)
        mark = next((mark for mark in marks if depth == 0 and text.startswith(mark, at)), None)
        if mark:
            yield text[start:at].strip()
            start = at + len(mark)
        at += len(mark or " ")
    if text[start:].strip():
        yield text[start:].strip()


def _stacked(values: list[Any]) -> Any:
    return np.stack(values) if len({np.shape(value) for value in values}) == 1 else values
