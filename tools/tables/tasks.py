"""What is trained: the options of each small task, and those of codecs and schedules by short names."""

SEEDS = (1, 2, 3)

_TEXT = {"model.type": "llama", "data.source": "gcide", "data.global_batch": 8, "data.micro_batch": 4, "run.steps": 300,
         "optim.warmup": "10%", "optim.schedule": "cosine", "optim.final_lr": "10%", "model.init_std": 0.04}
LLAMA_SMALL = {**_TEXT, "model.d_model": 112, "model.layers": 4, "model.heads": 7, "model.context": 128, "eval.batches": 64}  # 0.66 M parameters
LLAMA_DEMO = {**_TEXT, "model.d_model": 224, "model.layers": 6, "model.heads": 7, "model.context": 256, "eval.batches": 64}  # 3.7 M: ./run demo
RESNET = {"model.type": "resnet", "model.width": 16, "model.stages": 3, "model.blocks": 1, "model.groups": 8, "data.source": "fashion_mnist",
          "data.global_batch": 64, "data.micro_batch": 32, "optim.weight_decay": 0.05, "run.steps": 300, "eval.batches": 100}  # 78 k

GRADIENT = {"exchange.schedule": "every_step"}
UNCOMPRESSED = {"compress.codec": "none"}


def update(every):
    """The drift of the parameters, every so many steps."""
    return {"exchange.schedule": "local_steps", "exchange.every": every}


def topk(density):
    return {"compress.codec": "topk", "compress.topk.density": density, "compress.topk.index_coding": "rice"}


def quantize(bits):
    return {"compress.codec": "quantize", "compress.quantize.bits": bits}


def powersgd(rank):
    return {"compress.codec": "powersgd", "compress.powersgd.rank": rank}


def sparseloco(k):
    return {"compress.codec": "sparseloco", "compress.sparseloco.k": k}


def randomk(density):
    return {"compress.codec": "randomk", "compress.randomk.density": density}


SIGN = {"compress.codec": "sign"}
BF16 = {"compress.codec": "bf16"}


def feedback(name, decay=None):
    options = {"compress.error_feedback.name": name}
    return options if decay is None else {**options, "compress.error_feedback.decay": decay}
