"""The wires are what was asked for: the tool measures its own link with a TCP transfer, round trips and numbered datagrams."""
import math

import lab

RATE = r"rate +([\d.]+) {} on the wire"
ROUND_TRIP_MS = r"round_trip +([\d.]+) ms median"
LOST = r"loss +[\d.]+ %, (\d+) of 5000 packets"


class Measured(lab.Case):
    def measured(self, *options):
        done = self.start(lab.netlab, *options, "--measure").wait()
        self.assertEqual(done.code, 0, done.text)
        return done.out

    def assert_within(self, share, value, asked):
        self.assertLessEqual(abs(value - asked), share * asked)

    def test_a_wide_area_link_has_its_rate_and_its_delay(self):
        out = self.measured("--rate", "200Mbit", "--delay", "10ms")
        self.assert_within(0.05, self.number(RATE.format("Mbit/s"), out), 200)
        self.assertLessEqual(abs(self.number(ROUND_TRIP_MS, out) - 20), 2)
        self.assertEqual(self.number(LOST, out), 0)

    def test_a_slow_link_has_its_rate_and_adds_no_delay(self):
        out = self.measured("--rate", "10Mbit")
        self.assert_within(0.05, self.number(RATE.format("Mbit/s"), out), 10)
        self.assertLessEqual(self.number(ROUND_TRIP_MS, out), 2)
        self.assertEqual(self.number(LOST, out), 0)

    def test_losses_are_binomial_within_five_deviations(self):
        share, packets = 0.02, 5000
        lost = self.number(LOST, self.measured("--delay", "1ms", "--loss", f"{share:%}"))
        self.assertLessEqual(abs(lost - share * packets), 5 * math.sqrt(packets * share * (1 - share)))


if __name__ == "__main__":
    lab.main()
