"""What a run tells: metrics.jsonl, run.json, config.yaml, the console, the text sample. Figures are compared with formulas."""
import json
import math
import re
import shutil
import struct

import thinwire

PARAMETERS = thinwire.SMALL_CONFIG_PARAMETERS
STEPS = 20
FRAME_HEADER_BYTES = 56
STEP_REPORT_BYTES = 16  # each rank tells its loss and whether it was signalled, to every other rank, beside the next step
TRAIN_KEYS = set("ts kind step loss grad_norm lr tokens_per_s step_s forward_backward_s encode_s wire_s exposed_comm_s optimizer_s "
                 "wire_bytes_tx wire_bytes_rx dense_bytes ratio ratio_total residual_norm mem_bytes".split())
RUN_KEYS = set("argv version build hosts world transport params config_hash".split())
# step 120/300  loss 1.8041  gnorm 0.87  lr 3.0e-04  tok/s 41,220  step 412ms (fwd+bwd 300, encode 21, wire 80 exposed 9, opt 11)
#   sent 0.31MB/step x25.8  mem 2.1GB  eta 3m
CONSOLE_LINE = (r"step {step}/20  loss \d+\.\d{{4}}  gnorm \d+\.\d\d  lr \d\.\de-\d\d  tok/s [\d,]+  "
                r"step \d+ms \(fwd\+bwd \d+, encode \d+, wire \d+ exposed \d+, opt \d+\)  "
                r"sent [\d.]+[kMG]?B/step( x\d+\.\d)?  mem [\d.]+[kMG]B  eta [\d.]+[smh]")


