#!/usr/bin/env python3
"""The layering check passes a clean tree and names each kind of breach."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECK = pathlib.Path(__file__).with_name("check.py")


def run(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run(
            [sys.executable, CHECK, folder], capture_output=True, text=True, check=False)


class Layering(unittest.TestCase):
    def breach(self, name, include):
        result = run({name: f"#pragma once\n#include {include}\n"})
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(f"{name}:2", result.stderr)

    def test_allowed_includes_pass(self):
        result = run({
            "trainer/a.cc": '#include <ATen/ATen.h>\n#include "dp/ledger/ledger.h"\n',
            "federation/rpc/a.cc": '#include "federation.pb.h"\n#include "security/random.h"\n',
            "kernels/cpu/a.cc": '#include "model/tensor.h"\n',
        })
        self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_upward_include_fails(self):
        self.breach("base/a.h", '"model/tensor.h"')

    def test_sideways_include_fails(self):
        self.breach("inference/a.h", '"trainer/recipe.h"')

    def test_libtorch_outside_the_trainer_fails(self):
        self.breach("dp/ledger/a.h", "<ATen/core/Tensor.h>")

    def test_protobuf_outside_rpc_fails(self):
        self.breach("federation/site/a.h", '"federation.pb.h"')

    def test_kernels_see_only_block_formats(self):
        self.breach("kernels/cpu/a.h", '"model/tokenizer.h"')


if __name__ == "__main__":
    unittest.main()
