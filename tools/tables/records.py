"""The records of finished runs: JSON lines, one file a table, only ever appended to.

A run is known by its key: what it was told to do, whoever ran it and when. A record is
{table, key, label, options, seed, status, metric, value, ratio_total, seconds, cpu_seconds, command, commit}; status is `done`, or `failed` and then
`error` stands in place of the numbers. A failed run is not tried again, since it would fail again: to try, remove its line.
"""
import hashlib
import json
from dataclasses import dataclass, field

# Part of every key. Raise it when a change to the trainer, a codec or a hook makes old figures untrue.
SCHEMA = 1


@dataclass(frozen=True)
class Run:
    """One training. `options` are configuration keys with values (for a peer: what its program takes); `label` is for people and is no part of the key."""
    label: str
    options: dict = field(hash=False)
    seed: int
    launcher: str = "thinwire"  # or peer

    @property
    def key(self):
        return key_of(self.options, self.seed, self.launcher)


def key_of(options, seed, launcher="thinwire"):
    """16 hex digits of the hash of what determines a run; the order of options and the type of a value (1, "1") do not matter."""
    text = json.dumps([SCHEMA, launcher, seed, sorted((name, str(value)) for name, value in options.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load(path):
    """{key: record} of a file of JSON lines; the last record of a key counts. A last line that was cut short is as if it had not been written."""
    found = {}
    if not path.exists():
        return found
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                continue
            raise SystemExit(f"[tables] {path}:{number}: not a record ({error}): mend or remove the line") from error
        found[record["key"]] = record
    return found


def append(path, record):
    """Adds one line; what an interrupted writer left without an end of line is removed first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.read_bytes() if path.exists() else b""
    whole = before[:before.rfind(b"\n") + 1]
    with path.open("r+b" if before else "wb") as file:
        file.truncate(len(whole))
        file.seek(len(whole))
        file.write((json.dumps(record) + "\n").encode())
