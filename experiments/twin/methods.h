#pragma once

/// The assimilation methods that can be compared. A new one is a row of the table in methods.cpp.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "da/method.h"
#include "da/solver_model.h"
#include "experiments/config/config.h"
#include "models/encoder.h"

namespace levda::experiments {

/// What a method's control vectors are.
enum class SpaceName : std::uint8_t {
  latent,  ///< [s; u] of the surrogate
  full     ///< fields and parameters, with the solver as model
};

/// What a method may be made of; all outlive it.
struct MethodParts {
  const Config& config;
  const models::Description& about;
  const da::SolverModel* solver = nullptr;          ///< in full space
  const models::TrainedEncoder* encoder = nullptr;  ///< where it is there
};

struct MethodRow {
  std::string key;
  std::string help;
  SpaceName space;
  std::function<std::unique_ptr<da::Method>(const MethodParts&)> make;
};

const std::vector<MethodRow>& methods();

/// Throws InputError (--methods) naming the known ones.
const MethodRow& find_method(const std::string& key);

/// "a,b:x=[1,2]" at commas outside of brackets. Throws InputError when a bracket is alone.
std::vector<std::string> split_methods(const std::string& text);

/// A method with settings of its own.
struct ChosenMethod {
  std::string name;  ///< as asked for
  const MethodRow* row = nullptr;
  Config config;
};

/// "KEY" or "KEY:NAME=VALUE:..": names are keys of the section assimilation that are a method's own, and not what all
/// methods share (members, frames, starts, forecast, score_stride, parameters and their walk). Throws InputError.
ChosenMethod choose_method(const Config& config, const std::string& text);

}  // namespace levda::experiments
