"""Damage image files and checkpoints without end, led by what code they reach, and look whether fastsr stays upright.

    pip install atheris
    python -m benchmarks.fuzz images --minutes 10
    python -m benchmarks.fuzz checkpoints --minutes 10

Every file must give a correct result or an error of fastsr's that names it (`benchmarks.robustness.checks`), within
`SECONDS` and `MEGABYTES`. What does otherwise is kept, once for each place in the code, in the folder `--findings`
beside what went wrong, and the command then ends with 1. It runs itself once more, for a crash or a hang ends the
process that it is in; the parent begins another one. Pictures are refused beyond `PIXELS`, for speed.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

WHAT = ("images", "checkpoints")
SECONDS = 20
MEGABYTES = 4096
PIXELS = 2**18
LARGEST_FILE = 2**16
INSTRUMENTED = ["fastsr", "PIL", "zipfile"]
"""Packages whose branches lead the fuzzer, beside those of torch's reader of pickles."""
COVERAGE = re.compile(r"cov: (\d+)")
LOG_KEPT = 10_000
"""Characters of the log of a process that did not end well."""
END_OF_TRACE = 2
"""Calls that tell findings apart."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        fuzz(given.what, given.inside, given.findings, given.minutes, given.seed)
    else:
        sys.exit(direct(given.what, given.findings, given.minutes, given.seed))


def direct(what: str, findings: Path, minutes: float, seed: int) -> int:
    """Run processes that fuzz until the time is over, print what they did, and return how the command ends."""
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    runs = loaded = coverage = processes = 0
    slowest = largest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        end = time.monotonic() + 60 * minutes
        while (left := end - time.monotonic()) > 1:
            processes += 1
            stats = Path(folder, "stats.json")
            stats.unlink(missing_ok=True)  # of the process before
            command = [sys.executable, "-m", "benchmarks.fuzz", what, "--inside", folder, "--findings", str(findings)]
            command += ["--minutes", str(left / 60), "--seed", str(seed + processes)]
            with open(Path(folder, "log"), "wb") as log:
                code = subprocess.run(command, stderr=log, stdout=log, check=False).returncode
            text = Path(folder, "log").read_text(errors="replace")
            if code:
                (findings / f"process_{processes}_ended_with_{code}.txt").write_text(text[-LOG_KEPT:])
            if not stats.exists():
                print(text[-2000:], file=sys.stderr)
                return 2
            ran = json.loads(stats.read_text())
            runs, loaded = runs + ran["runs"], loaded + ran["loaded"]
            slowest, largest = max(slowest, ran["slowest"]), max(largest, ran["megabytes"])
            coverage = max([coverage, *map(int, COVERAGE.findall(text))])
        corpus = len(list(Path(folder, "corpus").iterdir()))
    found = sorted(path.name for path in set(findings.iterdir()) - before)
    print(
        f"{what}: {runs} files in {minutes:g} minutes, {loaded} of them loaded; {corpus} kept that reach new code, "
        f"{coverage} branches; at most {slowest:.2f} s of CPU time and {largest:.0f} MB; {processes} processes"
    )
    print(f"findings: {', '.join(found) or 'none'}")
    return 1 if found else 0


def fuzz(what: str, folder: Path, findings: Path, minutes: float, seed: int) -> None:
    """Fuzz in this process, which ends with it."""
    import atheris
    from torch._weights_only_unpickler import Unpickler  # and all of torch, which takes long under instruments

    begin = time.monotonic()
    Unpickler.load = atheris.instrument_func(Unpickler.load)  # type: ignore[method-assign]
    with atheris.instrument_imports(include=INSTRUMENTED):
        from PIL import Image

        from benchmarks.robustness import checkpoint_seeds, checks, image_seeds, mutations

        Image.init()
    Image.MAX_IMAGE_PIXELS = PIXELS // 2  # Pillow refuses twice as many
    trap, corpus, work = folder / "trap", folder / "corpus", folder / "work"
    work.mkdir(exist_ok=True)
    check = checks.check_image if what == "images" else checks.check_checkpoint
    if not corpus.exists():
        corpus.mkdir()
        for name, data in (image_seeds.seeds() if what == "images" else checkpoint_seeds.seeds(trap)).items():
            (corpus / name).write_bytes(data)
    watch = _Watch(check, work, findings, folder / "stats.json", trap)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        chance = random.Random(number)
        made = mutations.damaged(data, chance) if chance.random() < 0.5 else atheris.Mutate(data, most)
        return made[:most]

    options = [
        f"-max_total_time={max(1, round(60 * minutes + begin - time.monotonic()))}",
        f"-timeout={SECONDS}",
        f"-report_slow_units={SECONDS}",
        f"-rss_limit_mb={MEGABYTES}",
        f"-max_len={LARGEST_FILE}",
        f"-artifact_prefix={findings}/",
        f"-seed={seed}",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], watch, custom_mutator=mutate)
    atheris.Fuzz()


class _Watch:
    """Checks one file after the other, and notes what went wrong and how it went."""

    def __init__(self, check: Callable[[bytes, Path], bool], work: Path, findings: Path, stats: Path, trap: Path):
        self._check, self._work, self._findings, self._stats, self._trap = check, work, findings, stats, trap
        self._counts = {"runs": 0, "loaded": 0, "slowest": 0.0, "megabytes": 0.0}
        self._written = -1.0

    def __call__(self, data: bytes) -> None:
        begin = time.process_time()
        try:
            self._counts["loaded"] += self._check(data, self._work)
            if self._trap.exists():
                self._trap.rmdir()
                raise AssertionError("code of the file was run")
        except Exception as error:
            self._keep(data, error)
        took, end = time.process_time() - begin, time.monotonic()
        self._counts["runs"] += 1
        if took > self._counts["slowest"] and self._counts["runs"] > 1:  # in the first one much is imported
            self._counts["slowest"] = took
            (self._stats.parent / "slowest").write_bytes(data)
        if end - self._written > 1:
            self._counts["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self._stats.write_text(json.dumps(self._counts))
            self._written = end

    def _keep(self, data: bytes, error: Exception) -> None:
        calls = traceback.extract_tb(error.__traceback__)[-END_OF_TRACE:]
        name = "_".join([type(error).__name__, *(f"{Path(call.filename).stem}-{call.lineno}" for call in calls)])
        if not (self._findings / name).exists():
            (self._findings / name).write_bytes(data)
            (self._findings / f"{name}.txt").write_text("".join(traceback.format_exception(error)))


if __name__ == "__main__":
    main()
