"""How long training waits for saves, and what they cost it altogether. Called by ./run bench saves.

The same steps are trained without checkpoints and with each way to save, in turn, so that what else the machine does hits all alike; of the rounds the
fastest counts. Blocked: the training thread stood still for a save. Cost: what the whole stretch took longer than the one without checkpoints; saves beside
training also take processor time, which is in it.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

WAYS = {"no checkpoint": {"checkpoint.every": 0},
        "synchronous raw": {"checkpoint.async": "false", "checkpoint.mode": "raw"},
        "synchronous exact": {"checkpoint.async": "false", "checkpoint.mode": "exact"},
        "asynchronous raw": {"checkpoint.async": "true", "checkpoint.mode": "raw"},
        "asynchronous exact": {"checkpoint.async": "true", "checkpoint.mode": "exact"}}


def parse(words):
    parser = argparse.ArgumentParser(prog="./run bench saves", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/thinwire", help="build/thinwire")
    parser.add_argument("--config", default="configs/quickstart.yaml", help="what is trained: configs/quickstart.yaml, the demo's model")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of all runs")
    parser.add_argument("--every", type=int, default=20, help="steps between saves (20)")
    parser.add_argument("--saves", type=int, default=3, help="in each run (3)")
    parser.add_argument("--rounds", type=int, default=3, help="times that each way is timed (3)")
    options = parser.parse_args(words)
    if min(options.every, options.saves, options.rounds) < 1:
        parser.error("--every, --saves and --rounds are at least 1")
    return options


def run(options, name, settings, folder):
    """(seconds of the stretch, events of its saves)"""
    # As many intervals as saves, each of which begins with one; the interval before them warms up, and the save at the very end comes after them.
    last = (options.saves + 1) * options.every
    settings = {"parallel.dp": 2, "run.verify_every": 0, "eval.every": 0, "eval.batches": 1, "log.every": 1, "checkpoint.every": options.every,
                "checkpoint.keep": 1, **settings, "run.dir": folder, "run.name": name, "run.steps": last}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    words += [word for setting in options.set for word in ("--set", setting)]
    done = subprocess.run([options.program, "train", "-c", options.config, "--overwrite", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"[bench] {' '.join(map(str, done.args))}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    lines = (pathlib.Path(folder) / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    at = {record["step"]: record["ts"] for record in records if record["kind"] == "train"}
    saves = [record for record in records if record.get("event") == "checkpoint" and record["step"] < last]
    return at[last] - at[options.every], saves


def measure(options):
    best = {}
    pathlib.Path("runs").mkdir(exist_ok=True)  # the disk that runs are on
    with tempfile.TemporaryDirectory(prefix="bench-saves-", dir="runs") as folder:
        for _ in range(options.rounds):
            for name, settings in WAYS.items():
                seconds, saves = run(options, name.replace(" ", "-"), settings, folder)
                expected = 0 if name == "no checkpoint" else options.saves
                if len(saves) != expected:
                    sys.exit(f"[bench] {name}: {len(saves)} saves instead of {expected}")
                if name not in best or seconds < best[name][0]:
                    best[name] = (seconds, saves)
    return best


def main(words):
    options = parse(words)
    best = measure(options)
    without, _ = best["no checkpoint"]
    interval_s = without / options.saves
    print(f"{options.config}, 2 ranks, a save every {options.every} steps, which take {interval_s:.2f} s without; fastest of {options.rounds} rounds")
    print(f"{'way':<20} {'blocked s a save':>17} {'of the interval':>16} {'save s':>8} {'x no checkpoint':>16}")
    rows = []
    for name, (seconds, saves) in best.items():
        mean = {key: sum(save[key] for save in saves) / max(1, len(saves)) for key in ("blocked_s", "save_s")}
        print(f"{name:<20} {mean['blocked_s']:>17.4f} {mean['blocked_s'] / interval_s:>16.2%} {mean['save_s']:>8.3f} {seconds / without:>16.4f}")
        rows.append({"way": name, "stretch_s": seconds, "interval_s": interval_s, **mean, "saves": len(saves)})
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1:])
