#include "compressors/codec.h"
#include "compressors/registry.h"
#include "options.h"
#include "target.h"

namespace thinwire::fuzz {

std::vector<Target> all_targets() {
  std::vector<Target> targets;
  for (const std::string& name : compressors::codec_names()) {
    if (std::dynamic_pointer_cast<const compressors::Codec>(make_compressor(name, {})) != nullptr) {
      targets.push_back(decode_target(name));
      targets.push_back(encode_target(name));
    } else {
      targets.push_back(sketch_target(name));
    }
  }
  targets.push_back(frame_target());
  targets.push_back(config_target());
  targets.push_back(planner_state_target());
  targets.push_back(exact_target());
  targets.push_back(near_target());
  targets.push_back(extreme_target());
  targets.push_back(manifest_target());
  targets.push_back(checkpoint_header_target());
  targets.push_back(tokenizer_target());
  targets.push_back(token_header_target());
  targets.push_back(flight_target());
  targets.push_back(link_target());
  targets.push_back(store_target());
  targets.push_back(roster_target());
  return targets;
}

}  // namespace thinwire::fuzz
