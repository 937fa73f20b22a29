#pragma once

/// The assimilation methods that can be compared. A new method is a row of the table in methods.cpp.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "da/method.h"
#include "experiments/config/config.h"
#include "models/encoder.h"

namespace levda::experiments {

/// The space of a method's control vectors.
enum class SpaceName : std::uint8_t {
  latent,  ///< [s; u] of the surrogate
  full     ///< fields and parameters, with the solver as model
};

/// Everything that the rows need to make a method; must outlive it.
struct MethodParts {
  const Config& config;
  const models::Description& about;
  std::int64_t controls = 0;                        ///< of the model
  std::vector<double> walk = {};                    ///< da::WindowSettings
  std::vector<da::Ensemble> candidates = {};        ///< da::LevdaSettings, one ensemble for each problem
  const models::TrainedEncoder* encoder = nullptr;  ///< of ldensf
};

struct MethodRow {
  std::string key;
  std::string help;
  SpaceName space;
  std::vector<std::string> reads;  ///< keys of the section assimilation that belong to this method
  std::function<std::unique_ptr<da::Method>(const MethodParts&)> make;
};

const std::vector<MethodRow>& methods();

/// Throws InputError (--methods) with the known keys.
const MethodRow& find_method(const std::string& key);

/// Splits "a,b:x=[1,2]" at commas outside of brackets. Throws InputError when brackets do not match.
std::vector<std::string> split_methods(const std::string& text);

/// A method with its settings.
struct ChosenMethod {
  std::string name;  ///< as asked for
  const MethodRow* row = nullptr;
  Config config;
};

/// "KEY" or "KEY:NAME=VALUE:..", with names that the method reads. Throws InputError for other names, and for a
/// configuration whose gross_error or parameter_walk the method cannot honour, because these change the problem. The
/// open loop uses no observations and accepts them. Other settings in the configuration may belong to other methods.
ChosenMethod choose_method(const Config& config, const std::string& text);

}  // namespace levda::experiments
