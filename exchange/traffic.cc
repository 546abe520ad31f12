#include "exchange/traffic.h"

#include <bit>
#include <map>
#include <tuple>

#include "base/check.h"
#include "compressors/expected_bytes.h"
#include "compressors/frame.h"
#include "compressors/plan/cost.h"
#include "compressors/sketch.h"
#include "exchange/rounds/piece.h"

namespace thinwire::exchange {

using compressors::Combine;
using compressors::Layer;

namespace {

// Layers of one shape under one codec are compressed once.
class ExpectedBytes {
 public:
  double of_frame(std::span<const Piece> pieces) {
    double bytes = compressors::kFrameHeaderBytes;
    for (const Piece& piece : pieces) {
      const bool varies = !piece.codec->traits(piece.layer).exact_bytes;
      bytes += (varies ? sizeof(uint32_t) : 0) + of_payload(piece);
    }
    return bytes;
  }

 private:
  double of_payload(const Piece& piece) {
    const auto [known, is_new] = payloads_.try_emplace({piece.codec, piece.layer.rows, piece.layer.cols}, 0);
    if (is_new) known->second = compressors::expected_bytes(*piece.codec, piece.layer);
    return known->second;
  }
  std::map<std::tuple<const compressors::Codec*, int64_t, int64_t>, double> payloads_;
};

double gather_bytes(const std::vector<Piece>& whole, int ranks, ExpectedBytes& expected) { return (ranks - 1) * expected.of_frame(whole); }

// Rank 0 sends every other owner its slice, and to all what it has made of its own; two ranks gather.
double two_shot_bytes(const std::vector<Piece>& whole, int ranks, ExpectedBytes& expected) {
  if (!compressors::reencodes(ranks)) return gather_bytes(whole, ranks, expected);
  const auto owned = cut_for_owners(whole, ranks);
  double bytes = (ranks - 1) * expected.of_frame(owned[0]);
  for (size_t other = 1; other < owned.size(); ++other) bytes += expected.of_frame(owned[other]);
  return bytes;
}

int trips(int ranks) { return compressors::reencodes(ranks) ? 2 : 1; }  // of a two-shot

double dense_bytes(size_t elems, const compressors::Codec& fp32, int ranks, ExpectedBytes& expected) {
  return two_shot_bytes({{&fp32, Layer{0, 1, static_cast<int64_t>(elems)}, 0}}, ranks, expected);
}

std::vector<size_t> elems_by_round(const SlotTable& table, const Bucket& bucket) {
  std::vector<size_t> totals;
  for (const Slot slot : bucket.slots) {
    const SlotSpec& spec = table.slots()[slot];
    const auto rounds = dynamic_cast<const compressors::Sketch&>(*spec.codec).round_elems({slot, spec.rows, spec.cols});
    if (totals.size() < rounds.size()) totals.resize(rounds.size(), 0);
    for (size_t j = 0; j < rounds.size(); ++j) totals[j] += rounds[j];
  }
  return totals;
}

Traffic between_leaders(const SlotTable& table, const Bucket& bucket, const compressors::Codec& fp32, int leaders,
                        ExpectedBytes& expected) {
  Traffic traffic;
  switch (bucket.combine) {
    case Combine::reencode:
      traffic.between_bytes = two_shot_bytes(whole_pieces(table, bucket), leaders, expected);
      traffic.waits = trips(leaders);
      break;
    case Combine::gather:
      traffic.between_bytes = gather_bytes(whole_pieces(table, bucket), leaders, expected);
      traffic.waits = 1;
      break;
    case Combine::sketch:
      for (const size_t elems : elems_by_round(table, bucket)) {
        traffic.between_bytes += dense_bytes(elems, fp32, leaders, expected);
        traffic.waits += trips(leaders);
      }
      break;
  }
  return traffic;
}

// A leader hands the sum on to its host by a tree, whose root sends to one rank for each power of two below the host's ranks.
void add_hosts_part(Traffic& traffic, size_t elems, int on_host) {
  const int sends = std::bit_width(static_cast<unsigned>(on_host - 1));
  traffic.sent_bytes = traffic.between_bytes + 4.0 * static_cast<double>(elems) * sends;
  traffic.waits += on_host > 1 ? 1 + sends : 0;
}

void add(Traffic& to, const Traffic& more) {
  to.sent_bytes += more.sent_bytes;
  to.between_bytes += more.between_bytes;
  to.waits += more.waits;
}

}  // namespace

Peers peers_of(const ExchangeOptions& options, int ranks, int ranks_per_host) {
  check(ranks >= 1 && ranks_per_host >= 1, "there is a rank, and it is on a host");
  const int hosts = (ranks + ranks_per_host - 1) / ranks_per_host;
  const bool flat = options.hierarchy != "node" || hosts == 1 || hosts == ranks;
  return flat ? Peers{ranks, 1} : Peers{hosts, ranks_per_host};
}

RoundTraffic traffic_of(const SlotTable& table, const Peers& peers) {
  RoundTraffic round;
  if (peers.leaders * peers.on_host == 1) return round;
  ExpectedBytes expected;
  const auto fp32 = std::dynamic_pointer_cast<const compressors::Codec>(compressors::CodecChoice().make());
  for (const Bucket& bucket : table.buckets()) {
    Traffic compressed = between_leaders(table, bucket, *fp32, peers.leaders, expected);
    add_hosts_part(compressed, bucket.elems, peers.on_host);
    add(round.compressed, compressed);
    Traffic dense{0, two_shot_bytes(whole_pieces(table, bucket, fp32.get()), peers.leaders, expected), 2};
    add_hosts_part(dense, bucket.elems, peers.on_host);
    add(round.dense, dense);
  }
  return round;
}

}  // namespace thinwire::exchange
