#!/usr/bin/env python3
"""Measures private fine-tuning against Opacus with PEFT and prints the rows of docs/benchmarks.md.

    python3 -m venv runs/bench/private
    runs/bench/private/bin/pip install -r bench/requirements-private-training.txt
    runs/bench/private/bin/python bench/private_training.py

SmolLM2-135M in fp32, LoRA of rank 8 on q_proj and v_proj, eight conversations of 128 tokens a step, labels
on the answers alone. Both sides read the same weights, tokens and labels. Each figure is the median of the
steps of several processes, the variants in turn; the first step of each process is not counted, but how long
after the process's start it ended is a column of its own. The rate of LibTorch's own matrix product at the shapes
of the same step is measured beside them.

With --full every weight is trained instead, and our private step is compared with our own plain one:

    python3 bench/private_training.py --full
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import machine

BATCH, TOKENS, RANK = 8, 128, 8
TARGETS = ["q_proj", "v_proj"]
FOLDER = pathlib.Path("runs/bench/private-training")


def conversations():
    """Answers of more than 128 tokens, each about a part of Python's reference manual."""
    import pydoc_data.topics
    topics = [text for text in pydoc_data.topics.topics.values() if len(text) > 4000]
    for number, text in enumerate(topics[:BATCH]):
        yield [{"role": "user", "content": f"Tell me about topic {number} of the manual, please."},
               {"role": "assistant", "content": " ".join(text.split())[:3000]}]


def prepare(cloister, model, full):
    FOLDER.mkdir(parents=True, exist_ok=True)
    weights = FOLDER / "model"
    if not weights.exists():
        subprocess.run([cloister, "model", "convert", "--input", model, "--output", weights,
                        "--type", "f32"], check=True, stdout=subprocess.DEVNULL)
    with open(FOLDER / "train.jsonl", "w", encoding="utf-8") as file:
        for messages in conversations():
            file.write(json.dumps({"messages": messages}) + "\n")
    recipe = {
        "model": str(weights), "output": str(FOLDER / "out"),
        "data": {"train": str(FOLDER / "train.jsonl"), "max_tokens": TOKENS,
                 "truncation": "right"},
        "optimizer": {"learning_rate": 1e-4},
        "training": {"steps": 0, "micro_batch_tokens": BATCH * TOKENS},
    }
    if full:
        recipe["method"] = "full"
    else:
        recipe["lora"] = {"rank": RANK, "alpha": 16, "targets": TARGETS}
    (FOLDER / "recipe.json").write_text(json.dumps(recipe))


def peak_mib(usage):
    return usage.ru_maxrss / 1024


def run(words):
    """Seconds of a process's steps but the first, when that had ended, and the peak memory."""
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    first, steps = None, []
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "step":
            first = first or time.perf_counter() - start
            steps.append(BATCH * TOKENS / event["tokens_per_second"])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, words))} failed")
    return steps[1:], first, peak_mib(usage)


def ours(cloister, steps, private):
    subprocess.run(["rm", "-rf", FOLDER / "out", FOLDER / "ledger.sqlite",
                    FOLDER / "ledger.sqlite.key", FOLDER / "ledger.sqlite.lock"], check=True)
    overrides = [f"training.steps={steps}"]
    if private:
        overrides += ["privacy={noise_multiplier: 1.0, delta: 1.0e-5, clip_norm: 0.1, "
                      "sampling_rate: 1, unit: record, neighbours: add-or-remove-one, "
                      f"nominal_units: {BATCH}, nominal_tokens: {TOKENS}, "
                      f"ledger: {FOLDER / 'ledger.sqlite'}, budget_epsilon: 100, "
                      "budget_delta: 1.0e-4}"]
    else:
        overrides += [f"training.batch_size={BATCH}", "training.loss_mean=example"]
    words = [cloister, "train", "--json", "--config", FOLDER / "recipe.json"]
    for override in overrides:
        words += ["--set", override]
    return run(words)


def peer(steps, private):
    """In a process of its own: Opacus's hooks on a PEFT model."""
    return run([sys.executable, __file__, "--peer", "private" if private else "plain",
                "--steps", steps])


def labelled():
    """Tokens, and labels on the answers alone (-100 elsewhere), of all conversations."""
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "model")
    ids, labels = [], []
    for messages in conversations():
        prompt = tokenizer.apply_chat_template(messages[:1], add_generation_prompt=True,
                                               return_dict=False)
        whole = tokenizer.apply_chat_template(messages, return_dict=False)[:TOKENS]
        assert whole[:len(prompt)] == prompt and len(whole) == TOKENS
        ids.append(whole)
        labels.append([-100] * len(prompt) + whole[len(prompt):])
    return ids, labels


