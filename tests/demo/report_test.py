#!/usr/bin/env python3
"""The demo says so when it does not keep what it promises."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "configs" / "demo"))
import report  # noqa: E402


def result(before=2.6, after=2.4, epsilon=6.0):
    return {"sites": {name: {"loss_before": before, "loss_after": after, "epsilon": epsilon}
                      for name in ("a", "b")}}


class Promises(unittest.TestCase):
    def test_a_good_run_keeps_them(self):
        self.assertEqual(report.broken_promises(result()), [])

    def test_a_rise_at_one_site_is_named(self):
        run = result(after=2.2)
        run["sites"]["b"]["loss_after"] = 2.61
        self.assertIn("at b", "".join(report.broken_promises(run)))

    def test_a_small_fall_is_not_enough(self):
        self.assertIn("below 0.12", "".join(report.broken_promises(result(after=2.5))))

    def test_too_large_or_unknown_epsilon_is_named(self):
        self.assertEqual(len(report.broken_promises(result(epsilon=8.1))), 2)
        self.assertEqual(len(report.broken_promises(result(epsilon=None))), 2)

    def test_a_loss_that_is_no_number_breaks_them(self):
        self.assertTrue(report.broken_promises(result(after=float("nan"))))


class SumCheck(unittest.TestCase):
    def write(self, path, values):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(v.to_bytes(8, "little", signed=True) for v in values))

    def check(self, total, updates):
        with tempfile.TemporaryDirectory() as folder:
            output = pathlib.Path(folder)
            self.write(report.sum_file(output, 2), total)
            for site, values in updates.items():
                self.write(output / "sites" / site / "updates" / "round-2.i64", values)
            return report.check_sum(output, 2, list(updates))["equal"]

    def test_the_sum_of_the_survivors_is_recognised(self):
        self.assertTrue(self.check([4, -6], {"a": [1, -2], "b": [3, -4]}))

    def test_another_sum_is_not(self):
        self.assertFalse(self.check([4, -5], {"a": [1, -2], "b": [3, -4]}))
        self.assertFalse(self.check([], {"a": [], "b": []}))


if __name__ == "__main__":
    unittest.main(verbosity=2)
