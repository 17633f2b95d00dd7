"""The tables of docs/peers.md and what is said below them, made of what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import dip, metrics, resize

Row = dict[str, Any]


def resize_table(part: Row) -> str:
    """Return times and memory, each beside those of fastsr with pictures of the same kind."""
    rows = part["rows"]
    compared = {(row["case"], row["side"], row["rival"]): row for row in rows}
    lines = ["| picture | | ms | spread | fastsr / this | memory, MiB |", "|---|---|---|---|---|---|"]
    slower = []
    for row in rows:
        ours = compared[row["case"], row["side"], _ours(row["rival"])]
        scale = 1 / resize.FACTOR if row["case"] == "down" else resize.FACTOR
        sizes = f"{row['side']} to {round(scale * row['side'])}"
        ratio = ours["seconds"] / row["seconds"]
        lines.append(
            f"| {sizes} | {row['rival']} | {_milliseconds(row)} | {_spread(row, 1e3)} "
            f"| {'' if row is ours else f'{ratio:.2f}'} | {_mebibytes(row)} |"
        )
        if ratio > 1 and not row["rival"].startswith("fastsr"):
            slower.append((row["rival"], sizes, ratio))
    left_out = _left_out(rows)
    said = [_slower(slower)]
    if left_out:
        said.append(f"Left out, because a call would take more than {resize.SECONDS:.0f} s: {', '.join(left_out)}.")
    return _with_text(lines, [*said, *_failures(part)])


def agreement_table(part: Row) -> str:
    """Return how far results are from MATLAB's files, the nearest first, and where gradients flow."""
    rows = sorted(part["agreement"], key=lambda row: (row["percent"], row["most"]))
    lines = [
        "| | values that differ | at most, levels | inside the border | at most, levels | gradient |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['rival']} | {row['differing']} ({row['percent']:.2f} %) | {row['most']} "
            f"| {row['percent_inside']:.2f} % | {row['most_inside']} | {'yes' if row['gradient'] else 'no'} |"
        )
    ours = [row for row in rows if row["rival"].startswith("fastsr")]
    said = []
    for one in ours:
        closer = [row["rival"] for row in rows if row["percent"] < one["percent"] and row not in ours]
        if closer:
            said.append(f"Closer than {one['rival']}: {', '.join(closer)}.")
    return _with_text(lines, [*said, f"Of {rows[0]['values']} values." if rows else ""])


def metrics_table(part: Row) -> str:
    """Return scores, how far they are from what is published, times, and memory."""
    lines = [
        "| | luma | PSNR | off | SSIM | off | NIQE, two pictures | off, the most | ms: PSNR | SSIM | NIQE "
        "| MiB: PSNR | SSIM | NIQE |",
        f"|{'---|' * 14}",
    ]
    ours = next(row for row in part["rows"] if row["rival"] == "fastsr")
    slower = []
    closer: dict[str, list[str]] = {}
    for row in part["rows"]:
        off = _offs(row)
        costs = row["costs"]
        niqe = [value for value in row["niqe"].values() if value is not None]
        cells = [row["rival"], row["about"]]
        cells += ["" if row["psnr"] is None else f"{row['psnr']:.3f}", _signed(off["psnr"], 3)]
        cells += ["" if row["ssim"] is None else f"{row['ssim']:.4f}", _signed(off["ssim"], 4)]
        cells += [" / ".join(f"{value:.4f}" for value in niqe), _signed(off["niqe"], 4)]
        cells += [show(costs[name]) if name in costs else "" for show in (_milliseconds, _mebibytes) for name in NAMES]
        lines.append(f"| {' | '.join(cells)} |")
        for name, cost in costs.items():
            ratio = ours["costs"][name]["seconds"] / cost["seconds"]
            if ratio > 1:
                slower.append((row["rival"], NAMES[name], ratio))
        for name, value in off.items():
            own = _offs(ours)[name]
            if value is not None and own is not None and abs(value) < abs(own) - CLOSER[name]:
                closer.setdefault(name, []).append(row["rival"])
    said = [_slower(slower)]
    said += [
        f"Closer to the published {NAMES[name]} than fastsr: {', '.join(found)}." for name, found in closer.items()
    ]
    return _with_text(lines, [*said, *_failures(part)])


