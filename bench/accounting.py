#!/usr/bin/env python3
"""Measures privacy accounting against dp-accounting's PLD and prints the rows of docs/benchmarks.md.

    python3 -m venv runs/bench/venv
    runs/bench/venv/bin/pip install -r bench/requirements-accounting.txt
    cmake --build build/release --target account_rows
    runs/bench/venv/bin/python bench/accounting.py

A row is the epsilon of a run of Poisson-sampled Gaussian steps at a delta, under add-or-remove-one,
from its parameters to the figure. Both sides have one thread and are run in turn; loading of the
programs is not counted. dp-accounting has its defaults: intervals of 1e-4, connect-the-dots.
The last rows are ours alone: the most that a run may ask, with the peak memory of the process, and
random questions over the whole domain in one process, epsilons of deltas and deltas of epsilons.
"""
import argparse
import json
import math
import os
import pathlib
import random
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


def answers(program, questions):
    """Answer, seconds and the peak memory so far of a process that is asked all in turn."""
    text = "\n".join(f"{noise!r} {rate!r} {steps} {given} {value!r}"
                     for noise, rate, steps, given, value in questions)
    result = subprocess.run([program], input=text, check=True, text=True, stdout=subprocess.PIPE)
    return [(float(answer), float(seconds), int(peak))
            for answer, seconds, peak in map(str.split, result.stdout.splitlines())]


def ours(program, row):
    noise, rate, steps, delta = row
    return answers(program, [(noise, rate, steps, "delta", delta)])[0]


def print_random(program, count, seed):
    """Sigma 0.3 to 200, rate 1e-7 to 1, 1 to 1e7 steps, delta 1e-30 to 0.1, epsilon 1e-4 to 100."""
    draw = random.Random(seed)

    def between(low, high):
        return math.exp(draw.uniform(math.log(low), math.log(high)))

    print(f"\n| {count} random questions (seed {seed}) | median, ms | largest, ms | slowest "
          "| peak memory, MB | not a number |")
    print("|---|---:|---:|---|---:|---:|")
    for given, low, high in (("delta", 1e-30, 0.1), ("epsilon", 1e-4, 100.0)):
        questions = [(between(0.3, 200), between(1e-7, 1), round(between(1, 1e7)), given,
                      between(low, high)) for _ in range(count)]
        results = answers(program, questions)
        seconds = [spent for _, spent, _ in results]
        noise, rate, steps, _, value = questions[seconds.index(max(seconds))]
        print(f"| {'ε at a δ' if given == 'delta' else 'δ at an ε'} "
              f"| {1e3 * statistics.median(seconds):.2f} | {1e3 * max(seconds):.1f} "
              f"| σ={noise:.3g}, q={rate:.3g}, T={steps:,}, {'δε'[given == 'epsilon']}={value:.3g} "
              f"| {max(peak for _, _, peak in results) / 1e6:.1f} "
              f"| {sum(math.isnan(answer) for answer, _, _ in results)} |", flush=True)


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
    parser.add_argument("--random", default=1500, type=int, help="random questions (1500)")
    parser.add_argument("--seed", default=1, type=int)
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
    print_random(program, arguments.random, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
