"""A report of real runs, and its pictures by a real browser at the widths of a phone and a desk, light and dark."""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import zlib

import thinwire

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CONFIG_ERROR, CORRUPT = 2, 3


class Report(thinwire.Case):
    def test_of_one_run_lies_in_it(self):
        self.train("parallel.dp=2", "log.every=5", "log.layers_every=5")
        run = self.run_of()
        self.assertEqual(self.thinwire("report", run.path).out.strip(), str(run.path / "report.html"))
        page = (run.path / "report.html").read_text()
        last = run.records("train")[-1]
        self.assertIn(f"{run.records('eval')[-1]['val_bpb']:.4f}", page)
        self.assertIn(f">{last['dense_bytes'] * last['step'] / last['wire_bytes_tx_total']:.1f}<", page)
        for layer in run.records("layers")[-1]["layers"]:
            self.assertIn(layer["name"], page)

    def test_what_is_no_run_is_refused(self):
        self.assert_says(self.thinwire("report", self.folder / "nowhere", code=CONFIG_ERROR), "nowhere", "run directory")
        self.train("run.steps=1")
        run = self.run_of()
        (run.path / "metrics.jsonl").write_text("nonsense\n", encoding="ascii")
        self.assert_says(self.thinwire("report", run.path, code=CORRUPT), "metrics.jsonl:1:")

    def test_a_line_that_was_torn_is_named_and_left_out(self):
        self.train("run.steps=3")
        run = self.run_of()
        lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        torn = lines[0][:40] + lines[1]
        (run.path / "metrics.jsonl").write_text("".join([*lines, torn, *lines[-1:]]), encoding="utf-8")
        done = self.thinwire("report", run.path)
        self.assertRegex(done.err, rf"warning: .*metrics\.jsonl: line {len(lines) + 1} is no JSON object, and left out\n$")
        self.assertTrue((run.path / "report.html").exists())

    def test_a_run_goes_on_behind_its_last_whole_line(self):
        self.train("run.steps=10")
        run = self.run_of()
        with open(run.path / "metrics.jsonl", "a", encoding="ascii") as file:
            file.write('{"ts":17')
        self.assert_says(self.train(options=["--resume", "auto"]), "half a line")
        for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
            json.loads(line)
        self.assertEqual(self.thinwire("report", run.path).err, "")


class Pictures(thinwire.Case):
    """Kept in $THINWIRE_PICTURES where that is set, to be looked at."""

    def setUp(self):
        super().setUp()
        if BROWSER is None:
            self.skipTest("no Chromium here (Debian: apt-get install chromium)")
        self.train("parallel.dp=2", "log.layers_every=5", name="compressed")
        self.train("parallel.dp=2", *thinwire.UNCOMPRESSED, name="plain")
        self.page = self.folder / "report.html"
        self.thinwire("report", self.run_of("compressed").path, self.run_of("plain").path, "-o", self.page)

    def picture(self, width, scheme):
        """Pixels as rows of RGBA bytes."""
        path = pathlib.Path(os.environ.get("THINWIRE_PICTURES", self.folder)) / f"report-{width}-{scheme}.png"
        subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={self.folder}/browser",
                        f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}", f"--window-size={width},1600",
                        f"--screenshot={path}", self.page.as_uri()], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=100)
        return pixels(path.read_bytes())

    def test_light_and_dark_at_both_widths(self):
        for width in (500, 1200):  # 500 is the least that Chromium gives a window
            for scheme, is_paper in (("light", lambda value: value > 200), ("dark", lambda value: value < 60)):
                with self.subTest(width=width, scheme=scheme):
                    rows = self.picture(width, scheme)
                    self.assertEqual(len(rows[0]) // 4, width)
                    self.assertTrue(is_paper(sum(rows[2][:3]) / 3), "the margin has the paper's colour")
                    colours = {bytes(row[at:at + 3]) for row in rows for at in range(0, len(row), 4)}
                    self.assertGreater(len(colours), 100, "text, lines and bars are there")


def pixels(png):
    """Rows of RGBA of an 8-bit PNG without interlacing (the PNG specification, 9.2)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack_from(">IIBBBBB", png, at + 8)
        if kind == b"IDAT":
            data += png[at + 8:at + 8 + size]
        at += 12 + size
    assert (depth, interlace) == (8, 0) and colour in (2, 6)
    channels = 3 if colour == 2 else 4
    raw, stride, before, rows = zlib.decompress(data), width * channels, bytes(width * channels), []
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride):
            a, b, c = (line[x - channels] if x >= channels else 0), before[x], (before[x - channels] if x >= channels else 0)
            line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth(a, b, c))[kind]) & 0xff
        rows.append(bytes(line) if channels == 4 else b"".join(bytes(line[x:x + 3]) + b"\xff" for x in range(0, stride, 3)))
        before = line
    return rows


def paeth(a, b, c):
    distances = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    return (a, b, c)[distances.index(min(distances))]


if __name__ == "__main__":
    thinwire.main()
