"""What mode extreme makes of the checkpoints of a run: sizes, the coder against xz -9e on the same index maps, and validation losses.

usage: python3 benchmarks/extreme.py RUN [--losses [--text FILE...]] [--pruning mild aggressive]

RUN has several checkpoints that hold every bit (checkpoint.mode exact or raw, checkpoint.keep 0). They are converted one after another, each against the one before, as saves in mode
extreme would have coded them, once for each checkpoint.pruning. A line of JSON for each checkpoint: bytes of the state in memory, of the tensors' codings, and of the whole folder;
seconds of one thread. For the last one: what the index maps take, and what `xz -9e` makes of them, two in a byte and one in a byte, whichever is shorter; with --losses, the
loss of the weights, as they were and as they are restored.
"""
import argparse
import json
import lzma
import pathlib
import subprocess
import sys
import tempfile
import time


def run(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"[extreme] {' '.join(map(str, words))}\n{done.stderr[-2000:]}")
    return done.stdout


def sizes(step):
    """Of the state in memory, of its tensors as they are stored, of all files."""
    manifest = json.loads((step / "manifest.json").read_text(encoding="utf-8"))
    width = {"F64": 8, "I64": 8, "F32": 4, "BF16": 2, "F16": 2, "U8": 1}
    memory = stored = 0
    for tensor in manifest["tensors"]:
        elems = 1
        for dimension in tensor["shape"]:
            elems *= dimension
        memory += elems * width[tensor["dtype"]] * len(tensor["files"])
        stored += tensor["stored_bytes"]
    return memory, stored, sum(path.stat().st_size for path in step.iterdir())


def xz_bytes(maps):
    nibbles = bytes(low | high << 4 for low, high in zip(maps[::2], maps[1::2] + b"\0"))
    return min(len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)) for data in (maps, nibbles))


def val_loss(options, step):
    words = ["--text", *options.text] if options.text else []
    return json.loads(run(options.program, "eval", step, "--json", *words))["loss"]


def coder(options, step, folder):
    maps = folder / "maps"
    told = json.loads(run(options.maps, step, maps))
    other = xz_bytes(maps.read_bytes())
    return {**told, "xz_bytes": other, "shorter_than_xz": round(1 - told["coded_bytes"] / other, 4)}


def chain(options, steps, pruning, folder):
    memory_of_all = bytes_of_all = 0
    for step in steps:
        before = time.monotonic()
        run(options.program, "ckpt", "convert", step, "--to", folder / pruning, "--mode", "extreme", "--pruning", pruning, "--lossy")
        seconds = time.monotonic() - before
        made = folder / pruning / "checkpoints" / step.name
        memory, stored, whole = sizes(made)
        memory_of_all += memory
        bytes_of_all += whole
        base = "base" in json.loads((made / "manifest.json").read_text(encoding="utf-8"))
        yield {"pruning": pruning, "step": step.name, "base": base, "memory_bytes": memory, "stored_bytes": stored, "folder_bytes": whole,
               "ratio": round(memory / stored, 2), "ratio_of_folder": round(memory / whole, 2), "convert_s": round(seconds, 2)}
    record = {"pruning": pruning, "chain": len(steps) - 1, "ratio_of_all_folders": round(memory_of_all / bytes_of_all, 2)}
    record.update(coder(options, made, folder))
    if options.losses:
        record.update({"val_loss": val_loss(options, steps[-1]), "val_loss_restored": val_loss(options, made)})
    yield record


def main(words):
    parser = argparse.ArgumentParser(prog="bench extreme", description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--losses", action="store_true", help="score the last ones, as `thinwire eval` does")
    parser.add_argument("--text", nargs="*", help="of --losses: files; without, what the run validates on")
    parser.add_argument("--pruning", nargs="+", default=["mild", "aggressive"], choices=["mild", "aggressive"])
    parser.add_argument("--program", default="build/thinwire")
    parser.add_argument("--maps", default="build/benchmarks/bench_indices")
    options = parser.parse_args(words)
    steps = sorted((options.run / "checkpoints").glob("step-*"))
    if len(steps) < 2:
        raise SystemExit(f"[extreme] {options.run} has {len(steps)} checkpoints; a chain needs two")
    with tempfile.TemporaryDirectory() as folder:
        for pruning in options.pruning:
            for record in chain(options, steps, pruning, pathlib.Path(folder)):
                print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
