"""Before a run: what is forecast of it, the rehearsal, and models that do not fit."""
import json
import pathlib
import resource
import shutil
import tempfile
import time

import flight
import forecasts
import thinwire
from thinwire import Case

USAGE, DATA, CHECKPOINT, COMM, OUT_OF_MEMORY = 2, 3, 4, 5, 8
HUGE = ["model.d_model=65536", "model.heads=1024"]  # a weight of 65,536 x 65,536 floats takes 17 GB
HANDFUL = ["bf16_every_step", "extreme", "sparseloco", "own_text"]  # ./run forecasts takes all of them


class Forecasts(Case):
    def test_memory_and_bytes_are_within_a_tenth_of_what_runs_take(self):
        with tempfile.TemporaryDirectory(prefix="thinwire-forecasts-") as folder:
            trial = forecasts.Trial(folder)
            for config in forecasts.CONFIGS:
                if config.stem in HANDFUL:
                    comparison = trial.compare(config)
                    print(forecasts.row(comparison))
                    self.assertEqual(comparison.misses(), {}, forecasts.row(comparison))

    def test_every_shipped_configuration_can_be_estimated(self):
        with tempfile.TemporaryDirectory(prefix="thinwire-forecasts-") as folder:
            trial = forecasts.Trial(folder)
            for config in forecasts.CONFIGS:
                if config.stem == "from_a_model":  # whose tokenizer is the model's own
                    continue
                ranks = [] if config.stem == "own_text" else ["--ranks", 2]
                made = trial.estimate(config, *ranks)
                self.assertGreater(made["wire"]["ratio"], 0.9, config)
                self.assertGreater(made["memory"]["process_bytes"], made["memory"]["base_bytes"], config)

    def test_a_model_that_no_machine_holds_is_estimated_in_little_memory(self):
        began = time.monotonic()
        done = self.thinwire("estimate", "-c", "small.yaml", "--json", *[word for setting in HUGE for word in ("--set", setting)],
                             preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30)))
        made = json.loads(done.out)
        d, ffn, layers = 65536, 174784, 2  # 8/3 d, to a multiple of 32
        parameters = 256 * d + layers * (4 * d * d + 3 * d * ffn + 2 * d) + d
        self.assertEqual(made["parameters"], parameters)
        self.assertEqual(made["memory"]["parts"]["weights"], 4 * parameters)
        self.assertLess(time.monotonic() - began, 30)

    def test_the_table_names_every_part_and_forecasts_steps_over_five_links(self):
        done = self.thinwire("estimate", "-c", "small.yaml", "--ranks", "8", "--set", "data.global_batch=16", "--step-time", "100ms")
        self.assert_says(done, "weights", "gradients", "optimizer state", "residuals", "anchors", "activations", "program and LibTorch",
                         "10 Mbit/s", "100 Mbit/s", "1 Gbit/s", "10 Gbit/s", "100 Gbit/s", "a checkpoint on disk", "times fewer")

    def test_checkpoints_of_mode_extreme_are_told_as_a_chain(self):
        words = ["estimate", "-c", "small.yaml", "--step-time", "100ms", "--set", "checkpoint.mode=extreme"]
        done = self.thinwire(*words)
        self.assert_says(done, "the first checkpoint of a chain", "each of the 8 behind it", "about: the demo's with mild pruning are 22 times smaller", "its coders")
        self.assert_says(self.thinwire(*words, "--set", "checkpoint.pruning=aggressive"), "with aggressive pruning are 75 to 84 times smaller")
        saved = json.loads(self.thinwire(*words, "--json").out)["checkpoint"]
        self.assertLess(saved["link_bytes"], saved["bytes"])
        self.assertNotIn("behind it", self.thinwire("estimate", "-c", "small.yaml", "--step-time", "100ms").out)

    def test_checkpoints_that_stay_are_counted(self):
        words = ["estimate", "-c", "small.yaml", "--step-time", "100ms", "--set", "run.steps=200", "--set", "checkpoint.every=5", "--set", "checkpoint.keep=3"]
        for settings, kept, told in (([], 4, "4 at most: those that stay (checkpoint.keep), and one being written"),
                                     (["checkpoint.keep_every=10"], 22, "22 at most: those that stay (checkpoint.keep, checkpoint.keep_every), and one"),
                                     (["checkpoint.base=previous"], 8, "8 at most: those that stay (checkpoint.keep), what they are coded against, and one")):
            extra = [word for setting in settings for word in ("--set", setting)]
            self.assert_says(self.thinwire(*words, *extra), told)
            saved = json.loads(self.thinwire(*words, *extra, "--json").out)["checkpoint"]
            self.assertEqual(saved["kept"], kept)
            self.assertAlmostEqual(saved["kept_bytes"], kept * saved["bytes"])

    def test_a_link_of_ones_own_is_taken(self):
        words = ["estimate", "-c", "small.yaml", "--json", "--step-time", "100ms", "--bandwidth", "1Mbit", "--latency", "30ms"]
        (link,) = json.loads(self.thinwire(*words).out)["links"]
        self.assertEqual((link["bits_per_s"], link["latency_s"]), (1e6, 0.03))
        self.assertAlmostEqual(link["configured"]["compute_s"], 0.1)
        self.assert_says(self.thinwire(*words, "--bandwidth", "20", code=USAGE), "--bandwidth", "200Mbit")


    def test_ranks_of_one_host_cross_no_link(self):
        words = ["estimate", "-c", "small.yaml", "--set", "data.global_batch=8", "--step-time", "100ms", "--latency", "1s"]
        for on_one_host in (["--ranks", 4, "--ranks-per-host", 4], ["--set", "parallel.dp=4"]):
            done = self.thinwire(*words, *on_one_host)
            self.assert_says(done, "all 4 ranks are on one host: none of it crosses a link", "no link is crossed")
            self.assertNotIn("bit/s", done.out)
            made = json.loads(self.thinwire(*words, *on_one_host, "--json").out)
            self.assertEqual(made["links"], [])
            for of in made["one_host"].values():
                self.assertEqual(of["wire_s"], 0)
        done = self.thinwire(*words, "--ranks", 4, "--ranks-per-host", 2)
        self.assert_says(done, "1 Gbit/s")
        self.assertNotIn("link is crossed", done.out)


