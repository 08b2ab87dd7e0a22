"""The report of `evaluate` as one HTML file: tables, plots over time, worst frames; nothing else is loaded."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from talkingface.apps.evaluation.plots import Line, plot
from talkingface.apps.evaluation.table import Table, figure_tables, shown
from talkingface.core.cache import write_atomic
from talkingface.core.errors import TalkingFaceError

WORST = 3
APART_S = 0.5
PICTURE_PX, LONGEST_PX = 440, 1280
ROOM = 0.15
"""Of the face box, on each side of a picture that is shown."""
WORST_BY = (("landmarks.lmd_aligned", 1), ("picture.ssim.mouth", -1), ("motion.warp_error", 1))
"""What makes a frame bad, the first that was measured, and whether large (1) or small (-1) is bad."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#69727d;--line:#d8dee4;--paper:#fff;--a:#0b62c4;--b:#c2410c;
--c:#15803d;--area:#c9d3de}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#98a2ad;--line:#333a42;--paper:#14171a;--a:#6cb0ff;
--b:#ff9a5c;--c:#5fd08a;--area:#39424d}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1040px;margin:2em auto;
padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-top:1px solid var(--line);padding-top:1em}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.6em 0}
td,th{padding:.18em .9em .18em 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top;
white-space:nowrap}td.long{white-space:normal;min-width:20em}
.number{text-align:right}p.soft,td.soft{color:var(--soft)}.failed{color:var(--b)}
svg{width:100%;min-width:620px;height:auto;margin:.3em 0;display:block}
svg text{fill:var(--ink);font-size:12px}svg .title{font-weight:600}
svg .tick{fill:var(--soft);font-size:11px}svg .grid{stroke:var(--line)}svg .mark{stroke:var(--b);stroke-dasharray:2 3}
svg path{fill:none;stroke-width:1.4;stroke-linecap:round}
.made{stroke:var(--a)}.real{stroke:var(--b);stroke-dasharray:5 3}
.other{stroke:var(--c)}.third{stroke:var(--soft)}svg path.area{fill:var(--area);stroke:none}
figure{margin:.8em 0}figure div{display:flex;gap:6px}figure img{max-width:calc(50% - 3px);display:block}
figcaption{color:var(--soft);font-size:.9em}
"""


def write_html(path: str | Path, report: dict[str, Any]) -> None:
    """Write the page. Pictures of worst frames come from the videos named in the report. Raises OutputError."""
    with write_atomic(path, "w") as file:
        file.write("<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>")
        file.write("<meta name='viewport' content='width=device-width'><title>talkingface evaluate</title>")
        file.write(f"<style>{_STYLE}</style></head><body>\n")
        for part in _page(report):
            file.write(part + "\n")
        file.write("</body></html>\n")


def _page(report: dict[str, Any]) -> Iterator[str]:
    clips = report["clips"]
    scored = [clip for clip in clips if clip["status"] == "scored"]
    versions = report["versions"]
    yield "<h1>Evaluation</h1>"
    yield (
        f"<p class='soft'>{escape(report['date'])}, talkingface {escape(versions['talkingface'])}, "
        f"{escape(versions['machine'])}. {len(scored)} of {len(clips)} clips scored.</p>"
    )
    if report["failed"]:
        yield "<table>"
        for clip in clips:
            if clip["status"] != "scored":
                reason = escape(clip["reason"])
                yield f"<tr><td>{escape(clip['name'])}</td><td class='failed long'>{reason}</td></tr>"
        yield "</table>"
    tables = list(figure_tables(report))
    if len(clips) > 1:
        yield from map(_table, tables)
    for clip in scored:
        yield from _clip(clip)
    if len(clips) == 1:
        yield from (_table(replace(table, title="Figures")) for table in tables)
    yield "<h2>Definitions</h2><div class='scroll'><table>"
    for key, found in report["definitions"].items():
        yield (
            f"<tr><td>{escape(key)}</td><td>v{found['version']}</td><td>{escape(found['unit'])}</td>"
            f"<td class='long'>{escape(found['meaning'])}</td></tr>"
        )
    yield "</table></div>"


def _table(table: Table) -> str:
    kinds = ["" if name in ("figure", "figure, mean", "unit", "better") else " class='number'" for name in table.head]
    head = "".join(f"<th{kind}>{escape(cell)}</th>" for cell, kind in zip(table.head, kinds, strict=True))
    rows = []
    for row in table.rows:
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        rows.append(f"<tr>{cells}</tr>")
    title = f"<h2>{escape(table.title)}</h2>" if table.title else ""
    return f"{title}<div class='scroll'><table><tr>{head}</tr>{''.join(rows)}</table></div>"


def _clip(clip: dict[str, Any]) -> Iterator[str]:
    fps, rows = clip["fps"], clip["per_frame"]
    compared = f"{clip['frames']} frames on a clock of {fps} per second"
    excess = [f"{role} {seconds:.2f} s" for role, seconds in clip["excess_s"].items() if seconds > 1 / fps]
    yield f"<h2>{escape(clip['name'])}</h2>"
    yield f"<p class='soft'>{compared}{'; beyond that: ' + ', '.join(excess) if excess else ''}</p>"
    for note in clip["notes"]:
        yield f"<p class='soft'>{escape(note)}</p>"
    key, worst = worst_frames(clip)
    yield "<div class='scroll'>"
    for title, lines in _plots(rows):
        yield plot(title, lines, fps, worst)
    yield "</div>"
    if worst:
        yield "<p class='soft'>Dotted lines: the worst frames, which are shown here.</p>"
    yield from _worst_pictures(clip, key, worst)
    if len(clip["minutes"]) > 1:
        rows = [(shown(m["start_s"] / 60), shown(m["offset_ms"]), shown(m["correlation"])) for m in clip["minutes"]]
        yield _table(Table(title="", head=("minute", "mouth late by, ms", "correlation with loudness"), rows=rows))
    if clip["gaps"]:
        reasons: dict[str, list[str]] = {}
        for key, reason in clip["gaps"].items():
            reasons.setdefault(reason, []).append(key)
        listed = "; ".join(f"{', '.join(keys)}: {reason}" for reason, keys in reasons.items())
        yield f"<p class='soft'>Not measured: {escape(listed)}.</p>"


def _plots(rows: dict[str, Any]) -> Iterator[tuple[str, list[Line]]]:
    def line(label: str, key: str, style: str, filled: bool = False) -> Line:
        return Line(label=label, values=rows.get(key, ()), style=style, filled=filled)

    yield (
        "Mouth opening (inter-ocular distances) and speech",
        [
            line("speech", "speech.envelope", "area", filled=True),
            line("generated", "mouth.mean_gap", "made"),
            line("reference", "mouth.gap.reference", "real"),
        ],
    )
    for name in ("yaw", "pitch", "roll"):
        yield (
            f"Head {name} (degrees)",
            [line("generated", f"pose.{name}", "made"), line("reference", f"pose.{name}.reference", "real")],
        )
    yield (
        "Eye closure (0 open, 1 shut)",
        [line("generated", "eyes.closure", "made"), line("reference", "eyes.closure.reference", "real")],
    )
    yield (
        "Landmark errors (inter-ocular distances)",
        [line("mouth", "landmarks.lmd_aligned", "made"), line("worst lip point", "landmarks.lve", "other")],
    )
    yield (
        "PSNR (dB)",
        [
            line("mouth", "picture.psnr.mouth", "made"),
            line("face", "picture.psnr.face", "other"),
            line("frame", "picture.psnr.frame", "third"),
        ],
    )
    yield (
        "SSIM",
        [
            line("mouth", "picture.ssim.mouth", "made"),
            line("face", "picture.ssim.face", "other"),
            line("frame", "picture.ssim.frame", "third"),
        ],
    )


def worst_frames(clip: dict[str, Any]) -> tuple[str, list[int]]:
    """The frames of a record that are worst, half a second apart, by the first of `WORST_BY` that it has.

    Returns that figure and the frames; none when it is the same in every frame, as for identical videos.
    """
    for key, sign in WORST_BY:
        known = [(value, frame) for frame, value in enumerate(clip["per_frame"].get(key, ())) if value is not None]
        if not known:
            continue
        chosen: list[int] = []
        for _, frame in sorted(known, key=lambda pair: -sign * pair[0]):
            if len(chosen) < WORST and all(abs(frame - other) > APART_S * clip["fps"] for other in chosen):
                chosen.append(frame)
        return key, sorted(chosen) if min(known)[0] < max(known)[0] else []
    return "", []


def _worst_pictures(clip: dict[str, Any], key: str, frames: Sequence[int]) -> Iterator[str]:
    for frame in frames:
        time_s = frame / clip["fps"]
        roles = [role for role in ("generated", "reference") if clip[role]]
        pictures = [_picture(Path(clip[role]), time_s, clip["face_box"]) for role in roles]
        images = "".join(
            f"<img alt='{role}' src='data:image/jpeg;base64,{data}'>"
            for role, data in zip(roles, pictures, strict=True)
            if data
        )
        if images:
            sides = "generated, then reference; " if len(roles) == 2 else ""
            value = shown(clip["per_frame"][key][frame])
            yield (
                f"<figure><div>{images}</div><figcaption>{time_s:.2f} s: {sides}{escape(key)} {value}</figcaption>"
                "</figure>"
            )


def _picture(path: Path, time_s: float, box: Sequence[float]) -> str | None:
    """The face in a video at a time as base64 JPEG, cut to `box` (shares of the picture) with room around; None when
    the file is no longer there."""
    import cv2

    from talkingface.video.read import read_frames

    try:
        frame = next(read_frames(path, start_s=time_s, fps=25, longest_px=LONGEST_PX), None)
    except TalkingFaceError:
        return None
    if frame is None:
        return None
    height, width = frame.rgb.shape[:2]
    left, top, right, bottom = box
    room_x, room_y = ROOM * (right - left), ROOM * (bottom - top)
    across = slice(round(max(left - room_x, 0) * width), max(round((right + room_x) * width), 1))
    down = slice(round(max(top - room_y, 0) * height), max(round((bottom + room_y) * height), 1))
    face = frame.rgb[down, across]
    scale = PICTURE_PX / max(face.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    face = cv2.resize(face, None, fx=scale, fy=scale, interpolation=method)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(face, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return base64.b64encode(data.tobytes()).decode() if done else None
