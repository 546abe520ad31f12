"""mpirun, unmodified, spreads its ranks over the hosts, and what they say to each other crosses the wires."""
import re

import lab
import thinwire

COUNTERS = "cat /proc/net/dev"  # of the first host, where mpirun itself runs


class Ranks(lab.Case):
    def test_ranks_are_dealt_out_in_turn_and_know_all_hosts(self):
        tell = "echo $OMPI_COMM_WORLD_RANK $(hostname) $THINWIRE_NETLAB_ADDRESSES $THINWIRE_NETLAB_INTERFACE"
        said = self.in_lab("mpirun", "-n", 4, "sh", "-c", tell, options=["--hosts", 3]).out
        every = "10.0.0.1,10.0.0.2,10.0.0.3 wire0"
        self.assertEqual(sorted(said.splitlines()), [f"0 host0 {every}", f"1 host1 {every}", f"2 host2 {every}", f"3 host0 {every}"])

    def test_a_command_without_mpirun_runs_on_the_first_host_and_reaches_others_like_ssh(self):
        on = "/proc/1/exe --on"
        said = self.in_lab("sh", "-c", f"hostname; {on} 1 hostname; {on} 10.0.0.1 'echo here; hostname'; {on} 2 hostname; echo $?").out
        self.assertEqual(said.split(), ["host0", "host1", "here", "host0", "2"])

    def train_in_lab(self, name, *options):
        """Two ranks of the small run; returns the run and the bytes that the kernel counted on the wire of the first host: (in, out)."""
        words = ["mpirun", "-n", "2", thinwire.program, *self.train_words(["comm.timeout=30s"], name)]
        said = self.in_lab("sh", "-c", f"{' '.join(map(str, words))} && {COUNTERS}", options=options).out
        fields = re.search(r"wire0:(.*)", said).group(1).split()
        return self.run_of(name), int(fields[0]), int(fields[8])

    def test_two_ranks_on_two_hosts_train_as_on_one_machine_and_their_bytes_are_on_the_wire(self):
        here = self.trained(name="here", ranks=2)
        there, received, sent = self.train_in_lab("there", "--rate", "200Mbit", "--delay", "2ms")
        self.assertEqual(len(there.losses()), 20)
        self.assertEqual(there.losses(), here.losses())
        for key, counted in (("wire_bytes_tx", sent), ("wire_bytes_rx", received)):
            self.assertGreaterEqual(counted, sum(record[key] for record in there.records("train")), key)

    def test_ranks_on_one_host_leave_the_wire_alone(self):
        run, received, sent = self.train_in_lab("alone", "--hosts", "1")
        self.assertLess(received + sent, run.records("train")[-1]["wire_bytes_tx"])


if __name__ == "__main__":
    lab.main()