class TooLarge(Case):
    def test_training_is_refused_before_memory_is_exhausted(self):
        began = time.monotonic()
        done = self.refused(OUT_OF_MEMORY, "out of memory", "GB", "available", "optimizer state", "model.d_model", "thinwire estimate", settings=HUGE)
        self.assertEqual(len(done.err.splitlines()), 1, done.err)
        self.assertLess(time.monotonic() - began, 30)
        self.assertFalse((self.folder / "runs").exists())

    def test_so_is_a_rehearsal_and_every_rank_of_mpirun(self):
        self.refused(OUT_OF_MEMORY, "out of memory", settings=HUGE, options=["--dry-run"])
        words = self.train_words(HUGE)
        done = self.start(thinwire.program, *words, ranks=2).wait()
        self.assertEqual(done.code, OUT_OF_MEMORY, done.text)
        self.assert_says(done, "this run on this host", "available")


class RunsOut(Case):
    """Memory that was there when a run began, and is not when LibTorch asks for it: it has words for that, and no type of its own."""

    config = thinwire.SMALL_CONFIG.replace("d_model: 32, layers: 2", "d_model: 32, layers: 1, ffn: 4096").replace("global_batch: 4, micro_batch: 2",
                                                                                                         "global_batch: 320, micro_batch: 160")
    largest_bytes = 160 * 32 * 4096 * 4  # samples x tokens x ffn, fp32: above 32 MiB malloc asks the system for each anew

    def test_in_training_ends_with_8_under_every_launcher(self):
        words = "out of memory; a smaller data.micro_batch"
        for way, command, told in (("mpirun", ["mpirun", "-n", 2, "--bind-to", "none", thinwire.program], rf"\[rank (1 \S+\] error: |0 \S+\] error: rank 1: ){words}"),
                                   ("launch", [thinwire.program, "launch", "-n", 2, "--"],
                                    rf"\[launch\] rank 1 on \S+: exit code 8 \(out of memory\)\n\[launch\] why: {words}"),
                                   ("threads", [thinwire.program], rf"error: (rank \d: )?{words}")):
            with self.subTest(way):
                dp = ["parallel.dp=2"] if way == "threads" else []
                job = self.start(*command, *self.train_words(["run.steps=1000000", "checkpoint.every=0", *dp], way))
                self.wait_until(lambda way=way: self.run_of(way).last_step() >= 2, job)
                process = flight.read(self.run_of(way), 1).process
                most = self.largest_address_space(process) - self.largest_bytes // 2
                resource.prlimit(process, resource.RLIMIT_AS, (most, most))
                done = job.wait()
                self.assertEqual(done.code, OUT_OF_MEMORY, done.text)
                self.assertRegex(done.err, told)
                self.assert_nothing_remains(job)

    @staticmethod
    def largest_address_space(process):
        """That some steps take, in bytes."""
        most, until = 0, time.monotonic() + 3
        while time.monotonic() < until:
            with open(f"/proc/{process}/statm", encoding="ascii") as statm:
                most = max(most, int(statm.read().split()[0]) * resource.getpagesize())
        return most


