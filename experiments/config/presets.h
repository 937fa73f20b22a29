#pragma once

/// The files of experiments/presets, compiled in.

#include <string>
#include <vector>

namespace levda::experiments {

struct Preset {
  std::string name;  ///< "tsunami-small"
  std::string toml;
};

const std::vector<Preset>& presets();

}  // namespace levda::experiments
