#!/usr/bin/env python3
"""Measures the pass over a large file of conversations, and reading of its records in a shuffled
order, and prints the rows of docs/benchmarks.md.

    cmake --build build/release --target records
    python3 bench/records.py --gigabytes 4

The file is made in the folder for temporary files and removed. Bytes are those of the process, with
everything that it holds; the index lies in the same folder.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import machine

ROOT = pathlib.Path(__file__).parent.parent
BLOCK = 20_000  # records that are written again and again


def conversations():
    said = "The patient was seen in the clinic and reports that the pain has gone. " * 10
    for i in range(BLOCK):
        yield {"messages": [{"role": "user", "content": f"Question {i}? {said[:200]}"},
                            {"role": "assistant", "content": f"Answer {i}. {said}"}]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.25, 4])
    parser.add_argument("--reads", type=int, default=20_000)
    parser.add_argument("--program", default=ROOT / "build/release/bench/records")
    arguments = parser.parse_args()
    block = "".join(json.dumps(one) + "\n" for one in conversations()).encode()
    print(machine.processor())
    print("| GB | records | seconds to open | µs to read a record | peak memory, MiB |")
    print("|---:|---:|---:|---:|---:|")
    for gigabytes in arguments.gigabytes:
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "data.jsonl"
            with open(path, "wb") as file:
                while file.tell() < gigabytes * 1e9:
                    file.write(block)
            result = json.loads(subprocess.run(
                [arguments.program, path, "chat", str(arguments.reads)], check=True, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
            print(f"| {path.stat().st_size / 1e9:.2f} | {result['records']:,} "
                  f"| {result['open_seconds']:.1f} | {result['read_microseconds']:.0f} "
                  f"| {result['peak_rss_bytes'] / 2**20:.1f} |", flush=True)


if __name__ == "__main__":
    main()
