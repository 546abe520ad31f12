#!/usr/bin/env python3
"""What a round of the exchange costs on a GPU: a Llama of 124 M parameters, codec by codec, every step and every few steps.

usage: gpu_exchange.py PROGRAM CORPUS [--ranks 2] [--steps 30] [--only NAME]

Ranks are threads of one process that share the GPU, over loopback, so a step holds the work of all ranks and the wire costs a copy. Prints a
JSON line for each course: medians over the steps behind the first ten. exposed_s is the time that training waited for a round, encode_s what
the lanes spent in codecs, both of a rank and round; bytes are of a rank and round.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODEL = {"model.d_model": 768, "model.layers": 17, "model.heads": 12, "model.kv_heads": 12, "model.ffn": 2144, "model.context": 1024}
EVERY_STEP = {"exchange.schedule": "every_step"}
ROUNDS = {"exchange.schedule": "local_steps", "exchange.every": 5}
COURSES = {
    "none": EVERY_STEP | {"compress.codec": "none"},
    "bf16": EVERY_STEP | {"compress.codec": "bf16"},
    "quantize": EVERY_STEP | {"compress.codec": "quantize"},
    "sign": EVERY_STEP | {"compress.codec": "sign"},
    "topk": EVERY_STEP | {"compress.codec": "topk"},
    "sparseloco": EVERY_STEP | {"compress.codec": "sparseloco"},
    "rounds-topk": ROUNDS | {"compress.codec": "topk"},
    "rounds-sparseloco": ROUNDS | {"compress.codec": "sparseloco"},
    "rounds-diloco": ROUNDS | {"compress.codec": "none", "exchange.outer.name": "nesterov", "exchange.outer.lr": 0.7},
}
FIRST = 10  # steps that are left out


def medians(program, corpus, course, ranks, steps):
    with tempfile.TemporaryDirectory() as folder:
        values = MODEL | COURSES[course] | {
            "run.dir": folder, "run.name": "gpu", "run.steps": steps, "run.device": "cuda", "run.precision": "bf16", "parallel.dp": ranks,
            "data.gcide_path": corpus, "data.global_batch": 4 * ranks, "data.micro_batch": 4, "exchange.bucket": "16MB",
            "compress.start": "0%", "eval.batches": 1, "checkpoint.every": 0, "log.every": 1}
        settings = (word for name, value in values.items() for word in ("--set", f"{name}={value}"))
        words = [program, "train", "-c", str(ROOT / "configs/quickstart.yaml"), *settings]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (pathlib.Path(folder) / "gpu/metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["kind"] == "train" and line["step"] > FIRST]
    rounds = [line for line in train if line["encode_s"] > 0]
    return {"course": course, "ranks": ranks, "step_s": statistics.median(line["step_s"] for line in train),
            "exposed_s": statistics.median(line["exposed_comm_s"] for line in rounds),
            "encode_s": statistics.median(line["encode_s"] for line in rounds),
            "round_bytes": statistics.median(line["wire_bytes_tx"] for line in rounds), "loss": train[-1]["loss"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program")
    parser.add_argument("corpus")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--only", action="append", choices=COURSES, help="one course; may be given again")
    asked = parser.parse_args()
    for course in asked.only or COURSES:
        print(json.dumps(medians(asked.program, asked.corpus, course, asked.ranks, asked.steps)), flush=True)


if __name__ == "__main__":
    main()
