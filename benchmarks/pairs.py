"""Begin every long-running command twice at once with the same output, and see that both come to the same.

    python -m benchmarks.pairs --rounds 5

Both must end well, or of two trainings the second one must be refused; the results must be those of one run alone, and
nothing may be left of what commands make for themselves. The command ends with 1 where one of this does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.kills import differences, finish, fork, start
from benchmarks.robustness.commands import Work, contents, left_over, server, works

REFUSED = 2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    wrong = finish(fork(""))
    with tempfile.TemporaryDirectory() as folder, server() as address:
        for name, work in works(Path(folder, "needed"), address).items():
            problems, refused = together(work, Path(folder, name), rounds)
            wrong += len(problems)
            print(
                f"{name:<22} {rounds} rounds, {refused} refused; wrong: {'; '.join(problems) or 'nothing'}", flush=True
            )
    sys.exit(1 if wrong else 0)


def together(work: Work, folder: Path, rounds: int) -> tuple[list[str], int]:
    """Return what was wrong in so many rounds, and in how many of them one process was refused."""
    folder.mkdir()
    if finish(start(work, folder / "alone")):
        return ["one alone did not end well"], 0
    expected, problems, refused = contents(folder / "alone"), [], 0
    for index in range(rounds):
        output = folder / str(index)
        codes = sorted(finish(process) for process in [start(work, output) for _ in range(2)])
        if work.words[0] == "train" and codes == [0, REFUSED]:
            refused += 1
        elif codes != [0, 0]:
            problems.append(f"round {index}: they ended with {codes}")
        problems += [f"round {index}: left over: {name}" for name in left_over(output)]
        problems += [f"round {index}: {problem}" for problem in differences(expected, contents(output), work)]
    return problems, refused


if __name__ == "__main__":
    main()
