#!/usr/bin/env python3
"""ZipNN (PyPI) on the tensors that bench_checkpoint codes, in turn with that program and on one core: sizes and speeds in one table.

usage: zipnn_state.py PROGRAM BENCH STEP [EARLIER] [--only PREFIX] [--bf16] [--rounds 5] [--turns 3]      needs a Python with zipnn

STEP is a checkpoint as bench_checkpoint takes it; PROGRAM, thinwire, makes a raw copy of it, which is read here. Speeds are given as multiples of
memcpy's, measured in the same process as what they are of; of the turns the best counts. ZipNN codes against no earlier checkpoint (0.5.4 has no
deltas), so that with EARLIER its row is what it makes of STEP alone.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

import numpy
import safetensors
import zipnn


def read_tensors(program, step, prefix, bf16):
    """The bytes of the fp32 tensors whose names begin with prefix; with bf16, rounded to nearest, ties to even."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, "ckpt", "convert", step, "--to", folder, "--mode", "raw"], check=True, stdout=subprocess.DEVNULL)
        (raw,) = pathlib.Path(folder).glob("checkpoints/step-*")
        with safetensors.safe_open(raw / "model.safetensors", "numpy") as file:
            tensors = [file.get_tensor(name) for name in file.keys() if name.startswith(prefix) and file.get_slice(name).get_dtype() == "F32"]
    return [(rounded(tensor) if bf16 else tensor).tobytes() for tensor in tensors]


def rounded(tensor):
    bits = tensor.reshape(-1).view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)


def seconds_of(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure_memcpy(tensors):
    views = [numpy.frombuffer(tensor, numpy.uint8) for tensor in tensors]
    copies = [numpy.empty_like(view) for view in views]
    return seconds_of(lambda: [numpy.copyto(copy, view) for copy, view in zip(copies, views)])


def measure_zipnn(tensors, dtype):
    """Coded bytes, seconds to compress and to decompress."""
    coder = zipnn.ZipNN(bytearray_dtype=dtype, threads=1)
    taken = [bytearray(tensor) for tensor in tensors]  # it reorders bits in the buffer that it is given
    coded, restored = [], []
    encode_s = seconds_of(lambda: coded.extend(coder.compress(one) for one in taken))
    decode_s = seconds_of(lambda: restored.extend(coder.decompress(one) for one in coded))
    if any(bytes(one) != tensor for one, tensor in zip(restored, tensors)):
        raise SystemExit("zipnn did not give every byte back")
    return sum(map(len, coded)), encode_s, decode_s


def best(turns):
    return [min(column) for column in zip(*turns)]


def zipnn_row(tensors, dtype, rounds):
    turns = [(measure_memcpy(tensors), *measure_zipnn(tensors, dtype)) for _ in range(rounds + 1)][1:]
    copy_s, coded, encode_s, decode_s = best(turns)
    return {"way": f"ZipNN {zipnn_version()}", "ratio": sum(map(len, tensors)) / coded, "encode": copy_s / encode_s, "decode": copy_s / decode_s}


def zipnn_version():
    from importlib.metadata import version
    return version("zipnn")


def own_rows(bench, options):
    words = [bench, options.step, *filter(None, [options.earlier]), "--only", options.only, *["--bf16"] * options.bf16, "--rounds", str(options.rounds)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    copy_s = rows[0]["decode_s"]
    return [{"way": row["way"], "ratio": row["ratio"], "encode": copy_s / row["encode_s"], "decode": copy_s / row["decode_s"]} for row in rows]


def main():
    parser = argparse.ArgumentParser(prog="zipnn_state.py")
    parser.add_argument("program")
    parser.add_argument("bench")
    parser.add_argument("step")
    parser.add_argument("earlier", nargs="?")
    parser.add_argument("--only", default="")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tensors = read_tensors(options.program, options.step, options.only, options.bf16)
    table = {}
    for _ in range(options.turns):
        rows = [*own_rows(options.bench, options), zipnn_row(tensors, "bfloat16" if options.bf16 else "float32", options.rounds)]
        for row in rows:
            kept = table.setdefault(row["way"], row)
            kept.update({key: max(kept[key], row[key]) for key in ("ratio", "encode", "decode")})
    print(f"{sum(map(len, tensors)) / 1e6:.1f} MB in {len(tensors)} tensors, one core, best of {options.turns} turns; speeds as multiples of memcpy's")
    print(f"{'way':<24}{'ratio':>9}{'compress':>11}{'decompress':>12}")
    for row in table.values():
        print(f"{row['way']:<24}{row['ratio']:>9.4f}{row['encode']:>11.4f}{row['decode']:>12.4f}")


if __name__ == "__main__":
    main()
