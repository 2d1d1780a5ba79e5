#!/usr/bin/env python3
"""The demo with real processes, small: a job that ends well, and one that loses two sites."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
RUN = HERE.parents[1] / "configs" / "demo" / "run.py"
BIN, MODEL = sys.argv[1], sys.argv[2]


class Demo(unittest.TestCase):
    def setUp(self):
        self.output = pathlib.Path(tempfile.mkdtemp(prefix="cloister-demo-"))

    def tearDown(self):
        shutil.rmtree(self.output, ignore_errors=True)

    def demo(self, *flags):
        result = subprocess.run(
            [sys.executable, RUN, "--bin", BIN, "--model", MODEL, "--job", HERE / "quick-job.yaml",
             "--output", self.output / "demo", *flags],
            capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.stdout = result.stdout
        return json.loads((self.output / "demo" / "report.json").read_text())

    def test_four_sites_train_one_model_that_answers(self):
        report = self.demo()
        self.assertEqual(report["coordinator"]["rounds"], 3)
        self.assertEqual(set(report["sites"]), {"niddk", "ninds", "nhlbi", "cancergov"})
        for name, site in report["sites"].items():
            self.assertNotEqual(site["loss_before"], site["loss_after"], name)
            self.assertTrue(0 < site["epsilon"] < site["epsilon_alone"], name)
            # Three rounds of 23,040 masked words each way, and not much more.
            self.assertTrue(3 * 4 * 23040 < site["bytes_sent"] < 2 * 3 * 4 * 23040, name)
            self.assertIn(name, self.stdout)
        self.assertLess(report["sizes"]["q8_0_bytes"], 0.3 * report["sizes"]["f32_bytes"])
        self.assertEqual(len(report["answers"]), 2)
        for answer in report["answers"]:
            self.assertGreater(len(answer["answer"].split()), 10)
        # What a coordinator keeps never holds a site's loss.
        kept = (self.output / "demo" / "adapter" / "report.json").read_text()
        self.assertNotIn("loss", kept)

    def test_one_lost_site_is_borne_and_a_second_stops_the_job(self):
        report = self.demo("--kill-site")
        self.assertTrue(report["round_2"]["equal"])
        self.assertEqual(report["round_2"]["words"], 23040)
        self.assertEqual(set(report["after_second_loss"]), {"niddk", "cancergov"})
        for reason in report["after_second_loss"].values():
            self.assertIn("2 of 4 sites are lost (ninds, nhlbi)", reason)
        self.assertFalse((self.output / "demo" / "sums" / "round-3.i64").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
