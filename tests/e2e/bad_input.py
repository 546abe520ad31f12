"""What a user can get wrong on one machine: command line, configuration, data, sizes of batches. Message and exit code of each."""
import gzip
import pathlib
import resource

import thinwire

USAGE, DATA, CHECKPOINT, OUT_OF_MEMORY = 2, 3, 4, 8
MATCHES_NOTHING = "compress.rules=[{match: '*.embed_token.*', codec: bf16}]"
CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"


class CommandLine(thinwire.Case):
    def test_help_of_every_verb_exits_0(self):
        for words in ((), ("train",), ("ckpt",), ("ckpt", "ls"), ("ckpt", "inspect"), ("ckpt", "verify"), ("config",), ("config", "print"),
                      ("config", "docs"), ("config", "schema"), ("version",), ("plan",), ("eval",), ("generate",), ("export",), ("import",),
                      ("prepare-data",), ("launch",), ("report",), ("ckpt", "diff"), ("ckpt", "convert"), ("ckpt", "average")):
            self.assertIn("--help", self.thinwire(*words, "--help").out)
        self.assertEqual(self.thinwire("help", "ckpt", "ls").out, self.thinwire("ckpt", "ls", "--help").out)

    def test_version_says_what_it_was_built_with(self):
        self.assert_says(self.thinwire("version"), "thinwire", "commit", "LibTorch", "MPI", "loopback")
        self.assertEqual(self.thinwire("--version").out, self.thinwire("version").out)

    def refuses(self, words, *parts):
        done = self.thinwire(*words, code=USAGE)
        self.assert_says(done, *parts)
        self.assertEqual(done.out, "", "errors go to stderr")
        self.assertEqual(len(done.err.splitlines()), 1, done.err)

    def test_an_unknown_verb_is_told_with_the_nearest(self):
        self.refuses(["trian"], "unknown verb 'trian'", "did you mean 'train'?", "generate")
        self.refuses(["ckpt", "lss"], "unknown verb 'lss'", "did you mean 'ls'?", "thinwire ckpt", "verify")
        self.refuses(["config", "shcema"], "did you mean 'schema'?")
        self.refuses([], "thinwire wants a verb", "train", "--help")
        self.refuses(["ckpt"], "thinwire ckpt wants a verb", "inspect")

    def test_an_unknown_option_is_told_with_the_nearest(self):
        self.refuses(["generate", "runs/x", "--promt", "x"], "thinwire generate has no option --promt", "did you mean '--prompt'?")
        self.refuses(["generate", "--promt=x", "runs/x"], "has no option --promt (did you mean '--prompt'?)")
        self.refuses(["train", "-c", "small.yaml", "--resum", "auto"], "did you mean '--resume'?")
        self.refuses(["train", "-c", "small.yaml", "--seed", "3"], "thinwire train has no option --seed", "--set")
        self.refuses(["train", "-c", "small.yaml", "-x"], "thinwire train has no option -x")
        self.refuses(["ckpt", "average", "runs/x", "--lst", "3", "--to", "y"], "thinwire ckpt average", "did you mean '--last'?")
        self.refuses(["--versoin"], "thinwire has no option --versoin", "did you mean '--version'?")
        self.refuses(["launch", "-n", "2", "--", "train", "-c", "small.yaml", "--overwite"], "thinwire train has no option", "did you mean '--overwrite'?")

    def test_an_option_of_another_launcher_is_told_by_its_name_here(self):
        for theirs in ("--nproc-per-node", "--nproc_per_node", "-np", "--nproc-per-node=2"):
            self.refuses(["launch", theirs, "2", "--", "train", "-c", "small.yaml"], "thinwire launch has no option " + theirs.split("=")[0], "here it is called -n")
        self.refuses(["launch", "-n", "2", "--max-restarts", "1", "--", "train", "-c", "small.yaml"], "here it is called --restarts")
        self.refuses(["launch", "-n", "2", "--node_rank", "1", "--", "train", "-c", "small.yaml"], "did you mean '--node-rank'?")

    def test_a_value_that_is_none_of_several_is_told_with_the_nearest(self):
        self.refuses(["eval", "runs/x", "--split", "tset"], "--split", "'tset' is none of train, test, validation", "did you mean 'test'?")
        self.refuses(["export", "runs/x", "--out", "y", "--dtype", "bf61"], "--dtype", "fp32, bf16", "did you mean 'bf16'?")
        self.refuses(["prepare-data", "--preset", "gcid", "--tokenizer", "byte", "--out", "y"], "--preset", "did you mean 'gcide'?")

    def test_options_that_exclude_each_other_are_refused(self):
        self.refuses(["eval", "runs/x", "--text", "words.txt", "--split", "test"], "--split is of the run's own data", "--text", "leave one of them out")
        self.refuses(["ckpt", "convert", "runs/x", "--to", "y", "--mode", "raw", "--moments", "4"], "--moments goes with --mode near_exact: with raw it has no effect")

    def test_values_may_look_like_options(self):
        self.assertIn("there is no such file", self.thinwire("generate", "nowhere", "--prompt", "--dash", code=CHECKPOINT).err)
        self.assertIn("there is no such file", self.thinwire("generate", "nowhere", "--prompt=-1", code=CHECKPOINT).err)

    def test_a_word_too_many_says_where_it_belongs(self):
        self.refuses(["train", "small.yaml"], "thinwire train does not take 'small.yaml'", "did you mean -c small.yaml?")
        self.refuses(["version", "please"], "thinwire version does not take 'please'")
        self.refuses(["ckpt", "ls", "a", "b"], "thinwire ckpt ls", "b", "--help")

    def test_resume_takes_auto_never_or_a_path(self):
        done = self.refused(CHECKPOINT, "--resume always", "neither auto nor never", options=["--resume", "always"])
        self.assertIn("small.yaml", done.err, "what is there instead")
        self.refused(CHECKPOINT, "did you mean 'auto'?", options=["--resume", "atuo"])

    def test_a_verb_that_is_not_built_yet_is_an_error(self):
        for verb in ("coordinator", "bench"):
            self.assertIn(verb, self.thinwire(verb, code=USAGE).err)

    def test_no_verb_an_unknown_option_and_a_missing_argument_are_usage_errors(self):
        for words in ((), ("train", "--fast"), ("ckpt", "ls"), ("config",)):
            self.thinwire(*words, code=USAGE)

    def test_train_wants_a_config(self):
        self.assert_says(self.thinwire("train", "--dry-run", code=USAGE), "--config")


