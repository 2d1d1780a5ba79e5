#!/usr/bin/env python3
"""The evidence check finds each kind of broken claim."""
import unittest

import cuda_evidence

CLAIM = {"kernel": "k", "architecture": "sm_80", "threads": 128, "registers": 64, "shared": 19712,
         "blocks": 8, "instructions": ["cp.async", "LDGSTS"]}
REPORT = """ptxas info    : Compiling entry function 'k' for 'sm_80'
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 60 registers, used 1 barriers, 19712 bytes smem
"""


class EvidenceTest(unittest.TestCase):
    def problems(self, **change):
        report = REPORT
        for old, new in change.get("replace", {}).items():
            self.assertIn(old, report)
            report = report.replace(old, new)
        return list(cuda_evidence.report_problems(CLAIM, report))

    def test_the_report_as_claimed_passes(self):
        self.assertEqual(self.problems(), [])

    def test_spills_and_stack_are_found(self):
        self.assertTrue(self.problems(replace={"0 bytes spill stores": "8 bytes spill stores"}))
        self.assertTrue(self.problems(replace={"0 bytes stack": "16 bytes stack"}))

    def test_too_many_registers_lose_occupancy(self):
        self.assertEqual(len(self.problems(replace={"60 registers": "72 registers"})), 2)

    def test_other_shared_memory_is_found(self):
        self.assertTrue(self.problems(replace={"19712 bytes smem": "30000 bytes smem"}))

    def test_an_empty_report_is_found(self):
        self.assertTrue(list(cuda_evidence.report_problems(CLAIM, "")))

    def test_missing_instructions_are_found(self):
        ptx = list(cuda_evidence.instruction_problems(CLAIM, "ld.global", "PTX", True))
        code = list(cuda_evidence.instruction_problems(CLAIM, "LDG", "code", False))
        self.assertEqual((len(ptx), len(code)), (1, 1))
        self.assertFalse(list(cuda_evidence.instruction_problems(CLAIM, "cp.async", "PTX", True)))

    def test_occupancy_follows_the_scarcest_resource(self):
        self.assertEqual(cuda_evidence.resident_blocks("sm_80", 128, 60, 19712), 8)
        self.assertEqual(cuda_evidence.resident_blocks("sm_90", 128, 64, 19712), 8)
        self.assertEqual(cuda_evidence.resident_blocks("sm_80", 128, 32, 0), 16)

    def test_rows_of_the_note_are_read(self):
        rows = cuda_evidence.claims("| `k` | sm_80 | 128 | 64 | 19712 | 8 | `cp.async`, `LDGSTS` |")
        self.assertEqual(rows, [CLAIM])


if __name__ == "__main__":
    unittest.main()
