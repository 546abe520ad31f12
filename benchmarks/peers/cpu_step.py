#!/usr/bin/env python3
"""One core, one process: seconds of a training step of Thinwire and of PyTorch, each in its modes, on the same Llama.

usage: cpu_step.py PROGRAM [--model 10m|demo] [--rounds 5] [--steps 24] [--only NAME]      needs a Python that has PyTorch

PyTorch's modes are fp32, its reduced-precision products (set_float32_matmul_precision("medium")), bf16 autocast, and fp32 and bf16 compiled;
Thinwire's are those of run.precision. Everyone trains the same shapes by AdamW with clipping, 1,024 tokens a step, and takes turns, a process each,
on the first core that this one may use. Of a turn the median of the steps behind the first quarter counts. A mode that takes more than twice as
long as Thinwire's fp32 in a first turn of four steps, as bf16 does where no instruction multiplies it, has no other. Prints JSON: the medians of
the turns, and by how much Thinwire's fp32 is faster than PyTorch's, and Thinwire's fastest mode than PyTorch's fastest.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/tables/peer"))
MODELS = {"10m": {"d_model": 320, "layers": 8, "heads": 5, "context": 256}, "demo": {"d_model": 224, "layers": 6, "heads": 7, "context": 256}}
SEQUENCES = 4
OWN = ("fp32", "medium", "bf16")
PEERS = ("fp32", "medium", "bf16", "compiled", "bf16 compiled")
HOPELESS = 2  # times Thinwire's fp32
TRIED_STEPS = 4


def of_thinwire(program, shapes, precision, steps):
    with tempfile.TemporaryDirectory() as folder:
        values = {f"model.{name}": value for name, value in shapes.items()}
        # No round of the exchange: there is one rank, and what is timed is its step.
        values |= {"run.dir": folder, "run.name": "cpu", "run.steps": steps, "run.device": "cpu", "run.precision": precision, "run.threads": 1,
                   "data.global_batch": SEQUENCES, "data.micro_batch": SEQUENCES, "exchange.every": 1_000_000, "compress.codec": "none", "eval.every": 0,
                   "eval.batches": 1, "checkpoint.every": 0, "log.every": 1, "log.layers_every": 0}
        settings = (word for name, value in values.items() for word in ("--set", f"{name}={value}"))
        subprocess.run([program, "train", "-c", ROOT / "configs/quickstart.yaml", *settings], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (pathlib.Path(folder) / "cpu/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return middle([line["step_s"] for line in lines if line["kind"] == "train"])


def of_pytorch(shapes, mode, steps):
    import torch
    from llama import Llama
    from train import optimizer_of

    torch.set_num_threads(1)
    torch.manual_seed(1)
    if mode == "medium":
        torch.set_float32_matmul_precision("medium")
    model = Llama(**shapes)
    optimizer = optimizer_of(model)
    step_of = torch.compile(model) if "compiled" in mode else model
    tokens = torch.randint(0, 256, (SEQUENCES, shapes["context"] + 1))
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in mode):
            loss = step_of(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    return middle(seconds)


def middle(seconds):
    return statistics.median(seconds[len(seconds) // 4:])


def in_own_process(name, arguments, steps):
    """A process each: whoever runs first must not leave its caches to the next."""
    words = [sys.executable, __file__, arguments.program, "--model", arguments.model, "--steps", str(steps), "--only", name]
    return float(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--model", choices=MODELS, default="10m")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    shapes = MODELS[arguments.model]
    contenders = {**{f"thinwire {mode}": lambda mode=mode: of_thinwire(arguments.program, shapes, mode, arguments.steps) for mode in OWN},
                  **{f"pytorch {mode}": lambda mode=mode: of_pytorch(shapes, mode, arguments.steps) for mode in PEERS}}
    if arguments.only:
        print(contenders[arguments.only]())
        return
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tried = {name: in_own_process(name, arguments, TRIED_STEPS) for name in contenders}
    turns = {name: [] for name, s in tried.items() if s <= HOPELESS * tried["thinwire fp32"]}
    for _ in range(arguments.rounds):
        for name, of in turns.items():
            of.append(in_own_process(name, arguments, arguments.steps))
    medians = {name: statistics.median(of) for name, of in turns.items()}

    def fastest(whose):
        return min((name for name in medians if name.startswith(whose)), key=medians.get)

    pairs = [("thinwire fp32", "pytorch fp32"), (fastest("thinwire"), fastest("pytorch"))]
    print(json.dumps({"model": arguments.model, "step_s": {name: round(s, 4) for name, s in medians.items()},
                      "too_slow_s": {name: round(s, 2) for name, s in tried.items() if name not in turns},
                      "tokens_per_s": {name: round(SEQUENCES * shapes["context"] / s) for name, s in medians.items()},
                      "times_faster": {f"{a} than {b}": round(statistics.median(y / x for x, y in zip(turns[a], turns[b])), 3) for a, b in pairs}}, indent=1))


if __name__ == "__main__":
    main()
