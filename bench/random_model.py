#!/usr/bin/env python3
"""Writes a Hugging Face folder of the shape of Qwen2.5-1.5B with random weights, bfloat16, 2.9 GiB.

    python3 bench/random_model.py FOLDER --tokenizer FOLDER_OF_ANOTHER_MODEL [--layers 28]

Weights are normal with a standard deviation of 0.02, cut from one table of a million; nothing of the file's
size is held. The tokenizer and chat template are the other model's, which must have no more tokens.
"""
import argparse
import array
import json
import pathlib
import random
import shutil
import struct

HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD, VOCABULARY = 1536, 8960, 12, 2, 128, 151936
TABLE = 1 << 20


def config(layers):
    return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "torch_dtype": "bfloat16",
            "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE, "num_hidden_layers": layers,
            "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY,
            "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
            "hidden_act": "silu", "tie_word_embeddings": True, "use_sliding_window": False,
            "bos_token_id": 1, "eos_token_id": 2}


def tensors(layers):
    """Names and shapes, in the file's order."""
    yield "model.embed_tokens.weight", [VOCABULARY, HIDDEN]
    for layer in range(layers):
        name = f"model.layers.{layer}."
        yield name + "input_layernorm.weight", [HIDDEN]
        for part, rows in (("q", HEADS * HEAD), ("k", KV_HEADS * HEAD), ("v", KV_HEADS * HEAD)):
            yield name + f"self_attn.{part}_proj.weight", [rows, HIDDEN]
            yield name + f"self_attn.{part}_proj.bias", [rows]
        yield name + "self_attn.o_proj.weight", [HIDDEN, HEADS * HEAD]
        yield name + "post_attention_layernorm.weight", [HIDDEN]
        yield name + "mlp.gate_proj.weight", [INTERMEDIATE, HIDDEN]
        yield name + "mlp.up_proj.weight", [INTERMEDIATE, HIDDEN]
        yield name + "mlp.down_proj.weight", [HIDDEN, INTERMEDIATE]
    yield "model.norm.weight", [HIDDEN]


def bfloat16(value):
    return struct.unpack("<I", struct.pack("<f", value))[0] >> 16


def elements(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def write(folder, tokenizer, layers=28):
    folder.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json",
                 "special_tokens_map.json", "chat_template.jinja"):
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, folder / name)
    (folder / "config.json").write_text(json.dumps(config(layers), indent=2))
    generator = random.Random(0)
    table = array.array("H", (bfloat16(generator.gauss(0, 0.02)) for _ in range(TABLE))).tobytes()
    header, offset = {}, 0
    for name, shape in tensors(layers):
        size = 2 * elements(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors(layers):
            left = 2 * elements(shape)
            if "norm" in name:
                file.write(struct.pack("<H", bfloat16(1.0)) * (left // 2))
                continue
            while left > 0:
                start = 2 * generator.randrange(TABLE // 2)
                piece = table[start:start + left]
                file.write(piece)
                left -= len(piece)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, required=True)
    parser.add_argument("--layers", type=int, default=28)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.tokenizer, arguments.layers)


if __name__ == "__main__":
    main()
