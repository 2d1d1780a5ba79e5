#!/usr/bin/env python3
"""Whether other programs compute the same logits from what `cloister model convert` writes.

Each model goes folder -> GGUF F32 -> folder. The engine scores the first folder and the GGUF,
llama.cpp the GGUF, transformers the last folder; the best eight logits after the last id are
compared. Prints a table and exits with 1 where a difference passes the bound. Networks that
llama.cpp computes otherwise or not at all (docs/reference/models.md) are listed, not counted.

    python3 -m venv v && v/bin/pip install -r bench/requirements.txt
    v/bin/python bench/conversion.py [MODEL_FOLDER...]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
TOKENS = 17
BEST = 8


def ids_of(folder: Path) -> list[int]:
    """Ids that are the same in every run, spread over the vocabulary."""
    size = json.loads((folder / "config.json").read_text())["vocab_size"]
    return [(7 + 31 * i) % size for i in range(TOKENS)]


def convert(cloister: str, source: Path, output: Path) -> None:
    command = [cloister, "model", "convert", "--input", source, "--output", output, "--type", "f32"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def engine_logits(cloister: str, model: Path, ids: list[int], lines: Path) -> dict[int, float]:
    lines.write_text(json.dumps({"ids": ids}) + "\n")
    command = [cloister, "score", "--model", str(model), "--input", str(lines), "--json"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return dict(zip(result["top_ids"], result["top_logits"]))


def transformers_logits(folder: Path, ids: list[int]) -> np.ndarray:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    with torch.no_grad():
        return model.eval()(torch.tensor([ids])).logits[0, -1].numpy()


def llama_cpp_logits(path: Path, ids: list[int], vocabulary: int) -> np.ndarray | None:
    import llama_cpp

    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, None)
    model = llama_cpp.llama_model_load_from_file(
        str(path).encode(), llama_cpp.llama_model_default_params()
    )
    if not model:
        return None  # a network that it does not have
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = 256
    parameters.type_k = parameters.type_v = 0  # an fp32 cache
    parameters.flash_attn_type = 0  # off: it computes in fp16
    context = llama_cpp.llama_init_from_model(model, parameters)
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i] = token
        batch.pos[i] = i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = i + 1 == len(ids)
    if llama_cpp.llama_decode(context, batch) != 0:
        raise RuntimeError(f"llama.cpp loads {path}, but does not run it")
    pointer = llama_cpp.llama_get_logits_ith(context, len(ids) - 1)
    logits = np.ctypeslib.as_array(pointer, (vocabulary,)).copy()
    llama_cpp.llama_batch_free(batch)
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return logits


def differs_in_llama_cpp(config: dict) -> str:
    """Why llama.cpp has other logits; empty where it has none."""
    family, rope = config["model_type"], config.get("rope_parameters") or {}
    biased = config.get("attention_bias")
    if biased and family in ("qwen3", "deepseek_v2", "deepseek_v3"):
        return "no such biases"
    slides = config.get("use_sliding_window") or family == "mistral"
    if slides and (config.get("sliding_window") or TOKENS) < TOKENS:
        return "no sliding window"
    if rope.get("rope_type") == "dynamic" and config["max_position_embeddings"] < TOKENS:
        return "no dynamic rope"
    if config.get("topk_method") == "group_limited_greedy":
        return "other group scores"
    if family.startswith("deepseek") and rope.get("mscale") != rope.get("mscale_all_dim"):
        return "one mscale"
    return ""


def difference(expected: dict[int, float], logits) -> float | None:
    if logits is None:
        return None
    return max(abs(value - float(logits[token])) for token, value in expected.items())


def compare(cloister: str, folder: Path, work: Path) -> list[float]:
    ids = ids_of(folder)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    gguf, back = work / "model.gguf", work / "back"
    convert(cloister, folder, gguf)
    convert(cloister, gguf, back)
    expected = engine_logits(cloister, folder, ids, work / "ids.jsonl")
    of_gguf = engine_logits(cloister, gguf, ids, work / "ids.jsonl")
    missing = float("inf")
    return [
        max(abs(value - of_gguf.get(token, missing)) for token, value in expected.items()),
        difference(expected, llama_cpp_logits(gguf, ids, vocabulary)),
        difference(expected, transformers_logits(back, ids)),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="Hugging Face folders")
    parser.add_argument("--cloister", default=str(ROOT / "build/release/bin/cloister"))
    parser.add_argument("--bound", type=float, default=2e-4, help="largest difference of a logit")
    arguments = parser.parse_args()
    folders = arguments.models or sorted(
        path.parent for path in (ROOT / "tests/data/models").glob("*/config.json")
    )
    print(f"{'model':32} {'engine, GGUF':>14} {'llama.cpp':>14} {'transformers':>14}")
    worst = 0.0
    for folder in folders:
        with tempfile.TemporaryDirectory() as work:
            row = compare(arguments.cloister, folder, Path(work))
        cells = ["does not load" if value is None else f"{value:.2e}" for value in row]
        print(f"{folder.name:32} " + " ".join(f"{cell:>14}" for cell in cells), flush=True)
        known = differs_in_llama_cpp(json.loads((folder / "config.json").read_text()))
        if known:
            print(f"    llama.cpp: {known}")
        worst = max(worst, row[0], row[2], 0 if known else row[1])
    return 0 if worst <= arguments.bound else 1


if __name__ == "__main__":
    sys.exit(main())
