"""The same windows of the same text in the same order as Thinwire (data/corpus.cc, data/sampler.cc, trainer/batches.h)."""
import ctypes
import gzip

import torch

GCIDE = "/usr/share/dictd/gcide.dict.dz"
MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1

_xxhash = ctypes.CDLL("libxxhash.so.0").XXH3_64bits_withSeed  # a package that Thinwire's own build needs
_xxhash.restype = ctypes.c_uint64
_xxhash.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]


def philox4x32(counter, key):
    """Philox4x32-10 (Salmon et al., SC'11)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & MASK32, p >> 32 ^ c[3] ^ k[1], p & MASK32]
        k = [k[0] + 0x9E3779B9 & MASK32, k[1] + 0xBB67AE85 & MASK32]
    return c


class Draw:
    """base/draw.h."""

    def __init__(self, seed, stream=0):
        self.seed, self.stream = seed, stream

    def fork(self, what):
        data, salt = (what.encode(), 1) if isinstance(what, str) else (what.to_bytes(8, "little"), 2)
        return Draw(self.seed, _xxhash(data, len(data), self.stream + salt & MASK64))

    def bits(self, index):
        low, high, *_ = philox4x32((index & MASK32, index >> 32, self.stream & MASK32, self.stream >> 32), (self.seed & MASK32, self.seed >> 32))
        return low | high << 32

    def below(self, index, bound):
        return self.bits(index) * bound >> 64


def permuted(position, size, key):
    """data/permutation.h: a Feistel network of 8 rounds with cycle walking."""
    half_bits = ((size - 1).bit_length() + 1) // 2
    mask, value = (1 << half_bits) - 1, position
    while True:
        left, right = value >> half_bits, value & mask
        for number in range(8):
            left ^= key.bits(number << 32 | right) & mask
            left, right = right, left
        value = left << half_bits | right
        if value < size:
            return value


class Batches:
    def __init__(self, options, seed):
        with gzip.open(GCIDE) as file:
            data = file.read()
        self.train = torch.frombuffer(bytearray(data[:len(data) * 90 // 100]), dtype=torch.uint8)
        self.validation = torch.frombuffer(bytearray(data[len(data) * 95 // 100:]), dtype=torch.uint8)
        self.context, self.micro, self.batch = options["model.context"], options["data.micro_batch"], options["data.global_batch"]
        self.draw = Draw(seed).fork("window sampler")
        self.windows = (len(self.train) - 1) // self.context

    def start(self, sample):
        epoch = self.draw.fork(sample // self.windows)
        left_over = len(self.train) - 1 - self.windows * self.context
        return epoch.fork("shift").below(0, left_over + 1) + permuted(sample % self.windows, self.windows, epoch) * self.context

    def at(self, tokens, starts):
        windows = torch.stack([tokens[start:start + self.context + 1] for start in starts]).long()
        return windows[:, :-1], windows[:, 1:]

    def training(self, step, rank, world):
        """The micro-batches of this rank at step 1, 2, ..."""
        per_rank = self.batch // world
        first = (step - 1) * self.batch + rank * per_rank
        for begin in range(first, first + per_rank, self.micro):
            yield self.at(self.train, [self.start(sample) for sample in range(begin, begin + self.micro)])

    def validating(self, batches, rank, world):
        last, total = len(self.validation) - self.context - 1, batches * self.micro
        for batch in range(rank, batches, world):
            yield self.at(self.validation, [int(last * i / (total - 1)) for i in range(batch * self.micro, (batch + 1) * self.micro)])
