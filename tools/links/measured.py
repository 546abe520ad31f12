"""What is measured over emulated links: how ranks exchange, and over what."""
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Link:
    rate: str  # of each host, as netlab takes it; empty: as fast as the machine
    hosts: int = 2

    @property
    def label(self):
        return f"{self.hosts} hosts, {self.rate or 'unshaped'}"

    def seconds_for(self, megabytes):
        """What these of a rank of two take on the wire at least; of N ranks each sends 2 (N - 1) / N as many."""
        units = {"Mbit": 1, "Gbit": 1000}
        return 16 * (self.hosts - 1) / self.hosts * megabytes / (int(self.rate[:-4]) * units[self.rate[-4:]]) if self.rate else 0


@dataclass(frozen=True)
class Setting:
    label: str
    bits: float  # that a parameter takes on the wire, about
    options: dict = field(hash=False, default_factory=dict)
    hook: str = ""  # of PyTorch's DistributedDataParallel, which is then what is measured
    loss_of: str = ""  # the setting of the table "peers" that trains by that hook

    @property
    def megabytes(self):
        """What a rank of two sends in a step."""
        return MILLIONS * self.bits / 8 / self.options.get("exchange.every", 1)

    @property
    def last_megabytes(self):
        """Of the bucket that is encoded last: 4 MB in fp32, the default of exchange.bucket. Only a delay hides it."""
        return 4 * self.bits / 32


MILLIONS = 10  # of parameters; 1,024 tokens a rank and step
MODEL = {"model.d_model": 320, "model.layers": 8, "model.heads": 5, "model.context": 256, "data.source": "gcide", "data.micro_batch": 4}

# Thinwire's exchange switched off: the same program, model and batches; its one round comes with the last step, which is not measured.
# Nothing is fed back, so that no residual is measured for the log.
OFF = {"exchange.schedule": "local_steps", "exchange.every": 1_000_000, "compress.codec": "sign", "compress.error_feedback.name": "none"}
PRECISION = "run.precision"


def off_of(setting):
    """The other half of the setting's pairs: the same program and precision without the exchange."""
    kept = {key: value for key, value in setting.options.items() if key == PRECISION}
    return Setting("off", 0, hook="off") if setting.hook else Setting("off", 0, {**OFF, **kept})


def _updates(every, delay, fragments, compress, outer_lr=None):
    options = {"exchange.schedule": "local_steps", "exchange.every": every, "exchange.delay": delay, "exchange.fragments": fragments}
    return {**options, **compress} if outer_lr is None else {**options, "exchange.outer.lr": outer_lr, **compress}


def _in_bf16(setting):
    """With products in bf16: the fastest mode on a CPU that multiplies them."""
    return Setting(f"{setting.label}, bf16", setting.bits, {**setting.options, PRECISION: "bf16"})


_TWO_BITS = {"compress.codec": "quantize", "compress.quantize.bits": 2, "compress.error_feedback.name": "ef14"}
_FOUR_BITS = {"compress.codec": "quantize", "compress.quantize.bits": 4, "compress.error_feedback.name": "ef14"}
_SIGN = {"compress.codec": "sign", "compress.error_feedback.name": "ef14", "compress.error_feedback.decay": "95%"}
_FIRST = [  # until they are done, nothing else is
    Setting("uncompressed gradients", 32, {"exchange.schedule": "every_step", "compress.codec": "none"}),
    Setting("4-bit gradients", 4, {"exchange.schedule": "every_step", **_FOUR_BITS}),
    Setting("sign of updates of 10, 5 fragments, delay 2", 1, _updates(10, 2, 5, _SIGN)),
    Setting("sign of updates of 3, 3 fragments, delay 1, outer 0.8", 1, _updates(3, 1, 3, _SIGN, "0.8")),
    Setting("4-bit updates of 3, 3 fragments, delay 1, outer 0.8", 4, _updates(3, 1, 3, _FOUR_BITS, "0.8")),
    Setting("4-bit updates of 2, 2 fragments, delay 1", 4, _updates(2, 1, 2, _FOUR_BITS)),
    Setting("4-bit updates of 2, 2 fragments, delay 1, outer 0.8", 4, _updates(2, 1, 2, _FOUR_BITS, "0.8")),
    Setting("4-bit updates of 3, 3 fragments, delay 1", 4, _updates(3, 1, 3, _FOUR_BITS)),
    Setting("sign of updates of 5, 5 fragments, delay 2", 1, _updates(5, 2, 5, _SIGN)),
    Setting("4-bit updates of 5, 5 fragments, delay 1", 4, _updates(5, 1, 5, _FOUR_BITS)),
]
_FAST = [_in_bf16(setting) for setting in _FIRST[:6]]
_MORE = [
    Setting("2-bit gradients", 2, {"exchange.schedule": "every_step", **_TWO_BITS}),
    Setting("4-bit updates of 2, waiting", 4, _updates(2, 0, 1, _FOUR_BITS)),
    Setting("4-bit updates of 2, delay 1", 4, _updates(2, 1, 1, _FOUR_BITS)),
    Setting("sign of updates of 5, waiting", 1, _updates(5, 0, 1, _SIGN)),
    Setting("sign of updates of 5, delay 5", 1, _updates(5, 5, 1, _SIGN)),
    Setting("PyTorch DDP, plain", 32, hook="none", loss_of="PyTorch DDP, no hook"),
    Setting("PyTorch DDP, bf16 hook", 16, hook="bf16", loss_of="PyTorch bf16 hook"),
    Setting("PyTorch DDP, PowerSGD rank 4", 0.8, hook="powersgd", loss_of="PyTorch PowerSGD rank 4 from step 2"),
]
TIERS = [_FIRST + _FAST, _MORE]
SETTINGS = _FIRST + _FAST + _MORE

LINKS = [Link("10Mbit"), Link("50Mbit"), Link("200Mbit"), Link("1Gbit"), Link(""), Link("50Mbit", 4), Link("200Mbit", 4)]
