#!/usr/bin/env python3
"""Measures loading, conversion and merging on the real model; prints rows of docs/benchmarks.md.

Seconds are the medians of several runs with the input in the page cache, each followed by a copy of
the command's own output, both written through to the disk (fsync). Memory is what the process holds
beyond its mapped files (RssAnon and RssShmem, read every millisecond), and stands beside 1.2 times the
largest tensor of the output plus 64 MiB.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import struct
import subprocess
import sys
import time

MIB = 1 << 20


def private_bytes(pid):
    """What a process holds that is no file; 0 once it has ended."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return 1024 * sum(int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem"))


def watch(*words):
    """Seconds and most private bytes of a command."""
    begin = time.perf_counter()
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        most = 0
        while process.poll() is None:
            most = max(most, private_bytes(process.pid))
            time.sleep(0.001)
    if process.returncode:
        sys.exit(f"{words} failed")
    return time.perf_counter() - begin, most


def size_of(path):
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def adapter(folder, layers, width, rank):
    """A PEFT folder on every q_proj, so that a merge has something to compute."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": ["q_proj"]}))
    header, at = {}, 0
    for layer in range(layers):
        for part, shape in (("A", [rank, width]), ("B", [width, rank])):
            size = 4 * rank * width
            name = f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{part}.weight"
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
            at += size
    text = json.dumps(header).encode()
    with open(folder / "adapter_model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.write(struct.pack("<f", 0.01) * (at // 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/release/bin", type=pathlib.Path)
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct.Q4_1.gguf", type=pathlib.Path)
    parser.add_argument("--runs", default=5, type=int, help="runs a row (5)")
    arguments = parser.parse_args()
    cloister = arguments.bin / "cloister"
    folder = pathlib.Path("runs/bench/files")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    largest = 49152 * 576 * 4  # the embedding of SmolLM2-135M in F32
    adapter(folder / "adapter", layers=30, width=576, rank=8)

    loads = [json.loads(subprocess.run(
        [cloister, "bench", "--model", arguments.model, "--prompt-tokens", "1", "--generate-tokens",
         "1", "--repeats", "1", "--json"], check=True, stdout=subprocess.PIPE).stdout)["load_seconds"]
        for _ in range(arguments.runs)]
    print(f"{os.cpu_count()} cores, medians of {arguments.runs} runs; ready to run after "
          f"{1000 * statistics.median(loads):.0f} ms ({size_of(arguments.model) / 1e6:.0f} MB)\n")
    print("| command | output, MiB | seconds | copy, seconds | ratio | MiB/s | memory, MiB | allowed, MiB |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    f32, hf = folder / "f32.gguf", folder / "hf"
    convert = [cloister, "model", "convert", "--input"]
    rows = [
        ("convert, Q4_1 GGUF to F32 GGUF", [*convert, arguments.model, "--type", "f32"], f32),
        ("convert, F32 GGUF to F32 folder", [*convert, f32], hf),
        ("convert, F32 folder to F32 GGUF", [*convert, hf], folder / "again.gguf"),
        ("convert, F32 folder to BF16 folder", [*convert, hf, "--type", "bf16"], folder / "bf16"),
        ("merge, F32 folder to F32 GGUF",
         [cloister, "model", "merge", "--model", hf, "--adapter", folder / "adapter"],
         folder / "merged.gguf"),
    ]
    for name, command, output in rows:
        seconds, copies, memory = [], [], 0
        for _ in range(arguments.runs):
            remove(output)
            taken, held = watch(*command, "--output", output)
            seconds.append(taken)
            memory = max(memory, held)
            copy = folder / "copy"
            remove(copy)
            copies.append(watch("sh", "-c", 'cp -r "$0" "$1" && find "$1" -type f -exec sync {} +',
                                output, copy)[0])
            remove(copy)
        size, taken, copied = size_of(output), statistics.median(seconds), statistics.median(copies)
        print(f"| {name} | {size / MIB:.0f} | {taken:.2f} | {copied:.2f} | {taken / copied:.2f} "
              f"| {size / MIB / taken:.0f} | {memory / MIB:.0f} "
              f"| {(1.2 * largest + 64 * MIB) / MIB:.0f} |", flush=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
