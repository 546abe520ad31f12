"""Makes the tables of docs/methods/tables. Called by ./run tables and ./run peers.

usage: python3 tools/tables --dry-run [--peers] [SECONDS] [TABLE...]        says how much is missing
       python3 tools/tables --program PROGRAM [--peers PYTHON] [SECONDS] [TABLE...]

Tables are filled in the order given for SECONDS together (3600), then written from all records, old and new. Running it again goes on where it stopped;
with 0 SECONDS it only writes the pages.
"""
import argparse
import signal
import sys
import time

import records
import runner
from experiments import PEER_TABLES, TABLES
from page import write

DEFAULT_SECONDS = 3600


def parse(words):
    parser = argparse.ArgumentParser(prog="tools/tables")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--program")
    parser.add_argument("--peers", nargs="?", const="", metavar="PYTHON")
    parser.add_argument("words", nargs="*")
    options = parser.parse_args(words)
    if not options.dry_run and not options.program:
        parser.error("--program or --dry-run is needed")
    options.seconds, names = split(options.words)
    known = TABLES if options.peers is None else PEER_TABLES
    for name in names:
        if name not in known:
            print(f"[tables] there is no table '{name}'. The tables are {', '.join(known)}", file=sys.stderr)
            raise SystemExit(2)
    options.tables = [known[name] for name in names or known]
    return options


def split(words):
    """SECONDS, where the first word is a number, and the rest."""
    if words and words[0].isdigit():
        return int(words[0]), words[1:]
    return DEFAULT_SECONDS, words


def results_of(table):
    return records.load(runner.DOCS / f"{table.name}.jsonl")


def say_what_is_missing(tables):
    for table in tables:
        results = results_of(table)
        keys = {run.key for run in table.runs(results)}
        print(f"[tables] {table.name}: {sum(key not in results for key in keys)} of {len(keys)} runs are missing")


def write_pages():
    """All of them: a peer's figures also stand in our own table of the same task."""
    for table in {**TABLES, **PEER_TABLES}.values():
        results = results_of(table)
        if results:
            beside = getattr(table, "beside", None)
            write(table, results, runner.DOCS / f"{table.name}.md", results_of(beside) if beside else None)


def main(words):
    options = parse(words)
    if options.dry_run:
        say_what_is_missing(options.tables)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as an exception, which ends the run in progress too
    deadline = time.monotonic() + options.seconds
    made = runner.Runner(options.program, options.peers)
    try:
        complete = all([runner.fill(table, made, deadline) for table in options.tables])
    finally:  # also when interrupted
        write_pages()
    print(f"[tables] {'complete' if complete else 'to be continued by the same command'}: docs/methods/tables")


if __name__ == "__main__":
    main(sys.argv[1:])
