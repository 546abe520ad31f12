"""Models in and out: generate, eval, export, import, model.init, held against a Llama in plain Python (hf_llama.py)."""
import hashlib
import json
import pathlib
import random
import shutil

import thinwire
from hf_llama import Llama, read_folder, write_tensors

USAGE, DATA, CHECKPOINT = 2, 3, 4
TINY = ("model.d_model=16", "model.layers=2", "model.heads=4", "model.kv_heads=2", "model.ffn=24", "model.context=24", "exchange.every=1")


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pathlib.Path(folder).iterdir()}


class Trained(thinwire.Case):
    def setUp(self):
        super().setUp()
        self.trained("run.steps=40", "optim.lr=0.02", *TINY)
        self.model = self.folder / "runs" / "run"

    def generate(self, *words, model=None, code=0):
        length = [] if "--max-tokens" in words else ["--max-tokens", "40"]
        return self.thinwire("generate", model or self.model, *length, *words, code=code)

    def export(self, name, *words, model=None):
        self.thinwire("export", model or self.model, "--out", self.folder / name, *words)
        return self.folder / name


class Generating(Trained):
    def test_standard_output_is_the_text_and_nothing_else(self):
        done = self.generate("--prompt", "the ", "--seed", "3")
        self.assertEqual(len(done.out), len("the ") + 40)
        self.assertTrue(done.out.startswith("the "))
        self.assertEqual(done.err, "")

    def test_the_seed_decides_and_the_cache_changes_nothing(self):
        first = self.generate("--prompt", "the ").out
        self.assertEqual(first, self.generate("--prompt", "the ").out)
        self.assertEqual(first, self.generate("--prompt", "the ", "--no-kv-cache").out)
        self.assertNotEqual(first, self.generate("--prompt", "the ", "--seed", "2", "--temperature", "2").out)
        greedy = self.generate("--prompt", "the ", "--temperature", "0").out
        self.assertEqual(greedy, self.generate("--prompt", "the ", "--top-k", "1", "--seed", "9").out)
        self.assertEqual(greedy, self.generate("--prompt", "the ", "--top-p", "0.000001", "--seed", "9").out)

    def test_a_checkpoint_can_be_named_and_a_damaged_one_is_passed_over(self):
        old = self.generate("--prompt", "a", model=self.run_of().checkpoint(30)).out
        newest = self.run_of().checkpoint(40) / "model.safetensors"
        newest.write_bytes(newest.read_bytes()[:-1] + b"?")
        done = self.generate("--prompt", "a")
        self.assertEqual(done.out, old)
        self.assert_says(done, "skipping checkpoint step-00000040")
        self.assert_says(self.generate("--prompt", "a", model=self.run_of().checkpoint(40), code=CHECKPOINT), "model.safetensors")

    def test_of_replicas_that_differ_rank_0s_is_taken_with_a_warning(self):
        self.trained("run.steps=5", "checkpoint.every=3", "parallel.dp=2", *TINY, "exchange.every=5", name="two")
        done = self.generate("--prompt", "a", model=self.run_of("two").checkpoint(3))
        self.assertEqual(len(done.out), 41)
        self.assert_says(done, "between two exchanges", "rank 0's is taken")
        self.assertEqual(self.generate("--prompt", "a", model=self.run_of("two").checkpoint(5)).err, "")

    def test_what_cannot_be_continued_is_an_error_that_says_why(self):
        self.assert_says(self.generate("--prompt", "x", model="nowhere", code=CHECKPOINT), "nowhere", "no such file or directory", "words.txt")
        self.assert_says(self.generate("--prompt", "x", model="runs/rum", code=CHECKPOINT), "runs' holds run", "did you mean 'run'?")
        self.assert_says(self.generate("--prompt", "x", model="words.txt", code=CHECKPOINT), "words.txt: it is a file", "folder")
        self.assert_says(self.generate("--prompt", "x", model=self.folder, code=CHECKPOINT), "there is no checkpoint in it", "checkpoints/step-N",
                         "config.json", "holds runs, small.yaml, words.txt")
        self.assert_says(self.thinwire("ckpt", "ls", "runs/rum", code=CHECKPOINT), "did you mean 'run'?")
        self.assert_says(self.generate(code=USAGE), "--prompt is empty")
        self.assert_says(self.generate("--prompt", "x", "--top-p", "2", code=USAGE), "--top-p")