def peer_steps(private, steps):
    import torch
    import warnings
    warnings.filterwarnings("ignore")
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(FOLDER / "model", dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=16, target_modules=TARGETS))
    ids, labels = map(torch.tensor, labelled())
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    if private:
        from opacus import PrivacyEngine
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(ids, labels),
                                           batch_size=BATCH)
        model, optimizer, _ = PrivacyEngine().make_private(
            module=model, optimizer=optimizer, data_loader=data, noise_multiplier=1.0,
            max_grad_norm=0.1, poisson_sampling=False)
    position = torch.arange(TOKENS).expand(BATCH, -1)
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad()
        logits = model(input_ids=ids, position_ids=position).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100, reduction="none")
        counts = (labels[:, 1:] != -100).sum(1)
        (losses.view(BATCH, -1).sum(1) / counts).mean().backward()
        optimizer.step()
        rate = BATCH * TOKENS / (time.perf_counter() - start)
        print(json.dumps({"event": "step", "tokens_per_second": rate}), flush=True)


LAYERS, SHAPES, VOCABULARY = 30, [(576, 960), (576, 576), (576, 3072), (1536, 576)], (576, 49152)


def product_rate(rows):
    """GFLOP/s of x W^T and g W over all layers of the model, for inputs of so many rows."""
    import torch
    weights = [[torch.randn(m, n) for n, m in SHAPES] for _ in range(LAYERS)]
    inputs = [torch.randn(rows, n) for n, _ in SHAPES]
    back = [torch.randn(rows, m) for _, m in SHAPES]
    operations = LAYERS * sum(4 * rows * n * m for n, m in SHAPES)
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for layer in weights:
            for x, w in zip(inputs, layer):
                torch.mm(x, w.t())
        for layer in weights:
            for g, w in zip(back, layer):
                torch.mm(g, w)
        rates.append(operations / (time.perf_counter() - start) / 1e9)
    return statistics.median(rates)


def product_operations():
    """Floating-point operations of a LoRA step's products with frozen matrices: forward over all
    tokens but the last of each conversation, whose prediction nobody asks for, backward the same
    (through the first layer's attention input nothing is asked for), the head on answers alone."""
    _, labels = labelled()
    answers = sum(label != -100 for row in labels for label in row[1:])
    rows = BATCH * (TOKENS - 1)
    layer = sum(n * m for n, m in SHAPES)
    forward = LAYERS * layer * rows
    backward = (LAYERS * layer - SHAPES[0][0] * SHAPES[0][1]) * rows
    return 2 * (forward + backward + 2 * answers * VOCABULARY[0] * VOCABULARY[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--runs", type=int, default=3, help="processes a variant (3)")
    parser.add_argument("--steps", type=int, default=5, help="steps a process (5)")
    parser.add_argument("--full", action="store_true", help="train every weight; without the peers")
    parser.add_argument("--peer", choices=["plain", "private"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer_steps(arguments.peer == "private", arguments.steps)
        return
    cloister = pathlib.Path(arguments.bin, "cloister")
    prepare(cloister, arguments.model, arguments.full)
    variants = {
        "Cloister, private": lambda: ours(cloister, arguments.steps, True),
        "Cloister, not private": lambda: ours(cloister, arguments.steps, False),
    }
    if not arguments.full:
        variants |= {
            "Opacus 1.6 and PEFT, private": lambda: peer(str(arguments.steps), True),
            "PEFT, not private": lambda: peer(str(arguments.steps), False),
        }
    seconds, firsts, peaks = ({name: [] for name in variants} for _ in range(3))
    rates = {} if arguments.full else {TOKENS: [], BATCH * TOKENS: []}
    for _ in range(arguments.runs):
        for name, variant in variants.items():
            times, first, peak = variant()
            seconds[name] += times
            firsts[name].append(first)
            peaks[name].append(peak)
        for rows, measured in rates.items():
            measured.append(product_rate(rows))

    print(f"{machine.processor()}, {os.cpu_count()} threads, medians\n")
    print("| | seconds a step | tokens/s | seconds to the first step's end | peak memory, MiB |")
    print("|---|---:|---:|---:|---:|")
    for name in variants:
        step = statistics.median(seconds[name])
        print(f"| {name} | {step:.2f} | {BATCH * TOKENS / step:.0f} "
              f"| {statistics.median(firsts[name]):.1f} | {statistics.median(peaks[name]):.0f} |")
    private, plain = "Cloister, private", "Cloister, not private"
    print(f"\nCloister, private over not private: "
          f"{statistics.median(seconds[private]) / statistics.median(seconds[plain]):.2f} times the time, "
          f"{statistics.median(peaks[private]) / statistics.median(peaks[plain]):.2f} times the memory")
    if arguments.full:
        return
    operations = product_operations() / 1e9
    print(f"\nA step's products with frozen matrices: {operations:.0f} GFLOP")
    for rows, measured in rates.items():
        rate = statistics.median(measured)
        print(f"LibTorch's matrix product at the layers' shapes, {rows} rows: {rate:.0f} GFLOP/s")
        for name in variants:
            share = operations / statistics.median(seconds[name]) / rate
            print(f"  {name}: {100 * share:.0f} % of it")


if __name__ == "__main__":
    main()
