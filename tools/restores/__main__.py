"""What a near-exact restore does to training: the validation loss over the next 100 steps, against an exact restore of the same state.

usage: python3 tools/restores [--program build/thinwire] [--seeds 1 2 3] [--schedule gradient | update]

A Llama of 0.66 M parameters (tools/tables) trains 200 steps on two ranks and saves exactly. `thinwire ckpt convert` stores that state near-exactly, with moments in 8 and in 4
bits; each then trains 100 steps more and is evaluated every 10. A line of JSON for each restore is appended to docs/methods/tables/restores.jsonl; those that are there are not
made again.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "tables"))
from tasks import GRADIENT, LLAMA_SMALL, UNCOMPRESSED, feedback, topk, update  # noqa: E402

RECORDS = ROOT / "docs" / "methods" / "tables" / "restores.jsonl"
RESTORE_AT, STEPS, EVAL_EVERY, BAR = 200, 300, 10, 2e-3
SCHEDULES = {"gradient": {**GRADIENT, **UNCOMPRESSED, "optim.lr": "2e-3"},
             "update": {**update(5), **topk("5%"), **feedback("ef14", "95%"), "optim.lr": "4e-3"}}
WAYS = {"8 bits": ["--moments", "8"], "4 bits": ["--moments", "4"]}


class Trial:
    def __init__(self, program, folder, schedule, seed):
        self.program, self.folder = program, folder
        self.options = {**LLAMA_SMALL, **SCHEDULES[schedule], "run.seed": seed, "run.steps": STEPS, "parallel.dp": 2, "run.dir": folder,
                        "eval.every": EVAL_EVERY, "checkpoint.every": RESTORE_AT, "checkpoint.keep": 0, "log.every": 100}

    def run(self, *words):
        done = subprocess.run([self.program, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"[restores] {' '.join(map(str, words))}\n{done.stderr[-2000:]}")

    def train(self, name, *words):
        settings = [word for key, value in {**self.options, "run.name": name}.items() for word in ("--set", f"{key}={value}")]
        self.run("train", "-c", "tools/tables/base.yaml", *settings, *words)

    def losses(self, name):
        """Validation losses after the restore, by step."""
        records = map(json.loads, (self.folder / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        return {record["step"]: record["val_loss"] for record in records if record["kind"] == "eval" and record["step"] > RESTORE_AT}

    def step(self, name, step=RESTORE_AT):
        return self.folder / name / "checkpoints" / f"step-{step:08}"

    def bytes(self, name):
        return sum(path.stat().st_size for path in self.step(name).iterdir())

    def convert(self, name, *words):
        self.run("ckpt", "convert", self.step("exact"), "--to", self.folder / name, *words)

    def restore(self, way):
        name = way.replace(" ", "-")
        self.convert(name, "--mode", "near_exact", "--lossy", *WAYS[way])
        self.train(name, "--resume", self.step(name))
        return name


def trial(program, schedule, seed, missing):
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "thinwire" / "restores"
    folder = cache / f"{schedule}-{seed}"
    shutil.rmtree(folder, ignore_errors=True)
    made = Trial(program, folder, schedule, seed)
    made.train("exact", "--overwrite")
    made.convert("raw", "--mode", "raw")
    exact = made.losses("exact")
    for way in missing:
        name = made.restore(way)
        off = {step: loss - exact[step] for step, loss in made.losses(name).items()}
        furthest = max(off, key=lambda step: abs(off[step]))
        yield {"schedule": schedule, "seed": seed, "moments": way, "ratio": round(made.bytes("raw") / made.bytes(name), 3),
               "ratio_exact": round(made.bytes("raw") / made.bytes("exact"), 3), "furthest": round(off[furthest], 6), "at_step": furthest,
               "after_100": round(off[STEPS], 6), "val_loss": round(exact[STEPS], 5), "within_bar": abs(off[furthest]) <= BAR}
    shutil.rmtree(folder)


def main(words):
    parser = argparse.ArgumentParser(prog="tools/restores")
    parser.add_argument("--program", default=str(ROOT / "build" / "thinwire"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--schedule", nargs="+", choices=SCHEDULES, default=list(SCHEDULES))
    options = parser.parse_args(words)
    known = [json.loads(line) for line in RECORDS.read_text(encoding="utf-8").splitlines()] if RECORDS.exists() else []
    there = {(record["schedule"], record["seed"], record["moments"]) for record in known}
    for seed in options.seeds:
        for schedule in options.schedule:
            missing = [way for way in WAYS if (schedule, seed, way) not in there]
            for record in trial(options.program, schedule, seed, missing) if missing else ():
                with RECORDS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"[restores] {record}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
