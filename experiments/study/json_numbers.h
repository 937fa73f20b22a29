#pragma once

/// Numbers in JSON, which knows none that are not finite: those are null.

#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

namespace levda::experiments {

inline nlohmann::ordered_json json_number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

inline nlohmann::ordered_json json_numbers(const std::vector<double>& values) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const double value : values) list.push_back(json_number(value));
  return list;
}

}  // namespace levda::experiments
