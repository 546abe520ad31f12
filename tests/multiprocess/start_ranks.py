"""Starts N processes as a launcher would, without one:  python3 start_ranks.py N COMMAND...

Each gets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Prints what they say, each line behind its rank; ends with the largest exit code,
killed ones left out. Nothing outlives it.
"""
import os
import signal
import socket
import subprocess
import sys
import threading


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def main():
    world, command = int(sys.argv[1]), sys.argv[2:]
    port = free_port()
    processes, threads = [], []
    for rank in range(world):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(world),
                       "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        processes.append(process)

        def copy(process=process, rank=rank):
            for line in process.stdout:
                print(f"{rank}: {line}", end="", flush=True)

        threads.append(threading.Thread(target=copy))
        threads[-1].start()
    for process in processes:
        try:
            process.wait(100 if process is processes[0] else 20)
        except subprocess.TimeoutExpired:
            process.kill()  # it stands still, which may be what it was to do
    codes = [process.wait() for process in processes]
    for thread in threads:
        thread.join()
    killed = [code for code in codes if code == -signal.SIGKILL]
    others = [code for code in codes if code != -signal.SIGKILL]
    print(f"exit codes {sorted(set(others))}, killed {len(killed)}", flush=True)
    sys.exit(max((abs(code) for code in others), default=0))


main()
