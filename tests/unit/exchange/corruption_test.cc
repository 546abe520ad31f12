// Bytes that are not what was sent: the receiver says who sent them and what is wrong, and takes all ranks with it.
#include <gmock/gmock.h>

#include <limits>
#include <map>

#include "tests/unit/exchange/nonzeros_codec.h"
#include "tests/unit/exchange/support.h"
#include "tests/unit/exchange/tampering.h"

namespace thinwire::exchange {
namespace {

using namespace testing;
using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int kCorruptRanks = 3;

struct Corruption {
  std::string name;
  std::string codec;
  std::function<void(comm::Op&)> tamper;  // with what rank 0 got from rank 1
  std::string expected;
};

constexpr uint16_t kCombined = 1;
constexpr size_t kBody = 56;
std::byte& byte_at(comm::Op& op, size_t offset) { return frame_of(op)[offset]; }
void flip(comm::Op& op, size_t offset) { byte_at(op, offset) ^= std::byte{0x10}; }

void PrintTo(const Corruption& corruption, std::ostream* out) { *out << corruption.name; }

std::vector<Corruption> corruptions() {
  return {
      {"Magic", "none", [](comm::Op& op) { flip(op, 0); }, "rank 1's contribution to bucket 0: frame does not start with the magic"},
      {"Version", "topk", [](comm::Op& op) { flip(op, 4); }, "rank 1's contribution to bucket 0: frame has format version"},
      {"HeaderByte", "none", [](comm::Op& op) { flip(op, 16); }, "rank 1's contribution to bucket 0: frame states checksum"},
      {"BodyByte", "topk", [](comm::Op& op) { flip(op, op.received - 1); }, "rank 1's contribution to bucket 0: frame states checksum"},
      {"CutBody", "none", [](comm::Op& op) { op.received -= 1; }, "rank 1's contribution to bucket 0: frame states body_bytes"},
      {"CutHeader", "topk", [](comm::Op& op) { op.received = 20; }, "rank 1's contribution to bucket 0: 'step' needs 8 bytes at offset 16"},
      {"Nothing", "none", [](comm::Op& op) { op.received = 0; }, "rank 1's contribution to bucket 0: 'magic' needs 4 bytes at offset 0"},
      {"CombinedSlice", "none",
       [](comm::Op& op) {
         if (leg_of(op) == kCombined) flip(op, kBody);
       },
       "rank 1's combined slice to bucket 0: frame states checksum"},
      {"ShortSliceWellSealed", "none", [](comm::Op& op) { op.received -= 4, reseal(op); },
       "rank 1's contribution to bucket 0: 'payload' needs"},
      {"NanWellSealed", "none", [](comm::Op& op) { store_le(&byte_at(op, kBody), kNan), reseal(op); },
       "rank 1 sent a payload that codec none refuses"},
      {"InfInCombinedWellSealed", "bf16",
       [](comm::Op& op) {
         if (leg_of(op) == kCombined) store_le<uint16_t>(&byte_at(op, kBody), 0x7f80), reseal(op);
       },
       "rank 1 sent a payload that codec bf16 refuses"},
      {"PayloadLengthWellSealed", "nonzeros", [](comm::Op& op) { store_le(&byte_at(op, kBody), uint32_t{1'000'000}), reseal(op); },
       "rank 1's contribution to bucket 0: 'payload' needs 1000000 bytes"},
      {"NoRoomForALengthWellSealed", "nonzeros", [](comm::Op& op) { op.received = kBody + 3, reseal(op); },
       "rank 1's contribution to bucket 0: 'payload length' needs 4 bytes"},
      {"ShortPayloadWellSealed", "nonzeros", [](comm::Op& op) { store_le(&byte_at(op, kBody), uint32_t{1}), reseal(op); },
       "rank 1 sent a payload that codec nonzeros refuses"},
      {"ExponentWellSealed", "topk", [](comm::Op& op) { byte_at(op, kBody) = std::byte{114}, reseal(op); },
       "rank 1 sent a payload that codec topk refuses"},
  };
}

class Corrupt : public ::testing::TestWithParam<Corruption> {};

TEST_P(Corrupt, BytesAreRefusedByNameOfTheirSender) {
  const Corruption& corruption = GetParam();
  const std::map<std::string, Modelled> codecs = {{"none", none_codec()},
                                                  {"bf16", bf16_codec()},
                                                  {"topk", topk_codec()},
                                                  {"nonzeros", {std::make_shared<NonzerosCodec>(), skeleton_model()}}};
  const Trial trial = three_slots(codecs.at(corruption.codec));
  const auto failures = failures_of(kCorruptRanks, [&](comm::Transport& transport) {
    TamperingTransport tampering(transport, [&](comm::Op& op) {
      if (transport.world_rank() == 0 && op.peer == 1) corruption.tamper(op);
    });
    Rank rank(tampering, trial);
    // What comes last in a round hurts one rank alone: its peers may have theirs complete, and learn of it in the next.
    for (const uint64_t step : {1, 2}) rank.round({step, 1, false}, trial.inputs(step)[static_cast<size_t>(rank.index())]);
  });
  expect_comm_errors(failures, HasSubstr(corruption.expected));
}

INSTANTIATE_TEST_SUITE_P(All, Corrupt, ::testing::ValuesIn(corruptions()), [](const auto& corruption) { return corruption.param.name; });

}  // namespace
}  // namespace thinwire::exchange
