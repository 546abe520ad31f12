"""Held against the libraries that everybody else uses: transformers, tokenizers and sentencepiece of PyPI.

Skipped where no Python here has them (./run peers installs one that has). Nothing is fetched: models and vocabularies are trained here.
"""
import json
import random
import unicodedata

import thinwire

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

LOGITS = """
import json, sys, torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, text, ours = sys.argv[1], open(sys.argv[2], encoding="utf-8").read(), load_file(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
ids = tokenizer(text, return_tensors="pt").input_ids
with torch.no_grad():
    logits = model(ids).logits[0, :-1]
    new = model.generate(ids[:, :4], max_new_tokens=16, do_sample=False, attention_mask=torch.ones_like(ids[:, :4]), pad_token_id=0)
print(json.dumps({"off": (ours["logits"] - logits).abs().max().item(), "largest": logits.abs().max().item(),
                  "same_targets": ours["targets"].tolist() == ids[0, 1:].tolist(), "text": tokenizer.decode(new[0])}))
"""

TRAIN_BPE = """
import sys, json
from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers, Regex
words, out, pattern = sys.argv[1], sys.argv[2], sys.argv[3]
tokenizer = Tokenizer(models.BPE())
level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), level]) if pattern else level
tokenizer.decoder = decoders.ByteLevel()
tokenizer.train([words], trainers.BpeTrainer(vocab_size=600, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tokenizer.save(out)
"""

ENCODE_BPE = """
import sys, json
from tokenizers import Tokenizer
text = open(sys.argv[2], encoding="utf-8", newline="").read()
print(json.dumps(Tokenizer.from_file(sys.argv[1]).encode(text, add_special_tokens=False).ids))
"""

TRAIN_SP = """
import sys, sentencepiece
sentencepiece.SentencePieceTrainer.train(input=sys.argv[1], model_prefix=sys.argv[2], vocab_size=3000, character_coverage=0.98, hard_vocab_limit=False, model_type=sys.argv[3], byte_fallback=True,
                                         normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2)
"""

ENCODE_SP = """
import sys, json, sentencepiece
text = open(sys.argv[2], encoding="utf-8", newline="").read()
print(json.dumps(sentencepiece.SentencePieceProcessor(model_file=sys.argv[1]).encode(text)))
"""


def mixed_unicode(characters):
    """Every kind of assigned character up to U+1FFFF that has been there since Unicode 13, among English and white space."""
    draw = random.Random(2)
    old = unicodedata.ucd_3_2_0
    assigned = [chr(code) for code in range(0x20000) if old.category(chr(code)) not in ("Cn", "Cs", "Co")]
    text = []
    while len(text) < characters:
        kind = draw.random()
        if kind < 0.5:
            text += draw.choice([" the", " The", "he", "'s", "'LL", " 12345", "...", "\n", "\n\n ", "\r\n", "  ", "\t"])
        elif kind < 0.6:
            text += draw.choices("abcdefgh ", k=draw.randint(1, 40))
        else:
            text += draw.choices(assigned, k=draw.randint(1, 4))
    return "".join(text)


class Peers(thinwire.PeerCase):
    modules = ("transformers", "tokenizers", "sentencepiece", "torch")

    def encoded_parts(self, tokenizer, file, part="train"):
        """Through prepare-data: the tokens of a split of its bytes."""
        out = self.folder / f"tokens-{tokenizer}"
        if not out.exists():
            self.thinwire("prepare-data", file, "--tokenizer", tokenizer, "--out", out)
        data = (out / f"{part}.bin").read_bytes()[1024:]
        return [int.from_bytes(data[i:i + 2], "little") for i in range(0, len(data), 2)]

    def compare(self, tokenizer, encode):
        raw = mixed_unicode(500_000).encode()  # more than a megabyte
        while raw[len(raw) * 90 // 100] & 0xc0 == 0x80:  # the split falls between two characters
            raw = raw.decode()[:-1].encode()
        (self.folder / "all.txt").write_bytes(raw)
        ours = self.encoded_parts(tokenizer, "all.txt")
        (self.folder / "train.txt").write_bytes(raw[:len(raw) * 90 // 100])
        theirs = json.loads(self.peer(encode, tokenizer, "train.txt"))
        first = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
        self.assertEqual(ours[first:first + 5], theirs[first:first + 5], f"token {first}")
        self.assertEqual(len(ours), len(theirs))


class Models(Peers):
    def export(self, *settings):
        self.trained("run.steps=20", "optim.lr=0.02", "model.kv_heads=1", *settings)
        self.thinwire("export", "runs/run", "--out", "out")
        text = (self.folder / "words.txt").read_text()[:30]
        (self.folder / "short.txt").write_text(text)
        self.thinwire("eval", "out", "--text", "short.txt", "--logits", "logits.safetensors")
        theirs = json.loads(self.peer(LOGITS, "out", "short.txt", "logits.safetensors"))
        self.assertTrue(theirs["same_targets"])
        self.assertLess(theirs["off"], 1e-5)
        self.assertGreater(theirs["largest"], 0.5)
        return text, theirs

    def test_transformers_loads_what_is_exported_and_says_the_same(self):
        text, theirs = self.export()
        said = self.thinwire("generate", "runs/run", "--prompt", text[:4], "--temperature", "0", "--max-tokens", "16").out
        self.assertEqual(said, theirs["text"])

    def test_with_a_head_of_its_own_and_tokens_of_bpe(self):
        self.peer(TRAIN_BPE, "words.txt", "tokenizer.json", LLAMA3)
        self.export("model.tie_embeddings=false", "data.tokenizer=tokenizer.json", "model.vocab=640")


class Tokenizers(Peers):
    def setUp(self):
        super().setUp()
        mixed = mixed_unicode(6_000)
        lines = [line for line in (self.text_in_lines() + mixed).splitlines() if line.strip()]
        (self.folder / "lines.txt").write_text("\n".join(lines), encoding="utf-8")

    def text_in_lines(self):
        return (self.folder / "words.txt").read_text().replace(" e", " e\n")

    def test_bpe_of_gpt2_and_of_llama3_gives_the_same_tokens(self):
        for name, pattern in (("gpt2.json", ""), ("llama3.json", LLAMA3)):
            self.peer(TRAIN_BPE, "lines.txt", name, pattern)
            self.compare(name, ENCODE_BPE)

    def test_sentence_piece_gives_the_same_tokens(self):
        self.peer(TRAIN_SP, "lines.txt", "model", "bpe")
        self.compare("model.model", ENCODE_SP)

    def test_sentence_piece_unigram_differs_in_ties_alone(self):
        """Debian's library is older than PyPI's, which takes another one of two ways that are as likely."""
        self.peer(TRAIN_SP, "lines.txt", "model", "unigram")
        text = mixed_unicode(50_000)
        (self.folder / "part.txt").write_bytes(text.encode())
        ours = sum(len(self.encoded_parts("model.model", "part.txt", name)) for name in ("train", "test", "validation"))
        theirs = len(json.loads(self.peer(ENCODE_SP, "model.model", "part.txt")))
        self.assertLess(abs(ours - theirs), 0.001 * theirs + 6)


if __name__ == "__main__":
    thinwire.main()