NAMES = {"psnr": "PSNR", "ssim": "SSIM", "niqe": "NIQE"}
CLOSER = {"psnr": 5e-4, "ssim": 5e-5, "niqe": 5e-5}
"""Half of the last digit that the table shows: what is less is no difference."""


def _offs(row: Row) -> dict[str, float | None]:
    """How far the scores of a rival are from what is published; of NIQE the most of the two pictures."""
    niqe = [value - metrics.LIVE[name] for name, value in row["niqe"].items() if value is not None]
    means = {name: None if row[name] is None else row[name] - metrics.PUBLISHED[name] for name in ("psnr", "ssim")}
    return {**means, "niqe": max(niqe, key=abs) if niqe else None}


def networks_table(part: Row) -> str:
    """Return who reads which file, with what result, how fast and in how much memory."""
    rows = part["rows"]
    lines = [
        "| file | | picture | s | spread | fastsr / this | memory, MiB | off, levels | Set5 PSNR |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    slower, larger = [], []
    nearer: dict[tuple[str, str], str] = {}
    compared = {(row["file"], row.get("side"), row["rival"]): row for row in rows}
    for row in rows:
        if "refused" in row:
            lines.append(f"| {row['file']} | {row['rival']} | refused: {row['refused']} | | | | | | |")
            continue
        ours = compared[row["file"], row["side"], f"fastsr, {row['rival'].split(', ')[1]}"]
        ratio = ours["seconds"] / row["seconds"]
        psnr = f"{row['set5_psnr_y']:.3f}" if "set5_psnr_y" in row else ""
        where = f"{row['side']}x{row['side']}"
        lines.append(
            f"| {row['file']} | {row['rival']} | {where} | {row['seconds']:.2f} | {_spread(row)} "
            f"| {'' if row is ours else f'{ratio:.2f}'} | {_mebibytes(row)} | {row['off']:.3f} | {psnr} |"
        )
        if ratio > 1:
            slower.append((row["rival"], f"{row['file']}, {where}", ratio))
        if row["off"] < ours["off"]:
            nearer[row["file"], row["rival"]] = f"{row['rival']} ({row['file']}, {row['off']:.3f} to {ours['off']:.3f})"
        if ours["peak_bytes"] > row["peak_bytes"]:
            times = ours["peak_bytes"] / max(row["peak_bytes"], 1)
            larger.append(f"{row['rival']} ({where}, by {times:.2f})")
    said = [_slower(slower)]
    if larger:
        said.append(f"fastsr takes more memory than {', '.join(larger)}.")
    if nearer:
        said.append(f"Less off than fastsr in the same precision: {', '.join(nearer.values())}.")
    return _with_text(lines, [*said, *_failures(part)])


def dip_table(part: Row) -> str:
    """Return the PSNR of each fit at a few times, and where it ended or was ended."""
    budget = part["budget"]
    times = [budget / 6, budget / 3, 2 * budget / 3, budget]
    heads = " | ".join(f"{seconds:.0f} s" for seconds in times)
    lines = [
        f"| picture | | {heads} | best | at, s | ended by itself, s | memory, MiB |",
        f"|{'---|' * (len(times) + 6)}",
    ]
    said = []
    for picture, bicubic in part["bicubic"].items():
        lines.append(f"| {picture} | bicubic | {' | '.join([f'{bicubic:.2f}'] * len(times))} | {bicubic:.2f} | | | |")
        rows = [row for row in part["rows"] if row["picture"] == picture]
        for row in rows:
            reached = [reached_by(row["curve"], seconds) for seconds in times]
            seconds, best = max(row["curve"], key=lambda point: point[1])
            cells = " | ".join("" if value is None else f"{value:.2f}" for value in reached)
            ended = "" if row["ended"] is None else f"{row['ended']:.0f}"
            lines.append(
                f"| {picture} | {row['rival']} | {cells} | {best:.2f} | {seconds:.0f} | {ended} | {_mebibytes(row)} |"
            )
            said += _ahead(picture, row, rows, times)
    return _with_text(lines, [*said, *_failures(part)])


def reached_by(curve: list[tuple[float, float]], seconds: float) -> float | None:
    """Return the PSNR of the last look until then; None where there was none."""
    found = [psnr for spent, psnr in curve if spent <= seconds]
    return found[-1] if found else None


def _ahead(picture: str, row: Row, rows: list[Row], times: list[float]) -> list[str]:
    """Say at which of the times a rival is ahead of fastsr."""
    ours = next((one for one in rows if one["rival"] == dip.OURS), None)
    if ours is None or row is ours:
        return []
    both = [(seconds, *(reached_by(one["curve"], seconds) for one in (row, ours))) for seconds in times]
    at = [f"{s:.0f} s" for s, theirs, own in both if theirs is not None and (own is None or theirs > own)]
    return [f"{picture}: {row['rival']} is ahead of fastsr at {', '.join(at)}."] if at else []


def packages_table(packages: dict[str, str]) -> str:
    """Return the packages with their versions, or why they are not measured."""
    lines = [f"| {name} | {what} |" for name, what in packages.items()]
    return "\n".join(["| package | version |", "|---|---|", *lines])


def where(part: Row) -> str:
    """Say where and when a part was measured, and what else the machine did."""
    begun, ended = part["load"]
    load = f"{begun:.1f} when it began and {ended:.1f} when it ended"
    busy = " The machine was busy: compare within a table, and take no time for what it is." if part["busy"] else ""
    return (
        f"{part['device']}, threads: {part['threads']}, torch {part['torch']}, {_commit(part['commit'])}, "
        f"{part['date'][:10]}. The load of the machine was {load}.{busy}"
    )


def _commit(commit: str | None) -> str:
    if commit is None:
        return "no commit"
    name, _, dirty = commit.partition("-")
    return f"commit `{name[:7]}`{' with changes' if dirty else ''}"


def _ours(rival: str) -> str:
    return resize.OURS[1] if "uint8" in rival else resize.OURS[0]


def _left_out(rows: list[Row]) -> list[str]:
    """The rivals that were not asked for a size, with the size."""
    names = list(dict.fromkeys(row["rival"] for row in rows))
    cases = dict.fromkeys((row["case"], row["side"]) for row in rows)
    there = {(row["case"], row["side"], row["rival"]) for row in rows}
    return [f"{name} ({case} from {side})" for case, side in cases for name in names if (case, side, name) not in there]


def _slower(found: Iterable[tuple[str, str, float]]) -> str:
    """Say what fastsr is slower than, and how many times; each of `found` is a rival, a case and a ratio."""
    listed: dict[str, list[str]] = {}
    for rival, case, ratio in found:
        listed.setdefault(rival, []).append(f"{_times(ratio)} ({case})")
    if not listed:
        return "fastsr is slower than none of these."
    lines = [f"- {rival}: {', '.join(cases)}" for rival, cases in listed.items()]
    return "\n".join(["fastsr is slower, so many times, than", "", *lines])


def _failures(part: Row) -> list[str]:
    return [f"Not measured: {name}, {reason}." for name, reason in part["failures"].items()]


def _with_text(lines: list[str], said: list[str]) -> str:
    return "\n\n".join(["\n".join(lines), *filter(None, said)])


def _milliseconds(row: Row) -> str:
    return _figure(1e3 * row["seconds"])


def _spread(row: Row, scale: float = 1) -> str:
    return f"{_figure(scale * row['fastest'])} to {_figure(scale * row['slowest'])}"


def _figure(value: float) -> str:
    """Three digits, or all those before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _times(ratio: float) -> str:
    """Two digits behind the point where the ratio is near 1, so that it is never shown as 1."""
    return f"{ratio:.2f}" if ratio < 2 else f"{ratio:.1f}"


def _mebibytes(row: Row) -> str:
    return f"{row['peak_bytes'] / 2**20:.0f}"


def _signed(value: float | None, digits: int) -> str:
    return "" if value is None else f"{round(value, digits) + 0.0:+.{digits}f}"
