#!/usr/bin/env python3
"""Four institutions fine-tune one model under differential privacy and secure aggregation.

Runs the `cloister` commands that the README shows, each site as processes of its own on loopback,
and writes a table, its JSON and a plot. Standard library only.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import report

SITES = ("niddk", "ninds", "nhlbi", "cancergov")
HERE = pathlib.Path(__file__).resolve().parent
MARKER = ".cloister-demo"
QUESTIONS = ("What are the symptoms of kidney stones?", "How is high blood pressure treated?")


class DemoError(Exception):
    """What went wrong, told to a person."""


class Demo:
    def __init__(self, arguments):
        self.bin = pathlib.Path(arguments.bin).resolve()
        self.model = pathlib.Path(os.path.relpath(arguments.model))
        self.data = pathlib.Path(os.path.relpath(HERE / "data"))
        self.kill_site = arguments.kill_site
        self.output = pathlib.Path(
            arguments.output or ("runs/demo-kill-site" if self.kill_site else "runs/demo"))
        self.job = pathlib.Path(arguments.job or HERE / "job.yaml")
        self.promised = arguments.job is None  # the demo's own job must train well, not just run
        self.processes = {}
        self.started = time.monotonic()

    # ---- running commands ---------------------------------------------------------------------

    def show(self, words):
        """Prints a command as a person would type it."""
        shown = " ".join(shlex.quote(str(word)) for word in ["cloister", *words[1:]])
        print(f"$ {shown}", file=sys.stderr, flush=True)

    def run(self, *words):
        """Runs `cloister WORDS…`, returns what it prints; its stderr stays the terminal."""
        command = [str(self.bin / "cloister"), *map(str, words)]
        self.show(command)
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if result.returncode != 0:
            raise DemoError(f"`cloister {' '.join(map(str, words[:2]))}` ended with "
                            f"{result.returncode}: see its error above")
        return result.stdout

    def start(self, name, words, log=None):
        command = [str(self.bin / "cloister"), *map(str, words)]
        self.show(command)
        with contextlib.ExitStack() as stack:
            stderr = stack.enter_context(open(log, "wb")) if log else None
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if not log else stderr,
                stderr=stderr, text=not log)
        return self.processes[name]

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            if process.poll() is None:
                process.kill()

    def log_of(self, site):
        return self.output / "sites" / site / "site.log"

    def reason(self, site):
        lines = [line for line in self.log_of(site).read_text(errors="replace").splitlines()
                 if line.startswith("error:")]
        return lines[-1] if lines else "no error line in its log"

    # ---- the steps ------------------------------------------------------------------------------

    def prepare(self):
        """Empty folders, a certificate authority, a certificate and a key for everyone."""
        # Ledgers go too: the demo's data is public and every demo starts anew. A real site keeps
        # its ledger for as long as it keeps its data.
        if self.output.exists() and any(self.output.iterdir()):
            if not (self.output / MARKER).exists():
                raise DemoError(f"{self.output} holds files that no demo made: name another folder")
            shutil.rmtree(self.output)
        self.output.mkdir(parents=True, exist_ok=True)
        (self.output / MARKER).write_text("made by ./dev demo, which empties this folder\n")
        for site in SITES:
            (self.output / "sites" / site).mkdir(parents=True)
        ca = self.output / "ca"
        self.run("federation", "ca", "init", "--directory", ca)
        for name, role in [("coordinator", "coordinator"), ("submitter", "submitter"),
                           *((site, "site") for site in SITES)]:
            self.run("federation", "ca", "issue", "--directory", ca, "--name", name, "--role", role,
                     "--output", self.output / "certificates" / name)
        shutil.copy(self.job, self.output / "job.yaml")
        shutil.copy(HERE / "policy.yaml", self.output / "policy.yaml")

    def start_coordinator(self):
        words = ["federation", "coordinator", "--listen", "127.0.0.1:0", "--certificates",
                 self.output / "certificates" / "coordinator", "--submitters",
                 self.output / "certificates" / "submitter" / "identity-public.pem",
                 "--model", self.model,
                 "--state", self.output / "coordinator", "--output", self.output / "adapter",
                 "--once", "--json"]
        if self.kill_site:
            words += ["--record-sums", self.output / "sums"]
        coordinator = self.start("coordinator", words)
        line = coordinator.stdout.readline()
        if not line:
            raise DemoError("the coordinator did not start: see its error above")
        return json.loads(line)["address"]

    def start_sites(self, address):
        threads = max(1, (os.cpu_count() or 1) // len(SITES))
        for site in SITES:
            folder = self.output / "sites" / site
            words = ["federation", "site", "--name", site, "--coordinator", address,
                     "--certificates", self.output / "certificates" / site,
                     "--identity", self.output / "certificates" / site / "identity.pem",
                     "--model", self.model, "--data", self.data / site,
                     "--state", folder, "--policy", self.output / "policy.yaml",
                     "--threads", threads]
            if self.kill_site:
                words += ["--record-updates", folder / "updates"]
            self.start(site, words, log=self.log_of(site))

    def submit(self, address):
        self.run("federation", "submit", "--job", self.output / "job.yaml", "--key",
                 self.output / "certificates" / "submitter" / "identity.pem",
                 "--coordinator", address, "--certificates",
                 self.output / "certificates" / "submitter")

    def federate(self):
        """Runs the job; returns the reports of the coordinator and of each site."""
        address = self.start_coordinator()
        self.start_sites(address)
        self.submit(address)
        coordinator = self.processes["coordinator"]
        output, _ = coordinator.communicate()
        for site in SITES:
            self.processes[site].wait(timeout=60)
        if coordinator.returncode != 0:
            reasons = "; ".join(f"{s}: {self.reason(s)}" for s in SITES
                                if self.processes[s].returncode != 0)
            raise DemoError(f"the coordinator ended with {coordinator.returncode} ({reasons})")
        for site in SITES:
            if self.processes[site].returncode != 0:
                raise DemoError(f"site {site} failed: {self.reason(site)}")
        sites = {site: json.loads((self.output / "sites" / site / "report.json").read_text())
                 for site in SITES}
        return json.loads(output.splitlines()[-1]), sites

    def deploy(self):
        """Merges, quantizes and asks; returns sizes and answers."""
        f32, q8 = self.output / "merged-f32.gguf", self.output / "merged-q8_0.gguf"
        self.run("model", "merge", "--model", self.model, "--adapter", self.output / "adapter",
                 "--output", f32, "--type", "f32")
        self.run("quantize", "--model", f32, "--output", q8, "--type", "q8_0", "--json")
        answers = []
        for question in QUESTIONS:
            text = self.run("generate", "--model", q8, "--chat", question, "--max-new-tokens", 96,
                            "--temperature", 0, "--json")
            answers.append({"question": question, "answer": json.loads(text)["text"].strip()})
        return {"f32_bytes": f32.stat().st_size, "q8_0_bytes": q8.stat().st_size}, answers

    # ---- a lost site ----------------------------------------------------------------------------

    def wait_for(self, site, text, timeout=300):
        """Until `text` stands in the site's log."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if text in self.log_of(site).read_text(errors="replace"):
                return
            if self.processes[site].poll() is not None:
                raise DemoError(f"site {site} ended too early: {self.reason(site)}")
            time.sleep(0.05)
        raise DemoError(f"site {site} did not come to '{text}' within {timeout} s")

    def kill(self, site):
        print(f"--- killing site {site} (SIGKILL)", file=sys.stderr, flush=True)
        self.processes[site].send_signal(signal.SIGKILL)

    def lose_two(self):
        """One loss is borne, a second stops the job; returns what was seen."""
        address = self.start_coordinator()
        self.start_sites(address)
        self.submit(address)
        self.wait_for("ninds", "round 2: training")
        self.kill("ninds")
        self.wait_for("niddk", "round 2: done")
        check = report.check_sum(self.output, 2, [s for s in SITES if s != "ninds"])
        if not check["equal"]:
            raise DemoError(f"round 2's sum is wrong: {check}")
        print(f"--- round 2 ended without ninds; the coordinator's sum equals the sum of the three "
              f"survivors' own records in all {check['words']} words", file=sys.stderr)
        self.wait_for("nhlbi", "round 3: training")
        self.kill("nhlbi")
        coordinator = self.processes["coordinator"]
        coordinator.communicate()
        for site in ("niddk", "cancergov"):
            self.processes[site].wait(timeout=60)
        if coordinator.returncode != 1:
            raise DemoError(f"after the second loss the coordinator ended with "
                            f"{coordinator.returncode} and not 1")
        reasons = {site: self.reason(site) for site in ("niddk", "cancergov")}
        for site, reason in reasons.items():
            print(f"--- {site}: {reason}", file=sys.stderr)
        if report.sum_file(self.output, 3).exists():
            raise DemoError("round 3 had two survivors and yet its sum was revealed")
        return {"round_2": check, "after_second_loss": reasons,
                "seconds": round(time.monotonic() - self.started, 1)}

    def main(self):
        self.prepare()
        if self.kill_site:
            result = self.lose_two()
            (self.output / "report.json").write_text(json.dumps(result, indent=2) + "\n")
            print("one site lost: the round ended without it and its sum is right; "
                  "two lost: the job stopped, nothing was revealed")
            return
        coordinator, sites = self.federate()
        sizes, answers = self.deploy()
        result = {"coordinator": coordinator, "sites": sites, "sizes": sizes, "answers": answers,
                  "seconds": round(time.monotonic() - self.started, 1)}
        (self.output / "report.json").write_text(json.dumps(result, indent=2) + "\n")
        report.plot(self.output, result)
        print(report.table(result))
        if self.promised and (broken := report.broken_promises(result)):
            raise DemoError("; ".join(broken))
        print(f"\nwritten: {self.output}/report.json, loss.png, adapter/, merged-q8_0.gguf")


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--bin", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--model", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--job", help="another job to run (configs/demo/job.yaml)")
    parser.add_argument("--output", help="folder for everything the demo writes (runs/demo)")
    parser.add_argument("--kill-site", action="store_true",
                        help="kill one site in round 2 and another in round 3")
    demo = Demo(parser.parse_args())

    def interrupt(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)  # so that no process outlives a demo that is stopped
    try:
        demo.main()
    except DemoError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 1
    finally:
        demo.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
