#pragma once

/// Observation operators by name. An operator computes an observation from the fields around its place. Your operator
/// is a row of a table:
///
///     const levda::da::RegisteredOperator mine{{.name = "mine",
///                                               .help = "the fourth power of the channel",
///                                               .apply = [](const auto& s) { return s.average(pow(s.field(0), 4));
///                                               }}};
///
/// in a file that is linked into the program (-DLEVDA_OWN_OPERATORS=FILE compiles it into levda). The column `op` of
/// the observations has the operator's name.

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autodiff/op.h"
#include "da/forward_model.h"
#include "models/grid.h"

namespace levda::da {

/// The place and extent of one observation, in the unit of places.
struct Footprint {
  double x;
  double y;
  double extent_x;
  double extent_y;
  const models::Grid& grid;
};

/// A place at which an operator needs the fields, and their weight.
struct WeightedPlace {
  double x;
  double y;
  double weight;
};

/// The input of an operator: the fields at the places of some observations.
struct Seen {
  autodiff::Var fields;   ///< (rows, observations, places, channels), physical units
  autodiff::Var weights;  ///< (observations, places)

  /// The k-th channel that the operator needs: (rows, observations, places).
  autodiff::Var field(std::int64_t k) const;
  /// Weighted sum over the places: (rows, observations, places) -> (rows, observations).
  autodiff::Var average(const autodiff::Var& at_places) const;
};

struct NamedOperator {
  std::string name;
  std::string help;  ///< one line
  /// (rows, observations) in tape operations; each row and each observation is computed separately.
  std::function<autodiff::Var(const Seen&)> apply;
  std::vector<std::string> channels = {};  ///< names of the channels that it needs; empty: the observation's channel
  /// Throws Error for extents that are out of range. Empty: only the observation's place, with weight 1.
  std::function<std::vector<WeightedPlace>(const Footprint&)> places = {};
};

/// All operators: value, speed, arctan, disc, line, then registered ones.
const std::deque<NamedOperator>& observation_operators();
std::vector<std::string> operator_names();
/// Null for an unknown name.
const NamedOperator* find_operator(const std::string& name);

/// Adds a row to the table; for objects of static lifetime, which are made before main. Throws Error when the row has
/// no name or function, or its name is taken.
class RegisteredOperator {
 public:
  explicit RegisteredOperator(NamedOperator row);
  RegisteredOperator(const RegisteredOperator&) = delete;
  RegisteredOperator& operator=(const RegisteredOperator&) = delete;
};

/// The arc tangent in tape operations, with all derivatives, exact to a few roundings: atan x = pi / 2 - atan(1 / x)
/// beyond 1, twice atan x = 2 atan(x / (1 + sqrt(1 + x^2))), then its series.
autodiff::Var arctan(const autodiff::Var& x);

/// The places at which the operator of observation i needs the fields. Throws Error for an unknown operator or channel,
/// extents that are out of range, and a place outside the domain.
std::vector<WeightedPlace> places_of(const Observations& observations, std::int64_t i,
                                     const models::Description& about);

/// Some observations as functions of single values of the fields.
class Footprints {
 public:
  /// Throws Error that begins with "observation N:" where places_of does.
  Footprints(const Observations& observations, const models::Description& about);

  /// Whether every observation is a single value of a channel.
  bool plain() const { return groups_.empty(); }
  /// One entry per observation, place and channel, of the operator `value`.
  const Observations& values() const { return values_; }
  /// The observations from those values: (rows, values) -> (rows, m), in tape operations.
  autodiff::Var observe(const autodiff::Var& values) const;
  /// Error variances of the observations caused by errors of the fields. `variance`: of the error of channel c at
  /// observation i, which is the same at all its places and independent between channels. It is multiplied by the
  /// squared slope of the operator, averaged over fields that vary about `mean` by `deviation` (per channel); the
  /// result is 0 when no slope is finite. A single value has exactly the variance of its channel.
  std::vector<double> error_variance(std::span<const double> mean, std::span<const double> deviation,
                                     const std::function<double(std::int64_t i, std::int64_t c)>& variance) const;

 private:
  /// Observations of one operator and one number of places.
  struct Group {
    const NamedOperator* op;
    std::int64_t places;
    std::vector<std::int64_t> observations;  // their positions
    std::vector<std::int64_t> channels;      // (observations, channels): their numbers
    std::vector<std::int64_t> index;         // (observations, places, channels): positions among the values
    std::vector<double> weights;             // (observations, places)

    std::int64_t count() const { return static_cast<std::int64_t>(observations.size()); }
    std::int64_t channel_count() const { return static_cast<std::int64_t>(channels.size()) / count(); }
  };
  /// fields (rows, end - begin, places, channels) of the observations [begin, end) of a group.
  static autodiff::Var apply(const Group& group, const autodiff::Var& fields, std::int64_t begin, std::int64_t end);

  Observations values_;
  std::vector<Group> groups_;  // empty when all are single values
  autodiff::Tensor order_;     // position of each observation in the concatenated groups
};

/// A model's observation operator, made of its operator for single values. If all observations are single values, it is
/// that operator.
std::unique_ptr<ObservationOperator> observe_through(
    const Observations& observations, const models::Description& about,
    const std::function<std::unique_ptr<ObservationOperator>(const Observations& values)>& observe_values);

}  // namespace levda::da