class Configuration(thinwire.Case):
    def config_error(self, yaml, *words):
        (self.folder / "bad.yaml").write_text(yaml, encoding="utf-8")
        return self.refused(USAGE, *words, config="bad.yaml")

    def test_an_unknown_key_is_shown_with_its_place_and_the_nearest_name(self):
        self.config_error("compress:\n  topk: {denisty: 5%}\n",
                          "bad.yaml:2:10: unknown key 'compress.topk.denisty' (did you mean 'compress.topk.density'?)")

    def test_a_key_in_the_wrong_section_says_where_it_belongs(self):
        self.config_error("lr: 0.1\n", "bad.yaml:1:1:", "unknown key 'lr' (did you mean 'optim.lr'")

    def test_a_duplicate_key_names_both_lines(self):
        self.config_error("run:\n  steps: 3\n  steps: 4\n", "bad.yaml:3:3: duplicate key 'run.steps'", "line 2", "line 3")

    def test_a_value_of_the_wrong_type_is_shown_with_what_is_accepted(self):
        self.config_error("run: {steps: soon}\n", "bad.yaml:1:14:", "run.steps", "'soon'", "integer")
        self.config_error("model: 7\n", "bad.yaml:1:8:", "'model' is a section", "d_model")
        self.config_error("optim: {betas: [0.9]}\n", "optim.betas", "2")

    def test_a_value_out_of_range_is_shown_with_the_range(self):
        self.config_error("compress: {topk: {density: 600%}}\n", "bad.yaml:1:28:", "compress.topk.density", "'600%'", "100%")
        self.config_error("run: {steps: 0}\n", "run.steps", "'0'", "1")

    def test_all_errors_come_in_one_pass_in_the_order_of_the_lines(self):
        text = self.config_error("run: {stepz: 3}\noptim: {lr: fast}\ndata: {micro_batch: 0}\nmodle: {}\n").err
        places = [text.find(f"bad.yaml:{line}:") for line in (1, 2, 3, 4)]
        self.assertNotIn(-1, places)
        self.assertEqual(places, sorted(places))

    def test_a_setting_of_an_alternative_that_is_not_chosen_is_warned_of_once(self):
        settings = ["checkpoint.moments=4", "compress.quantize.bits=2", "run.steps=2", "exchange.schedule=every_step", "parallel.dp=2"]
        err = self.train(*settings).err
        self.assertEqual(err.count("'checkpoint.moments' has no effect: checkpoint.mode is exact, and it is for near_exact only"), 1, err)
        self.assertEqual(err.count("'compress.quantize.bits' has no effect: compress.codec is topk, and it is for quantize only"), 1, err)
        self.assertNotIn("exchange.every", err, "small.yaml has it for the schedule that --set puts aside")
        done = self.start(thinwire.program, "launch", "-n", "2", "--", *self.train_words(["checkpoint.moments=4", "run.steps=2"], name="launched")).wait()
        self.assertEqual(done.text.count("'checkpoint.moments' has no effect"), 1, done.text)

    def test_errors_of_files_and_of_set_are_reported_together(self):
        (self.folder / "bad.yaml").write_text("run: {stepz: 3}\n", encoding="ascii")
        done = self.thinwire("train", "-c", "bad.yaml", "-c", "small.yaml", "--set", "optim.lr=fast", "--set", "nonsense", code=USAGE)
        self.assert_says(done, "bad.yaml:1:7:", "--set optim.lr=fast", "--set nonsense", "key=value")

    def test_an_unknown_codec_transport_or_schedule_lists_those_that_there_are(self):
        self.refused(USAGE, "compress.codec", "topkk", "none", "bf16", "powersgd", "did you mean 'topk'", settings=["compress.codec=topkk"])
        self.refused(USAGE, "comm.transport", "tcp", "auto", "loopback", "mpi", "nccl", "grpc", settings=["comm.transport=tcp"])
        self.refused(USAGE, "exchange.schedule", "every_step", "local_steps", settings=["exchange.schedule=sometimes"])

    def test_a_model_that_does_not_fit_into_memory_is_told_in_one_line(self):
        """A weight of 65,536 x 65,536 floats takes 17 GB."""
        huge = ["model.d_model=65536", "model.heads=1024"]
        done = self.refused(OUT_OF_MEMORY, "out of memory", "model.d_model", settings=huge,
                            preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30)))
        self.assertEqual(len(done.err.splitlines()), 1, done.err)

    def test_a_device_that_is_not_there_is_an_error_that_says_what_is_missing(self):
        if pathlib.Path("/dev/nvidia0").exists():
            self.skipTest("this machine has a GPU")
        self.refused(USAGE, "run.device is cuda", "rank 0", "NVIDIA driver", "run.device: cpu", settings=["run.device=cuda"])

    def test_a_key_that_is_not_built_yet_is_an_error(self):
        for setting in ("parallel.pp=2", "coordinator.bind=here"):
            self.refused(USAGE, setting, settings=[setting])

    def test_a_model_whose_shapes_do_not_fit_is_an_error(self):
        self.refused(USAGE, "model.heads", "d_model 32", "3 heads", settings=["model.heads=3"])
        self.refused(USAGE, "model.kv_heads", "3", settings=["model.heads=4", "model.kv_heads=3"])

    def test_a_rule_that_matches_no_parameter_is_an_error(self):
        self.refused(USAGE, "compress.rules", "*.embed_token.*", "embed_tokens", settings=[MATCHES_NOTHING])

    def test_a_config_that_cannot_be_read_is_named(self):
        self.refused(USAGE, "absent.yaml", "No such file", "holds small.yaml, words.txt", config="absent.yaml")
        self.refused(USAGE, "did you mean 'small.yaml'?", config="smal.yaml")
        self.refused(USAGE, str(self.folder), config=self.folder)

    def test_text_that_is_no_yaml_is_shown_with_its_place(self):
        self.config_error("run: {steps: [1\n", "bad.yaml:", "YAML")
        self.config_error("\0\1\2\377\n", "bad.yaml")

    def test_errors_go_to_stderr_behind_the_rank_and_host(self):
        done = self.refused(USAGE, settings=["optim.lr=fast"])
        self.assertRegex(done.err, r"\A\[rank 0 [^ \]]+\] error: ")
        self.assertEqual(done.out, "")