class Exporting(Trained):
    def test_an_independent_llama_says_the_same_of_what_is_exported(self):
        folder = self.export("out")
        llama = Llama(folder)
        prompt = "the "
        said = self.generate("--prompt", prompt, "--temperature", "0", "--max-tokens", "12").out
        self.assertEqual(bytes(llama.greedy(prompt.encode(), 12)).decode(), said)
        text = (self.folder / "words.txt").read_text()[:20]
        (self.folder / "short.txt").write_text(text)
        score = json.loads(self.thinwire("eval", folder, "--text", "short.txt", "--json").out)
        self.assertEqual(score["tokens"], 19)
        self.assertAlmostEqual(score["loss"], llama.loss(list(text.encode())), delta=1e-5)

    def test_the_folder_has_what_transformers_looks_for(self):
        folder = self.export("out")
        self.assertEqual(sorted(path.name for path in folder.iterdir()),
                         ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
        config = json.loads((folder / "config.json").read_text())
        expected = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 256, "hidden_size": 16, "intermediate_size": 24,
                    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 24,
                    "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "hidden_act": "silu", "torch_dtype": "float32"}
        self.assertEqual({key: config[key] for key in expected}, expected)
        tensors = read_folder(folder)
        self.assertNotIn("lm_head.weight", tensors)
        self.assertEqual(tensors["model.layers.1.self_attn.k_proj.weight"][:2], ("F32", [8, 16]))

    def test_exporting_what_was_imported_gives_the_same_bytes(self):
        for dtype in ("fp32", "bf16"):
            first = self.export(f"first-{dtype}", "--dtype", dtype)
            again = self.export(f"again-{dtype}", "--dtype", dtype, model=first)
            self.assertEqual(hashes(first), hashes(again))
        wide, narrow = read_folder(self.folder / "first-fp32"), read_folder(self.folder / "first-bf16")
        for name, (_dtype, _shape, values) in wide.items():
            for exact, rounded in zip(values, narrow[name][2]):
                self.assertLessEqual(abs(exact - rounded), abs(exact) * 2 ** -8)

    def test_shards_hold_what_one_file_holds(self):
        whole = read_folder(self.export("whole"))
        folder = self.export("cut", "--shard-size", "4e-6")  # 4,000 bytes
        names = sorted(path.name for path in folder.glob("*.safetensors"))
        self.assertGreater(len(names), 3)
        self.assertEqual(names[0], f"model-00001-of-{len(names):05}.safetensors")
        index = json.loads((folder / "model.safetensors.index.json").read_text())
        self.assertEqual(index["metadata"]["total_size"], sum(4 * len(values) for _, _, values in whole.values()))
        self.assertEqual(set(index["weight_map"]), set(whole))
        self.assertEqual(read_folder(folder), whole)
        self.assertEqual(self.generate("--prompt", "a", model=folder).out, self.generate("--prompt", "a").out)
        (folder / names[1]).unlink()
        self.assert_says(self.generate("--prompt", "a", model=folder, code=CHECKPOINT), names[1])

    def test_nothing_is_overwritten_and_nothing_half_written_stays(self):
        self.export("out")
        self.assert_says(self.thinwire("export", self.model, "--out", "out", code=USAGE), "--out out", "exists already")
        self.assert_says(self.thinwire("export", self.model, "--out", "other", "--format", "gguf", code=USAGE), "gguf", "hf")
        self.assertEqual([path for path in self.folder.glob(".*")], [])


class Importing(Trained):
    """From a folder that somebody else wrote: of the format's names and shapes, with a head of its own."""

    config_json = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 256, "hidden_size": 16, "intermediate_size": 20,
                   "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32,
                   "rms_norm_eps": 1e-6, "rope_theta": 500000.0, "tie_word_embeddings": False, "hidden_act": "silu",
                   "bos_token_id": None, "eos_token_id": 10}

    def foreign(self, name="foreign", **changes):
        folder = self.folder / name
        folder.mkdir()
        draw = random.Random(1)
        shapes = {"model.embed_tokens.weight": [256, 16], "model.norm.weight": [16], "lm_head.weight": [256, 16]}
        layer = {"input_layernorm": [16], "post_attention_layernorm": [16], "self_attn.q_proj": [16, 16], "self_attn.k_proj": [8, 16],
                 "self_attn.v_proj": [8, 16], "self_attn.o_proj": [16, 16], "mlp.gate_proj": [20, 16], "mlp.up_proj": [20, 16],
                 "mlp.down_proj": [16, 20]}
        shapes.update({f"model.layers.0.{part}.weight": shape for part, shape in layer.items()})
        tensors = {}
        for tensor, shape in shapes.items():
            count = shape[0] * (shape[1] if len(shape) > 1 else 1)
            tensors[tensor] = (shape, [draw.gauss(0, 0.4) for _ in range(count)])
        write_tensors(folder / "model.safetensors", tensors)
        (folder / "config.json").write_text(json.dumps({**self.config_json, **changes}))
        return folder

    def test_a_foreign_llama_is_scored_as_the_independent_one_scores_it(self):
        folder = self.foreign()
        shutil.copy(self.export("out") / "tokenizer.json", folder)
        text = (self.folder / "words.txt").read_text()[:30]
        (self.folder / "short.txt").write_text(text)
        score = json.loads(self.thinwire("eval", folder, "--text", "short.txt", "--json").out)
        expected = Llama(folder).loss(list(text.encode()))
        self.assertAlmostEqual(score["loss"], expected, delta=1e-5 * expected)
        said = self.generate("--prompt", "q", "--temperature", "0", "--max-tokens", "12", model=folder).out.encode("latin-1", "replace")
        tokens = Llama(folder).greedy(b"q", 12)
        self.assertEqual(len(said) if 10 not in tokens else tokens.index(10), len(said))  # it stops at eos_token_id

    def test_import_of_a_run_names_the_tokens_that_it_was_trained_on(self):
        section = self.thinwire("import", "runs/run").out
        self.assertNotIn("tokenizer", section)  # bytes, the default
        (self.folder / "model.yaml").write_text(section)
        self.train("run.steps=2", options=["-c", "model.yaml"], name="on")
        shutil.copy(self.export("out") / "tokenizer.json", self.folder)
        self.train("run.steps=2", "data.tokenizer=tokenizer.json", name="bpe")
        self.assertIn(f'tokenizer: "{self.folder}/runs/bpe/tokenizer"', self.thinwire("import", "runs/bpe").out)

    def test_what_import_prints_is_used_from_anywhere(self):
        self.foreign("there")
        (self.folder / "model.yaml").write_text(self.thinwire("import", "there").out)
        self.assertIn(f'init: "{self.folder}/there"', (self.folder / "model.yaml").read_text())
        (self.folder / "sub").mkdir()
        words = [word if word != "small.yaml" else "../small.yaml" for word in self.train_words(
            ["run.steps=1", "data.files=[../words.txt]"], "elsewhere", ["-c", "../model.yaml"])]
        done = self.start("sh", "-c", 'cd sub && exec "$@"', "sh", thinwire.program, *words).wait()
        self.assertEqual(done.code, 0, done.text)

    def test_import_prints_the_configuration_that_trains_from_it(self):
        folder = self.foreign()
        section = self.thinwire("import", folder).out
        (self.folder / "model.yaml").write_text(section)
        self.assert_says(self.thinwire("config", "print", "-c", "model.yaml"), "kv_heads: 1", "rope_theta: 500000", "tie_embeddings: false", "vocab: 256")
        self.train("exchange.every=5", config="small.yaml", options=["-c", "model.yaml", "--set", "optim.lr=0"], name="frozen")
        again = self.export("again", model=self.folder / "runs" / "frozen")
        self.assertEqual(read_folder(again), read_folder(folder), "a learning rate of 0 changes nothing")

    def test_training_from_a_model_begins_where_it_ended(self):
        folder = self.export("out")
        (self.folder / "model.yaml").write_text(self.thinwire("import", folder).out)
        score = json.loads(self.thinwire("eval", self.model, "--json").out)
        fresh = self.trained("run.steps=5", "optim.lr=0", "parallel.dp=2", config="small.yaml", options=["-c", "model.yaml"], name="on")
        self.assertLess(abs(fresh.losses()[1] - score["loss"]), 0.3)
        for source in (self.model, self.run_of().checkpoint(40)):  # a run and a checkpoint will do as well
            same = self.trained("run.steps=5", "optim.lr=0", "parallel.dp=2", f"model.init={source}", config="small.yaml",
                                options=["-c", "model.yaml"], name=f"from-{source.name}")
            self.assertEqual(same.losses(), fresh.losses())
        (folder / "model.safetensors").unlink()
        self.train("run.steps=10", "optim.lr=0", "parallel.dp=2", config="small.yaml", options=["-c", "model.yaml", "--resume", "auto"], name="on")
        self.assertEqual(fresh.last_step(), 10, "a resume needs these weights no more")

    def test_a_model_that_does_not_fit_is_named_by_key_and_both_values(self):
        folder = self.foreign()
        self.refused(CHECKPOINT, "model.init", "model.d_model: config 32, there 16", "model.rope_theta", "thinwire import",
                     settings=[f"model.init={folder}"], name="other")

    def test_what_is_not_built_is_refused_by_name(self):
        for number, (changes, words) in enumerate([
                ({"model_type": "mistral"}, ["model_type", "mistral", "llama"]),
                ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, ["rope_scaling", "llama3", "not built"]),
                ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, ["rope_parameters", "yarn"]),
                ({"attention_bias": True}, ["attention_bias", "true", "false"]),
                ({"hidden_act": "gelu"}, ["hidden_act", "gelu", "silu"]),
                ({"head_dim": 16}, ["head_dim", "16", "8"]),
                ({"num_attention_heads": 3}, ["num_attention_heads", "hidden_size 16"]),
                ({"hidden_size": "wide"}, ["hidden_size", "wide", "integer"]),
                ({"hidden_size": -4}, ["hidden_size", "-4"]),
                ({"vocab_size": None}, ["vocab_size", "has to be given"]),
                ({"quantization_config": {"bits": 4}}, ["quantization_config"]),
                ({"hidden_size": 65536, "num_hidden_layers": 1024}, ["parameters", "elements"]),
                ({"hidden_size": 32}, ["12 differences", "model.embed_tokens.weight", "[256, 16]", "[256, 32]", "and 2 more"]),
                ({"num_key_value_heads": 2}, ["model.layers.0.self_attn.k_proj.weight", "[8, 16]", "[16, 16]"]),
                ({"tie_word_embeddings": True}, ["tie_word_embeddings", "differ"])]):
            done = self.thinwire("import", self.foreign(f"bad-{number}", **changes), code=CHECKPOINT)
            self.assert_says(done, *words)

    def test_damaged_files_are_refused(self):
        folder = self.foreign()
        whole = (folder / "model.safetensors").read_bytes()
        for text, words in [(whole[:-1], ["truncated"]), (whole[:4], ["only 4 bytes"]), (b"\xff" * 8 + whole[8:], ["header claims"])]:
            (folder / "model.safetensors").write_bytes(text)
            self.assert_says(self.thinwire("import", folder, code=CHECKPOINT), "model.safetensors", *words)
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(b"")
        self.assert_says(self.thinwire("import", folder, code=CHECKPOINT), "pickle", "safe_serialization")
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../elsewhere.safetensors"}}')
        self.assert_says(self.thinwire("import", folder, code=CHECKPOINT), "index.json", "elsewhere")
        (folder / "config.json").write_text('{"model_type": "llama",')
        self.assert_says(self.thinwire("import", folder, code=CHECKPOINT), "config.json", "not valid JSON")


