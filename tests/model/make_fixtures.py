#!/usr/bin/env python3
"""Makes tiny random models with the outputs of transformers beside them.

Each folder holds config.json, model.safetensors (fp32) and golden.safetensors: input_ids [B, T],
logits [B, T, V], greedy_ids [B, G] (end tokens are ordinary ones), loss_per_sample [B] (the mean
cross entropy of the T - 1 next tokens) and grad_norm_per_sample [B] (the L2 norm of that loss's
gradient over all parameters, a tied matrix counted once). Norms, biases and correction biases are
random too: at their initial values they would hide mistakes.

    python3 -m venv v && v/bin/pip install torch transformers safetensors
    v/bin/python tests/model/make_fixtures.py OUTPUT [NAME...]
"""

import argparse
import copy
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

BATCH, LENGTH, GREEDY = 3, 17, 24

SMALL = {
    "vocab_size": 83,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LATENT = SMALL | {
    "num_key_value_heads": 4,
    "num_hidden_layers": 3,
    "kv_lora_rank": 20,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 10,
    "moe_intermediate_size": 24,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "first_k_dense_replace": 1,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32,
    "beta_slow": 1,
}

CONFIGS = {
    "llama-biases": ("llama", SMALL | {"attention_bias": True, "mlp_bias": True, "head_dim": 16}),
    "llama-linear-mqa": (
        "llama",
        SMALL
        | {
            "num_key_value_heads": 1,
            "rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 20000.0},
        },
    ),
    "llama-dynamic": (
        "llama",
        SMALL
        | {
            "max_position_embeddings": 16,
            "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0},
        },
    ),
    "llama-yarn": ("llama", SMALL | {"rope_parameters": YARN, "tie_word_embeddings": True}),
    "mistral-window": ("mistral", SMALL | {"sliding_window": 6, "head_dim": 8}),
    "qwen2-window": (
        "qwen2",
        SMALL
        | {
            "num_hidden_layers": 3,
            "use_sliding_window": True,
            "sliding_window": 5,
            "max_window_layers": 1,
            "rope_parameters": YARN | {"attention_factor": 1.2},
        },
    ),
    "qwen3": ("qwen3", SMALL | {"head_dim": 16, "tie_word_embeddings": True}),
    "qwen3-biases": (
        "qwen3",
        SMALL | {"head_dim": 20, "attention_bias": True, "num_key_value_heads": 4},
    ),
    "deepseek-v2-groups": (
        "deepseek_v2",
        LATENT
        | {
            "q_lora_rank": 16,
            "n_shared_experts": 2,
            "topk_method": "group_limited_greedy",
            "n_group": 4,
            "topk_group": 2,
            "routed_scaling_factor": 1.7,
            "rope_parameters": YARN | {"mscale": 0.707, "mscale_all_dim": 0.707},
        },
    ),
    "deepseek-v3-biases": (
        "deepseek_v3",
        LATENT
        | {
            "q_lora_rank": None,
            "n_shared_experts": 1,
            "n_group": 2,
            "topk_group": 1,
            "norm_topk_prob": False,
            "rope_interleave": False,
            "attention_bias": True,
        },
    ),
    "deepseek-v3-mscale": (
        "deepseek_v3",
        LATENT
        | {
            "q_lora_rank": 16,
            "n_shared_experts": 1,
            "n_group": 1,
            "topk_group": 1,
            "rope_parameters": YARN | {"mscale": 0.8, "mscale_all_dim": 1.3},
        },
    ),
    "qwen2-layer-types": (
        "qwen2",
        SMALL
        | {
            "vocab_size": 131,
            "hidden_size": 42,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "num_key_value_heads": 3,
            "use_sliding_window": True,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "deepseek-v3-odd": (
        "deepseek_v3",
        LATENT
        | {
            "vocab_size": 131,
            "hidden_size": 44,
            "intermediate_size": 51,
            "num_attention_heads": 9,
            "num_key_value_heads": 9,
            "q_lora_rank": 11,
            "kv_lora_rank": 13,
            "qk_nope_head_dim": 5,
            "qk_rope_head_dim": 6,
            "v_head_dim": 7,
            "moe_intermediate_size": 20,
            "n_routed_experts": 12,
            "n_shared_experts": 2,
            "n_group": 4,
            "topk_group": 2,
            "attention_bias": True,
            "tie_word_embeddings": True,
            "rope_parameters": YARN,
        },
    ),
}


def randomize(model, generator):
    """Weights of a size that lets every part matter."""
    with torch.no_grad():
        for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
            if not tensor.is_floating_point() or "inv_freq" in name:
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                tensor.copy_(1 + 0.2 * noise)
            elif name.endswith("bias"):
                tensor.copy_(0.2 * noise)
            elif "embed_tokens" in name or "lm_head" in name:
                tensor.copy_(0.2 * noise)
            else:
                tensor.copy_(noise * (1.2 / tensor.shape[-1] ** 0.5))


def fresh(model):
    """A copy: a rope that grows with the sequence remembers the longest that it saw."""
    return copy.deepcopy(model)


def greedy(model, ids):
    """Greedy continuation through the cache, a token at a time."""
    chosen = []
    cache, step = None, ids
    for _ in range(GREEDY):
        out = model(step, cache=cache, use_cache=True)
        cache = out.past_key_values
        step = out.logits[:, -1].argmax(-1, keepdim=True)
        chosen.append(step)
    return torch.cat(chosen, 1)


def losses_and_norms(pristine, ids):
    losses, norms = [], []
    for row in ids:
        model = fresh(pristine)
        logits = model(row[None], use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1], row[1:])
        loss.backward()
        squares = [p.grad.double().square().sum() for p in model.parameters() if p.grad is not None]
        losses.append(loss.detach())
        norms.append(torch.stack(squares).sum().sqrt().float())
    return torch.stack(losses), torch.stack(norms)


def make(name, output, seed):
    family, fields = CONFIGS[name]
    config = AutoConfig.for_model(family, **copy.deepcopy(fields))
    generator = torch.Generator().manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomize(model, generator)
    ids = torch.randint(0, config.vocab_size, (BATCH, LENGTH), generator=generator)
    with torch.no_grad():
        logits = torch.cat([fresh(model)(row[None], use_cache=False).logits for row in ids])
        continued = torch.cat([greedy(fresh(model), row[None]) for row in ids])
    loss, norm = losses_and_norms(model, ids)
    folder = output / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    golden = {
        "input_ids": ids,
        "logits": logits.contiguous(),
        "greedy_ids": continued.contiguous(),
        "loss_per_sample": loss,
        "grad_norm_per_sample": norm,
    }
    save_file(golden, folder / "golden.safetensors")
    print(f"{name}: loss {loss.tolist()}, gradient norm {norm.tolist()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CONFIGS)}; all by default")
    arguments = parser.parse_args()
    for i, name in enumerate(arguments.names or CONFIGS):
        make(name, arguments.output, seed=100 + i)
    return 0


if __name__ == "__main__":
    sys.exit(main())
