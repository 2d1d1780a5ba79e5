#!/usr/bin/env python3
"""Measures the engine on the real model and prints the rows of docs/benchmarks.md.

Each figure is the median of several runs of `cloister bench`, the weight types in turn, so that a
machine whose speed drifts treats them alike.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

import machine


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--model", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=5, help="runs a figure (5)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    cloister = pathlib.Path(arguments.bin, "cloister")

    def run(*words):
        result = subprocess.run([cloister, *map(str, words)], check=False, text=True,
                                stdout=subprocess.PIPE)
        if result.returncode:
            sys.exit(result.returncode)
        return result.stdout

    folder = pathlib.Path("runs/bench")
    folder.mkdir(parents=True, exist_ok=True)
    files = {"Q4_1": arguments.model, "F32": folder / "f32.gguf", "Q8_0": folder / "q8_0.gguf"}
    if not files["F32"].exists():
        run("model", "convert", "--input", arguments.model, "--output", files["F32"], "--type", "f32")
    if not files["Q8_0"].exists():
        run("quantize", "--model", files["F32"], "--output", files["Q8_0"], "--type", "q8_0")

    rows = {name: [] for name in files}
    for _ in range(arguments.runs):
        for name, file in files.items():
            rows[name].append(json.loads(run(
                "bench", "--model", file, "--prompt-tokens", 512, "--generate-tokens", 64,
                "--threads", arguments.threads, "--json")))

    print(f"{machine.processor()}, {arguments.threads} threads, median of {arguments.runs} runs\n")
    print("| weights | load, ms | prefill, tokens/s | decode, tokens/s | peak memory, MiB |")
    print("|---|---:|---:|---:|---:|")
    for name, results in rows.items():
        def median(key):
            return statistics.median(result[key] for result in results)
        print(f"| {name} | {1000 * median('load_seconds'):.0f} "
              f"| {median('prefill_tokens_per_second'):.0f} "
              f"| {median('decode_tokens_per_second'):.1f} "
              f"| {median('peak_rss_bytes') / (1 << 20):.0f} |")


if __name__ == "__main__":
    main()
