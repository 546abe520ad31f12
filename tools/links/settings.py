"""What is measured over emulated links: how ranks exchange, and over what."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    rate: str  # of each host, as netlab takes it; empty: as fast as the machine
    hosts: int = 2

    @property
    def label(self):
        return f"{self.hosts} hosts, {self.rate or 'unshaped'}"


@dataclass(frozen=True)
class Setting:
    label: str
    options: dict = field(hash=False, default_factory=dict)
    hook: str = ""  # of PyTorch's DistributedDataParallel, which is then what is measured


# 10 M parameters, 1,024 tokens a rank and step.
MODEL = {"model.d_model": 320, "model.layers": 8, "model.heads": 5, "model.context": 256, "data.source": "gcide", "data.micro_batch": 4}

# Thinwire's exchange switched off: the same program, model and batches; its one round comes with the last step, which is not measured.
OFF = {"exchange.schedule": "local_steps", "exchange.every": 1_000_000, "compress.codec": "sign"}


def _updates(every, delay, fragments, **compress):
    options = {"exchange.schedule": "local_steps", "exchange.every": every, "exchange.delay": delay, "exchange.fragments": fragments}
    return {**options, **{f"compress.{name.replace('__', '.')}": value for name, value in compress.items()}}


_SIGN = {"codec": "sign", "error_feedback__name": "ef14", "error_feedback__decay": "95%"}
SETTINGS = [
    Setting("uncompressed gradients", {"exchange.schedule": "every_step", "compress.codec": "none"}),
    Setting("4-bit gradients", {"exchange.schedule": "every_step", "compress.codec": "quantize", "compress.quantize.bits": 4}),
    Setting("sign of updates of 5, waiting", _updates(5, 0, 1, **_SIGN)),
    Setting("sign of updates of 5, delay 5", _updates(5, 5, 1, **_SIGN)),
    Setting("sign of updates of 5, 5 fragments, delay 2", _updates(5, 2, 5, **_SIGN)),
    Setting("PyTorch DDP, plain", hook="none"),
    Setting("PyTorch DDP, bf16 hook", hook="bf16"),
    Setting("PyTorch DDP, PowerSGD rank 4", hook="powersgd"),
]

LINKS = [Link("10Mbit"), Link("50Mbit"), Link("200Mbit"), Link("1Gbit"), Link(""), Link("50Mbit", 4), Link("200Mbit", 4)]
