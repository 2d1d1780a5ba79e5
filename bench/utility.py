#!/usr/bin/env python3
"""What privacy costs in held-out loss, and the search that found the hyper-parameters.

    python3 bench/utility.py search     # prints the candidates, best first
    python3 bench/utility.py            # prints the rows of docs/benchmarks.md

SmolLM2-135M and the MedQuAD records of the demo's four sites, pooled. Without privacy and at epsilon 8, 3 and
1 the same adapter, batch, steps and schedule; each learning rate is that of the search, which looks at one half
of the held-out records, while the rows below are of the other half. What a run gave is kept beside this file, in
utility_results.json, with its recipe: a run whose recipe is there is not run again, so that the study can be
read, checked in parts, and goes on where it was. --again forgets it all.
"""
import argparse
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys

import machine

FOLDER = pathlib.Path("runs/bench/utility")
RESULTS = pathlib.Path(__file__).with_name("utility_results.json")
DATA = pathlib.Path("configs/demo/data")
SITES = ["niddk", "ninds", "nhlbi", "cancergov"]
RECORDS = 2279           # the public number of them; every rate and divisor is made of it
DELTA = 1e-5
BATCH, STEPS = 288, 24   # of the rows: three passes over the records
SEARCH_STEPS = 8         # of a candidate: one pass

# One rank on one projection carries little noise; another shape is tried with the norm that is usual for it.
SHAPES = {
    "v-1": {"rank": 1, "alpha": 4, "targets": ["v_proj"], "clip_norm": 0.1},
    "qv-4": {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj"], "clip_norm": 0.2},
}
# Of each epsilon; rates for the other shape where they can be compared.
RATES = {"v-1": [4e-3, 8e-3, 2e-3, 1.6e-2], "qv-4": [4e-3, 2e-3]}
EPSILONS = {"v-1": [8, None, 3, 1], "qv-4": [8, None]}

# Of the rows. Where utility_results.json has a whole search, what it found; a guess before.
SHAPE = "v-1"
RATE = {None: 8e-3, 8: 8e-3, 3: 8e-3, 1: 4e-3}


def prepare():
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [line for site in SITES for line in open(DATA / site / "train.jsonl", encoding="utf-8")]
    assert len(lines) == RECORDS
    (FOLDER / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    held_out = [line for site in SITES for line in open(DATA / site / "eval.jsonl", encoding="utf-8")]
    (FOLDER / "search.jsonl").write_text("".join(held_out[::2]), encoding="utf-8")
    (FOLDER / "rows.jsonl").write_text("".join(held_out[1::2]), encoding="utf-8")


def recipe(name, shape, rate, epsilon, steps, held_out):
    shape = dict(SHAPES[shape])
    clip_norm = shape.pop("clip_norm")
    training = {"steps": steps, "micro_batch_tokens": 512, "precision": "bf16",
                "eval_every": steps}
    made = {
        "model": "models/SmolLM2-135M-Instruct.Q4_1.gguf", "output": str(FOLDER / name),
        "data": {"train": str(FOLDER / "train.jsonl"), "eval": str(FOLDER / held_out),
                 "max_tokens": 256, "truncation": "right", "license": "cc-by-4.0",
                 "eval_consent": "public"},
        "lora": {**shape, "seed": 0},
        "optimizer": {"learning_rate": rate, "schedule": "cosine", "final_share": 0.1},
        "training": training,
    }
    if epsilon is None:
        training.update({"batch_size": BATCH, "seed": 0, "loss_mean": "example"})
    else:
        made["privacy"] = {
            "target_epsilon": epsilon, "delta": DELTA, "clip_norm": clip_norm,
            "sampling_rate": BATCH / RECORDS, "unit": "record", "neighbours": "add-or-remove-one",
            "nominal_units": RECORDS, "nominal_tokens": 90,
            # Of its own for each run: the rows are a study, whose runs together have no guarantee.
            "ledger": str(FOLDER / f"{name}.sqlite"), "budget_epsilon": 2 * epsilon,
            "budget_delta": 1e-4}
    return made


def results():
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def keep(name, result):
    """Written whole or not at all."""
    known = dict(sorted({**results(), name: result}.items()))
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in known.items()]
    beside = RESULTS.with_suffix(".tmp")
    beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    os.replace(beside, RESULTS)


def run(cloister, name, *of):
    """What a run gave: before and after, held-out losses; and its epsilon, or None."""
    made = recipe(name, *of)
    known = results().get(name)
    if known is None or known["recipe"] != made:
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        for rest in FOLDER.glob(f"{name}.sqlite*"):
            rest.unlink()
        path = FOLDER / f"{name}.json"
        path.write_text(json.dumps(made))
        print(f"{name} …", file=sys.stderr, flush=True)
        subprocess.run([cloister, "train", "--config", path], check=True, stdout=subprocess.DEVNULL)
        losses, epsilon = [], None
        for line in (FOLDER / name / "events.jsonl").read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["event"] == "eval":
                losses.append(event["loss"])
            epsilon = event.get("epsilon", epsilon)
        known = {"before": losses[0], "after": losses[-1], "epsilon": epsilon, "recipe": made}
        keep(name, known)
    return known["before"], known["after"], known["epsilon"]


def search(cloister):
    rows = []
    for shape, rate, epsilon in ((shape, rate, epsilon) for shape in SHAPES
                                 for rate, epsilon in itertools.product(RATES[shape], EPSILONS[shape])):
        name = f"search-{epsilon or 'plain'}-{shape}-{rate:g}-{SEARCH_STEPS}x{BATCH}"
        before, after, _ = run(cloister, name, shape, rate, epsilon, SEARCH_STEPS, "search.jsonl")
        rows.append((epsilon or 1e9, before - after, shape, rate))
    print("| ε | adapter | learning rate | held-out loss less by |\n|---|---|---:|---:|")
    for epsilon, less, shape, rate in sorted(rows, key=lambda row: (-row[0], -row[1])):
        print(f"| {'none' if epsilon == 1e9 else epsilon} | {shape} | {rate:g} | {less:.3f} |")


def rows(cloister):
    print(f"{machine.processor()}\n\n| | held-out loss before | after | less by | of the plain run's |\n"
          "|---|---:|---:|---:|---:|")
    plain = None
    for epsilon in RATE:
        name = f"rows-{epsilon or 'plain'}-{STEPS}x{BATCH}"
        before, after, spent = run(cloister, name, SHAPE, RATE[epsilon], epsilon, STEPS, "rows.jsonl")
        plain = plain or before - after
        said = "not private" if epsilon is None else f"ε = {spent:.3f}, δ = {DELTA:g}"
        print(f"| {said} | {before:.3f} | {after:.3f} | {before - after:.3f} | "
              f"{(before - after) / plain:.1%} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["search"])
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--again", action="store_true", help="forget what was run before")
    arguments = parser.parse_args()
    if arguments.again:
        shutil.rmtree(FOLDER, ignore_errors=True)
        RESULTS.unlink(missing_ok=True)
    prepare()
    (search if arguments.what else rows)(pathlib.Path(arguments.bin) / "cloister")


if __name__ == "__main__":
    main()