class Exchanged(thinwire.Case):
    """Byte counts, without saves and hash comparisons: their bytes count for the next step."""

    quiet = ("run.verify_every=0", "checkpoint.every=0")

    def records_of(self, *settings, **how):
        self.said = self.train(*self.quiet, *settings, **how).out
        return self.run_of().records("train")

    def assert_bytes_a_step(self, records, exchange_bytes, report_bytes=STEP_REPORT_BYTES):
        """No report goes before the first step."""
        expected = [exchange_bytes] + [exchange_bytes + report_bytes] * (STEPS - 1)
        self.assertEqual([record["wire_bytes_tx"] for record in records], expected)

    def num_buckets(self):
        return int(re.search(r"; buckets: (\d+);", self.said).group(1))

    def test_uncompressed_bytes_are_those_of_a_ring_all_reduce(self):
        """Over N = 2, where that is 2 (N - 1) / N of the values: all of them, a frame a bucket."""
        for bucket in ("4MB", "20kB"):
            with self.subTest(bucket):
                records = self.records_of(*thinwire.UNCOMPRESSED, f"exchange.bucket={bucket}", options=["--overwrite"], ranks=2)
                self.assert_bytes_a_step(records, 4 * PARAMETERS + FRAME_HEADER_BYTES * self.num_buckets())
                self.assertEqual([record["wire_bytes_rx"] for record in records], [record["wire_bytes_tx"] for record in records])

    def test_uncompressed_bytes_grow_with_the_ranks_as_the_formula_says(self):
        """2 n (N - 1) / N floats, and 2 (N - 1) frames; rank 0 owns the smallest slice."""
        for num_ranks in (3, 4):
            with self.subTest(num_ranks):
                records = self.records_of(*thinwire.UNCOMPRESSED, f"data.global_batch={num_ranks}", "data.micro_batch=1",
                                          f"parallel.dp={num_ranks}", options=["--overwrite"])
                own = PARAMETERS // num_ranks
                expected = 4 * (PARAMETERS - own) + (num_ranks - 1) * (4 * own + 2 * FRAME_HEADER_BYTES)
                self.assert_bytes_a_step(records, expected, (num_ranks - 1) * STEP_REPORT_BYTES)

    def test_bf16_halves_the_bytes(self):
        records = self.records_of("exchange.schedule=every_step", "compress.codec=bf16", "compress.min_elems=0", "parallel.dp=2")
        self.assert_bytes_a_step(records, 2 * PARAMETERS + FRAME_HEADER_BYTES)

    def test_dense_bytes_are_those_of_a_ring_all_reduce_every_step(self):
        """8 n (N - 1) / N, whatever is sent instead."""
        for num_ranks in (1, 2, 4):
            with self.subTest(num_ranks):
                records = self.records_of(f"parallel.dp={num_ranks}", "data.micro_batch=1", options=["--overwrite"])
                self.assertEqual({record["dense_bytes"] for record in records}, {8 * PARAMETERS * (num_ranks - 1) / num_ranks})

    def test_ratio_is_of_the_round_and_ratio_total_of_all_that_was_sent(self):
        records = self.records_of("parallel.dp=2")
        dense, sent = 4 * PARAMETERS, [record["wire_bytes_tx"] for record in records]
        for index, record in enumerate(records):
            self.assertAlmostEqual(record["ratio_total"] / (dense * (index + 1) / record["wire_bytes_tx_total"]), 1, places=12)
            rounds = (index + 1) // 5
            if rounds == 0:
                self.assertIsNone(record["ratio"])
            else:
                self.assertAlmostEqual(record["ratio"] / (5 * dense / sum(sent[5 * (rounds - 1):5 * rounds])), 1, places=12)
        totals = [record["wire_bytes_tx_total"] for record in records]
        self.assertEqual([later - earlier for earlier, later in zip(totals, totals[1:])], sent[1:])
        self.assertGreater(totals[0], sent[0])  # what the ranks agreed on before the first step counts too

    def test_a_step_without_exchange_sends_a_report_at_most(self):
        records = self.records_of("parallel.dp=2", "log.every=5")
        self.assertEqual([record["step"] for record in records], [1, 5, 10, 15, 20])
        # The report of the first step goes beside the second; steps 3 and 4 are silent.
        self.assertEqual(records[0]["wire_bytes_tx"], 0)
        sent = records[1]["wire_bytes_tx_total"] - records[0]["wire_bytes_tx_total"]
        self.assertEqual(sent, STEP_REPORT_BYTES + records[1]["wire_bytes_tx"])

    def test_error_feedback_leaves_a_residual_and_uncompressed_exchange_none(self):
        self.assertGreater(self.records_of("parallel.dp=2")[-1]["residual_norm"], 0)
        self.assertEqual(self.records_of("parallel.dp=2", *thinwire.UNCOMPRESSED, options=["--overwrite"])[-1]["residual_norm"], 0)

    def test_a_resumed_run_goes_on_counting(self):
        whole = self.records_of("parallel.dp=2", "checkpoint.every=10")
        shutil.rmtree(self.run_of().checkpoint(20))
        resumed = self.records_of("parallel.dp=2", "checkpoint.every=10", options=["--resume", "auto"])[len(whole):]
        self.assertEqual([record["step"] for record in resumed], list(range(11, 21)))
        self.assertGreater(resumed[-1]["wire_bytes_tx_total"], whole[-1]["wire_bytes_tx_total"])  # it agreed twice
        self.assertLess(resumed[-1]["ratio_total"], whole[-1]["ratio_total"])
        self.assertEqual(resumed[-1]["ratio"], whole[-1]["ratio"])


