"""Tokens of other kinds than bytes: training, validation in bits per byte, prepare-data, files of llm.c, nanoGPT and Megatron."""
import functools
import json
import math
import pathlib
import signal
import struct
import time

import thinwire

USAGE, DATA = 2, 3
NONE = ("data.source=tokens", "data.tokenizer=none", "model.vocab=300")


def letters():
    """Byte-level BPE's names of bytes, written down from its definition."""
    printable = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{byte: chr(byte) for byte in printable}, **{byte: chr(0x100 + i) for i, byte in enumerate(others)}}


def train_bpe(text, merges):
    """The plain algorithm on words with the space in front: (vocab, list of merges)."""
    names = letters()
    words = {}
    for number, word in enumerate(text.split(" ")):
        spelt = tuple(names[byte] for byte in ((" " if number else "") + word).encode())
        words[spelt] = words.get(spelt, 0) + 1
    vocab = {names[byte]: byte for byte in range(256)}
    learned = []
    for _ in range(merges):
        pairs = {}
        for word, count in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + count
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        learned.append(best)
        vocab["".join(best)] = len(vocab)
        words = {merged(word, best): count for word, count in words.items()}
    return vocab, learned


def merged(word, pair):
    out, i = [], 0
    while i < len(word):
        if tuple(word[i:i + 2]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return tuple(out)


def encode(text, vocab, learned):
    names, tokens = letters(), []

    @functools.cache
    def tokens_of(word):
        spelt = tuple(names[byte] for byte in word.encode())
        for pair in learned:
            spelt = merged(spelt, pair)
        return [vocab[part] for part in spelt]

    for number, word in enumerate(text.split(" ")):
        tokens += tokens_of((" " if number else "") + word)
    return tokens


class Tokens(thinwire.Case):
    def setUp(self):
        super().setUp()
        self.text = (self.folder / "words.txt").read_text()
        self.vocab, self.learned = train_bpe(self.text[:20000], 40)
        self.tokenizer = {"model": {"type": "BPE", "vocab": self.vocab, "merges": [" ".join(pair) for pair in self.learned]},
                          "added_tokens": [{"id": len(self.vocab), "content": "<|endoftext|>", "special": True}],
                          "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}, "decoder": {"type": "ByteLevel"}}
        (self.folder / "tokenizer.json").write_text(json.dumps(self.tokenizer))

    def prepare(self, *words, out="tokens", code=0):
        return self.thinwire("prepare-data", "words.txt", "--tokenizer", "tokenizer.json", "--out", out, *words, code=code)

    def read(self, name):
        data = (self.folder / "tokens" / name).read_bytes()
        magic, version, count = struct.unpack_from("<3i", data)
        self.assertEqual((magic, version), (20240520, 1))
        return list(struct.unpack(f"<{count}H", data[1024:]))


class Progress(Tokens):
    def stopped_on_its_way(self, *words, after_reading):
        """What a verb says that stands still for longer than it is patient, once it has read so many bytes."""
        job = self.start(thinwire.program, *words)
        counter = pathlib.Path(f"/proc/{job.pid}/io")
        self.wait_until(lambda: int(counter.read_text().split()[1]) > after_reading, job)
        job.signal(signal.SIGSTOP)
        time.sleep(5.5)
        job.signal(signal.SIGCONT)
        done = job.wait()
        self.assertEqual(done.code, 0, done.text)
        return done

    def test_long_work_says_how_far_it_is(self):
        (self.folder / "long.txt").write_text(" ".join([self.text] * 40))
        size = (self.folder / "long.txt").stat().st_size
        done = self.stopped_on_its_way("prepare-data", "long.txt", "--tokenizer", "tokenizer.json", "--out", "tokens", after_reading=size)
        self.assertRegex(done.err, r"(?m)^(reading|encoding|writing [a-z.]+): \S+")
        self.train("run.steps=1", "data.tokenizer=tokenizer.json")
        done = self.stopped_on_its_way("eval", "runs/run", "--text", "long.txt", "--json", after_reading=size)
        self.assertRegex(done.err, r"(?m)^(encoding: [\d.]+MB of [\d.]+MB|scoring: [\d,]+ tokens of [\d,]+ tokens) \(\d+ %\), about \d+ s more$")
        self.assertGreater(json.loads(done.out)["tokens"], 0)


class Preparing(Tokens):
    def test_writes_the_tokens_that_the_algorithm_gives_of_each_split(self):
        self.prepare()
        raw, n = self.text, len(self.text)
        parts = {"train.bin": raw[:n * 90 // 100], "test.bin": raw[n * 90 // 100:n * 95 // 100], "validation.bin": raw[n * 95 // 100:]}
        for name, part in parts.items():
            self.assertEqual(self.read(name), encode(part, self.vocab, self.learned), name)

    def test_training_on_them_is_training_on_the_text(self):
        self.prepare()
        from_text = self.trained("data.tokenizer=tokenizer.json", "eval.every=10", name="text")
        from_tokens = self.trained("eval.every=10", name="tokens", options=["-c", "tokens/data.yaml"])
        self.assertEqual(from_text.losses(), from_tokens.losses())
        for a, b in zip(from_text.records("eval"), from_tokens.records("eval")):
            self.assertEqual(a["val_bpb"], b["val_bpb"])
            # Around 2.5 bytes a token: bits per byte are a part of the bits per token.
            self.assertLess(a["val_bpb"], 0.7 * a["val_loss"] / math.log(2))
        score = json.loads(self.thinwire("eval", "runs/tokens", "--json").out)
        self.assertEqual(score["bytes"], len(self.text) - len(self.text) * 95 // 100 - self.first_bytes())
        self.assertAlmostEqual(score["bits_per_byte"], score["loss"] * score["tokens"] / math.log(2) / score["bytes"], places=9)

    def first_bytes(self):
        """Of the first token of the validation split, which nothing predicts."""
        first = self.read("validation.bin")[0]
        return len(next(name for name, token in self.vocab.items() if token == first))

    def test_what_is_written_is_used_from_anywhere_and_has_all_three_splits(self):
        self.prepare()
        (self.folder / "sub").mkdir()
        words = ["train", "-c", "../small.yaml", "-c", "../tokens/data.yaml", "--set", "run.steps=5", "--set", "run.name=run"]
        done = self.start("sh", "-c", 'cd sub && exec "$@"', "sh", thinwire.program, *words).wait()
        self.assertEqual(done.code, 0, done.text)
        for split, file in (("train", "train.bin"), ("test", "test.bin"), ("validation", "validation.bin")):
            score = json.loads(self.thinwire("eval", "sub/runs/run", "--split", split, "--json").out)
            self.assertEqual(score["tokens"], len(self.read(file)) - 1)
        kept = self.trained("run.steps=5", "data.test_files=[]", name="two", options=["-c", "tokens/data.yaml"])
        self.assert_says(self.thinwire("eval", kept.path, "--split", "test", code=DATA), "has no test split", "data.test_files")
        self.refused(USAGE, "data.test_files", "data.validation_files", settings=["data.validation_files=[]"], options=["-c", "tokens/data.yaml"], name="x")

    def test_a_run_keeps_its_tokenizer(self):
        self.trained("data.tokenizer=tokenizer.json", "run.steps=5", name="kept")
        (self.folder / "tokenizer.json").unlink()
        done = self.thinwire("generate", "runs/kept", "--prompt", self.text[:30], "--max-tokens", "20")
        self.assertTrue(done.out.startswith(self.text[:30]))
        self.thinwire("export", "runs/kept", "--out", "out")
        self.assertEqual(json.loads((self.folder / "out" / "tokenizer.json").read_text()), self.tokenizer)
        config = json.loads((self.folder / "out" / "config.json").read_text())
        self.assertEqual((config["eos_token_id"], config["bos_token_id"], config["vocab_size"]), (296, None, 297))

    def test_refuses_what_is_there_already_and_what_is_not(self):
        (self.folder / "tokens").mkdir()
        self.assert_says(self.prepare(code=USAGE), "--out tokens", "exists already")
        self.assert_says(self.thinwire("prepare-data", "--tokenizer", "byte", "--out", "x", code=USAGE), "--preset gcide")
        self.assert_says(self.thinwire("prepare-data", "words.txt", "--tokenizer", "none", "--out", "x", code=USAGE), "text needs one")
        self.assert_says(self.thinwire("prepare-data", "none.txt", "--tokenizer", "byte", "--out", "x", code=DATA), "none.txt")
        self.assert_says(self.thinwire("prepare-data", "words.txt", "--tokenizer", "a/none.json", "--out", "x", code=DATA), "a/none.json")


class Foreign(Tokens):
    def write(self, name, data):
        (self.folder / name).write_bytes(data)

    def test_files_of_others_train_and_without_a_tokenizer_validate_in_perplexity(self):
        ids = [(i * i) % 300 for i in range(4000)]
        raw = struct.pack(f"<{len(ids)}H", *ids)
        self.write("nano.bin", raw)
        self.write("llmc.bin", struct.pack("<256i", 20240520, 1, len(ids), *[0] * 253) + raw)
        self.write("mega.bin", raw)
        self.write("mega.idx", b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 2, 1) + struct.pack("<2i2qq", 1000, 3000, 0, 2000, 0))
        losses = []
        for name, settings in (("nano", ["data.format=uint16"]), ("llmc", []), ("mega", [])):
            run = self.trained(*NONE, f"data.files={name}.bin", "run.steps=5", *settings, name=name)
            losses.append(run.losses())
            told = run.records("eval")[-1]
            self.assertAlmostEqual(told["val_perplexity"], math.exp(told["val_loss"]), places=6)
        self.assertEqual(losses[0], losses[1])
        self.assertEqual(losses[0], losses[2])

    def test_what_does_not_fit_is_refused_with_file_place_and_numbers(self):
        ids = [1] * 3000
        ids[2950] = 299
        self.write("t.bin", struct.pack("<256i", 20240520, 1, len(ids), *[0] * 253) + struct.pack(f"<{len(ids)}H", *ids))
        self.refused(DATA, "t.bin", "token number 2950 is 299", "vocabulary has 299", settings=[*NONE, "model.vocab=299", "data.files=t.bin"])
        self.refused(DATA, "t.bin", "llm.c", "data.format: auto", settings=[*NONE, "data.files=t.bin", "data.format=uint16"])
        self.write("cut.bin", (self.folder / "t.bin").read_bytes()[:-2])
        self.refused(DATA, "cut.bin", "3000 tokens", "2,999", settings=[*NONE, "data.files=cut.bin"])
        self.refused(DATA, "words.txt", "llm.c", "uint16", settings=[*NONE, "data.files=words.txt"])
        self.refused(DATA, "nothing matches", settings=[*NONE, "data.files=none-*.bin"])
        self.refused(USAGE, "model.vocab", settings=["data.source=tokens", "data.tokenizer=none", "data.files=t.bin"])
        self.refused(USAGE, "model.vocab is 100", "297", settings=["data.tokenizer=tokenizer.json", "model.vocab=100"])
        self.refused(USAGE, "data.tokenizer: 'bite' (did you mean 'byte'?) is neither byte nor none", settings=["data.tokenizer=bite"])

    def test_a_damaged_tokenizer_is_refused(self):
        (self.folder / "tokenizer.json").write_text('{"model": {"type": "WordPiece"}}')
        self.refused(DATA, "tokenizer.json", "WordPiece", "BPE", settings=["data.tokenizer=tokenizer.json"])


if __name__ == "__main__":
    thinwire.main()
