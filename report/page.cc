#include "report/page.h"

#include <fmt/format.h>

#include "report/chart.h"
#include "report/html.h"
#include "report/sections.h"

namespace thinwire::report {

namespace {

// Eight colours that stay apart for most kinds of colour blindness, in a shade for each background.
constexpr const char* kStyle = R"(
:root { color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --quiet: #5b6470; --rule: #dde1e6; --field: #f4f6f8;
  --c0: #0b62c4; --c1: #c2410c; --c2: #0f7b4f; --c3: #8e3bb0; --c4: #a16207; --c5: #0e7490; --c6: #be185d; --c7: #57606a; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --ink: #e6e9ec; --quiet: #9aa4af; --rule: #30363d; --field: #1d2226;
  --c0: #6cb0ff; --c1: #ff9d66; --c2: #5fd39f; --c3: #d79bf0; --c4: #e3b341; --c5: #67d4e8; --c6: #ff8ab8; --c7: #aab4be; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 1.2rem; } h2 { font-size: 1.15rem; margin: 0 0 .6rem; }
section { margin: 0 0 2.4rem; } figure { margin: 0; max-width: 54rem; } code { font-size: .9em; }
.note { color: var(--quiet); font-size: .875rem; margin: .5rem 0 0; }
.wide { overflow-x: auto; border: 1px solid var(--rule); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; }
th, td { text-align: left; padding: .35rem .7rem; white-space: nowrap; border-bottom: 1px solid var(--rule); }
table.runs td:nth-child(-n+2) { white-space: normal; min-width: 9rem; }
th { background: var(--field); font-weight: 600; } tbody tr:last-child td { border-bottom: 0; }
td.figure, .figure { font-variant-numeric: tabular-nums; }
details { margin: 0 0 .6rem; } summary { cursor: pointer; padding: .2rem 0; } details ul { margin: .3rem 0; padding-left: 1.4rem; font-size: .875rem; }
.chip { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .4em; background: var(--line); vertical-align: -.05em; }
.legend span { margin-right: .8rem; white-space: nowrap; } .legend { margin: .6rem 0; font-size: .875rem; } .legend .chip { margin-right: .4em; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--quiet); font-size: 13px; } svg .label { fill: var(--ink); }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--quiet); }
svg path { fill: none; stroke: var(--line); stroke-width: 2.2; stroke-linejoin: round; }
svg path.faint { stroke-width: 1.2; opacity: .55; } svg path.dashed { stroke-width: 1.4; stroke-dasharray: 6 5; }
svg circle { fill: var(--line); stroke: var(--paper); stroke-width: 1.5; }
.tabs > input { position: absolute; opacity: 0; }
.tabs > label { display: inline-block; padding: .25rem .8rem; margin: 0 .35rem .35rem 0; border: 1px solid var(--rule); border-radius: 999px; cursor: pointer; font-size: .875rem; }
.tabs > input:checked + label { background: var(--ink); color: var(--paper); border-color: var(--ink); }
.tabs > input:focus-visible + label { outline: 2px solid var(--c0); outline-offset: 2px; }
.tab { display: none; }
#against-steps:checked ~ #tab-steps, #against-time:checked ~ #tab-time, #against-bytes:checked ~ #tab-bytes { display: block; }
.bar-name { margin: .8rem 0 .2rem; } .bar-name .figure { color: var(--quiet); }
.stack { display: flex; height: 1.4rem; background: var(--field); border-radius: 4px; overflow: hidden; }
.passes { background: var(--c0); } .exposed { background: var(--c1); } .optimizer { background: var(--c2); } .rest { background: var(--c7); }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 2px; margin: 0 .35em 0 .6em; } .key:first-child { margin-left: 0; }
.bar { display: inline-block; width: 5rem; height: .6rem; background: var(--field); border-radius: 3px; overflow: hidden; vertical-align: baseline; }
.bar span { display: block; height: 100%; background: var(--c1); }
@media (max-width: 40rem) { body { padding: .8rem; } svg text { font-size: 22px; } }
@media print { .wide { overflow: visible; } }
)";
std::string colours() {
  std::string css;
  for (int i = 0; i < kNumColours; ++i) css += fmt::format(".series-{0} {{ --line: var(--c{0}); }}\n", i);
  return css;
}

std::string title_of(const std::vector<RunRecord>& runs) {
  return runs.size() == 1 ? "Thinwire: " + runs.front().name : fmt::format("Thinwire: {} runs", runs.size());
}

}  // namespace

std::string make_page(const std::vector<RunRecord>& runs) {
  const std::string title = escape(title_of(runs));
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         title + "</title>\n<style>" + kStyle + colours() + "</style>\n</head>\n<body>\n<h1>" + title + "</h1>\n" + runs_table(runs) +
         "\n" + loss_charts(runs) + "\n" + time_bars(runs) + "\n" + bytes_chart(runs) + "\n" + layer_tables(runs) + "\n" +
         differences(runs) + "\n" + event_lists(runs) + "\n</body>\n</html>\n";
}

}  // namespace thinwire::report
