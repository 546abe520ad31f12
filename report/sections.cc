#include "report/sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "report/chart.h"
#include "report/html.h"

namespace thinwire::report {

namespace {

int colour_of(size_t run) { return static_cast<int>(run) % kNumColours; }

std::string chip(size_t run) { return fmt::format("<span class=\"chip series-{}\"></span>&#8288;", colour_of(run)); }

std::string setting(const RunRecord& run, const std::string& key) {
  const auto found = run.config.find(key);
  return found == run.config.end() ? "" : found->second;
}

// "sign, updates of 5 steps": how the run exchanged, in a few words.
std::string exchange_of(const RunRecord& run) {
  const bool local = setting(run, "exchange.schedule") == "local_steps";
  return setting(run, "compress.codec") +
         (local ? fmt::format(", updates of {} steps", setting(run, "exchange.every")) : ", gradients of every step");
}

bool was_saved(const RunRecord& run) {
  bool saved = true;
  for (const Event& event : run.events) {
    if (event.what == "checkpoint" || event.what == "checkpoint_failed") saved = event.what == "checkpoint";
  }
  return saved;
}

std::string ending_of(const RunRecord& run) {
  for (auto event = run.events.rbegin(); event != run.events.rend(); ++event) {
    if (event->what == "done") return was_saved(run) ? "done" : "done, but its last checkpoint was not saved";
    if (event->what == "stopped") return fmt::format("stopped at step {}", event->step);
    if (event->what == "resume") break;
  }
  return run.train.empty() ? "no step yet" : fmt::format("at step {} when last heard of", run.train.back().step);
}

std::string cell(const std::string& text, const char* kind = "") { return fmt::format("<td{}>{}</td>", kind, text); }
std::string figure(const std::string& text) { return cell(text, " class=\"figure\""); }

double mean_over_steps(const RunRecord& run, double TrainPoint::*field) {
  double sum = 0;
  int64_t last = 0;
  for (const TrainPoint& point : run.train) {
    sum += point.*field * static_cast<double>(point.step - last);
    last = point.step;
  }
  return last > 0 ? sum / static_cast<double>(last) : 0;
}

std::string legend(const std::vector<RunRecord>& runs) {
  std::string html = "<p class=\"legend\">";
  for (size_t i = 0; i < runs.size(); ++i) html += fmt::format("<span>{}{}</span> ", chip(i), escape(runs[i].name));
  return html + "</p>";
}

const TrainPoint* point_at(const RunRecord& run, int64_t step) {
  const auto found = std::lower_bound(run.train.begin(), run.train.end(), step, [](const TrainPoint& p, int64_t s) { return p.step < s; });
  return found == run.train.end() || found->step != step ? nullptr : &*found;
}

std::vector<Series> loss_series(const std::vector<RunRecord>& runs, double (*x_of)(const TrainPoint&)) {
  std::vector<Series> series;
  for (size_t i = 0; i < runs.size(); ++i) {
    Series trained{runs[i].name, colour_of(i), Series::Style::faint, {}};
    for (const auto& point : runs[i].train) trained.points.push_back({x_of(point), point.loss});
    series.push_back(std::move(trained));
  }
  for (size_t i = 0; i < runs.size(); ++i) {
    Series validated{runs[i].name, colour_of(i), Series::Style::dotted_points, {}};
    for (const auto& eval : runs[i].evals) {
      if (const TrainPoint* at = point_at(runs[i], eval.step)) validated.points.push_back({x_of(*at), eval.loss});
    }
    series.push_back(std::move(validated));
  }
  return series;
}

struct Part {
  const char *name, *style;
  double seconds;
};

std::vector<Part> parts_of_step(const RunRecord& run) {
  const double step = mean_over_steps(run, &TrainPoint::step_s), passes = mean_over_steps(run, &TrainPoint::forward_backward_s);
  const double exposed = mean_over_steps(run, &TrainPoint::exposed_comm_s), optimizer = mean_over_steps(run, &TrainPoint::optimizer_s);
  return {{"forward and backward", "passes", passes},
          {"waiting for the exchange", "exposed", exposed},
          {"optimiser", "optimizer", optimizer},
          {"the rest", "rest", std::max(0.0, step - passes - exposed - optimizer)}};
}

std::string layer_row(const LayerLine& layer) {
  const bool known = layer.elems > 0 && layer.payload_bytes > 0;
  const std::string bar = layer.error ? fmt::format("<span class=\"bar\"><span style=\"width:{:.1f}%\"></span></span> {:.1f}%",
                                                    100 * std::clamp(*layer.error, 0.0, 1.0), 100 * *layer.error)
                                      : "";
  return "<tr>" + cell(escape(layer.name)) + cell(escape(layer.codec)) +
         figure(layer.elems > 0 ? with_unit(layer.elems, Unit::plain) : "") + figure(known ? human_bytes(layer.payload_bytes) : "") +
         figure(known ? fmt::format("{:.2f}", 8 * layer.payload_bytes / layer.elems) : "") + figure(bar) +
         figure(layer.residual_norm ? fmt::format("{:.3g}", *layer.residual_norm) : "") + "</tr>";
}

}  // namespace

std::string runs_table(const std::vector<RunRecord>& runs) {
  std::string html =
      "<section><h2>Runs</h2><div class=\"wide\"><table "
      "class=\"runs\"><thead><tr><th>run</th><th>exchange</th><th>ranks</th><th>steps</th><th>validation</th>"
      "<th>sent by a rank</th><th>times fewer</th><th>units/s</th><th>time</th><th>state</th></tr></thead><tbody>";
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    const TrainPoint last = run.train.empty() ? TrainPoint{} : run.train.back();
    const std::string metric = run.evals.empty() ? "" : fmt::format("{} {:.4f}", escape(run.metric_name), run.evals.back().metric);
    html += "<tr>" + cell(chip(i) + escape(run.name)) + cell(escape(exchange_of(run))) +
            figure(fmt::format("{} ({}, {})", run.world, escape(run.transport), escape(run.device))) +
            figure(fmt::format("{} of {}", last.step, run.steps)) + figure(metric) + figure(human_bytes(last.sent_bytes)) +
            figure(last.sent_bytes > 0 && last.dense_bytes > 0 ? fmt::format("{:.1f}", last.dense_bytes / last.sent_bytes) : "") +
            figure(with_thousands(static_cast<int64_t>(mean_over_steps(run, &TrainPoint::tokens_per_s)))) +
            figure(with_unit(last.trained_s, Unit::seconds)) + cell(escape(ending_of(run))) + "</tr>";
  }
  return html +
         "</tbody></table></div><p class=\"note\">“times fewer” is against fp32 all-reduce at every step, start-up and agreements counted "
         "in. "
         "Units are tokens, or images.</p></section>";
}