class Rehearsal(Case):
    def files(self):
        return sorted(self.folder.rglob("*"))

    def test_it_takes_a_step_and_leaves_nothing_behind(self):
        before = self.files()
        done = self.train("parallel.dp=2", options=["--dry-run"])
        self.assert_says(done, "# step", "loss", "# wire", "# memory", "# disk", "2 ranks over loopback", "--dry-run")
        self.assertEqual(self.files(), before)
        self.thinwire("config", "print", "-c", "-", stdin=done.out)

    def test_ranks_of_mpirun_and_of_launch_rehearse_together(self):
        words = self.train_words([], options=["--dry-run"])
        for command, transport in ((["mpirun", "-n", "2", "--bind-to", "none", thinwire.program], "mpi"), ([thinwire.program, "launch", "-n", "2", "--"], "grpc")):
            done = self.start(*command, *words).wait()
            self.assertEqual(done.code, 0, done.text)
            self.assert_says(done, f"2 ranks over {transport}")
            self.assertFalse((self.folder / "runs").exists())

    def test_a_checkpoint_is_tried_and_not_touched(self):
        self.train()
        before = {path: path.stat().st_mtime_ns for path in self.files() if path.is_file()}
        done = self.train("run.steps=40", options=["--dry-run", "--resume", "auto"])
        self.assert_says(done, "from step 20")
        self.assertEqual({path: path.stat().st_mtime_ns for path in self.files() if path.is_file()}, before)
        self.refused(CHECKPOINT, "optim.lr", settings=["optim.lr=1.0"], options=["--dry-run", "--resume", "auto"])
        self.refused(USAGE, "not empty", options=["--dry-run"])

    def test_data_that_are_missing_are_found_out(self):
        self.refused(DATA, "nothing.txt", settings=["data.files=[nothing.txt]"], options=["--dry-run"])


