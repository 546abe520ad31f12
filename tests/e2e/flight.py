"""Flight records of running ranks, read by an independent reader of base/flight_layout.h; and threads that are put to sleep where one wants them."""
import ctypes
import dataclasses
import os
import pathlib
import signal
import struct
import time

import thinwire

KINDS = ("none", "task", "wire", "wait", "data", "compute", "optimizer", "evaluation", "checkpoint", "encode", "decode", "plan")
DEPTH, ENDED = 8, 128
HEADER_WORDS, EVENT_WORDS, TRACK_HEADER_WORDS = 14, 13, 6
TRACK_WORDS = TRACK_HEADER_WORDS + (DEPTH + ENDED) * EVENT_WORDS


@dataclasses.dataclass
class Track:
    thread: str
    thread_id: int
    open: list  # (kind, name), the outermost first


@dataclasses.dataclass
class Record:
    rank: int
    process: int
    step: int
    tracks: dict

    def doing(self, thread="training"):
        """(kind, name) of the innermost operation under way."""
        track = self.tracks.get(thread)
        return track.open[-1] if track and track.open else (None, None)

    def is_at(self, thread, kind, name=""):
        """Within an operation of that kind whose name begins so."""
        return thread in self.tracks and any(one == kind and its_name.startswith(name) for one, its_name in self.tracks[thread].open)


def _text(data, word, num_words):
    return data[8 * word:8 * (word + num_words)].split(b"\0")[0].decode()


def parse(data):
    magic, rank, process, step, _beat, num_tracks = struct.unpack_from("<6Q", data)
    assert magic.to_bytes(8, "little") == b"TWFLIGH1", magic
    tracks = {}
    for index in range(num_tracks):
        at = HEADER_WORDS + index * TRACK_WORDS
        thread, thread_id = _text(data, at + 4, 2), struct.unpack_from("<Q", data, 8 * (at + 3))[0]
        under_way = []
        for depth in range(DEPTH):
            event = at + TRACK_HEADER_WORDS + depth * EVENT_WORDS
            mark = struct.unpack_from("<Q", data, 8 * event)[0]
            if mark == 0:
                break
            under_way.append((KINDS[mark & 0xff], _text(data, event + 7, 6)))
        tracks[thread] = Track(thread, thread_id, under_way)
    return Record(rank, process, step, tracks)


def read(run, rank):
    """The record of a living rank; None before there is one."""
    live = run.path / "flight" / f"rank_{rank:05}.live"
    try:
        return parse(pathlib.Path(live.read_text(encoding="utf-8").strip()).read_bytes())
    except OSError:
        return None


class Sleeper:
    """Lets threads of a run sleep: environment() is of its ranks."""

    def __init__(self, folder, name="run"):
        self.file = folder / f"asleep-{name}"

    def environment(self):
        return {"LD_PRELOAD": str(thinwire.program.parent / "tests" / "e2e" / "libthinwire_sleeper.so"), "THINWIRE_ASLEEP": str(self.file)}

    def put_to_sleep(self, run, rank, thread, kind, job, name="", within_s=120):
        """Where that is what the thread is doing: it is stopped at random moments until it is found there."""
        deadline = time.monotonic() + within_s
        while not job.ended():
            assert time.monotonic() < deadline, f"{thread} of rank {rank} was never found at {kind}"
            self.file.unlink(missing_ok=True)
            record = read(run, rank)
            if record is None or thread not in record.tracks:
                time.sleep(0.01)
                continue
            time.sleep(0.0005)
            self.file.write_bytes(b"")
            thread_id = record.tracks[thread].thread_id
            kill_thread(record.process, thread_id, signal.SIGUSR2)
            if self._sleeps(thread_id) and (record := read(run, rank)) and record.tracks[thread].thread_id == thread_id and self._is_found(record.doing(thread), kind, name):
                return record
        raise AssertionError(f"the run ended before {thread} of rank {rank} was found at {kind}: {job.wait().text}")

    @staticmethod
    def _is_found(doing, kind, name):
        return doing[0] == kind and doing[1].startswith(name)

    def _sleeps(self, thread_id):
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            if self.file.read_bytes() == struct.pack("<i", thread_id):
                return True
            time.sleep(0.0005)
        return False


def kill_thread(process, thread, number):
    libc = ctypes.CDLL(None, use_errno=True)
    SYS_TGKILL = {"x86_64": 234, "aarch64": 131}[os.uname().machine]
    libc.syscall(SYS_TGKILL, process, thread, int(number))
