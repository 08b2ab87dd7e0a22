"""What the columns of motion mean: a record for each motion space, so that numbers are checked and files exchanged.

Standard library only, because specs name these records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Neighbouring columns that share a unit.

    `names`: one a column; (): a learned code, whose length the weights decide. `most`: the largest magnitude that is
    taken for a movement and not for a mistake; drawing it takes no more time or memory than drawing any other.
    """

    names: tuple[str, ...] = ()
    unit: str
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What a column of the expression does, for people: in one direction (`negative`) and the other (`positive`)."""

    column: int
    negative: str
    positive: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionSpace:
    """A named meaning of `Motion`'s columns; systems that share one may exchange motion.

    `version` is raised when the same movement gets other numbers. `fps` is the clock on which systems make this motion.
    `pose` (): there is none. `blink`: whether closed eyes are a column of their own, 0 open, 1 closed. `gaze`: whether
    motion may say where the eyes look (see `core.types.Motion`). `style`: what lays a style on motion from speech (see
    `face.style.styled_motion`), "module:function"; "": nothing can. `movements`: the strongest columns of the
    expression, named by what they do. `landmarks`: what makes 68 points of the face of a `Motion`
    (see `face.landmarks68.mesh478_landmarks`), "module:function"; "": nothing can.
    """

    name: str
    version: int = 1
    fps: float = 25.0
    expression: tuple[Columns, ...]
    pose: tuple[Columns, ...] = ()
    blink: bool = True
    gaze: bool = False
    style: str = ""
    movements: tuple[Movement, ...] = ()
    landmarks: str = ""

    def columns(self, part: str) -> tuple[Columns, ...]:
        """The columns of "expression", "pose", "blink" or "gaze"."""
        closure = (Columns(names=("closure",), unit="share", most=1.0),) if self.blink else ()
        sight = (Columns(names=("look right", "look down"), unit="radians", most=10.0),) if self.gaze else ()
        return {"expression": self.expression, "pose": self.pose, "blink": closure, "gaze": sight}[part]

    def width(self, part: str) -> int | None:
        """Number of columns of a part; None where the weights decide."""
        groups = self.columns(part)
        return None if any(not group.names for group in groups) else sum(len(group.names) for group in groups)

    def with_codes(self, **lengths: int) -> MotionSpace:
        """The same space where the learned codes of some parts have `lengths` columns."""
        changes = {}
        for part, length in lengths.items():
            (code,) = self.columns(part)
            changes[part] = (replace(code, names=tuple(f"code {number}" for number in range(1, length + 1))),)
        return replace(self, **changes)

    def __str__(self) -> str:
        parts = []
        for part in ("expression", "pose", "blink", "gaze"):
            width = self.width(part)
            if width != 0:
                units = ", ".join(dict.fromkeys(group.unit for group in self.columns(part)))
                parts.append(f"{part} {'by the weights' if width is None else width} ({units})")
        return f"{self.name} version {self.version}: {', '.join(parts)}; {self.fps:g} rows a second"
