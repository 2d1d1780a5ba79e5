#!/usr/bin/env python3
"""Measures what each process of a full fine-tuning run takes of memory, with and without sharded parameters.

    python3 bench/sharded_parameters.py

A model of Qwen2's kind with random weights, 16 layers of 4.1 million parameters and an embedding of 12.6 million
(bench/random_model.py, removed afterwards), eight conversations of 64 tokens, two steps of AdamW without privacy and
two private ones, on 1, 2 and 3 processes. Peak memory is a process's largest resident set, loading included. Rank 0
has all parameters at the end, for the output.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

import private_training as common
import random_model

TOKENS = 64


def write_model(folder, layers):
    shape = {"HIDDEN": 256, "INTERMEDIATE": 5120, "HEADS": 4, "KV_HEADS": 2, "HEAD": 64, "VOCABULARY": 49152}
    for name, value in shape.items():
        setattr(random_model, name, value)
    random_model.write(folder, common.FOLDER / "model", layers)


def recipe(model, folder, private):
    settings = {"model": str(model), "output": str(folder / "out"), "method": "full",
                "data": {"train": str(common.FOLDER / "train.jsonl"), "max_tokens": TOKENS, "truncation": "right"},
                "optimizer": {"learning_rate": 1e-4},
                "training": {"steps": 2, "threads": 1, "micro_batch_tokens": 4 * TOKENS,
                             "activation_checkpointing": True}}
    if private:
        settings["privacy"] = {"noise_multiplier": 1.0, "delta": 1e-5, "clip_norm": 0.1, "sampling_rate": 0.5,
                               "unit": "record", "neighbours": "add-or-remove-one", "nominal_units": 8,
                               "ledger": str(folder / "ledger.sqlite"), "budget_epsilon": 100,
                               "budget_delta": 1e-4}
    else:
        settings["training"]["batch_size"] = 8
    return settings


def peaks(cloister, settings, folder, ranks, sharded):
    """MiB of each process."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    settings["training"]["shard_parameters"] = sharded
    (folder / "recipe.json").write_text(json.dumps(settings))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(ranks):
        place = {"RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1",
                 "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"} if ranks > 1 else {}
        processes.append(subprocess.Popen(
            [cloister, "train", "--json", "--config", folder / "recipe.json"], stdout=subprocess.DEVNULL,
            env=os.environ | {name: str(value) for name, value in place.items()}))
    found = []
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            sys.exit("a run failed")
        found.append(common.peak_mib(usage))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 3], help="numbers of processes (1 2 3)")
    parser.add_argument("--only", choices=["plain", "private"])
    arguments = parser.parse_args()
    cloister = pathlib.Path(arguments.bin, "cloister").absolute()
    common.prepare(cloister, arguments.model, full=True)
    with tempfile.TemporaryDirectory(prefix="cloister-random-model-") as scratch:
        model = pathlib.Path(scratch, "model")
        write_model(model, arguments.layers)
        print("| | processes | whole: peak memory of each, MiB | sharded |\n|---|---:|---|---|")
        for kind in ("plain", "private"):
            for ranks in arguments.ranks if arguments.only in (None, kind) else ():
                folder = pathlib.Path(scratch, "run")
                cells = [", ".join(f"{peak:.0f}" for peak in peaks(
                    cloister, recipe(model, folder, kind == "private"), folder, ranks, sharded))
                         for sharded in (False, True)]
                print(f"| {kind} | {ranks} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