class Scoring(Trained):
    def test_a_run_is_scored_on_its_own_validation_split(self):
        score = json.loads(self.thinwire("eval", self.model, "--json").out)
        size = (self.folder / "words.txt").stat().st_size
        self.assertEqual(score["tokens"], size - size * 95 // 100 - 1)
        self.assertEqual(score["bytes"], score["tokens"])
        self.assertAlmostEqual(score["bits_per_byte"], score["loss"] / 0.6931471805599453, places=9)
        self.assertEqual((score["windows"], score["context"]), (-(-score["tokens"] // 24), 24))
        line = self.thinwire("eval", self.model).out
        self.assertIn(f"bits_per_byte {score['bits_per_byte']:.4f}", line)
        self.assertEqual(line.count("\n"), 1)
        told = self.run_of().records("eval")[-1]
        self.assertAlmostEqual(told["val_loss"], score["loss"], delta=0.05)  # 16 windows of the same split

    def test_it_says_how_a_text_was_cut(self):
        for length, words in ((10, "9 tokens of text.txt in one window of 9"), (25, "24 tokens of text.txt in one window of 24"),
                              (49, "48 tokens of text.txt in 2 windows of 24  loss"),
                              (60, "59 tokens of text.txt in 3 windows of 24, the last of 11  loss")):
            (self.folder / "text.txt").write_text((self.folder / "words.txt").read_text()[:length])
            self.assertIn(words, self.thinwire("eval", self.model, "--text", "text.txt").out)
        self.assertIn("59 tokens of text.txt in 6 windows of 10, the last of 9", self.thinwire("eval", self.model, "--text", "text.txt", "--context", "10").out)

    def test_the_number_of_windows_at_a_time_changes_nothing(self):
        (self.folder / "text.txt").write_text((self.folder / "words.txt").read_text()[:10000])
        scores = [json.loads(self.thinwire("eval", self.model, "--text", "text.txt", "--json", "--batch", batch).out) for batch in ("1", "64")]
        self.assertAlmostEqual(scores[0]["loss"], scores[1]["loss"], delta=1e-5)
        self.assertEqual(scores[0]["tokens"], scores[1]["tokens"])

    def test_what_cannot_be_scored_says_why(self):
        folder = self.export("out")
        self.assert_says(self.thinwire("eval", folder, code=USAGE), "no run", "--text")
        self.assert_says(self.thinwire("eval", self.model, "--text", "none.txt", code=DATA), "none.txt")
        (self.folder / "one.txt").write_text("x")
        self.assert_says(self.thinwire("eval", self.model, "--text", "one.txt", code=DATA), "nothing to predict")
        self.assert_says(self.thinwire("eval", self.model, "--context", "25", code=USAGE), "--context 25", "24")


if __name__ == "__main__":
    thinwire.main()
