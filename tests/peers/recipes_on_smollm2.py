#!/usr/bin/env python3
"""The main recipes of configs/, as they are, on SmolLM2-135M: what they leave loads in transformers and PEFT
and gives the logits that `cloister score` gives, the held-out loss falls by as much as is said here, and the
epsilon of a private run's report is `cloister privacy epsilon` of its events.

    python3 tests/peers/recipes_on_smollm2.py build/release/bin
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import venv

MODEL = "models/SmolLM2-135M-Instruct.Q4_1.gguf"
# Of the held-out loss, at least. Runs differ by their noise; these are about half of what was seen.
FALLS = {"lora": 0.15, "qlora": 0.12, "full": 0.1, "dp-lora": 0.08, "dp-full": 0.006}
PROMPTS = ["What are the symptoms of kidney stones?", "Gravity is", "def main():\n    print("]
TOLERANCE = 2e-3  # of a logit


def into_peers(folder):
    """Starts this program again with an interpreter that has the peers."""
    try:
        import peft, transformers  # noqa: F401
        return
    except ImportError:
        pass
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        requirements = pathlib.Path(__file__).with_name("requirements.txt")
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", requirements], check=True)
        (folder / "complete").touch()
    os.execv(python, [python, *sys.argv])


def run(*words):
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


def check(condition, message):
    if not condition:
        sys.exit(f"FAILED: {message}")


def compare(cloister, ours, network, ids, folder):
    """Largest difference of the eight best logits after each prompt."""
    import torch
    (folder / "ids.jsonl").write_text("".join(json.dumps({"ids": one}) + "\n" for one in ids))
    largest = 0
    for one, line in zip(ids, run(cloister, "score", "--json", "--model", ours, "--input",
                                  folder / "ids.jsonl").splitlines()):
        scored = json.loads(line)
        with torch.no_grad():
            logits = network(torch.tensor([one])).logits[0, -1]
        for token, logit in zip(scored["top_ids"], scored["top_logits"]):
            largest = max(largest, abs(logits[token].item() - logit))
    return largest


def try_recipe(cloister, name, base, base_path, folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from peft import PeftModel
    output = folder / name
    words = [cloister, "train", "--json", "--config", f"configs/{name}.yaml", "--set", f"output={output}"]
    if name.startswith("dp-"):
        words += ["--set", f"privacy.ledger={folder / name}.sqlite"]
    events = [json.loads(line) for line in run(*words).splitlines()]
    losses = [event["loss"] for event in events if event["event"] == "eval"]
    check(losses[0] - losses[-1] >= FALLS[name], f"{name}: loss went {losses}")
    if name.startswith("dp-"):
        said = events[-1]
        again = json.loads(run(cloister, "privacy", "epsilon", "--json", "--events",
                               output / "privacy_events.json", "--delta", str(said["delta"])))
        check(abs(again["epsilon"] - said["epsilon"]) < 1e-9, f"{name}: {again} is not {said}")
        report = (output / "report.html").read_text()
        check(f"{said['epsilon']:.3f}" in report, f"{name}: the report does not say {said['epsilon']}")
    ids = [AutoTokenizer.from_pretrained(base_path)(prompt)["input_ids"] for prompt in PROMPTS]
    if (output / "adapter_config.json").exists():
        merged = folder / f"{name}.gguf"
        run(cloister, "model", "merge", "--model", base_path, "--adapter", output, "--output", merged)
        network = PeftModel.from_pretrained(base(), output)
    else:
        merged = output
        network = AutoModelForCausalLM.from_pretrained(output, dtype=torch.float32)
    network.eval()
    apart = compare(cloister, merged, network, ids, folder)
    check(apart < TOLERANCE, f"{name}: logits differ by {apart}")
    unlike = compare(cloister, base_path, network, ids, folder)
    check(unlike > 10 * TOLERANCE, f"{name}: the base's logits differ by {unlike} only")
    print(f"{name}: loss {losses[0]:.3f} to {losses[-1]:.3f}, logits within {apart:.1e} of the peer's, "
          f"{unlike:.2f} from the base's", flush=True)


def main():
    into_peers(pathlib.Path(sys.argv[1]).resolve().parent / "peers")
    import torch
    from transformers import AutoModelForCausalLM
    cloister = pathlib.Path(sys.argv[1]).resolve() / "cloister"
    os.chdir(pathlib.Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        base_path = folder / "base"
        run(cloister, "model", "convert", "--input", MODEL, "--output", base_path, "--type", "f32")
        for recipe in sys.argv[2:] or FALLS:
            try_recipe(cloister, recipe,
                       lambda: AutoModelForCausalLM.from_pretrained(base_path, dtype=torch.float32),
                       base_path, folder)


if __name__ == "__main__":
    main()
