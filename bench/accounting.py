#!/usr/bin/env python3
"""Measures privacy accounting against dp-accounting's PLD and prints the rows of docs/benchmarks.md.

    python3 -m venv runs/bench/venv
    runs/bench/venv/bin/pip install -r bench/requirements-accounting.txt
    cmake --build build/release --target account_rows
    runs/bench/venv/bin/python bench/accounting.py

A row is the epsilon of a run of Poisson-sampled Gaussian steps at a delta, under add-or-remove-one,
from its parameters to the figure. Both sides have one thread and are run in turn; loading of the
programs is not counted. dp-accounting has its defaults: intervals of 1e-4, connect-the-dots.
The last rows are ours alone: the most that a run may ask, with the peak memory of the process.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import machine  # noqa: E402

FIGURES = pathlib.Path(__file__).parent.parent / "tests/data/accounting/accounting.json"
LARGE = [(1.0, 1e-3, 1_000_000, 1e-6), (0.6, 1e-4, 1_000_000, 1e-8), (1.1, 1e-3, 10_000_000, 1e-9),
         (200.0, 0.5, 1_000_000, 1e-6), (0.8, 1e-5, 1_000_000, 1e-12)]


def rows():
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))["rows"]
    return [(row["noise_multiplier"], row["sampling_rate"], row["steps"], row["delta"])
            for row in figures]


def ours(program, row):
    """Epsilon, seconds and the peak memory of a process that computes it once."""
    result = subprocess.run([program], input=" ".join(map(repr, row)), check=True, text=True,
                            stdout=subprocess.PIPE)
    epsilon, seconds, peak = result.stdout.split()
    return float(epsilon), float(seconds), int(peak)


def theirs(row):
    from dp_accounting.pld import privacy_loss_distribution
    noise, rate, steps, delta = row
    begin = time.perf_counter()
    loss = privacy_loss_distribution.from_gaussian_mechanism(noise, sampling_prob=rate)
    epsilon = loss.self_compose(steps).get_epsilon_for_delta(delta)
    return epsilon, time.perf_counter() - begin


def compare(program, row, runs):
    seconds = {"ours": [], "theirs": []}
    for _ in range(runs):
        epsilon, spent, _peak = ours(program, row)
        seconds["ours"].append(spent)
        reference, spent = theirs(row)
        seconds["theirs"].append(spent)
    medians = {side: statistics.median(some) for side, some in seconds.items()}
    print(f"| {row[0]:g} | {row[1]:.4g} | {row[2]:,} | {row[3]:g} | {epsilon:.6f} | {reference:.6f} "
          f"| {1e3 * medians['ours']:.2f} | {1e3 * medians['theirs']:.0f} "
          f"| {medians['theirs'] / medians['ours']:.0f} |", flush=True)
    return medians["theirs"] / medians["ours"]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", type=pathlib.Path)
    parser.add_argument("--runs", default=5, type=int, help="runs of each side (5)")
    arguments = parser.parse_args()
    program = arguments.build / "bench" / "account_rows"
    theirs(rows()[0])  # imports and caches
    print(f"{machine.processor()}, one thread, dp-accounting 0.6.0, medians of {arguments.runs} "
          "runs\n")
    print("| σ | rate | steps | δ | ε, Cloister | ε, dp-accounting | Cloister, ms "
          "| dp-accounting, ms | ratio |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    ratios = [compare(program, row, arguments.runs) for row in rows()]
    print(f"\nleast ratio {min(ratios):.0f}, median {statistics.median(ratios):.0f}\n")
    print("| σ | rate | steps | δ | ε | ms | peak memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for row in LARGE:
        results = [ours(program, row) for _ in range(arguments.runs)]
        print(f"| {row[0]:g} | {row[1]:g} | {row[2]:,} | {row[3]:g} | {results[0][0]:.6g} "
              f"| {1e3 * statistics.median(seconds for _, seconds, _ in results):.1f} "
              f"| {max(peak for _, _, peak in results) / 1e6:.1f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
