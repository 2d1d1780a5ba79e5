#!/usr/bin/env python3
"""Measures adapters over a base in blocks (QLoRA) against adapters over a dense one, private steps.

    python3 bench/quantized_base.py
    python3 bench/quantized_base.py --large

SmolLM2-135M as an F32 folder, the eight conversations of bench/private_training.py, 128 tokens each, an adapter of
rank 8 on q_proj and v_proj; every variant with and without activation checkpointing. Peak memory is the
process's largest resident set, loading included. With --large a model of Qwen2.5-1.5B's shape with random weights
(bench/random_model.py, removed afterwards), two conversations, adapters on all linear layers.
"""
import argparse
import os
import pathlib
import shutil
import statistics
import tempfile

import machine
import private_training as common
import random_model

VARIANTS = {
    "LoRA, fp32": ["method=lora"],
    "LoRA, bf16": ["method=lora", "training.precision=bf16"],
    "QLoRA, q8_0": ["method=qlora", "quantization=q8_0"],
    "QLoRA, q4_0": ["method=qlora", "quantization=q4_0"],
    "QLoRA, nf4": ["method=qlora", "quantization=nf4"],
    "QLoRA, nf4, bf16": ["method=qlora", "quantization=nf4", "training.precision=bf16"],
}


def run(cloister, overrides, units, steps):
    """Seconds of each step but the first, and peak memory in MiB."""
    folder = common.FOLDER
    shutil.rmtree(folder / "out", ignore_errors=True)
    for name in ("ledger.sqlite", "ledger.sqlite.key", "ledger.sqlite.lock"):
        (folder / name).unlink(missing_ok=True)
    overrides = overrides + [
        f"training.steps={steps}",
        "privacy={noise_multiplier: 1.0, delta: 1.0e-5, clip_norm: 0.1, sampling_rate: 1, unit: record, "
        f"neighbours: add-or-remove-one, nominal_units: {units}, nominal_tokens: {common.TOKENS}, "
        f"ledger: {folder / 'ledger.sqlite'}, budget_epsilon: 100, budget_delta: 1.0e-4}}"]
    words = [cloister, "train", "--json", "--config", folder / "recipe.json"]
    for override in overrides:
        words += ["--set", override]
    events, peak = common.run(words)
    rates = [event["tokens_per_second"] for event in events if event["event"] == "step"]
    return [units * common.TOKENS / rate for rate in rates[1:] or rates], peak


def table(cloister, cases, units, steps, runs):
    """Prints a row a case; peak memory by name."""
    print("| | seconds a step | peak memory, MiB |\n|---|---:|---:|")
    peaks = {}
    for name, overrides in cases.items():
        results = [run(cloister, overrides, units, steps) for _ in range(runs)]
        peaks[name] = statistics.median(peak for _, peak in results)
        seconds = statistics.median(second for times, _ in results for second in times)
        print(f"| {name} | {seconds:.2f} | {peaks[name]:.0f} |", flush=True)
    return peaks


def small(cloister, arguments):
    cases = {name + suffix: overrides + [f"training.activation_checkpointing={switch}"]
             for suffix, switch in (("", "false"), (", checkpointing", "true"))
             for name, overrides in VARIANTS.items()}
    peaks = table(cloister, cases, common.BATCH, arguments.steps, arguments.runs)
    for suffix in ("", ", checkpointing"):
        base = peaks["LoRA, fp32" + suffix]
        ratios = ", ".join(f"{name} {peaks[name + suffix] / base:.2f}" for name in VARIANTS)
        print(f"\nOver the memory of LoRA, fp32{suffix}: {ratios}")


def large(cloister, arguments):
    with tempfile.TemporaryDirectory(prefix="cloister-random-model-") as folder:
        model = pathlib.Path(folder, "model")
        random_model.write(model, common.FOLDER / "model", arguments.layers)
        lines = (common.FOLDER / "train.jsonl").read_text(encoding="utf-8").splitlines()[:2]
        data = pathlib.Path(folder, "train.jsonl")
        data.write_text("\n".join(lines) + "\n", encoding="utf-8")
        shared = [f"model={model}", f"data.train={data}", "lora.targets=all-linear",
                  "training.activation_checkpointing=true"]
        names = [name for name in VARIANTS if not arguments.only or arguments.only in name]
        table(cloister, {name: VARIANTS[name] + shared for name in names}, len(lines), 2, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--runs", type=int, default=3, help="processes a variant (3)")
    parser.add_argument("--steps", type=int, default=4, help="steps a process (4)")
    parser.add_argument("--large", action="store_true", help="a model of 1.5 billion random weights")
    parser.add_argument("--layers", type=int, default=28, help="of the large model (28)")
    parser.add_argument("--only", default="", help="variants of the large model whose name has this")
    arguments = parser.parse_args()
    cloister = pathlib.Path(arguments.bin, "cloister")
    common.prepare(cloister, arguments.model, full=False)
    print(f"{machine.processor()}, {os.cpu_count()} threads, medians\n")
    (large if arguments.large else small)(cloister, arguments)


if __name__ == "__main__":
    main()