std::string loss_charts(const std::vector<RunRecord>& runs) {
  struct Against {
    const char *id, *name, *label;
    Unit unit;
    double (*x_of)(const TrainPoint&);
  };
  static constexpr Against kAgainst[] = {
      {"steps", "steps", "steps", Unit::plain, [](const TrainPoint& p) { return static_cast<double>(p.step); }},
      {"time", "time", "time in steps", Unit::seconds, [](const TrainPoint& p) { return p.trained_s; }},
      {"bytes", "bytes", "bytes sent by a rank", Unit::bytes, [](const TrainPoint& p) { return p.sent_bytes; }},
  };
  std::string html = "<section><h2>Loss</h2><div class=\"tabs\">";
  for (const auto& a : kAgainst) {
    html += fmt::format("<input type=\"radio\" name=\"against\" id=\"against-{0}\"{2}><label for=\"against-{0}\">against {1}</label>", a.id,
                        a.name, &a == kAgainst ? " checked" : "");
  }
  html += legend(runs);
  for (const auto& a : kAgainst) {
    const ChartOptions options{.id = fmt::format("loss-{}", a.id),
                               .title = fmt::format("loss against {}", a.name),
                               .x_label = a.label,
                               .y_label = "loss, nats",
                               .x_unit = a.unit,
                               .cuts_off_the_start = true};
    html += fmt::format("<figure class=\"tab\" id=\"tab-{}\">{}</figure>", a.id, line_chart(options, loss_series(runs, a.x_of)));
  }
  return html +
         "</div><p class=\"note\">Thin: training loss, mean over ranks. Dots: validation. The first steps may lie above the "
         "frame.</p></section>";
}

std::string time_bars(const std::vector<RunRecord>& runs) {
  double longest = 0;
  for (const auto& run : runs) longest = std::max(longest, mean_over_steps(run, &TrainPoint::step_s));
  std::string html = "<section><h2>Where a step's time went</h2>";
  for (size_t i = 0; i < runs.size() && longest > 0; ++i) {
    const auto parts = parts_of_step(runs[i]);
    html += fmt::format("<p class=\"bar-name\">{}{} <span class=\"figure\">{}</span></p><div class=\"stack\">", chip(i),
                        escape(runs[i].name), with_unit(mean_over_steps(runs[i], &TrainPoint::step_s), Unit::seconds));
    for (const auto& part : parts) {
      html += fmt::format("<span class=\"{}\" style=\"width:{:.2f}%\" title=\"{}: {}\"></span>", part.style, 100 * part.seconds / longest,
                          part.name, with_unit(part.seconds, Unit::seconds));
    }
    html += "</div><p class=\"note\">";
    for (const auto& part : parts)
      html += fmt::format("<span class=\"key {}\"></span>{} {} ", part.style, part.name, with_unit(part.seconds, Unit::seconds));
    html += fmt::format("· beside it, on other threads: encoding {}, the wire {}</p>",
                        with_unit(mean_over_steps(runs[i], &TrainPoint::encode_s), Unit::seconds),
                        with_unit(mean_over_steps(runs[i], &TrainPoint::wire_s), Unit::seconds));
  }
  return html + "</section>";
}

