"""Compile every kernel ahead of time for several GPUs, without one: ``python -m benchmarks.aot [op ...]``.

Prints a table of registers, spills, shared memory and compile time, and exits with status 1 if any kernel spills,
wants more shared memory than the GPU has, runs its matrix products elsewhere than on the tensor cores, or takes more
than 5 seconds of processor time to compile. What is compiled is what each op declares in ``aot_cases()``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

import fastsr_kernels
from benchmarks.report import write_between_marks
from fastsr_kernels.backend import AotCase

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED_BYTES = {"sm_80": 163 * 1024, "sm_90": 227 * 1024, "sm_100": 227 * 1024, "gfx942": 64 * 1024}
COMPILE_SECONDS = 5.0
MARKS = "<!-- compiled -->", "<!-- end of compiled -->"
NVIDIA_TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Report:
    """What a compiled kernel needs."""

    registers: int
    """Registers of a thread (on gfx942: vector registers)."""
    spilled: int
    """Bytes of a thread's registers that live in memory."""
    shared: int
    """Bytes of shared memory of a program."""
    matrix: str
    """The matrix instruction it uses, and how many of them; empty without any."""
    instructions: int | None
    """None where they were not counted."""
    seconds: float
    """Processor time of the compilation, that of its child processes included."""
    problems: tuple[str, ...]
    """What is not as it must be, in words."""


def find_cases() -> list[tuple[str, AotCase, str]]:
    """Every case of every op, on every target that it is for: (op, case, target)."""
    ops = sorted(module.name for module in pkgutil.iter_modules(fastsr_kernels.__path__))
    modules = {op: importlib.import_module(f"fastsr_kernels.{op}") for op in ops}
    return [
        (op.removesuffix("_kernels"), case, target)
        for op, module in modules.items()
        if hasattr(module, "aot_cases")
        for case in module.aot_cases()
        for target, gpu in TARGETS.items()
        if not {gpu.backend, target}.isdisjoint(case.backends)
    ]