class Printing(thinwire.Case):
    def test_what_is_printed_is_itself_a_config_and_prints_the_same(self):
        for file in (self.folder / "small.yaml", *CONFIGS.glob("*.yaml")):
            once = self.thinwire("config", "print", "-c", file).out
            self.assertEqual(self.thinwire("config", "print", "-c", "-", stdin=once).out, once, file)

    def test_later_files_win_and_set_wins_over_files(self):
        (self.folder / "more.yaml").write_text("run: {steps: 7, seed: 8}\n", encoding="ascii")
        self.assertRegex(self.thinwire("config", "print", "-c", "small.yaml", "-c", "more.yaml", "--set", "run.seed=9").out,
                         r"(?s)seed: 9\b.*steps: 7\b")

    def test_every_config_that_we_ship_is_valid(self):
        files = list(CONFIGS.glob("*.yaml"))
        self.assertTrue(files)
        for file in files:
            self.thinwire("train", "-c", file, "--dry-run", "--set", "parallel.dp=2")

    def test_a_dry_run_prints_the_configuration_and_leaves_nothing_behind(self):
        before = sorted(self.folder.rglob("*"))
        done = self.train(options=["--dry-run"])
        self.assert_says(done, "steps: 20", "--dry-run")
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        self.thinwire("config", "print", "-c", "-", stdin=done.out)

    def test_the_reference_lists_every_section(self):
        for section in ("run", "model", "data", "optim", "parallel", "comm", "exchange", "compress", "checkpoint", "eval", "log"):
            self.assertIn(f"{section}.", self.thinwire("config", "docs").out)


