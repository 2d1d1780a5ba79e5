#!/usr/bin/env python3
"""Measures tokenization against Hugging Face's tokenizers and prints the rows of docs/benchmarks.md.

    python3 -m venv runs/bench/venv
    runs/bench/venv/bin/pip install -r bench/requirements-tokenization.txt
    cmake --build build/release --target tokenize_chunks tokenizer_vocabularies
    runs/bench/venv/bin/python bench/tokenization.py

Both sides have one thread and get the same text in the same chunks of 64 KiB, run for run in turn;
loading is not counted. The text is 10 MB: what people wrote in 90 languages (Django's translations),
English prose (Python's reference manual; WikiText-2 and questions from MedQuAD where
$CLOISTER_FIXTURES is set) and code (Django's). No part of it is repeated. The ids are compared.
"""
import argparse
import array
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import machine

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

BYTES = 10_000_000
CHUNK = 1 << 16


def read(path):
    return path.read_text(encoding="utf-8")


def translations(folder):
    """What the translators wrote, without the English that it stands for."""
    for path in sorted(folder.glob("**/*.po")):
        for message in re.findall(r'^msgstr(?:\[\d\])? ((?:".*"\n?)+)', read(path), re.M):
            text = "".join(re.findall(r'"(.*)"', message))
            if text:
                yield text.replace("\\n", "\n").replace('\\"', '"') + "\n"


def prose():
    import pydoc_data.topics
    yield from pydoc_data.topics.topics.values()
    fixtures = os.environ.get("CLOISTER_FIXTURES")
    if fixtures:
        data = pathlib.Path(fixtures).parent / "data"
        for path in sorted(data.glob("wikitext-2/*.txt")) + sorted(data.glob("medquad/*/*.jsonl")):
            yield read(path)


def text():
    import django
    folder = pathlib.Path(django.__file__).parent
    parts = {"translations": "".join(translations(folder)), "prose": "\n".join(prose())}
    size = sum(len(part.encode()) for part in parts.values())
    code = "".join(read(path) for path in sorted(folder.glob("**/*.py")))
    parts["code"] = code.encode()[:BYTES - size].decode(errors="ignore")
    print(", ".join(f"{name} {len(part.encode()) / 1e6:.1f} MB" for name, part in parts.items()))
    return "".join(parts.values())


def chunks(whole):
    made, current, size = [], [], 0
    for line in whole.splitlines(keepends=True):
        current.append(line)
        size += len(line.encode())
        if size >= CHUNK:
            made.append("".join(current))
            current, size = [], 0
    return made + ["".join(current)]


def measure(program, model, parts, folder, runs):
    """Bytes a second of both sides, and whether their ids are equal."""
    import tokenizers
    subprocess.run([program, model, folder], check=True)
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    theirs.encode_special_tokens = True
    seconds = {"ours": [], "theirs": []}
    for _ in range(runs):
        result = subprocess.run([program, model, folder / "chunks", folder / "ids", "1"],
                                check=True, stdout=subprocess.PIPE, text=True)
        seconds["ours"].append(float(result.stdout))
        begin = time.perf_counter()
        encoded = theirs.encode_batch_fast(parts, add_special_tokens=False)  # without offsets
        seconds["theirs"].append(time.perf_counter() - begin)
    expected = array.array("i", (id for one in encoded for id in one.ids))
    made = array.array("i", (folder / "ids").read_bytes())
    return {side: statistics.median(some) for side, some in seconds.items()}, made, made == expected


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release", type=pathlib.Path)
    parser.add_argument("--runs", default=5, type=int, help="runs of each side (5)")
    parser.add_argument("models", nargs="*", type=pathlib.Path, help="models or vocabularies")
    arguments = parser.parse_args()
    import tokenizers
    vocabularies = arguments.build / "tests" / "model" / "tokenizer" / "vocabularies"
    models = arguments.models or [pathlib.Path("models/SmolLM2-135M-Instruct.Q4_1.gguf"),
                                  *(vocabularies / f"ggml-vocab-{name}.gguf"
                                    for name in ("qwen2", "llama-bpe", "llama-spm", "deepseek-llm"))]
    parts = chunks(text())
    size = sum(len(part.encode()) for part in parts) / 1e6
    print(f"{machine.processor()}, one thread, {size:.1f} MB, tokenizers {tokenizers.__version__}, "
          f"medians of {arguments.runs} runs\n")
    print("| vocabulary | Cloister, MB/s | tokenizers, MB/s | ratio | tokens | ids |")
    print("|---|---:|---:|---:|---:|---|")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with open(folder / "chunks", "wb") as file:
            for part in parts:
                data = part.encode()
                file.write(struct.pack("<I", len(data)) + data)
        for model in models:
            seconds, ids, equal = measure(arguments.build / "bench" / "tokenize_chunks", model, parts,
                                          folder, arguments.runs)
            print(f"| {model.stem} | {size / seconds['ours']:.1f} | {size / seconds['theirs']:.2f} "
                  f"| {seconds['theirs'] / seconds['ours']:.1f} | {len(ids):,} "
                  f"| {'equal' if equal else 'DIFFER'} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
