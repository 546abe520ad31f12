#!/usr/bin/env python3
"""One GPU, one process: tokens per second of Thinwire and of PyTorch, eager and compiled, on the same Llama in bf16 with fp32 weights.

usage: gpu_step.py PROGRAM CORPUS [--rounds 3] [--steps 30] [--only NAME]      needs a Python with a CUDA build of PyTorch

Everyone trains the same shapes by AdamW with clipping, on batches of their own making, and takes turns. Of each turn the median over windows
of ten steps counts, the first window left out. Prints JSON: the median of the turns, and Thinwire over each.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools/tables/peer"))
SHAPES = {"d_model": 768, "layers": 17, "heads": 12, "context": 1024}  # 124 M parameters with the byte vocabulary
FFN, SEQUENCES, WINDOW = 2144, 8, 10
TOKENS = SEQUENCES * SHAPES["context"]


def of_thinwire(program, corpus, steps):
    with tempfile.TemporaryDirectory() as folder:
        values = {f"model.{name}": value for name, value in SHAPES.items()}
        # No round of the exchange: there is one rank, and what is timed is its step.
        values |= {"model.ffn": FFN, "run.dir": folder, "run.name": "gpu", "run.steps": steps, "run.device": "cuda",
                   "run.precision": "bf16", "data.gcide_path": corpus, "data.global_batch": SEQUENCES, "data.micro_batch": SEQUENCES,
                   "exchange.every": 1_000_000, "compress.codec": "none", "eval.batches": 1, "checkpoint.every": 0, "log.every": WINDOW}
        settings = (word for name, value in values.items() for word in ("--set", f"{name}={value}"))
        words = [program, "train", "-c", str(ROOT / "configs/quickstart.yaml"), *settings]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (pathlib.Path(folder) / "gpu/metrics.jsonl").read_text().splitlines()]
    return statistics.median(line["tokens_per_s"] for line in lines if line["kind"] == "train" and line["step"] > WINDOW)


def of_pytorch(compiled, steps):
    import torch
    from llama import Llama, Mlp  # Thinwire's, as a PyTorch module

    torch.manual_seed(1)
    model = Llama(**SHAPES)
    for block in model.model.layers:
        block.mlp = Mlp(SHAPES["d_model"], FFN)
    model = model.cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    step_of = torch.compile(model) if compiled else model
    tokens = torch.randint(0, 256, (steps, SEQUENCES, SHAPES["context"] + 1))
    rates, began = [], 0.0
    for step in range(1, steps + 1):
        batch = tokens[step - 1].cuda()
        with torch.autocast("cuda", torch.bfloat16):
            loss = step_of(batch[:, :-1], batch[:, 1:])
        loss.backward()
        loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % WINDOW == 0:
            torch.cuda.synchronize()
            now = time.perf_counter()
            rates.append(WINDOW * TOKENS / (now - began))
            began = now
    return statistics.median(rates[1:])


def in_own_process(name, arguments):
    """A process each: whoever runs first must not leave its caches to the next."""
    words = [sys.executable, __file__, arguments.program, arguments.corpus, "--steps", str(arguments.steps), "--only", name]
    return float(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("corpus")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    contenders = {"thinwire": lambda: of_thinwire(arguments.program, arguments.corpus, arguments.steps),
                  "eager": lambda: of_pytorch(False, arguments.steps), "compiled": lambda: of_pytorch(True, arguments.steps)}
    if arguments.only:
        print(contenders[arguments.only]())
        return
    rates = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name in contenders:
            rates[name].append(in_own_process(name, arguments))
    ratios = {name: statistics.median(t / r for t, r in zip(rates["thinwire"], rates[name])) for name in ("eager", "compiled")}
    print(json.dumps({"tokens_per_s": {name: round(statistics.median(of)) for name, of in rates.items()}, "turns": rates,
                      "thinwire_over": ratios}, indent=1))


if __name__ == "__main__":
    main()