class Trace(thinwire.Case):
    def spans(self, rank):
        events = json.loads((self.run_of().path / "trace" / f"rank_{rank:05}.json").read_text())
        return [event for event in events if event["ph"] == "X"]

    def test_shows_what_the_metrics_count(self):
        """Under every_step and log.every=1 a record's times are those of one step."""
        self.train("parallel.dp=2", "log.trace=true", "run.verify_every=0", "checkpoint.every=0", "eval.every=0", "exchange.schedule=every_step",
                   "compress.codec=sign", "exchange.bucket=20kB")
        records = self.run_of().records("train")
        for rank in (0, 1):
            spans = self.spans(rank)
            self.assertEqual({span["pid"] for span in spans}, {rank})
            lanes = {span["cat"] for span in spans}
            self.assertEqual(lanes, {"compute", "exposed", "optimizer", "evaluation", "checkpoint", "encode", "decode", "wire tx", "wire rx"})
        for lane, key in (("compute", "forward_backward_s"), ("exposed", "exposed_comm_s"), ("optimizer", "optimizer_s")):
            durations = [span["dur"] / 1e6 for span in self.spans(0) if span["cat"] == lane]
            self.assertEqual(len(durations), STEPS)
            for duration, record in zip(durations, records):
                self.assertAlmostEqual(duration, record[key], delta=2e-7)
        control_lane, background_lane = 1, 31
        sent = sum(span["args"]["bytes"] for span in self.spans(0)
                   if span["cat"] == "wire tx" and span["tid"] % 32 not in (control_lane, background_lane))
        self.assertEqual(sent, sum(record["wire_bytes_tx"] for record in records) - (STEPS - 1) * STEP_REPORT_BYTES)

    def test_is_not_written_unless_asked_for(self):
        self.train("parallel.dp=2", "run.steps=1")
        self.assertFalse((self.run_of().path / "trace").exists())


class TensorBoard(thinwire.Case):
    """Read by a reader of our own: TensorBoard is in no Debian."""

    def events(self):
        """(step, {tag: value}, raw event) of every record of every file; checksums are those of trainer/event_file_test.cc."""
        found = []
        for path in sorted((self.run_of().path / "tb").iterdir()):
            self.assertRegex(path.name, r"^events\.out\.tfevents\.\d{10}\..+\.\d+\.0$")
            content, at = path.read_bytes(), 0
            while at < len(content):
                size, = struct.unpack_from("<Q", content, at)
                found.append(self.parse(content[at + 12:at + 12 + size]))
                at += size + 16
            self.assertEqual(at, len(content))
        return found

    def fields(self, message):
        at = 0

        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = message[at]
                at += 1
                value |= (byte & 0x7f) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(message):
            key = varint()
            if key & 7 == 0:
                value = varint()
            else:
                size = {1: 8, 5: 4}.get(key & 7) or varint()
                value = message[at:at + size]
                at += size
            yield key >> 3, value

    def parse(self, event):
        top = dict(self.fields(event))
        scalars = {}
        for _, one in self.fields(top.get(5, b"")):
            value = dict(self.fields(one))
            if 2 in value:
                scalars[value[1].decode()], = struct.unpack("<f", value[2])
        return top.get(2, 0), scalars, top

    def test_holds_what_metrics_jsonl_holds(self):
        self.train("parallel.dp=2", "log.every=5")
        events = self.events()
        self.assertEqual(events[0][2][3], b"brain.Event:2")
        self.assertIn(b"d_model", events[1][2][5])  # the configuration
        for record in self.run_of().records("train"):
            scalars = next(tags for step, tags, _ in events if step == record["step"] and "train/loss" in tags)
            for tag in ("train/loss", "train/lr", "time/step_s", "speed/tokens_per_s", "comm/wire_bytes_tx", "comm/residual_norm"):
                self.assertAlmostEqual(scalars[tag] / (record[tag.split("/")[1]] or 1), bool(record[tag.split("/")[1]]), places=6)
        last = self.run_of().records("eval")[-1]
        shown = next(tags["eval/val_bpb"] for step, tags, _ in events if step == last["step"] and "eval/val_bpb" in tags)
        self.assertAlmostEqual(shown / last["val_bpb"], 1, places=6)

    def test_a_resume_says_what_it_replaces(self):
        self.train("parallel.dp=2", "checkpoint.every=10")
        shutil.rmtree(self.run_of().checkpoint(20))
        self.train("parallel.dp=2", "checkpoint.every=10", options=["--resume", "auto"])
        self.assertEqual([step for step, _, top in self.events() if 7 in top], [11])

    def test_is_not_written_where_it_is_off(self):
        self.train("run.steps=1", "log.tensorboard=false")
        self.assertFalse((self.run_of().path / "tb").exists())


