"""Long trials of what must never fail. Called by ./run soak.

kills     kill -9 of a random rank in each phase of a save, two hundred times: tests/e2e/kill_rounds.py
failures  a random rank fails at a random time of a random cause, a hundred times, and is named first: tests/e2e/failure_rounds.py

usage: python3 tools/soak --program PROGRAM [SECONDS]

Rounds go on for SECONDS (3600), half of them for each trial unless the other one is done, a line of JSON each in build-soak/TRIAL.jsonl. Running it again
goes on where it stopped, as long as the program is the same; a program that was built anew begins anew.
"""
import argparse
import collections
import dataclasses
import hashlib
import json
import pathlib
import shutil
import signal
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import failure_rounds  # noqa: E402
import kill_rounds  # noqa: E402
import thinwire  # noqa: E402

FOLDER = ROOT / "build-soak"
DEFAULT_SECONDS = 3600


@dataclasses.dataclass
class Trial:
    name: str
    module: object  # with Rounds and Failed
    rounds: int
    by: str         # the key of a record by which the summary counts

    @property
    def records(self):
        return FOLDER / f"{self.name}.jsonl"


TRIALS = [Trial("kills", kill_rounds, 200, "phase"), Trial("failures", failure_rounds, 100, "cause")]


def parse(words):
    parser = argparse.ArgumentParser(prog="tools/soak")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("seconds", nargs="?", type=int, default=DEFAULT_SECONDS)
    return parser.parse_args(words)


def records_of(trial, program):
    """Of rounds that this program has survived."""
    lines = trial.records.read_text(encoding="utf-8").splitlines() if trial.records.exists() else []
    return [record for record in map(json.loads, lines) if record["program"] == program and record["ok"]]


def note(trial, record):
    trial.records.parent.mkdir(exist_ok=True)
    with trial.records.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def summary(trial, records):
    counts = collections.Counter(record[trial.by] for record in records)
    return f"{trial.name}: {len(records)} of {trial.rounds} rounds held ({', '.join(f'{what} {count}' for what, count in sorted(counts.items()))})"


def told(record):
    return ", ".join(f"{key} {value}" for key, value in record.items() if key not in ("seed", "program", "ok"))


def soak(trial, program, seconds):
    """True when nothing failed."""
    deadline = time.monotonic() + seconds
    done = records_of(trial, program)
    if len(done) >= trial.rounds:
        return True
    folder = pathlib.Path(tempfile.mkdtemp(prefix="thinwire-soak-"))
    rounds = trial.module.Rounds(folder)
    while len(done) < trial.rounds and time.monotonic() < deadline:
        seed = len(done)
        try:
            record = rounds.round(seed)
        except (trial.module.Failed, AssertionError) as error:
            return failed(trial, program, seed, f"round {seed}", error, folder)
        done.append(record)
        note(trial, {"program": program, "ok": True, **record})
        print(f"[soak] {trial.name}, round {seed}: {told(record)}", flush=True)
    try:
        rounds.finish()
    except trial.module.Failed as error:
        return failed(trial, program, len(done), "the end of the run", error, folder)
    shutil.rmtree(folder)
    return True


def failed(trial, program, seed, what, error, folder):
    note(trial, {"program": program, "ok": False, "seed": seed, "why": str(error)})
    print(f"[soak] {trial.name}, {what} FAILED: {error}\n    what it left: {folder}", file=sys.stderr)
    return False


def main(words):
    options = parse(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, which ends the round in progress too
    thinwire.program = options.program.resolve()
    program = hashlib.sha256(thinwire.program.read_bytes()).hexdigest()[:16]
    began, held = time.monotonic(), True
    for index, trial in enumerate(TRIALS):
        left_s = options.seconds - (time.monotonic() - began)
        seconds = left_s / (len(TRIALS) - index)
        print(f"[soak] {summary(trial, records_of(trial, program))}; up to {seconds:.0f} s more; records: {trial.records}", flush=True)
        held = soak(trial, program, seconds) and held
    for trial in TRIALS:
        print(f"[soak] {summary(trial, records_of(trial, program))}")
    if not held:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
