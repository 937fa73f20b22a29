#pragma once

/// Numbers in JSON. It has only finite numbers: all others are null.

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

namespace levda::experiments {

inline nlohmann::ordered_json json_number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

inline double value_or_nan(const nlohmann::ordered_json& entry) {
  return entry.is_null() ? std::numeric_limits<double>::quiet_NaN() : entry.get<double>();
}

inline nlohmann::ordered_json json_numbers(const std::vector<double>& values) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const double value : values) list.push_back(json_number(value));
  return list;
}

}  // namespace levda::experiments
