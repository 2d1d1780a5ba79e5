#!/usr/bin/env python3
"""The federation's commands as a person types them: files, errors, exit codes."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

CLOISTER = os.path.abspath(sys.argv.pop(1))
SITES = ("north", "east", "south", "west")
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32,
          "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
          "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
          "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
          "hidden_act": "silu", "tie_word_embeddings": True, "bos_token_id": 1, "eos_token_id": 2}
JOB = """
name: test
model_sha256: {model}
sites:
{sites}
colluders: 1
minimum_cohort: 3
rounds: 1
adapter: {{rank: 1, alpha: 2, targets: [v_proj], first_layer: 0, seed: 7}}
privacy: {{mode: distributed, clip_norm: 0.1, noise_multiplier: 1.0, sampling_rate: 0.01,
          unit: record, neighbours: add-or-remove-one, delta: 1.0e-5, spacing_bits: 18}}
optimizer: {{lr: 0.004, beta1: 0.9, beta2: 0.999, eps: 1.0e-8, weight_decay: 0}}
units_cap: 700
max_tokens: 128
evaluation_rows: 2
timeouts: {{gather: 30, advertise: 30, share: 30, upload: 30, commit: 30, reveal: 30}}
"""
POLICY = """
submitters: [certificates/submitter/identity-public.pem]
peers: [{peers}]
models: [{model}]
minimum_cohort: 3
colluders: 1
epsilon_per_job: 8
budget: {{epsilon: 8, delta: 1.0e-5}}
"""


class Commands(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.processes = []
        self.addCleanup(self.end)
        self.ok("ca", "init", "--directory", "ca")
        for name, role in [("coordinator", "coordinator"), ("submitter", "submitter"),
                           ("stranger", "site"), *((site, "site") for site in SITES)]:
            self.ok("ca", "issue", "--directory", "ca", "--name", name, "--role", role,
                    "--output", f"certificates/{name}")
        (self.root / "model").mkdir()
        (self.root / "data").mkdir()
        (self.root / "model" / "config.json").write_text(json.dumps(CONFIG))
        key = "certificates/{}/identity-public.pem"
        sites = "\n".join(f"  - {{name: {s}, identity: {key.format(s)}, nominal_units: 600}}"
                          for s in SITES)
        (self.root / "job.yaml").write_text(JOB.format(model="a" * 64, sites=sites))
        (self.root / "policy.yaml").write_text(
            POLICY.format(model="a" * 64, peers=", ".join(map(key.format, SITES))))

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def run_(self, *words):
        return subprocess.run([CLOISTER, "federation", *words], cwd=self.root, text=True,
                              capture_output=True, check=False, timeout=60)

    def ok(self, *words):
        result = self.run_(*words)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def fails(self, status, text, *words):
        result = self.run_(*words)
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        self.assertEqual((result.returncode, len(errors)), (status, 1), result.stderr)
        self.assertIn(text, errors[0])

    def coordinator(self):
        process = subprocess.Popen(
            [CLOISTER, "federation", "coordinator", "--listen", "127.0.0.1:0", "--certificates",
             "certificates/coordinator", "--submitters",
             "certificates/submitter/identity-public.pem", "--model", "model", "--state", "coordinator",
             "--output", "adapter", "--json"],
            cwd=self.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.processes.append(process)
        return process, json.loads(process.stdout.readline())["address"]

    def site(self, name, address, certificates=None, policy="policy.yaml"):
        folder = certificates or f"certificates/{name}"
        return ["site", "--name", name, "--coordinator", address, "--certificates", folder,
                "--identity", f"certificates/{name}/identity.pem", "--model", "model", "--data",
                "data", "--state", f"state-{name}", "--policy", policy]

    def submit(self, address):
        return ["submit", "--job", "job.yaml", "--key", "certificates/submitter/identity.pem",
                "--coordinator", address, "--certificates", "certificates/submitter", "--json"]

    def test_keys_are_private_and_never_overwritten(self):
        for file in ("ca/ca-key.pem", "certificates/north/key.pem",
                     "certificates/north/identity.pem"):
            self.assertEqual(os.stat(self.root / file).st_mode & 0o777, 0o600, file)
        self.fails(1, "ca/ca.pem", "ca", "init", "--directory", "ca")
        self.fails(1, "certificates/north", "ca", "issue", "--directory", "ca", "--name", "north",
                   "--role", "site", "--output", "certificates/north")
        self.fails(2, "--role", "ca", "issue", "--directory", "ca", "--name", "x", "--role",
                   "clerk", "--output", "certificates/x")
        self.assertFalse((self.root / "certificates" / "x").exists())

    def test_dry_run_tells_the_terms(self):
        summary = json.loads(self.ok("submit", "--job", "job.yaml", "--key",
                                     "certificates/submitter/identity.pem", "--dry-run", "--json"))
        self.assertEqual((summary["sites"], summary["threshold"], summary["colluders"]), (4, 3, 1))
        self.assertGreater(summary["epsilon_alone"], summary["epsilon"])
        self.assertEqual(len(summary["job"]), 64)

    def test_wrong_keys_are_usage_errors(self):
        job = (self.root / "job.yaml").read_text().replace("rounds:", "ronds:")
        (self.root / "job.yaml").write_text(job)
        self.fails(2, "'ronds' is no known key (did you mean 'rounds'?)", "submit", "--job",
                   "job.yaml", "--key", "certificates/submitter/identity.pem", "--dry-run")
        policy = (self.root / "policy.yaml").read_text().replace("peers:", "peer:")
        (self.root / "policy.yaml").write_text(policy)
        self.fails(2, "'peers'", *self.site("north", "127.0.0.1:1"))

    def test_coordinator_needs_submitters_and_a_real_port(self):
        words = ["coordinator", "--certificates", "certificates/coordinator", "--model", "model",
                 "--state", "coordinator", "--output", "adapter", "--listen"]
        self.fails(2, "submitters", *words, "127.0.0.1:0")
        self.fails(2, "65535", *words, "127.0.0.1:99999", "--submitters",
                   "certificates/submitter/identity-public.pem")

    def test_planned_commands_say_so(self):
        for command in ("status", "simulate", "approve"):
            self.fails(2, "is not built yet", command)

    def test_a_strangers_handshake_leaves_no_lines_of_the_library(self):
        process, address = self.coordinator()
        self.ok("ca", "init", "--directory", "other")
        self.ok("ca", "issue", "--directory", "other", "--name", "north", "--role", "site",
                "--output", "certificates/impostor")
        result = self.run_(*self.site("north", address, certificates="certificates/impostor"))
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertNotIn(".cc:", result.stderr)
        process.send_signal(signal.SIGTERM)
        self.assertNotIn(".cc:", process.communicate(timeout=30)[1])

    def test_refusals_have_their_exit_codes(self):
        process, address = self.coordinator()
        tampered = self.root / "tampered"
        tampered.mkdir()
        for file in ("ca.pem", "certificate.pem", "key.pem"):
            text = (self.root / "certificates" / "north" / file).read_text()
            if file == "certificate.pem":
                middle = len(text) // 2
                text = text[:middle] + ("B" if text[middle] != "B" else "C") + text[middle + 1:]
            (tampered / file).write_text(text)
        self.fails(1, "certificate.pem", *self.site("north", address, certificates="tampered"))
        self.fails(1, "'north'", *self.site("east", address, certificates="certificates/north"))
        summary = json.loads(self.ok(*self.submit(address)))
        self.assertTrue(summary["submitted"])
        self.fails(3, "stranger", *self.site("stranger", address))
        text = (self.root / "policy.yaml").read_text().replace("job: 8", "job: 0.001")
        (self.root / "strict.yaml").write_text(text.replace("colluders: 1", "colluders: 2"))
        self.fails(3, "strict.yaml", *self.site("north", address, policy="strict.yaml"))
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout=30), 0)
        self.assertFalse((self.root / "adapter").exists())


if __name__ == "__main__":
    unittest.main()
