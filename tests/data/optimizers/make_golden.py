#!/usr/bin/env python3
"""Writes golden.json beside itself: what torch.optim makes of fixed gradients, in fp64, and what
8-bit AdamW and DP-AdamBC make of them by numpy programs written from their papers.

    python make_golden.py        (torch 2.11, numpy)
"""
import json
import pathlib

import numpy as np
import torch

SIZE, STEPS = 7, 6
WIDE, WIDE_STEPS = 300, 8  # a whole block of 256 and a part of one


def numbers(seed, *shape):
    """The same on every machine and in every version: a linear congruential generator."""
    out, state = [], seed
    for _ in range(int(np.prod(shape))):
        state = (1103515245 * state + 12345) % 2**31
        out.append(round(state / 2**30 - 1, 4))
    return np.array(out).reshape(shape)


def by_torch(name, make, options, shares):
    start, gradients = numbers(1, SIZE), numbers(2, STEPS, SIZE)
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = make([x])
    rate = optimizer.param_groups[0]["lr"]
    after = []
    for gradient, share in zip(gradients, shares):
        optimizer.param_groups[0]["lr"] = rate * share
        x.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        after.append(x.detach().tolist())
    return {"name": name, "options": options, "shares": shares, "start": start.tolist(),
            "gradients": gradients.tolist(), "after": after}


def dynamic_map(signed):
    """Dettmers 2016, as bitsandbytes' create_dynamic_map(signed, max_exponent_bits=7)."""
    values = [0.0, 1.0]
    for exponent in range(7):
        bounds = np.linspace(0.1, 1, 2 ** (exponent + (0 if signed else 1)) + 1)
        means = 10.0 ** (exponent - 6) * (bounds[:-1] + bounds[1:]) / 2
        values += means.tolist()
        if signed:
            values += (-means).tolist()
    assert len(values) == 256
    return np.sort(np.array(values)).astype(np.float32)


def through_bytes(x, table, above_zero):
    """x as it comes back from bytes, by block of 256; the nearest by trying all."""
    out = np.zeros_like(x)
    for at in range(0, len(x), 256):
        block = x[at:at + 256]
        scale = np.abs(block).max()
        if scale == 0:
            continue
        codes = np.abs(block[:, None] / scale - table[None, :]).argmin(1)
        if above_zero:
            codes = np.maximum(codes, (block > 0).astype(int))
        out[at:at + 256] = table[codes] * scale
    return out


def adam(start, gradients, rate, beta1, beta2, epsilon, decay, eight_bit=False, floor=None,
         variances=None):
    x, m, v, noise = start.copy(), np.zeros_like(start), np.zeros_like(start), 0.0
    after = []
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        below = np.sqrt(v / (1 - beta2**t)) + epsilon
        if floor is not None:
            noise = beta2 * noise + (1 - beta2) * variances[t - 1]
            below = np.sqrt(np.maximum((v - noise) / (1 - beta2**t), floor))
        x = x - rate * (m / (1 - beta1**t) / below + decay * x)
        if eight_bit:
            m = through_bytes(m, dynamic_map(True), False)
            v = through_bytes(v, dynamic_map(False), True)
        after.append(x.tolist())
    return after


def main():
    ones = [1.0] * STEPS
    ramp = [0.25, 0.5, 1.0, 1.0, 0.6, 0.1]
    cases = [
        by_torch("adamw", lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.8, 0.95), eps=1e-3,
                                                      weight_decay=0.3),
                 {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3,
                  "weight_decay": 0.3}, ramp),
        by_torch("sgd", lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.3),
                 {"learning_rate": 0.1, "weight_decay": 0.3}, ramp),
        by_torch("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
                 {"learning_rate": 0.1, "momentum": 0.9}, ones),
        by_torch("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, nesterov=True,
                                                  weight_decay=0.2),
                 {"learning_rate": 0.1, "momentum": 0.7, "nesterov": True, "weight_decay": 0.2},
                 ramp),
    ]
    variances = [0.2, 0.2, 0.1, 0.05, 0.05, 0.3]
    cases.append(
        {"name": "adamw", "options": {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.9,
                                      "weight_decay": 0.1, "noise_bias_floor": 0.01},
         "shares": ones, "start": numbers(1, SIZE).tolist(),
         "gradients": numbers(2, STEPS, SIZE).tolist(), "variances": variances,
         "after": adam(numbers(1, SIZE), numbers(2, STEPS, SIZE), 0.1, 0.9, 0.9, 0, 0.1,
                       floor=0.01, variances=variances)})
    start, gradients = numbers(3, WIDE), numbers(4, WIDE_STEPS, WIDE)
    gradients *= 10.0 ** numbers(5, WIDE)  # of many sizes in one block
    wide = {"start": start.tolist(), "gradients": np.round(gradients, 6).tolist()}
    options = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8,
               "weight_decay": 0.1}
    after = adam(start, np.round(gradients, 6), 0.01, 0.9, 0.99, 1e-8, 0.1, eight_bit=True)
    wide |= {"options": options, "after": [np.round(row, 9).tolist() for row in after[-1:]]}
    golden = {"cases": cases, "adamw_8bit": wide,
              "signed_map": [float(f"{v:.9g}") for v in dynamic_map(True)],
              "unsigned_map": [float(f"{v:.9g}") for v in dynamic_map(False)]}
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