def compile_case(case: AotCase, target: str, *, count: bool = True) -> Report:
    """Compile one case for one target, and look at the machine code.

    Unless they are to be counted, only the instructions of a case with matrix products are looked at: to disassemble
    code for NVIDIA takes as long as to compile many a kernel.
    """
    arguments = case.kernel.arg_names
    signature = {name: "constexpr" if name in case.constants else case.signature[name] for name in arguments}
    aligned = [name for name, kind in signature.items() if kind.startswith("*") or name in case.divisible]
    source = ASTSource(
        case.kernel,
        signature,
        {(arguments.index(name),): value for name, value in case.constants.items()},
        {(arguments.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    options = {
        "num_warps": case.num_warps,
        "num_stages": case.num_stages,
        "enable_fp_fusion": case.enable_fp_fusion,
    }
    started = _processor_seconds()
    compiled = triton.compile(source, target=TARGETS[target], options=options)
    seconds = _processor_seconds() - started
    look = _look_at_nvidia if TARGETS[target].backend == "cuda" else _look_at_amd
    found = look(compiled, count or case.matrix)
    shared = compiled.metadata.shared
    problems = []
    if found["spilled"]:
        problems.append(f"spills {found['spilled']} bytes")
    if shared > SHARED_BYTES[target]:
        problems.append(f"wants {shared} bytes of shared memory of {SHARED_BYTES[target]}")
    if case.matrix and not found["matrix"]:
        problems.append("makes its matrix products without the tensor cores")
    if case.warpgroups and target == "sm_90" and "HGMMA" not in found["matrix"]:
        problems.append("has no HGMMA")
    if seconds > COMPILE_SECONDS:
        problems.append(f"compiles in {seconds:.1f} s")
    return Report(**found, shared=shared, seconds=seconds, problems=tuple(problems))


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _look_at_nvidia(compiled: Any, count: bool) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        usage = _run(NVIDIA_TOOLS / "cuobjdump", "-res-usage", file.name)
        # It need not follow what jumps where.
        code = _run(NVIDIA_TOOLS / "nvdisasm", "-c", "-ndf", file.name) if count else ""
    operations = re.findall(r"^\s+/\*[0-9a-f]+\*/\s+(?:@\S+\s+)?([A-Z0-9_]+)", code, re.MULTILINE)
    return {
        "registers": _number(r"REG:(\d+)", usage),
        "spilled": _number(r"STACK:(\d+)", usage) + _number(r"LOCAL:(\d+)", usage),
        "matrix": _most_common(name for name in operations if name.endswith("MMA")),
        "instructions": sum(name != "NOP" for name in operations) if count else None,  # NOPs fill up the end
    }


def _look_at_amd(compiled: Any, count: bool) -> dict[str, Any]:
    assembly = compiled.asm["amdgcn"]
    spills = _number(r"\.vgpr_spill_count:\s*(\d+)", assembly) + _number(r"\.sgpr_spill_count:\s*(\d+)", assembly)
    instructions = re.findall(r"^\t([a-z]\w+)", assembly, re.MULTILINE)
    return {
        "registers": _number(r"\.vgpr_count:\s*(\d+)", assembly),
        "spilled": 4 * spills + _number(r"\.private_segment_fixed_size:\s*(\d+)", assembly),
        "matrix": _most_common(name for name in instructions if name.startswith("v_mfma")),
        "instructions": len(instructions) if count else None,
    }


def _run(*command: object) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def _most_common(names: Iterable[str]) -> str:
    return " ".join(f"{name} {count}" for name, count in Counter(names).most_common(1))


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern} in what the compiler reports:\n{text[:2000]}")
    return int(match[1])


def summary(reports: dict[tuple[str, str], dict[str, Report]]) -> str:
    """Return a table with a line for each (op, case), its cells those of sm_80, sm_90 and sm_100."""
    lines = [
        f"Triton {triton.__version__}; sm_80 / sm_90 / sm_100",
        "",
        "| op | case | registers | shared memory, KiB | instructions | matrix instructions on sm_90 |",
        "|---|---|---|---|---|---|",
    ]
    targets = [target for target, gpu in TARGETS.items() if gpu.backend == "cuda"]
    for (op, name), found in reports.items():
        if not set(targets).isdisjoint(found):
            columns = [
                [getter(found[target]) if target in found else "-" for target in targets]
                for getter in (attrgetter("registers"), _kibibytes, attrgetter("instructions"))
            ]
            cells = [" / ".join(map(str, column)) for column in columns]
            matrix = found["sm_90"].matrix if "sm_90" in found else ""
            lines.append(f"| {op} | {name} | {' | '.join(cells)} | {matrix} |")
    return "\n".join(lines)


def _kibibytes(report: Report) -> str:
    return f"{report.shared / 1024:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("op", nargs="*", help="which ops (default: all)")
    parser.add_argument("--write", type=Path, help=f"a Markdown file, to put a shorter table between its {MARKS[0]}")
    options = parser.parse_args()
    print(f"Triton {triton.__version__}")
    print("| op | case | target | registers | spilled | shared | matrix | instructions | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    problems = []
    reports: dict[tuple[str, str], dict[str, Report]] = defaultdict(dict)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TRITON_CACHE_DIR"] = cache  # an empty cache, or no compile time would be measured
        for op, case, target in find_cases():
            if options.op and op not in options.op:
                continue
            report = reports[op, case.name][target] = compile_case(case, target)
            cells = (report.registers, report.spilled, report.shared, report.matrix, report.instructions)
            print(f"| {op} | {case.name} | {target} | {' | '.join(map(str, cells))} | {report.seconds:.1f} |")
            problems += [f"{op}, {case.name}, {target}: {problem}" for problem in report.problems]
    if options.write:
        write_between_marks(options.write, MARKS, summary(reports))
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
