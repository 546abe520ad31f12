"""kill -9 of a random rank in each phase of a save, two hundred times: tests/e2e/kill_rounds.py. Called by ./run soak.

usage: python3 tools/soak --program PROGRAM [SECONDS]

Rounds go on for SECONDS (3600), a line of JSON each in build-soak/kills.jsonl. Running it again goes on where it stopped, as long as the program is the
same; a program that was built anew begins anew.
"""
import argparse
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

import kill_rounds  # noqa: E402
import thinwire  # noqa: E402

ROUNDS = 200
DEFAULT_SECONDS = 3600
RECORDS = ROOT / "build-soak" / "kills.jsonl"


def parse(words):
    parser = argparse.ArgumentParser(prog="tools/soak")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("seconds", nargs="?", type=int, default=DEFAULT_SECONDS)
    return parser.parse_args(words)


def records_of(program):
    """Of rounds that this program has survived."""
    lines = RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.exists() else []
    return [record for record in map(json.loads, lines) if record["program"] == program and record["ok"]]


def note(record):
    RECORDS.parent.mkdir(exist_ok=True)
    with RECORDS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def summary(records):
    phases = {phase: sum(record["phase"] == phase for record in records) for phase in kill_rounds.PHASES}
    return f"{len(records)} of {ROUNDS} rounds survived ({', '.join(f'{phase} {count}' for phase, count in phases.items())})"


def soak(program, seconds):
    """True when nothing failed."""
    deadline = time.monotonic() + seconds
    done = records_of(program)
    if len(done) >= ROUNDS:
        return True
    folder = pathlib.Path(tempfile.mkdtemp(prefix="thinwire-soak-"))
    rounds = kill_rounds.Rounds(folder)
    while len(done) < ROUNDS and time.monotonic() < deadline:
        seed = len(done)
        try:
            record = rounds.round(seed)
        except (kill_rounds.Failed, AssertionError) as error:
            note({"program": program, "ok": False, "seed": seed, "why": str(error)})
            print(f"[soak] round {seed} FAILED: {error}\n    what it left: {folder}", file=sys.stderr)
            return False
        done.append(record)
        note({"program": program, "ok": True, **record})
        print(f"[soak] round {seed}: {record['phase']}, rank {record['rank']}, of the save of step {record['step']} there was: {record['left']}; "
              f"goes on from step {record['newest']} ({record['seconds']} s)", flush=True)
    try:
        rounds.finish()
    except kill_rounds.Failed as error:
        note({"program": program, "ok": False, "seed": len(done), "why": str(error)})
        print(f"[soak] the end of the run FAILED: {error}\n    what it left: {folder}", file=sys.stderr)
        return False
    shutil.rmtree(folder)
    return True


def main(words):
    options = parse(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, which ends the round in progress too
    thinwire.program = options.program.resolve()
    program = hashlib.sha256(thinwire.program.read_bytes()).hexdigest()[:16]
    print(f"[soak] {summary(records_of(program))}; up to {options.seconds} s more; records: {RECORDS}", flush=True)
    held = soak(program, options.seconds)
    print(f"[soak] {summary(records_of(program))}")
    if not held:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
