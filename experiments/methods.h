#pragma once

/// The assimilation methods that can be compared. A new one is a row of the table in methods.cpp.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "da/method.h"
#include "experiments/config.h"

namespace levda::experiments {

/// What a method's control vectors are.
enum class SpaceName : std::uint8_t {
  latent,  ///< [s; u] of the surrogate
  full     ///< fields and parameters, with the solver as model
};

struct MethodRow {
  std::string key;
  std::string help;
  SpaceName space;
  std::function<std::unique_ptr<da::Method>(const Config&)> make;
};

const std::vector<MethodRow>& methods();

/// Throws InputError (--methods) naming the known ones.
const MethodRow& find_method(const std::string& key);

}  // namespace levda::experiments
