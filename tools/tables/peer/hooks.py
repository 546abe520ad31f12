"""PyTorch's communication hooks, and the bytes that they hand to all-reduce."""
import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook


class Counted:
    """Counts what goes through dist.all_reduce while it is in force: a ring all-reduce of b bytes hands over 2 b (N - 1) / N per rank."""

    def __init__(self):
        self.sent_bytes = 0.0
        self._all_reduce = dist.all_reduce

    def __enter__(self):
        def all_reduce(tensor, *arguments, **named):
            self.sent_bytes += ring_bytes(tensor.numel() * tensor.element_size())
            return self._all_reduce(tensor, *arguments, **named)
        dist.all_reduce = all_reduce
        return self

    def __exit__(self, *_):
        dist.all_reduce = self._all_reduce


def ring_bytes(size_bytes):
    return 2 * size_bytes * (dist.get_world_size() - 1) / dist.get_world_size()


def register(ddp, options):
    """Returns whether the hook's bytes go through dist.all_reduce; without a hook DDP's reducer sends every gradient in fp32."""
    name = options["hook"]
    if name == "powersgd":
        state = powerSGD_hook.PowerSGDState(process_group=None, matrix_approximation_rank=options["rank"], start_powerSGD_iter=options["start"],
                                            use_error_feedback=True, warm_start=True)
        ddp.register_comm_hook(state, powerSGD_hook.powerSGD_hook)
    elif name in ("bf16", "fp16"):
        ddp.register_comm_hook(None, {"bf16": default_hooks.bf16_compress_hook, "fp16": default_hooks.fp16_compress_hook}[name])
    elif name != "none":
        raise SystemExit(f"hook {name}: there are none, powersgd, bf16 and fp16")
    return name != "none"


def dense_bytes(model):
    return ring_bytes(4 * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad))
