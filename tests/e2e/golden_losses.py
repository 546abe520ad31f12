"""Short runs against recorded losses: a change that nobody meant shows here first.

tests/golden/losses/NAME.txt has a line for each step, "step loss". CPUs round differently, and lossy codecs make a little more of it, so
losses agree within TOLERANCE; to the last bit only runs of one machine do (equality.py). Where a change is meant, record anew:
THINWIRE_RECORD_LOSSES=1 python3 tests/e2e/golden_losses.py build/thinwire
"""
import os
import pathlib

import thinwire

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "losses"
TOLERANCE = 0.01  # of losses that fall from 5.5 to 5.2 or below
RUNS = {
    "uncompressed": thinwire.UNCOMPRESSED,
    "topk_local_steps": (),
    "sign_local_steps": ("compress.codec=sign",),
    "quantize_every_step": ("exchange.schedule=every_step", "compress.codec=quantize"),
    "powersgd_every_step": ("exchange.schedule=every_step", "compress.codec=powersgd", "compress.error_feedback.decay=1"),
}


class Losses(thinwire.Case):
    def test_are_those_that_were_recorded(self):
        for name, settings in RUNS.items():
            with self.subTest(name):
                losses = self.trained("parallel.dp=2", *settings, name=name).losses()
                path = GOLDEN / f"{name}.txt"
                if os.environ.get("THINWIRE_RECORD_LOSSES"):
                    path.write_text("".join(f"{step} {loss:.5f}\n" for step, loss in sorted(losses.items())), encoding="ascii")
                lines = [line.split() for line in path.read_text(encoding="ascii").splitlines()]
                recorded = {int(step): float(loss) for step, loss in lines}
                self.assertEqual(losses.keys(), recorded.keys())
                for step, loss in recorded.items():
                    self.assertAlmostEqual(losses[step], loss, delta=TOLERANCE, msg=f"{name}, step {step}")
                self.assertLess(recorded[20], recorded[1] - 0.2)


if __name__ == "__main__":
    thinwire.main()
