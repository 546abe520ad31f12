#include "estimate/report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "checkpoint/chain.h"
#include "config/values.h"

namespace thinwire::estimate {

namespace {

std::string human_seconds(double seconds) {
  if (seconds >= 100) return fmt::format("{:.0f} s", seconds);
  if (seconds >= 1) return fmt::format("{:.2f} s", seconds);
  return fmt::format("{:.1f} ms", seconds * 1e3);
}

void add_memory(const Subject& s, const Memory& memory, std::string& text) {
  text += fmt::format("\n{:<34}{:>10}\n", "memory of a rank, at its peak", "");
  for (const Part& part : memory.parts) text += fmt::format("  {:<32}{:>10}   {}\n", part.name, human_bytes(part.bytes), part.lower);
  text += fmt::format("  {:<32}{:>10}\n", "sum", human_bytes(memory.rank_bytes));
  text += fmt::format("  {:<32}{:>10}\n", "program and LibTorch", human_bytes(memory.base_bytes));
  if (memory.mapped_bytes > 0)
    text += fmt::format("  {:<32}{:>10}   in no sum: given back when memory is needed\n", "mapped files of data",
                        human_bytes(memory.mapped_bytes));
  if (memory.loading_bytes > memory.rank_bytes)
    text +=
        fmt::format("  {:<32}{:>10}   for a moment, before training\n", "data while they are loaded", human_bytes(memory.loading_bytes));
  text += fmt::format("  {:<32}{:>10}   {} rank{} each\n", "process", human_bytes(memory.process_bytes), s.ranks_per_process,
                      s.ranks_per_process == 1 ? "" : "s");
  if (!s.data.is_known) text += "  the data are not here: counted as nothing\n";
}

void add_wire(const Subject& s, const Wire& wire, std::string& text) {
  if (s.ranks == 1) {
    text += "\nbytes on the wire: none, there is one rank\n";
    return;
  }
  const bool rounds = wire.steps_per_round > 1;
  text += fmt::format("\n{:<34}{:>10}{:>16}\n", "bytes that a rank sends", "as set", "fp32 each step");
  if (rounds)
    text += fmt::format("  {:<32}{:>10}{:>16}   a round is {} steps\n", "in a round", human_bytes(wire.round.compressed.sent_bytes),
                        human_bytes(wire.dense_step_bytes * static_cast<double>(wire.steps_per_round)), wire.steps_per_round);
  text += fmt::format("  {:<32}{:>10}{:>16}   {:.1f} times fewer\n", rounds ? "in a step, on average" : "in a step",
                      human_bytes(wire.step_bytes), human_bytes(wire.dense_step_bytes), wire.ratio);
  if (wire.dense_rounds > 0)
    text += fmt::format("  {:<32}{:>10}   the first {} of {} rounds\n", "in a dense round", human_bytes(wire.round.dense.sent_bytes),
                        wire.dense_rounds, wire.rounds);
  text += fmt::format("  {:<32}{:>10}{:>16}   {:.1f} times fewer\n", fmt::format("in {} steps", s.steps), human_bytes(wire.run_bytes),
                      human_bytes(wire.dense_step_bytes * static_cast<double>(s.steps)), wire.ratio_total);
  if (!s.crosses_links()) text += fmt::format("  all {} ranks are on one host: none of it crosses a link\n", s.ranks);
  if (!wire.assumption.empty()) text += "  " + wire.assumption + "\n";
}

void add_disk(const Subject& s, const Disk& disk, std::string& text) {
  const bool is_chain = disk.link_bytes > 0;
  text += fmt::format("\n{:<34}{:>10}   {} of state\n", is_chain ? "the first checkpoint of a chain" : "a checkpoint on disk",
                      human_bytes(disk.checkpoint_bytes), human_bytes(disk.state_bytes));
  if (is_chain)
    text += fmt::format("{:<34}{:>10}   about: the demo's with {} pruning are {} times smaller than the state (docs/benchmarks.md)\n",
                        fmt::format("each of the {} behind it", checkpoint::kMostBases), human_bytes(disk.link_bytes), s.checkpoint.pruning,
                        s.checkpoint.pruning == "mild" ? "22" : "75 to 84");
  text +=
      fmt::format("{:<34}{:>10}   {} at most: those that stay (checkpoint.keep{}){}, and one being written\n", "all that are there at once",
                  human_bytes(disk.kept_bytes), disk.kept, s.checkpoint.keep_every > 0 ? ", checkpoint.keep_every" : "",
                  checkpoint::uses_base(s.checkpoint) ? ", what they are coded against" : "");
}

void add_times(const Subject& s, const Estimate& e, std::string& text) {
  text += fmt::format("\n{:<34}{:>10}{:>16}{:>10}   compute {} ({}), codecs {} a round\n", "time of a step", "as set", "fp32 each step",
                      "faster", human_seconds(step_time(s, e.wire, e.speed, {}).compute_s), e.speed_source, human_seconds(e.speed.codec_s));
  const auto add_row = [&](const std::string& where, const Link& link, const std::string& note) {
    const double set_s = step_time(s, e.wire, e.speed, link).step_s(), plain_s = plain_step_time(s, e.wire, e.speed, link).step_s();
    text += fmt::format("  {:<32}{:>10}{:>16}{:>9.1f}x{}\n", where, human_seconds(set_s), human_seconds(plain_s), plain_s / set_s, note);
  };
  if (!s.crosses_links()) return add_row("on one host", {}, "   no link is crossed; what copies within the host take is not in it");
  for (const Link& link : e.links)
    add_row(fmt::format("{}, {}", config::print_rate(link.bits_per_s), human_seconds(link.latency_s)), link, "");
}

nlohmann::ordered_json to_json(const StepTime& time) {
  return {{"step_s", time.step_s()}, {"compute_s", time.compute_s}, {"wire_s", time.wire_s}, {"exposed_comm_s", time.exposed_s}};
}

nlohmann::ordered_json times_over(const Subject& s, const Estimate& e, const Link& link) {
  return {{"configured", to_json(step_time(s, e.wire, e.speed, link))},
          {"fp32_every_step", to_json(plain_step_time(s, e.wire, e.speed, link))}};
}

}  // namespace

std::string to_text(const Subject& s, const Estimate& e) {
  std::string text = fmt::format("{} parameters, {} rank{}, {} a host\n", with_thousands(static_cast<int64_t>(s.table.total_elems())),
                                 s.ranks, s.ranks == 1 ? "" : "s", std::min(s.ranks, s.ranks_per_host));
  add_memory(s, e.memory, text);
  add_wire(s, e.wire, text);
  add_disk(s, e.disk, text);
  if (s.ranks > 1) add_times(s, e, text);
  return text;
}

nlohmann::ordered_json to_json(const Subject& s, const Estimate& e) {
  nlohmann::ordered_json json{{"parameters", s.table.total_elems()},
                              {"ranks", s.ranks},
                              {"ranks_per_host", std::min(s.ranks, s.ranks_per_host)},
                              {"ranks_per_process", s.ranks_per_process}};
  auto parts = nlohmann::ordered_json::object();
  for (const Part& part : e.memory.parts) parts[part.name] = part.bytes;
  json["memory"] = {{"process_bytes", e.memory.process_bytes},
                    {"host_bytes", e.memory.host_bytes},
                    {"rank_bytes", e.memory.rank_bytes},
                    {"base_bytes", e.memory.base_bytes},
                    {"loading_bytes", e.memory.loading_bytes},
                    {"mapped_bytes", e.memory.mapped_bytes},
                    {"parts", parts},
                    {"data_found", s.data.is_known}};
  json["wire"] = {{"round_bytes", e.wire.round.compressed.sent_bytes},
                  {"dense_round_bytes", e.wire.round.dense.sent_bytes},
                  {"steps_per_round", e.wire.steps_per_round},
                  {"rounds", e.wire.rounds},
                  {"dense_rounds", e.wire.dense_rounds},
                  {"step_bytes", e.wire.step_bytes},
                  {"dense_bytes", e.wire.dense_step_bytes},
                  {"run_bytes", e.wire.run_bytes},
                  {"ratio", e.wire.ratio},
                  {"ratio_total", e.wire.ratio_total},
                  {"assumption", e.wire.assumption}};
  json["checkpoint"] = {
      {"bytes", e.disk.checkpoint_bytes}, {"state_bytes", e.disk.state_bytes}, {"kept", e.disk.kept}, {"kept_bytes", e.disk.kept_bytes}};
  if (e.disk.link_bytes > 0) json["checkpoint"]["link_bytes"] = e.disk.link_bytes;
  json["speed"] = {
      {"pass_s", e.speed.pass_s}, {"optimizer_s", e.speed.optimizer_s}, {"codec_s", e.speed.codec_s}, {"source", e.speed_source}};
  auto& links = json["links"] = nlohmann::ordered_json::array();
  if (!s.crosses_links()) {
    json["one_host"] = times_over(s, e, {});
    return json;
  }
  for (const Link& link : e.links) {
    links.push_back({{"bits_per_s", link.bits_per_s}, {"latency_s", link.latency_s}});
    links.back().update(times_over(s, e, link));
  }
  return json;
}

}  // namespace thinwire::estimate
