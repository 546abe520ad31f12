"""Training on images: what is learnt, told and refused, and going on where a run was stopped."""
import gzip
import pathlib
import random
import shutil
import struct

import thinwire

USAGE, DATA, CHECKPOINT = 2, 3, 4
SIDE, CLASSES = 28, 10
PACKAGED = pathlib.Path("/usr/share/datasets/fashion-mnist")
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "configs" / "examples" / "resnet_fashion_mnist.yaml"


def write_images(folder, name, count, draw):
    """Class c is stripes under noise: lying or standing, of one of five widths. Easy, and known without any download."""
    stripes = [bytes(255 * (place // (width + 1) % 2) // 2 for place in range(SIDE)) for width in range(5)]
    pixels, labels = bytearray(), bytes(draw.randrange(CLASSES) for _ in range(count))
    for label in labels:
        stripe = stripes[label // 2]
        noise = draw.randbytes(SIDE * SIDE)
        pixels += bytes(stripe[at // SIDE if label % 2 else at % SIDE] + noise[at] // 4 for at in range(SIDE * SIDE))
    for kind, header, body in (("images-idx3", struct.pack(">4B3I", 0, 0, 8, 3, count, SIDE, SIDE), bytes(pixels)),
                               ("labels-idx1", struct.pack(">4B1I", 0, 0, 8, 1, count), labels)):
        (folder / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + body, 1))


class Images(thinwire.Case):
    config = """\
run: {steps: 30, verify_every: 10, device: cpu}
model: {type: resnet, width: 8, stages: 2, blocks: 1, groups: 2}
data: {source: fashion_mnist, fashion_mnist_path: ., global_batch: 16, micro_batch: 4}
optim: {lr: 1.0e-2}
exchange: {schedule: local_steps, every: 5}
compress: {codec: topk, topk: {density: 25%, chunk: 1024}, error_feedback: {name: ef14, decay: 0.95}, min_elems: 0}
parallel: {dp: 2}
checkpoint: {every: 7}
eval: {every: 0, batches: 5}
log: {every: 1}
"""

    def setUp(self):
        super().setUp()
        draw = random.Random(1)
        write_images(self.folder, "train", 480, draw)  # 40 of them validate
        write_images(self.folder, "t10k", 12, draw)

    def test_a_short_run_tells_the_classes_apart(self):
        done = self.train("run.steps=60")
        (record,) = self.run_of().records("eval")
        self.assertGreater(record["val_accuracy"], 0.5)  # of ten classes
        self.assertNotIn("val_bpb", record)
        self.assertAlmostEqual(record["val_accuracy"] * 20, round(record["val_accuracy"] * 20))  # over 5 batches of 4
        self.assert_says(done, "resnet with", "images of 28 x 28", "16 images = 2 (ranks) x 2 (micro-batches) x 4 (images)", "440 images to train on",
                         "40 to validate", "img/s", f"done: val_accuracy {record['val_accuracy']:.4f}")
        self.assertEqual(list((self.run_of().path / "samples").glob("*")), [])
        last = self.run_of().records("train")[-1]
        self.assertAlmostEqual(last["tokens_per_s"] * last["step_s"], 16, places=6)

    def test_a_resume_within_a_round_goes_on_bit_for_bit(self):
        whole = self.trained(name="whole")
        self.train()
        for step in (28, 30):
            shutil.rmtree(self.run_of().checkpoint(step))
        self.assert_says(self.train(options=["--resume", "auto"]), "resumed from step 21")
        self.assertEqual(self.run_of().losses(), whole.losses())
        self.assertTrue(any(name.startswith("exchange/residual/layer1") for _, name in whole.state(30)))
        self.assertEqual(self.run_of().state(30), whole.state(30))

    def test_sgd_under_ef21_sgdm_learns_and_resumes_bit_for_bit(self):
        """Gradients by top-k, an estimate of their momentum as feedback, and plain SGD: the momentum is built in."""
        settings = ("optim.name=sgd", "optim.lr=0.2", "optim.momentum=0", "exchange.schedule=every_step", "compress.error_feedback.name=ef21_sgdm",
                    "compress.error_feedback.beta=10%")
        whole = self.trained(*settings, name="whole")
        self.assertLess(whole.losses()[30], 0.8 * whole.losses()[1])
        self.train(*settings)
        for step in (28, 30):
            shutil.rmtree(self.run_of().checkpoint(step))
        self.assert_says(self.train(*settings, options=["--resume", "auto"]), "resumed from step 21")
        self.assertEqual(self.run_of().losses(), whole.losses())
        names = {name for _, name in whole.state(30) if name.startswith("optim/")}
        self.assertEqual(names, set())  # without a momentum of its own it remembers nothing
        self.assertTrue(any(name.startswith("exchange/feedback_momentum/") for _, name in whole.state(30)))
        self.assertEqual(self.run_of().state(30), whole.state(30))

    def test_ranks_see_what_one_rank_sees_in_micro_batches(self):
        """Sums of two are the same in any order: two ranks of one micro-batch each equal one rank of two."""
        settings = (*thinwire.UNCOMPRESSED, "run.steps=10", "data.global_batch=8", "optim.clip=0")
        two = self.trained(*settings, name="two").losses()
        one = self.trained(*settings, "parallel.dp=1", name="one").losses()
        self.assertEqual(len(one), 10)
        self.assertEqual(two, one)

    def test_other_data_on_resume_is_refused(self):
        self.train("run.steps=7")
        write_images(self.folder, "train", 480, random.Random(2))
        self.refused(CHECKPOINT, "other data", settings=["run.steps=14"], options=["--resume", "auto"])

    def test_an_absent_set_tells_how_to_get_it(self):
        self.refused(DATA, "nowhere/train-images-idx3-ubyte.gz", "apt-get install dataset-fashion-mnist",
                     settings=["data.fashion_mnist_path=nowhere"])

    def test_a_damaged_set_is_named(self):
        file = self.folder / "t10k-images-idx3-ubyte.gz"
        file.write_bytes(file.read_bytes()[:1000])
        self.refused(DATA, file.name, "byte 1000")

    def test_a_pair_that_does_not_work_names_those_that_do(self):
        self.refused(USAGE, "llama does not train on data.source fashion_mnist", "resnet on fashion_mnist",
                     settings=["model.type=llama"])
        self.refused(USAGE, "resnet does not train on data.source gcide", settings=["data.source=gcide"])


class FashionMnist(thinwire.Case):
    def test_the_example_learns(self):
        if not PACKAGED.is_dir():
            self.skipTest("the Debian package dataset-fashion-mnist is not installed")
        run = self.trained("run.steps=60", "parallel.dp=2", "eval.every=0", "eval.batches=10", config=EXAMPLE)
        self.assertGreater(run.records("eval")[-1]["val_accuracy"], 0.4)


if __name__ == "__main__":
    thinwire.main()
