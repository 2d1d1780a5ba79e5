#!/usr/bin/env python3
"""Makes small random PEFT adapters for the models of tests/data/models, with PEFT's own logits.

Each folder holds adapter_config.json and adapter_model.safetensors as PEFT saves them, but for the
model's path, which is its folder's name here, and golden.safetensors: input_ids [B, T] and logits
[B, T, V] of the adapted model.

    python3 -m venv v && v/bin/pip install torch transformers peft safetensors
    v/bin/python tests/model/make_adapters.py OUTPUT [NAME...]
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

MODELS = Path(__file__).parents[1] / "data" / "models"
BATCH, LENGTH = 2, 11

# name: (model, LoraConfig, what else)
CASES = {
    "llama-list": ("llama-biases", {"r": 4, "target_modules": ["q_proj", "down_proj"]}, {}),
    "llama-half": (
        "llama-linear-mqa",
        {"r": 3, "target_modules": ["v_proj", "o_proj"], "layers_to_transform": [1]},
        {"dtype": torch.bfloat16},
    ),
    # Every linear layer, and modules that are replaced whole ("norm" ends four names).
    "llama-rslora-saved": (
        "llama-biases",
        {
            "r": 2,
            "use_rslora": True,
            "target_modules": "all-linear",
            "modules_to_save": ["lm_head", "norm"],
        },
        {"dtype": torch.float16},
    ),
    "llama-patterns": (
        "llama-biases",
        {
            "r": 4,
            "target_modules": r".*\.layers\.(0\.self_attn\.[qk]_proj|1\.mlp\.(gate|up)_proj)",
            "rank_pattern": {"k_proj": 2, r"1\.mlp\.gate_proj": 3},
            "alpha_pattern": {"up_proj": 5},
        },
        {},
    ),
    # An adapter of the network without its head: names without "model.".
    "llama-headless": ("llama-dynamic", {"r": 2, "target_modules": ["k_proj"]}, {"bare": True}),
    "llama-tied": (
        "llama-yarn",
        {
            "r": 2,
            "target_modules": ["q_proj"],
            "modules_to_save": ["embed_tokens"],
            "ensure_weight_tying": True,
        },
        {},
    ),
    "qwen2-vocabulary": (
        "qwen2-window",
        {"r": 3, "target_modules": ["embed_tokens", "v_proj", "lm_head"]},
        {},
    ),
    # PEFT makes stacks of experts and routers of the names of linear layers.
    "deepseek-v2-all": ("deepseek-v2-groups", {"r": 2, "target_modules": "all-linear"}, {}),
    "deepseek-v3-attention": (
        "deepseek-v3-mscale",
        {
            "r": 2,
            "target_modules": ["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"],
            "exclude_modules": ["layers.1.self_attn.o_proj"],
            "modules_to_save": ["layers.0.mlp.down_proj", "mlp.gate"],
        },
        {},
    ),
    "deepseek-v3-down": (
        "deepseek-v3-biases",
        {
            "r": 2,
            "use_rslora": True,
            "target_modules": ["q_proj", "down_proj"],
            "target_parameters": ["shared_experts.gate_proj.weight", "mlp.up_proj.weight"],
        },
        {},
    ),
}


def randomize(model, generator, dtype):
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if "lora_" in name:
                tensor.copy_((0.2 * noise).to(dtype))
            elif "modules_to_save" in name:
                tensor.add_(0.1 * noise).copy_(tensor.to(dtype))


def make(name, output, seed):
    base, fields, options = CASES[name]
    dtype = options.get("dtype", torch.float32)
    model = AutoModelForCausalLM.from_pretrained(
        MODELS / base, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    config = LoraConfig(lora_alpha=6, **fields)
    adapted = get_peft_model(model.model if options.get("bare") else model, config).eval()
    randomize(adapted, torch.Generator().manual_seed(seed), dtype)
    ids = torch.arange(BATCH * LENGTH).reshape(BATCH, LENGTH) * 7 % model.config.vocab_size
    with torch.no_grad():
        out = adapted(ids, use_cache=False)
        logits = model.lm_head(out.last_hidden_state) if options.get("bare") else out.logits
    folder = output / name
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(
        {key: tensor.to(dtype).contiguous() for key, tensor in weights.items()},
        folder / "adapter_model.safetensors",
    )
    saved = json.loads((folder / "adapter_config.json").read_text())
    saved["base_model_name_or_path"] = base
    for key in ("target_modules", "target_parameters"):  # sets, in any order
        if isinstance(saved[key], list):
            saved[key] = sorted(saved[key])
    text = json.dumps(saved, indent=2, sort_keys=True)
    (folder / "adapter_config.json").write_text(text + "\n")
    save_file(
        {"input_ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors"
    )
    print(f"{name}: {len(weights)} tensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all by default")
    arguments = parser.parse_args()
    for name in arguments.names or CASES:
        make(name, arguments.output, seed=list(CASES).index(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
