"""How long does `handbench --help` take, against a bare `import click`? Rounds alternate; medians.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
SIDES = {
    "python -c 'import click'": [sys.executable, "-c", "import click"],
    "handbench --help": [sys.executable, "-m", "handbench", "--help"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    times: dict[str, list[float]] = {name: [] for name in SIDES}
    for _ in range(ROUNDS):
        for name, command in SIDES.items():
            times[name].append(seconds(command))
    base, ours = times.values()
    for name, values in times.items():
        print(f"{name:26} {statistics.median(values) * 1e3:6.0f} ms")
    print(f"ratio {statistics.median(b / a for a, b in zip(base, ours, strict=True)):.2f}")


if __name__ == "__main__":
    main()