class Records(thinwire.Case):
    def setUp(self):
        super().setUp()
        self.done = self.train("parallel.dp=2", "eval.every=8", "log.every=6")
        self.all = self.run_of().records()
        self.trained_steps = self.run_of().records("train")

    def test_every_train_record_has_every_key_of_the_contract(self):
        for record in self.trained_steps:
            self.assertEqual(TRAIN_KEYS - set(record), set())

    def test_the_first_step_every_interval_and_the_last_step_are_recorded_once(self):
        self.assertEqual([record["step"] for record in self.trained_steps], [1, 6, 12, 18, 20])

    def test_evaluations_are_recorded_in_bits_per_byte(self):
        records = self.run_of().records("eval")
        self.assertEqual([record["step"] for record in records], [8, 16, 20])
        for record in records:
            self.assertAlmostEqual(record["val_bpb"], record["val_loss"] / math.log(2), places=12)
            self.assertTrue(0 < record["val_bpb"] < 9)

    def test_times_are_seconds_that_add_up_to_no_more_than_the_step(self):
        for record in self.trained_steps:
            for key in ("forward_backward_s", "encode_s", "wire_s", "exposed_comm_s", "optimizer_s"):
                self.assertGreaterEqual(record[key], 0, key)
            self.assertLessEqual(record["forward_backward_s"] + record["exposed_comm_s"] + record["optimizer_s"], record["step_s"] * 1.001)
            self.assertAlmostEqual(record["tokens_per_s"] * record["step_s"], 4 * 32, places=6)
            self.assertGreater(record["mem_bytes"], 1e6)

    def test_time_stamps_do_not_go_back(self):
        stamps = [record["ts"] for record in self.all]
        self.assertEqual(stamps, sorted(stamps))

    def test_the_learning_rate_is_linear_over_the_warm_up_and_then_a_cosine(self):
        for record in self.trained_steps:  # of 20 steps 10 % are warm-up, and a tenth of the rate remains
            progress = (record["step"] - 2) / 18
            expected = record["step"] / 2 if record["step"] <= 2 else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress))
            self.assertAlmostEqual(record["lr"], 2e-3 * expected, places=15)

    def test_losses_start_at_those_of_guessing_and_fall(self):
        losses = [record["loss"] for record in self.trained_steps]
        self.assertAlmostEqual(losses[0], math.log(256), delta=0.3)
        self.assertLess(losses[-1], losses[0])


class Console(thinwire.Case):
    def lines(self, done, word):
        return [line for line in done.out.splitlines() if line.startswith(f"{word} ")]

    def test_a_line_per_interval_in_a_stable_order_from_rank_0_alone(self):
        for how in ({"ranks": 2}, {}):
            with self.subTest(how):
                done = self.train("log.every=6", "eval.every=0", options=["--overwrite"], **how)
                lines = self.lines(done, "step")
                self.assertEqual(len(lines), 5)
                for line, step in zip(lines, (1, 6, 12, 18, 20)):
                    self.assertRegex(line, f"^{CONSOLE_LINE.format(step=step)}$")

    def test_no_progress_bar_and_no_colour_where_no_terminal_reads(self):
        self.assertNotRegex(self.train("parallel.dp=2").text, r"[\r\b\x1b]")

    def test_the_end_says_bits_per_byte_savings_and_where_the_run_lies(self):
        done = self.train("parallel.dp=2")
        last = self.run_of().records("train")[-1]
        bpb = self.run_of().records("eval")[-1]["val_bpb"]
        event = self.run_of().records("event")[-1]
        self.assertEqual(event["event"], "done")
        ratio_total = float(re.search(r"ratio_total ([0-9.]+)", event["detail"]).group(1))
        self.assert_says(done, f"val_bpb {bpb:.4f}", f"ratio_total {ratio_total:.1f}", "runs/run")
        self.assertLessEqual(ratio_total, last["ratio_total"])  # the last evaluation and checkpoint count, too
        self.assertGreater(ratio_total, 0.8 * last["ratio_total"])

    def test_synthetic_data_is_labelled_in_every_line_that_tells_a_figure(self):
        done = self.train("data.source=synthetic", "data.files=[]", "run.steps=2", "parallel.dp=2")
        told = [line for line in done.out.splitlines() if re.search(r"\bloss|val_bpb|ratio_total|tok/s", line)]
        self.assertGreaterEqual(len(told), 5)  # two steps, an evaluation, the bytes, the end
        self.assertEqual([line for line in told if "synthetic" not in line.lower()], [])
        self.assertTrue(all(record["synthetic"] for record in self.run_of().records("train")))

    def test_real_data_is_not_labelled_synthetic(self):
        self.assertNotIn("synthetic", self.train("run.steps=2").text.lower())


