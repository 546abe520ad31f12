"""Trains Thinwire's Llama under PyTorch's DistributedDataParallel: two processes, gloo, one thread each.

usage: train.py --options JSON --program build/thinwire --folder FOLDER
JSON holds Thinwire's keys of model, data and optim, run.steps, run.seed, eval.batches, and `hook` (none, powersgd with rank and start, bf16, fp16).
The initial weights are Thinwire's own of that seed. FOLDER/metrics.jsonl gets the two records that Thinwire would write last.
"""
import argparse
import json
import math
import pathlib
import struct
import subprocess

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from batches import Batches
from hooks import Counted, dense_bytes, register
from llama import Llama

WORLD = 2
MODEL = ("d_model", "layers", "heads", "context")
KEYS_OF_WEIGHTS = ("model.", "data.", "run.seed")


def initial_weights(options, program, folder):
    """What Thinwire starts from: the checkpoint of one step whose learning rate is 0."""
    words = [program, "train", "-c", "tools/tables/base.yaml", "--set", f"run.dir={folder}", "--set", "run.name=start", "--set", "run.steps=1",
             "--set", "optim.lr=0", "--set", "eval.batches=1", "--set", "checkpoint.mode=raw", "--overwrite"]
    for name, value in options.items():
        if name.startswith(KEYS_OF_WEIGHTS):
            words += ["--set", f"{name}={value}"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return read_safetensors(pathlib.Path(folder) / "start/checkpoints/step-00000001/model.safetensors", "model/")


def read_safetensors(path, prefix):
    data = path.read_bytes()
    header_bytes, = struct.unpack("<Q", data[:8])
    found = {}
    for name, entry in json.loads(data[8:8 + header_bytes]).items():
        if name.startswith(prefix):
            begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
            found[name[len(prefix):]] = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32).view(entry["shape"])
    return found


def learning_rate(options, step):
    """trainer/optimizer.cc: linear over a tenth of the run, then cosine to a tenth."""
    steps, peak = options["run.steps"], float(options["optim.lr"])
    warmup = steps // 10
    if step <= warmup:
        return peak * step / warmup
    return peak * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))


def optimizer_of(model):
    """AdamW with Thinwire's defaults: matrices decay, norms do not."""
    groups = [{"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8, fused=True)


def train_step(ddp, batches, optimizer, rate):
    micros = list(batches)
    for index, (tokens, targets) in enumerate(micros):
        ddp.require_backward_grad_sync = index + 1 == len(micros)
        (ddp(tokens, targets) / len(micros)).backward()
    torch.nn.utils.clip_grad_norm_(ddp.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def evaluate(model, batches, options, rank):
    losses = sum(model(tokens, targets).item() for tokens, targets in batches.validating(options["eval.batches"], rank, WORLD))
    total = torch.tensor(losses, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item() / options["eval.batches"]


def work(rank, options, weights, folder):
    torch.set_num_threads(1)
    torch.manual_seed(options["run.seed"])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)
    model = Llama(*(options[f"model.{name}"] for name in MODEL))
    model.load_state_dict(weights)
    # One bucket: between several, the PowerSGD hook's callbacks post their collectives in an order that differs between ranks, which gloo refuses.
    ddp = torch.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=1024)
    through_all_reduce = register(ddp, options)
    batches, optimizer, steps = Batches(options, options["run.seed"]), optimizer_of(model), options["run.steps"]
    with Counted() as counted:
        for step in range(1, steps + 1):
            train_step(ddp, batches.training(step, rank, WORLD), optimizer, learning_rate(options, step))
    sent_bytes = counted.sent_bytes if through_all_reduce else steps * dense_bytes(model)
    loss = evaluate(model, batches, options, rank)
    if rank == 0:
        write(folder, steps, steps * dense_bytes(model) / sent_bytes, sent_bytes, loss)
    dist.destroy_process_group()


def write(folder, steps, ratio, sent_bytes, loss):
    lines = [{"kind": "train", "step": steps, "wire_bytes_tx_total": sent_bytes, "ratio_total": ratio},
             {"kind": "eval", "step": steps, "val_loss": loss, "val_bpb": loss / math.log(2)}]
    (pathlib.Path(folder) / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    for name in ("options", "program", "folder"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()
    options = json.loads(arguments.options)
    (pathlib.Path(arguments.folder) / "meeting").unlink(missing_ok=True)  # of an earlier run, which would keep the processes apart
    weights = initial_weights(options, arguments.program, arguments.folder)
    processes.spawn(work, (options, weights, arguments.folder), nprocs=WORLD)


if __name__ == "__main__":
    main()
