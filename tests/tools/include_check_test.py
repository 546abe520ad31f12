"""tools/include_check must refuse one violation of each kind, naming file and line, and nothing in a tree without any."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "include_check"

# A tree that obeys: what looks like a violation in a comment or a string is none.
CLEAN = {
    "base/CMakeLists.txt": "thinwire_room(base SOURCES bytes.cc)\n",
    "base/bytes.cc": '#include "base/bytes.h"  // never "comm/wire.h"\n\n#include <cstdlib>\n',
    "base/bytes.h": '// Not std::getenv.\n/*\n#include <torch/torch.h>\n*/\ninline const char* k = "getenv";\ninline long n = 1\'000;\n',
    "comm/CMakeLists.txt": "thinwire_room(comm SOURCES wire.cc\n  DEPS base # config\n  LIBS MPI::MPI_CXX)\n",
    "base/kernel.cu": '#include <cuda_runtime.h>\n\n#include "base/kernel.cuh"\n',
    "base/kernel.cuh": "#include <cub/cub.cuh>\n",
    "comm/wire.cc": '#include "base/bytes.h"\n',
    "comm/rendezvous/environment.cc": 'const char* a = std::getenv("RANK");\n',
    "exchange/CMakeLists.txt": "thinwire_room(exchange SOURCES attach.cc DEPS base comm compressors LIBS x)\n",
    "exchange/attach.cc": '#include <ATen/ATen.h>\n#include "comm/wire.h"\n',
    "compressors/CMakeLists.txt": "thinwire_room(compressors SOURCES lowrank/a.cc DEPS base)\n",
    "compressors/lowrank/a.cc": "#include <torch/types.h>\n",
    "checkpoint/CMakeLists.txt": "thinwire_room(checkpoint SOURCES torch_adapter.cc DEPS base)\n",
    "checkpoint/torch_adapter.cc": "#include <c10/core/Device.h>\n",
    "app/CMakeLists.txt": "add_executable(thinwire main.cc)\ntarget_link_libraries(thinwire PRIVATE tw_comm tw_exchange)\n",
    "app/main.cc": '#include "comm/wire.h"\n#include "exchange/attach.h"\n',
    "tests/unit/base/a_test.cc": '#include <torch/torch.h>\n#include "comm/wire.h"\n',
}


def check(changes):
    """Runs the tool on CLEAN with these files put in place of, or beside, its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**CLEAN, **changes}.items():
            path = pathlib.Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, str(TOOL), folder], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout


class IncludeCheck(unittest.TestCase):
    def refuses(self, changes, where, *words):
        code, output = check(changes)
        lines = output.splitlines()
        self.assertEqual((code, len(lines)), (1, 1), output)
        self.assertTrue(lines[0].startswith(where + ": "), output)
        for word in words:
            self.assertIn(word, lines[0])

    def test_accepts_a_tree_that_obeys(self):
        self.assertEqual(check({})[0], 0, check({})[1])

    def test_refuses_an_include_without_a_door(self):
        self.refuses({"comm/wire.cc": '\n#include "exchange/attach.h"\n'}, "comm/wire.cc:2", "no door from comm to exchange")

    def test_refuses_an_include_that_the_target_does_not_name(self):
        self.refuses({"exchange/slot.cc": '#include "config/section.h"\n'}, "exchange/slot.cc:1", "config", "DEPS")

    def test_refuses_a_target_that_depends_on_a_room_without_a_door(self):
        self.refuses({"comm/CMakeLists.txt": "thinwire_room(comm SOURCES wire.cc\n  DEPS base\n  trainer)\n"},
                     "comm/CMakeLists.txt:3", "no door from comm to trainer")

    def test_refuses_a_link_to_a_room_without_a_door(self):
        self.refuses({"base/CMakeLists.txt": "thinwire_room(base SOURCES bytes.cc)\ntarget_link_libraries(tw_base PUBLIC tw_comm)\n"},
                     "base/CMakeLists.txt:2", "no door from base to comm")

    def test_refuses_libtorch_outside_its_places(self):
        for header in ("ATen/ATen.h", "torch/torch.h", "c10/util/Half.h"):
            self.refuses({"exchange/bucket.cc": f"// why\n  #  include <{header}>\n"}, "exchange/bucket.cc:2", header, "LibTorch")

    def test_refuses_cuda_outside_the_cuda_module(self):
        for header in ("cuda_runtime.h", "cuda.h", "cub/cub.cuh", "nccl.h"):
            self.refuses({"comm/wire.cc": f"int x;\n#include <{header}>\n"}, "comm/wire.cc:2", header, "comm/nccl/")
        self.refuses({"base/bytes.cc": '#include "base/kernel.cuh"\n'}, "base/bytes.cc:1", "base/kernel.cuh", "only kernels")

    def test_refuses_to_read_the_environment_outside_rendezvous(self):
        self.refuses({"comm/wire.cc": 'int x;\nauto a = std::getenv("A");\n'}, "comm/wire.cc:2", "getenv", "comm/rendezvous")
        self.refuses({"base/bytes.cc": "extern char** environ;\n"}, "base/bytes.cc:1", "environ", "comm/rendezvous")

    def test_refuses_a_quoted_include_that_starts_with_no_room(self):
        self.refuses({"comm/wire.cc": '#include "wire.h"\n'}, "comm/wire.cc:1", "wire.h", "root")
        self.refuses({"comm/wire.cc": '#include "tests/help.h"\n'}, "comm/wire.cc:1", "tests/help.h", "root")

    def test_refuses_an_include_of_ours_in_angle_brackets(self):
        self.refuses({"comm/wire.cc": "#include <base/bytes.h>\n"}, "comm/wire.cc:1", "quotes")

    def test_refuses_an_include_that_is_hidden_in_a_macro(self):
        self.refuses({"comm/wire.cc": "#include HEADER\n"}, "comm/wire.cc:1", "HEADER")

    def test_refuses_a_room_without_a_target(self):
        self.refuses({"models/CMakeLists.txt": "# soon\n", "models/llama.cc": "#include <torch/torch.h>\n"},
                     "models/CMakeLists.txt:1", "models", "no target")


if __name__ == "__main__":
    unittest.main()
