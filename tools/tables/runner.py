"""Runs one training after another until nothing is left or the time is over.

A run lives in a folder of its own in the cache and is removed when it is done. It is ended, unrecorded, when the time is over in its midst.
"""
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import records

ROOT = Path(__file__).resolve().parents[2]
BASE = "tools/tables/base.yaml"
PEER = "tools/tables/peer/train.py"
DOCS = ROOT / "docs" / "methods" / "tables"


def cache():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "thinwire" / "tables"


def arguments(run):
    """What follows the program's name; the same on every machine."""
    if run.launcher == "peer":
        return ["--options", json.dumps({**run.options, "run.seed": run.seed}, separators=(",", ":"))]
    words = ["train", "-c", BASE]
    for name, value in {**run.options, "run.seed": run.seed}.items():
        words += ["--set", f"{name}={value}"]
    return words


class Runner:
    def __init__(self, program, peer_python=None):
        self.program, self.peer_python = str(program), peer_python
        self.commit = self._commit()

    def _commit(self):
        version = subprocess.run([self.program, "version"], capture_output=True, text=True, check=False).stdout
        return next((line.split()[1] for line in version.splitlines() if line.startswith("commit")), "unknown")

    def command(self, run, folder):
        """(what is executed, what the record says): without the paths of this machine."""
        words = arguments(run)
        if run.launcher == "peer":
            executed = [self.peer_python, PEER, *words, "--program", self.program, "--folder", str(folder)]
            return executed, shlex.join(["python3", PEER, *words])
        executed = [self.program, *words, "--set", f"run.dir={folder.parent}", "--set", f"run.name={folder.name}", "--overwrite"]
        return executed, shlex.join(["build/thinwire", *words])

    def make(self, run, seconds):
        """The record of a run, without its table; None when the seconds did not suffice."""
        folder = cache() / run.key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        executed, said = self.command(run, folder)
        began, cpu_before = time.monotonic(), _children_cpu_s()
        status = _run_bounded(executed, folder / "output.log", seconds)
        if status is None:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        record = {"key": run.key, "label": run.label, "options": run.options, "seed": run.seed, "launcher": run.launcher,
                  "seconds": round(time.monotonic() - began, 1), "cpu_seconds": round(_children_cpu_s() - cpu_before, 1), "command": said,
                  "commit": self.commit}
        if status == 0:
            record.update(status="done", **_figures(folder / "metrics.jsonl"))
        else:
            record.update(status="failed", error=_last_line(folder / "output.log").replace(str(folder), "RUN"), exit_code=status)
        shutil.rmtree(folder, ignore_errors=True)
        return record


def _run_bounded(command, log, seconds):
    """The exit code; None when the command had to be ended. Interrupting us ends it too. It has a process group of its own: peers start processes."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
                                   start_new_session=True)
        try:
            return process.wait(timeout=max(1, seconds))
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _children_cpu_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(metrics):
    """The last evaluation and the ratio of the whole run."""
    found = {}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["kind"] == "train":
            found["ratio_total"] = round(record["ratio_total"], 3)
        for metric in ("val_bpb", "val_accuracy"):
            if record["kind"] == "eval" and metric in record:
                found.update(metric=metric, value=round(record[metric], 5))
    return found


def _last_line(log):
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"


def fill(table, runner, deadline, folder=DOCS, say=print):
    """Makes the table's missing runs one after another; True when none is missing. A run is not begun in less time than the last one took."""
    path = folder / f"{table.name}.jsonl"
    results, last_s = records.load(path), 0
    while True:
        runs = {run.key: run for run in table.runs(results)}  # sections share runs
        missing = [run for key, run in runs.items() if key not in results]
        if not missing:
            return True
        left_s = deadline - time.monotonic()
        if left_s <= max(1, last_s):
            say(f"[tables] {table.name}: {len(missing)} of {len(runs)} runs are missing; the same command goes on")
            return False
        run = missing[0]
        record = runner.make(run, left_s)
        if record is None:
            continue
        records.append(path, {"table": table.name, **record})
        results[run.key], last_s = record, record["seconds"]
        say(f"[tables] {table.name}: {len(runs) - len(missing) + 1} of {len(runs)}: {run.label}, seed {run.seed}: {_said(record)}")


def _said(record):
    if record["status"] == "failed":
        return f"FAILED: {record['error']}"
    return f"{record['metric']} {record['value']:.4f}, ratio_total {record['ratio_total']:.1f} ({record['seconds']:.0f} s)"