class Data(thinwire.Case):
    def text(self, *files):
        return f"data.files=[{', '.join(files)}]"

    def test_an_absent_dictionary_tells_how_to_get_it(self):
        self.refused(DATA, "nowhere/gcide.dict.dz", "apt-get install dict-gcide",
                     settings=["data.source=gcide", "data.files=[]", "data.gcide_path=nowhere/gcide.dict.dz"])

    def test_an_absent_file_and_a_pattern_without_match_say_what_is_there_instead(self):
        self.refused(DATA, "worbs.txt", "words.txt", settings=[self.text("worbs.txt")])
        self.refused(DATA, "*.csv", "words.txt", settings=[self.text("'*.csv'")])

    def test_an_absent_tokenizer_run_or_report_says_what_is_there_instead(self):
        self.refused(DATA, "a.json", "does not exist", "words.txt", settings=["data.tokenizer=a.json"])
        self.assert_says(self.thinwire("plan", "runs/none", code=USAGE), "is no run directory", "holds small.yaml, words.txt")
        self.assert_says(self.thinwire("report", "none", code=USAGE), "name a run directory", "holds small.yaml, words.txt")

    def test_an_empty_file_is_named(self):
        (self.folder / "empty.txt").touch()
        self.refused(DATA, "empty.txt", "empty", settings=[self.text("words.txt", "empty.txt")])

    def test_too_little_data_says_how_much_there_is_and_how_much_it_takes(self):
        (self.folder / "little.txt").write_bytes(b"x" * 200)
        # A window of 32 needs 33 tokens in the smallest split, of 5 %; 10 tokens of it make a window of 9.
        self.refused(DATA, "little.txt", "200 bytes", "10 tokens", "33", "660 bytes", "model.context", "9",
                     settings=[self.text("little.txt")])

    def test_corrupt_and_truncated_gzip_name_the_file_and_the_byte(self):
        packed = bytearray(gzip.compress(thinwire.english_like().encode()))
        (self.folder / "cut.txt.gz").write_bytes(packed[:1000])
        self.refused(DATA, "cut.txt.gz", "byte 1000", settings=[self.text("cut.txt.gz")])
        packed[len(packed) // 2] ^= 0x10
        (self.folder / "broken.txt.gz").write_bytes(packed)
        self.refused(DATA, "broken.txt.gz", "corrupt", "byte", settings=[self.text("broken.txt.gz")])
        (self.folder / "no.txt.gz").write_bytes(b"no gzip at all, but long enough to be one")
        self.refused(DATA, "no.txt.gz", "gzip", settings=[self.text("no.txt.gz")])

    def test_a_gzip_file_trains_as_its_text_does(self):
        (self.folder / "words.txt.gz").write_bytes(gzip.compress((self.folder / "words.txt").read_bytes()))
        plain = self.trained("run.steps=3", name="plain")
        packed = self.trained("run.steps=3", self.text("words.txt.gz"), name="packed")
        self.assertEqual(packed.losses(), plain.losses())

    def test_a_refused_run_may_be_corrected_and_started_again(self):
        self.refused(DATA, settings=[self.text("worbs.txt")])
        self.refused(USAGE, settings=[MATCHES_NOTHING])
        self.train("run.steps=1")

    def test_a_run_that_is_refused_for_its_data_overwrites_nothing(self):
        earlier = self.trained("run.steps=10")
        self.refused(DATA, settings=[self.text("worbs.txt")], options=["--overwrite"])
        self.assertEqual(earlier.steps_saved(), [10])

    def test_a_directory_is_no_file(self):
        (self.folder / "texts").mkdir()
        self.refused(DATA, "texts", "directory", settings=[self.text("texts")])


class Batches(thinwire.Case):
    def test_a_batch_that_does_not_come_out_shows_the_equation_and_the_nearest_that_do(self):
        self.refused(USAGE, "data.global_batch 10", "data.micro_batch 2 x 3 ranks = 6", "6 and 12",
                     settings=["data.global_batch=10", "parallel.dp=3"])

    def test_a_global_batch_below_one_micro_batch_names_the_smallest_that_is_not(self):
        self.refused(USAGE, "data.global_batch", "4", settings=["data.global_batch=3", "data.micro_batch=4"])

    def test_the_ranks_of_mpirun_count(self):
        done = self.refused(USAGE, "data.global_batch 4", "data.micro_batch 2 x 3 ranks = 6", ranks=3)
        self.assertLess(done.seconds, 60)


if __name__ == "__main__":
    thinwire.main()
