#include <algorithm>
#include <string>

#include "app/doctor/checks.h"
#include "base/text.h"
#include "data/footprint.h"
#include "data/tokenizer.h"
#include "trainer/estimating.h"
#include "trainer/pretrained/pretrained.h"

namespace thinwire::app::doctor {

namespace {

constexpr const char *kData = "data", *kTokenizer = "data.tokenizer";

Finding check_tokenizer(const trainer::Options& options) {
  return look_at(kData, kTokenizer, "correct data.tokenizer", [&] { return data::make_tokenizer(options.data.tokenizer)->description(); });
}

Finding check_init(const trainer::Options& options) {
  return look_at(kData, "model.init", "correct model.init, or the model's shape",
                 [&] { return trainer::open_init(options.model, trainer::num_classes_of(options)).description; });
}

}  // namespace

Findings check_data(const Patient& patient) {
  const trainer::Options& options = patient.options;
  const auto state = [&](const std::string& source, const std::string& fix, bool is_wanted) -> Finding {
    data::DataOptions data = options.data;
    data.source = source;
    const auto found = data::footprint(data);
    if (found.is_known) return {kData, source, human_bytes(found.kept_bytes) + " in memory"};
    return is_wanted ? bad(ExitCode::data, kData, source, "its files are not here", fix)
                     : note(kData, source, "its files are not here", fix);
  };
  const std::string& wanted = options.data.source;
  const auto is_wanted = [&](const char* source) { return patient.is_configured && wanted == source; };
  Findings findings{state("gcide", "sudo apt-get install dict-gcide", is_wanted("gcide")),
                    state("fashion_mnist", "sudo apt-get install dataset-fashion-mnist", is_wanted("fashion_mnist"))};
  if (is_wanted("text") || is_wanted("tokens")) findings.push_back(state(wanted, "correct data.files", true));
  if (!options.data.images() && options.data.tokenizer != "none") findings.push_back(check_tokenizer(options));
  const auto is_lost = [](const Finding& f) { return f.name == kTokenizer && f.state == Finding::State::bad; };
  if (!options.model.init.empty() && std::ranges::none_of(findings, is_lost)) findings.push_back(check_init(options));
  return findings;
}

}  // namespace thinwire::app::doctor
