"""How long a training step of PyTorch's DistributedDataParallel takes over gloo, on hosts that netlab has made: one process a host, one thread each.

usage, under netlab: mpirun -n HOSTS python time_steps.py --options JSON --hook none|bf16|fp16|powersgd|off --steps N --skipped N --out FILE
`off` is the same step on each host alone. JSON holds Thinwire's keys of model and data.micro_batch. Rank 0 writes the mean seconds of a step
behind the first --skipped ones to FILE. Batches are made up: only time counts.
"""
import argparse
import json
import os
import pathlib
import time

import torch
import torch.distributed as dist

from hooks import register
from llama import Llama
from train import MODEL, optimizer_of

PORT = 29517


def join(rank, world):
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["THINWIRE_NETLAB_INTERFACE"]
    first = os.environ["THINWIRE_NETLAB_ADDRESSES"].split(",")[0]
    dist.init_process_group("gloo", init_method=f"tcp://{first}:{PORT}", rank=rank, world_size=world)


def stepper(options, hook):
    """The model as it is trained: alone, or with its gradients exchanged in one bucket (train.py says why one)."""
    model = Llama(*(options[f"model.{name}"] for name in MODEL))
    if hook == "off":
        return model, model
    ddp = torch.nn.parallel.DistributedDataParallel(model, bucket_cap_mb=1024)
    register(ddp, {"hook": hook, "rank": 4, "start": 2})
    return model, ddp


def main():
    parser = argparse.ArgumentParser()
    for name, kind in (("options", json.loads), ("hook", str), ("steps", int), ("skipped", int), ("out", pathlib.Path)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    arguments = parser.parse_args()
    options, rank, world = arguments.options, int(os.environ["OMPI_COMM_WORLD_RANK"]), int(os.environ["OMPI_COMM_WORLD_SIZE"])
    torch.set_num_threads(1)
    torch.manual_seed(1)
    join(rank, world)
    model, step_of = stepper(options, arguments.hook)
    optimizer = optimizer_of(model)
    windows = torch.randint(0, 256, (options["data.micro_batch"], options["model.context"] + 1))
    for step in range(arguments.steps):
        if step == arguments.skipped:
            began = time.perf_counter()
        step_of(windows[:, :-1], windows[:, 1:]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    seconds = (time.perf_counter() - began) / (arguments.steps - arguments.skipped)
    if rank == 0:
        arguments.out.write_text(json.dumps({"step_s": seconds}), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
