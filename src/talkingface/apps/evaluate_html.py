"""The report of `evaluate` as one HTML file: tables, plots over time, worst frames; nothing else is loaded."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from talkingface.apps.evaluate_plots import Line, plot
from talkingface.apps.evaluate_table import Table, figure_tables, shown
from talkingface.core.cache import write_atomic
from talkingface.core.errors import TalkingFaceError

WORST = 3
APART_S = 0.5
PICTURE_PX = 400
WORST_BY = (("landmarks.lmd_aligned", 1), ("picture.ssim.mouth", -1), ("motion.warp_error", 1))
"""What makes a frame bad, the first that was measured, and whether large (1) or small (-1) is bad."""

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#69727d;--line:#d8dee4;--paper:#fff;--a:#0b62c4;--b:#c2410c;
--c:#15803d;--area:#c9d3de}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#98a2ad;--line:#333a42;--paper:#14171a;--a:#6cb0ff;
--b:#ff9a5c;--c:#5fd08a;--area:#39424d}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:960px;margin:2em auto;
padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-top:1px solid var(--line);padding-top:1em}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.6em 0}
td,th{padding:.18em .8em .18em 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
td.number{text-align:right}p.soft,td.soft{color:var(--soft)}.failed{color:var(--b)}
svg{width:100%;height:auto;margin:.3em 0}svg text{fill:var(--ink);font-size:12px}svg .title{font-weight:600}
svg .tick{fill:var(--soft);font-size:11px}svg .grid{stroke:var(--line)}svg .mark{stroke:var(--b);stroke-dasharray:2 3}
svg path{fill:none;stroke-width:1.4}.made{stroke:var(--a)}.real{stroke:var(--b);stroke-dasharray:5 3}
.other{stroke:var(--c)}.third{stroke:var(--soft)}svg path.area{fill:var(--area);stroke:none}
figure{display:inline-block;margin:.4em .8em .4em 0}figure img{max-width:100%;display:block}
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
                yield f"<tr><td>{escape(clip['name'])}</td><td class='failed'>{escape(clip['reason'])}</td></tr>"
        yield "</table>"
    for table in figure_tables(report):
        yield _table(table)
    for clip in scored:
        yield from _clip(clip)
    yield "<h2>Definitions</h2><div class='scroll'><table>"
    for key, found in report["definitions"].items():
        yield (
            f"<tr><td>{escape(key)}</td><td>v{found['version']}</td><td>{escape(found['unit'])}</td>"
            f"<td>{escape(found['meaning'])}</td></tr>"
        )
    yield "</table></div>"


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in table.head)
    rows = []
    for row in table.rows:
        cells = "".join(f"<td class='number'>{escape(cell)}</td>" for cell in row[1:])
        rows.append(f"<tr><td>{escape(row[0])}</td>{cells}</tr>")
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
    worst = worst_frames(clip)
    for title, lines in _plots(rows):
        yield plot(title, lines, fps, worst)
    yield from _worst_pictures(clip, worst)
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


def worst_frames(clip: dict[str, Any]) -> list[int]:
    """The frames of a record that are worst by the first of `WORST_BY` that it has, half a second apart."""
    for key, sign in WORST_BY:
        values = clip["per_frame"].get(key)
        if values and any(value for value in values if value is not None):
            ranked = sorted((-sign * value, frame) for frame, value in enumerate(values) if value is not None)
            chosen: list[int] = []
            for _, frame in ranked:
                if all(abs(frame - other) > APART_S * clip["fps"] for other in chosen):
                    chosen.append(frame)
                if len(chosen) == WORST:
                    break
            return sorted(chosen)
    return []


def _worst_pictures(clip: dict[str, Any], frames: Sequence[int]) -> Iterator[str]:
    key = next((key for key, _ in WORST_BY if key in clip["per_frame"]), "")
    for frame in frames:
        pictures = [
            _picture(Path(clip[role]), frame / clip["fps"]) for role in ("generated", "reference") if clip[role]
        ]
        images = "".join(f"<img alt='' src='data:image/jpeg;base64,{data}'>" for data in pictures if data)
        if images:
            sides = "generated, then reference; " if len(pictures) == 2 else ""
            value = shown(clip["per_frame"][key][frame])
            yield (
                f"<figure>{images}<figcaption>{frame / clip['fps']:.2f} s: {sides}"
                f"{escape(key)} {value}</figcaption></figure>"
            )


def _picture(path: Path, time_s: float) -> str | None:
    """The picture of a video at a time as base64 JPEG; None when the file is no longer there."""
    import cv2

    from talkingface.video.read import read_frames

    try:
        frame = next(read_frames(path, start_s=time_s, fps=25, longest_px=PICTURE_PX), None)
    except TalkingFaceError:
        return None
    if frame is None:
        return None
    done, data = cv2.imencode(".jpg", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return base64.b64encode(data.tobytes()).decode() if done else None