class Doctor(Case):
    def found(self, *command, environment=None):
        done = self.start(*command, "--json", environment=environment).wait()
        return done, {(one["section"], one["name"]): one for one in json.loads(done.out)["findings"]}

    def test_alone_it_names_libraries_cores_memory_disks_and_networks(self):
        done, found = self.found(thinwire.program, "doctor")
        self.assertEqual(done.code, 0, done.text)
        for place in (("libraries", "LibTorch"), ("libraries", "MPI"), ("libraries", "gRPC"), ("data", "gcide"), ("cores", "cores"), ("memory", "available"),
                      ("disks", "/dev/shm"), ("disks", "run.dir"), ("network", "interfaces"), ("network", "host name"), ("network", "listening")):
            self.assertIn(place, found)
        self.assert_says(self.thinwire("doctor"), "libraries", "ok", "well")

    def test_a_program_without_its_cuda_module_is_told_where_that_belongs_and_what_builds_it(self):
        alone = self.folder / "alone"
        alone.mkdir()
        shutil.copy(thinwire.program, alone / "thinwire")
        done, found = self.found(alone / "thinwire", "doctor")
        self.assertEqual(done.code, 0, done.text)
        module = found["libraries", "CUDA module"]
        self.assertEqual(module["state"], "note")
        self.assertIn(str(alone / "libthinwire_cuda.so"), module["value"])
        self.assertIn("THINWIRE_CUDA=ON ./run build, then cmake --install build", module["fix"])
        if not pathlib.Path("/proc/driver/nvidia").exists():
            self.assertIn("apt-get install nvidia-driver", found["libraries", "NVIDIA driver"]["fix"])

    def test_an_interface_that_is_not_there_is_named_with_those_that_are(self):
        for variable in ("NCCL_SOCKET_IFNAME", "OMPI_MCA_btl_tcp_if_include"):
            done, found = self.found(thinwire.program, "doctor", environment={variable: "eth77"})
            self.assertEqual(done.code, COMM, done.text)
            self.assertIn("eth77", found["network", variable]["value"])
            self.assertIn("lo 127.0.0.1", found["network", variable]["value"])
            self.assertIn(f"unset {variable}", found["network", variable]["fix"])

    def test_ranks_measure_their_links(self):
        for command in (["mpirun", "-n", "2", "--bind-to", "none", thinwire.program], [thinwire.program, "launch", "-n", "2", "--"]):
            done, found = self.found(*command, "doctor")
            self.assertEqual(done.code, 0, done.text)
            self.assertRegex(found["links", "ranks 0 and 1"]["value"], r"bit/s each way, latency \d+ us, clocks [+-][\d.]+ ms apart")

    def test_data_that_a_configuration_wants_and_that_are_not_there_are_bad(self):
        done, found = self.found(thinwire.program, "doctor", "-c", "small.yaml", "--set", "data.files=[nothing.txt]")
        self.assertEqual(done.code, DATA, done.text)
        self.assertEqual(found["data", "text"]["state"], "BAD")

    def test_what_a_configuration_names_and_is_not_there_has_the_code_of_a_run(self):
        for setting, place, words in ((f"run.dir={self.folder}/words.txt", ("disks", "run.dir"), "words.txt is a file, not a directory"),
                                      ("model.init=nosuch", ("data", "model.init"), "nosuch"), ("data.tokenizer=nosuch", ("data", "data.tokenizer"), "nosuch"),
                                      ("data.tokenizer=no/such.json", ("data", "data.tokenizer"), "no/such.json"),
                                      ("comm.grpc.address=eth9", ("network", "comm.grpc.address"), "eth9")):
            with self.subTest(setting):
                done, found = self.found(thinwire.program, "doctor", "-c", "small.yaml", "--set", setting)
                self.assertIn(words, found[place]["value"])
                self.assertEqual((found[place]["state"], found[place]["code"]), ("BAD", done.code), done.text)
                launcher = ["launch", "-n", 2, "--"] if setting.startswith("comm") else []
                self.assertEqual(self.start(thinwire.program, *launcher, *self.train_words([setting])).wait().code, done.code)

    def test_a_model_of_another_shape_is_no_start(self):
        self.train("run.steps=1")
        words = ["doctor", "-c", "small.yaml", "--set", "model.init=runs/run"]
        done, found = self.found(thinwire.program, *words)
        self.assertEqual((done.code, found["data", "model.init"]["state"]), (0, "ok"), done.text)
        done, found = self.found(thinwire.program, *words, "--set", "model.layers=3")
        self.assertEqual(done.code, CHECKPOINT, done.text)
        self.assertIn("model.layers: config 3, there 2", found["data", "model.init"]["value"])


if __name__ == "__main__":
    thinwire.main()
