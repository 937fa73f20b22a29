#pragma once

/// The assimilation methods that can be compared. A new one is a row of the table in methods.cpp.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "da/method.h"
#include "experiments/config/config.h"
#include "models/encoder.h"

namespace levda::experiments {

/// What a method's control vectors are.
enum class SpaceName : std::uint8_t {
  latent,  ///< [s; u] of the surrogate
  full     ///< fields and parameters, with the solver as model
};

/// What a method is made of; all outlive it.
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

/// "KEY" or "KEY:NAME=VALUE:..", with the names that the method reads. Throws InputError: a key that it does not read,
/// or a configuration whose gross_error or parameter_walk it cannot honour, as these change the problem that is solved.
/// Other settings of other methods are left to those; methods that use no observation need none.
ChosenMethod choose_method(const Config& config, const std::string& text);

}  // namespace levda::experiments
