// What a layer may be compressed by: a codec under one of several strengths, in a fixed order that all ranks share.
//
// A family is a codec with one option that sets its strength, from D / low to D * high around the configured value D (L-GreCo, MLSys 2024,
// section 5.1), in the steps that the codec asks for (compressors/strength.h). A strength that the codec's options refuse is left out.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "compressors/plan/options.h"
#include "compressors/registry.h"

namespace thinwire::compressors {

struct Candidate {
  std::string text;  // "topk density=1%": make_by_text() makes it again. "none", "bf16": without a strength
  std::shared_ptr<const Compressor> compressor;
};

// Candidates [begin, begin + values.size()) of one codec, and the maker that may know all their errors at once. Those without a strength
// are a family of their own, with one candidate and no values.
struct Family {
  std::string codec, option;
  size_t begin = 0;
  std::vector<double> values;  // of the option
  std::shared_ptr<CodecMaker> maker;
};

struct CandidateSet {
  std::vector<Candidate> candidates;  // the first is `none`
  std::vector<Family> families;
  // What the references choose: the configured codec as it is, at about half and at about twice its compression (itself where it has no
  // strength).
  size_t uniform = 0, gentle = 0, harsh = 0;
};

// `none`, then the family of the choice's codec, then, for `mixed`, the other families.
CandidateSet make_candidates(const CodecChoice& choice, const PlanOptions& options);

// A candidate's text back into its compressor, under the choice's options for the rest. ConfigError where it does not name one.
std::shared_ptr<const Compressor> make_by_text(const CodecChoice& choice, const std::string& text);

}  // namespace thinwire::compressors