class RunFiles(thinwire.Case):
    def test_the_directory_holds_what_the_contract_lists(self):
        self.train(ranks=2)
        run = self.run_of().path
        for name in ("config.yaml", "run.json", "metrics.jsonl", "logs/rank_00000.log", "logs/rank_00001.log", "checkpoints/latest",
                     "checkpoints/step-00000010/manifest.json", "checkpoints/step-00000020/COMPLETE"):
            self.assertTrue((run / name).is_file(), name)
        self.assertEqual((run / "checkpoints" / "latest").read_text().strip(), "step-00000020")
        (sample,) = (run / "samples").iterdir()
        self.assertTrue(sample.read_bytes().startswith(b"The "))

    def test_run_json_says_what_ran_where(self):
        for ranks, transport in ((2, "mpi"), (None, "loopback")):
            with self.subTest(transport):
                self.train("run.steps=1", options=["--overwrite"], ranks=ranks)
                facts = json.loads((self.run_of().path / "run.json").read_text(encoding="utf-8"))
                self.assertEqual(RUN_KEYS - set(facts), set())
                self.assertEqual((facts["world"], facts["transport"], facts["params"]), (ranks or 1, transport, PARAMETERS))
                self.assertEqual(facts["argv"][1:], self.train_words(["run.steps=1"], options=["--overwrite"]))
                self.assertEqual(len(facts["hosts"]), ranks or 1)

    def test_config_yaml_is_the_whole_configuration_and_runs_again(self):
        self.train("run.steps=3", "parallel.dp=2")
        path = self.run_of().path / "config.yaml"
        self.assertEqual(self.thinwire("config", "print", "-c", path).out, path.read_text(encoding="utf-8"))
        self.train(name="again", config=path)
        self.assertEqual(self.run_of("again").losses(), self.run_of().losses())

    def test_checkpoints_of_every_so_many_steps_stay_besides_the_newest(self):
        self.train("checkpoint.every=2", "checkpoint.keep=2", "checkpoint.keep_every=8")
        self.assertEqual(self.run_of().steps_saved(), [8, 16, 18, 20])

    def test_keep_bounds_the_checkpoints_that_stay(self):
        self.train("checkpoint.every=2", "checkpoint.keep=2")
        self.assertEqual(self.run_of().steps_saved(), [18, 20])
        listed = self.thinwire("ckpt", "ls", self.run_of().path).out
        self.assertRegex(listed, r"(?s)\A[^\n]*step-00000018[^\n]*\n[^\n]*step-00000020[^\n]*\n\Z")
        self.assert_says(self.thinwire("ckpt", "inspect", self.run_of().path), "step-00000020", "model/model.norm.weight", "exchange/residual/")


if __name__ == "__main__":
    thinwire.main()
