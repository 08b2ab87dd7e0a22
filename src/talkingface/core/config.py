"""Configs: nested dataclasses in code, strict JSON on disk. Standard library only.

A config is a frozen dataclass of plain values, tuples, dicts and further configs; its defaults are the only defaults.
On disk it is JSON without class names: the reader names the class. Unknown keys are refused with their full path.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from talkingface.core.errors import InputError, UsageError

FORMAT_VERSION = 2
_VERSION_KEY = "format_version"
Config = TypeVar("Config")


def to_dict(config: Any) -> dict[str, Any]:
    """A config dataclass as JSON-ready values (tuples become lists)."""
    return {field.name: _to_plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, (tuple, list)):
        return [_to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _to_plain(item) for key, item in value.items()}
    return value


def from_dict(cls: type[Config], data: Mapping[str, Any], path: str = "config") -> Config:
    """A config of class `cls` from JSON values; missing keys take their defaults.

    Raises UsageError naming the full path of an unknown key (with close names), a wrong type, or a value that the
    dataclass's own check refuses.

    Example: `from_dict(TrainConfig, {"optim": {"lr": 1e-4}})`
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{path} must be an object, not {_kind(data)}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in fields:
            close = difflib.get_close_matches(str(key), fields, n=3)
            hint = f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(fields)}"
            raise UsageError(f"unknown key {path}.{key}{hint}")
        values[key] = _from_plain(hints[key], value, f"{path}.{key}")
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error


def _from_plain(hint: Any, value: Any, path: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast("type[Any]", hint), value, path)
    if origin in (Union, types.UnionType):
        return _from_union(args, value, path)
    if origin is Literal:
        if value in args and any(value == choice and type(value) is type(choice) for choice in args):
            return value
        raise UsageError(f"{path} must be one of {', '.join(map(repr, args))}, not {value!r}")
    if origin in (tuple, list) and isinstance(value, list):
        return _from_list(origin, args, value, path)
    if origin is dict and isinstance(value, dict):
        return {key: _from_plain(args[1], item, f"{path}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and type(value) is hint:
        return value
    if hint in (None, type(None)) and value is None:
        return None
    raise UsageError(f"{path} must be {getattr(hint, '__name__', hint)}, not {_kind(value)}")


def _from_union(args: tuple[Any, ...], value: Any, path: str) -> Any:
    messages: list[str] = []
    for choice in args:
        try:
            return _from_plain(choice, value, path)
        except UsageError as error:
            messages.append(str(error))
    raise UsageError(messages[0])


def _from_list(origin: Any, args: tuple[Any, ...], value: list[Any], path: str) -> Any:
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(args) != len(value):
            raise UsageError(f"{path} must have {len(args)} items, not {len(value)}")
        return tuple(
            _from_plain(hint, item, f"{path}[{i}]") for i, (hint, item) in enumerate(zip(args, value, strict=True))
        )
    return origin(_from_plain(args[0], item, f"{path}[{i}]") for i, item in enumerate(value))


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
    }
    return "null" if value is None else names.get(type(value), type(value).__name__)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `changes` in their places, section by section.

    >>> merged({"fit": {"steps": 5, "seed": 1}}, {"fit": {"steps": 9}})
    {'fit': {'steps': 9, 'seed': 1}}
    """
    result = dict(base)
    for key, value in changes.items():
        own = result.get(key)
        result[key] = merged(own, value) if isinstance(own, Mapping) and isinstance(value, Mapping) else value
    return result


def parse_json(text: str, name: str) -> Any:
    """Strict JSON: no NaN or infinity, no key twice, no absurd nesting. Raises InputError naming `name`."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not allowed")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError("a key appears twice")
        return result

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not valid JSON: {error}") from error


def upgrade(data: Mapping[str, Any], cls: type[Any]) -> dict[str, Any]:
    """Bring config JSON of any earlier format to that of class `cls` today.

    A field that had another name before states it beside its default, `field(default=64, metadata={"was": "width"})`, a
    dict whose keys had others with `metadata={"keys": {"old": "new"}}`. Raises UsageError for a file written by a newer
    version.
    """
    data = dict(data)
    version = data.pop(_VERSION_KEY, 1)  # cards hold configs without a version
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise UsageError(
            f"config format {version!r} is not known to this version (1 to {FORMAT_VERSION}); upgrade talkingface"
        )
    return _renamed(data, cls)


def _renamed(data: Mapping[str, Any], cls: type[Any]) -> dict[str, Any]:
    fields, hints = {field.name: field for field in dataclasses.fields(cls)}, typing.get_type_hints(cls)
    today = {field.metadata["was"]: name for name, field in fields.items() if "was" in field.metadata}
    result: dict[str, Any] = {}
    for key, value in data.items():
        key = today.get(key, key)
        if isinstance(value, Mapping) and key in fields:
            hint = hints[key]
            inner = [c for c in (hint, *typing.get_args(hint)) if isinstance(c, type) and dataclasses.is_dataclass(c)]
            keys = fields[key].metadata.get("keys", {})
            value = _renamed(value, inner[0]) if inner else {keys.get(k, k): item for k, item in value.items()}
        result[key] = value
    return result


def save_config(path: str | Path, config: Any) -> None:
    """Write a config as JSON with its format version. Raises OutputError if it cannot be written."""
    from talkingface.core.cache import write_atomic

    with write_atomic(path, "w") as file:
        json.dump({_VERSION_KEY: FORMAT_VERSION, **to_dict(config)}, file, indent=2, allow_nan=False)
        file.write("\n")


def load_config(path: str | Path, cls: type[Config]) -> Config:
    """Read a config of class `cls`, upgrading older formats. Raises InputError or UsageError with the full key path."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read config {path}: {error}") from error
    data = parse_json(text, str(path))
    if not isinstance(data, dict):
        raise UsageError(f"{path} must hold one JSON object")
    return from_dict(cls, upgrade(data, cls), Path(path).name)