std::string bytes_chart(const std::vector<RunRecord>& runs) {
  const auto has_sent = [](const RunRecord& run) { return !run.train.empty() && run.train.back().sent_bytes > 0; };
  if (std::none_of(runs.begin(), runs.end(), has_sent)) return "<section><h2>Bytes</h2><p>Nothing was sent.</p></section>";
  std::vector<Series> series;
  for (size_t i = 0; i < runs.size(); ++i) {
    Series sent{runs[i].name, colour_of(i), Series::Style::line, {}}, dense{runs[i].name, colour_of(i), Series::Style::dashed, {}};
    for (const auto& point : runs[i].train) {
      sent.points.push_back({static_cast<double>(point.step), point.sent_bytes});
      dense.points.push_back({static_cast<double>(point.step), point.dense_bytes});
    }
    series.push_back(std::move(sent));
    series.push_back(std::move(dense));
  }
  const ChartOptions options{
      .id = "sent", .title = "bytes sent by a rank", .x_label = "steps", .y_label = "sent by a rank", .y_unit = Unit::bytes, .log_y = true};
  return "<section><h2>Bytes</h2>" + legend(runs) + "<figure>" + line_chart(options, series) +
         "</figure><p class=\"note\">Since the start of the run, on a logarithmic scale. Dashed: fp32 all-reduce at every "
         "step.</p></section>";
}

std::string layer_tables(const std::vector<RunRecord>& runs) {
  std::string html = "<section><h2>Layers</h2>";
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    if (run.layers.empty()) continue;
    html += fmt::format(
        "<details{}><summary>{}{}, the round of step {}</summary><div class=\"wide\"><table><thead><tr><th>layer</th><th>codec</th>"
        "<th>numbers</th><th>payload</th><th>bits each</th><th>error</th><th>residual</th></tr></thead><tbody>",
        runs.size() == 1 ? " open" : "", chip(i), escape(run.name), run.layers_step);
    for (const auto& layer : run.layers) html += layer_row(layer);
    html += "</tbody></table></div></details>";
  }
  return html +
         "<p class=\"note\">Error: what rank 0's codec left out, |a − decoded| / |a|; known under ef14 alone. Residual: the norm of what "
         "error feedback "
         "keeps for the next round.</p></section>";
}

std::string differences(const std::vector<RunRecord>& runs) {
  std::set<std::string> keys;
  for (const auto& run : runs) {
    for (const auto& [key, value] : run.config) keys.insert(key);
  }
  std::string head, rows;
  for (size_t i = 0; i < runs.size(); ++i) head += "<th>" + chip(i) + escape(runs[i].name) + "</th>";
  for (const auto& key : keys) {
    std::set<std::string> values;
    std::string cells;
    for (const auto& run : runs) {
      values.insert(setting(run, key));
      cells += cell(escape(setting(run, key)));
    }
    if (values.size() > 1 || runs.size() == 1) rows += "<tr>" + cell("<code>" + escape(key) + "</code>") + cells + "</tr>";
  }
  const std::string table =
      "<div class=\"wide\"><table><thead><tr><th>key</th>" + head + "</tr></thead><tbody>" + rows + "</tbody></table></div>";
  if (runs.size() == 1) return "<section><h2>Configuration</h2><details><summary>every key</summary>" + table + "</details></section>";
  return "<section><h2>What was configured differently</h2>" + table + "</section>";
}

std::string event_lists(const std::vector<RunRecord>& runs) {
  std::string html = "<section><h2>Events</h2>";
  for (size_t i = 0; i < runs.size(); ++i) {
    html += fmt::format("<details><summary>{}{}: {}</summary><ul>", chip(i), escape(runs[i].name), runs[i].events.size());
    for (const auto& event : runs[i].events)
      html += fmt::format("<li>step {}: {} {}</li>", event.step, escape(event.what), escape(event.detail));
    html += "</ul></details>";
  }
  return html + "</section>";
}

}  // namespace thinwire::report
