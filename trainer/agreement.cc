#include "trainer/agreement.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "comm/collectives.h"

namespace thinwire::trainer {

namespace {
constexpr size_t kMaxTextBytes = size_t{1} << 20;

std::string text_of(const std::vector<std::byte>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// "rank 0, 2: a; rank 1: b"
std::string by_value(const std::vector<std::string>& value_of_rank) {
  std::map<std::string, std::vector<size_t>> ranks_of;
  for (size_t r = 0; r < value_of_rank.size(); ++r) ranks_of[value_of_rank[r]].push_back(r);
  std::vector<std::string> parts;
  for (const auto& [value, ranks] : ranks_of) parts.push_back(fmt::format("rank {}: {}", fmt::join(ranks, ", "), value));
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::map<std::string, std::string> parse_lines(const std::string& text) {
  std::map<std::string, std::string> facts;
  for (size_t at = 0; at < text.size();) {
    const size_t tab = text.find('\t', at), end = text.find('\n', at);
    if (tab == std::string::npos || end == std::string::npos || tab > end)
      throw CommError("a rank sent a configuration that does not parse");
    facts[text.substr(at, tab - at)] = text.substr(tab + 1, end - tab - 1);
    at = end + 1;
  }
  return facts;
}
}  // namespace

std::vector<std::vector<std::byte>> gather_bytes(comm::Driver& driver, const char* what, ConstBytes mine, size_t max_bytes_each) {
  std::vector<std::vector<std::byte>> all;
  driver.run(what, [&](comm::Wire& wire) { all = comm::all_gather(wire, mine, max_bytes_each); });
  return all;
}

std::string broadcast_text(comm::Driver& driver, const char* what, const std::string& text) {
  const auto all = gather_bytes(driver, what, driver.rank() == 0 ? bytes_of(std::string_view(text)) : ConstBytes(), kMaxTextBytes);
  return text_of(all[0]);
}

void on_rank_zero(comm::Driver& driver, const char* what, const std::function<void()>& work) {
  std::string failure;
  if (driver.rank() == 0) {
    try {
      work();
    } catch (const Error& e) {
      failure = fmt::format("{} {}", static_cast<int>(e.code()), e.what());
    }
  }
  failure = broadcast_text(driver, what, failure);
  if (failure.empty()) return;
  const size_t space = failure.find(' ');
  throw Error(static_cast<ExitCode>(std::stoi(failure.substr(0, space))), failure.substr(space + 1));
}

void require_same(comm::Driver& driver, const std::map<std::string, std::string>& facts) {
  std::string mine;
  for (const auto& [key, value] : facts) mine += key + '\t' + value + '\n';
  const auto all = gather_bytes(driver, "comparing configurations", bytes_of(std::string_view(mine)), kMaxTextBytes);
  std::vector<std::map<std::string, std::string>> of_rank;
  for (const auto& bytes : all) of_rank.push_back(parse_lines(text_of(bytes)));
  for (size_t r = 1; r < of_rank.size(); ++r) {
    if (of_rank[r] == of_rank[0]) continue;
    auto keys = of_rank[0];
    keys.insert(of_rank[r].begin(), of_rank[r].end());
    for (const auto& [key, unused] : keys) {
      std::vector<std::string> values;
      for (const auto& rank_facts : of_rank) values.push_back(rank_facts.contains(key) ? rank_facts.at(key) : "absent");
      if (values[r] == values[0]) continue;
      throw CommError(fmt::format("ranks do not run the same thing: '{}' differs ({}); start every rank with the same files and program",
                                  key, by_value(values)));
    }
  }
}

void require_same_bits(comm::Driver& driver, int64_t step, const std::vector<std::string>& names, const std::vector<uint64_t>& hashes) {
  const auto all = gather_bytes(driver, "comparing parameter hashes", std::as_bytes(std::span(hashes)), hashes.size() * sizeof(uint64_t));
  for (size_t i = 0; i < hashes.size(); ++i) {
    std::vector<std::string> values;
    for (const auto& bytes : all) {
      if (bytes.size() != hashes.size() * sizeof(uint64_t)) throw CommError("ranks disagree on the number of parameters");
      values.push_back(fmt::format("{:016x}", load_le<uint64_t>(bytes.data() + i * sizeof(uint64_t))));
    }
    if (std::equal(values.begin() + 1, values.end(), values.begin())) continue;
    throw Error(ExitCode::other,
                fmt::format("replicas have drifted apart at step {}: '{}' has different bits ({})", step, names[i], by_value(values)));
  }
}

}  // namespace thinwire::trainer
