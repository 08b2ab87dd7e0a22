"""Formulas as recordings write them: "0.3 sin(2 pi (200 t + 150 t^2))", evaluated without running any code.

Values side by side are multiplied, `^` is a power and `mod` the remainder. `g(a, b)` is the random generator of the key
(a, b) (see `parity.rule`); of its methods those in `_DRAWS` may be called. Everything else that may be called is listed
in `FUNCTIONS`, or is given among the names as a Python function.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from parity.rule import philox

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:e[-+]?\d+)?)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\.\.\.|\*\*|<=|>=|[-+*/%^()\[\],.:<>=]))"
)
_DRAWS = ("standard_normal", "uniform", "random", "integers", "permutation")
_WORDS = {"mod": "%", "or": "or", "^": "**"}


def unit_rows(rows: Any) -> np.ndarray:
    """Each row divided by its L2 norm."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("sin", "cos", "tanh", "exp", "sqrt", "abs", "floor", "trunc", "round")},
    **{name: getattr(np, name) for name in ("clip", "cumsum", "sort", "arange", "linspace", "meshgrid")},
    **{name: lambda values, kind=name: np.asarray(values).astype(kind) for name in ("float32", "int16", "uint8")},
    "sigmoid": lambda values: 1 / (1 + np.exp(-values)),
    "stack": lambda *columns: np.stack(columns, -1),
    "normalise": unit_rows,
    "g": lambda *key: philox(*(int(part) for part in key)),
}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class FormulaError(ValueError):
    """A text that is no formula, or that names what is not known."""


def evaluate(text: str, **names: Any) -> Any:
    """The value of a whole formula. Raises FormulaError if any of the text is left over."""
    tree, rest = parse(text, names)
    if rest:
        raise FormulaError(f"no formula: {text!r} (from {rest!r} on)")
    return compute(tree, names)


def parse(text: str, names: Mapping[str, Any], later: Collection[str] = ()) -> tuple[ast.expr, str]:
    """The longest formula of known names that the text begins with, and the words behind it ("laid out (batch, mel)").

    Names whose values are functions are called, others multiplied by what follows in brackets. Raises FormulaError if
    there is none, or if what follows goes on calculating: "x + unknown", "3 t", or a name that is known `later`.
    """
    text, ends, tokens, at = _sums_written_out(text), [], [], 0
    while found := _TOKEN.match(text, at):
        at = found.end()
        tokens.append(found[0].strip())
        ends.append(at)
    for count in range(len(tokens), 0, -1):
        tree = _tree(tokens[:count], names)
        if tree is not None and free_names(tree) <= names.keys():
            rest = text[ends[count - 1] :].strip()
            word = re.match(r"\(?([A-Za-z][\w-]+)|\([a-z], ?[a-z]\)|\(\d-based\)|->", rest)
            if rest and (word is None or word[1] in {*FUNCTIONS, *later} - {"float32", "uint8"}):
                break
            return tree, rest
    raise FormulaError(f"no formula of {', '.join(sorted(names)) or 'numbers'}: {text!r}")


def free_names(tree: ast.expr) -> set[str]:
    """The names that a formula needs values for."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in names if not (id(node) in called and node.id in FUNCTIONS)} - {"pi"}


def compute(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of a parsed formula. Nodes that are not listed here are refused."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id="pi"):
            return np.pi
        case ast.Name(id=name):
            return names[name]
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return [compute(part, names) for part in parts]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -compute(operand, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](*_numbers(compute(left, names), compute(right, names)))
        case ast.Compare(left=left, ops=ops, comparators=parts) if all(type(op) in _COMPARE for op in ops):
            values = [compute(part, names) for part in (left, *parts)]
            pairs = zip(ops, values, values[1:], strict=False)
            return np.logical_and.reduce([_COMPARE[type(op)](a, b) for op, a, b in pairs])
        case ast.BoolOp(op=ast.Or(), values=parts):
            return np.logical_or.reduce([compute(part, names) for part in parts])
        case ast.Subscript(value=value, slice=place):
            return compute(value, names)[index(place, names)]
        case ast.Call(func=called, args=given, keywords=options):
            function = _function(called, names)
            return function(
                *(compute(part, names) for part in given),
                **{str(option.arg): compute(option.value, names) for option in options},
            )
    raise FormulaError(f"not allowed in a formula: {ast.unparse(node)}")


def index(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """What stands in the brackets of `x[...]`."""
    match node:
        case ast.Slice(lower=lower, upper=upper, step=step):
            return slice(*(None if part is None else compute(part, names) for part in (lower, upper, step)))
        case ast.Tuple(elts=parts):
            return tuple(index(part, names) for part in parts)
    return compute(node, names)


def _function(node: ast.expr, names: Mapping[str, Any]) -> Callable[..., Any]:
    match node:
        case ast.Name(id=name) if name in FUNCTIONS:
            return FUNCTIONS[name]
        case ast.Name(id=name) if callable(names[name]):
            return names[name]
        case ast.Attribute(value=value, attr=attr) if attr in _DRAWS:
            generator = compute(value, names)
            if isinstance(generator, np.random.Generator):
                return getattr(generator, attr)
    raise FormulaError(f"not a function of formulas: {ast.unparse(node)}")


def _numbers(left: Any, right: Any) -> tuple[Any, Any]:
    """Lists as arrays. One that ends in "..." goes on with its last number, up to the columns of the other side."""

    def array(values: Any, other: Any) -> Any:
        if isinstance(values, list) and values and values[-1] is ...:
            values = values[:-1] + [values[-2]] * (np.shape(other)[-1] - len(values) + 1)
        return np.asarray(values) if isinstance(values, list) else values

    return array(left, right), array(right, left)


def _tree(tokens: Sequence[str], names: Mapping[str, Any]) -> ast.expr | None:
    functions = FUNCTIONS.keys() | {name for name, value in names.items() if callable(value)}
    try:
        return ast.parse(_python(tokens, functions), mode="eval").body
    except SyntaxError:
        return None


def _python(tokens: Sequence[str], functions: Collection[str]) -> str:
    """Python's spelling: products written out, and arguments of stated functions without their names ("N=110")."""
    written: list[str] = []
    for token in tokens:
        before = written[-1] if written else ""
        called = before in functions or written[-2:-1] == ["."]
        is_product = re.match(r"[\w)\]]", before) and re.match(r"[\w(]", token) and not {before, token} & _WORDS.keys()
        if is_product and not (token == "(" and called):
            written.append("*")
        if token == "=" and written[-2:-1] in (["("], [","]) and before != "axis":
            written.pop()
        else:
            written.append(_WORDS.get(token, token))
    return " ".join(written)


def _sums_written_out(text: str) -> str:
    """ "sum_(h=1..3) f(h) + x" as "(f(1) + f(2) + f(3)) + x"; the term goes up to the next + or - beside it."""
    while found := re.search(r"sum_\((\w)=(\d+)\.\.(\d+)\)", text):
        end, depth = found.end(), 0
        while end < len(text) and (depth or text[end] not in "+-,;)"):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        numbers = range(int(found[2]), int(found[3]) + 1)
        terms = [re.sub(rf"\b{found[1]}\b", str(number), text[found.end() : end]) for number in numbers]
        text = f"{text[: found.start()]}({' + '.join(terms)}){text[end:]}"
    return text
