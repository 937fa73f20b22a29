#pragma once

/// Observation operators by name: what an observation is of the fields around its place. One's own is a row of a table:
///
///     const levda::da::RegisteredOperator mine{{.name = "mine",
///                                               .help = "the fourth power of the channel",
///                                               .apply = [](const auto& s) { return s.average(pow(s.field(0), 4));
///                                               }}};
///
/// in a file that is linked into the program (-DLEVDA_OWN_OPERATORS=FILE compiles it into levda). Observations name
/// their operator in the column `op`.

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

/// One observation, as the rule for its places sees it: in the unit of places.
struct Footprint {
  double x;
  double y;
  double extent_x;
  double extent_y;
  const models::Grid& grid;
};

/// Where an operator needs the fields, and what they count there.
struct WeightedPlace {
  double x;
  double y;
  double weight;
};

/// What an operator sees: of some observations, the fields at their places.
struct Seen {
  autodiff::Var fields;   ///< (rows, observations, places, channels), physical units
  autodiff::Var weights;  ///< (observations, places)

  /// The k-th channel that the operator needs: (rows, observations, places).
  autodiff::Var field(std::int64_t k) const;
  /// Sum over the places of weight times what there is: (rows, observations, places) -> (rows, observations).
  autodiff::Var average(const autodiff::Var& at_places) const;
};

struct NamedOperator {
  std::string name;
  std::string help;  ///< one line
  /// (rows, observations) in tape operations, each row and each observation by itself.
  std::function<autodiff::Var(const Seen&)> apply;
  std::vector<std::string> channels = {};  ///< those that it needs, by name; none: the observation's own
  /// Throws Error for extents that make no sense. None: the observation's place alone, of weight 1.
  std::function<std::vector<WeightedPlace>(const Footprint&)> places = {};
};

/// Those that there are: value, speed, arctan, disc, line, then registered ones.
const std::deque<NamedOperator>& observation_operators();
std::vector<std::string> operator_names();
/// Null where there is none of that name.
const NamedOperator* find_operator(const std::string& name);

/// Adds a row to the table; for objects of static lifetime, which are made before main. Throws Error when the row has
/// no name or function, or its name is taken.
class RegisteredOperator {
 public:
  explicit RegisteredOperator(NamedOperator row);
  RegisteredOperator(const RegisteredOperator&) = delete;
  RegisteredOperator& operator=(const RegisteredOperator&) = delete;
};

/// The arc tangent in tape operations, differentiable at will, to a few roundings: atan x = pi / 2 - atan(1 / x) beyond
/// 1, twice atan x = 2 atan(x / (1 + sqrt(1 + x^2))), then its series.
autodiff::Var arctan(const autodiff::Var& x);

/// Where operator i of some observations needs the fields. Throws Error: no such operator, a channel that is not there,
/// extents that make no sense, a place outside the domain.
std::vector<WeightedPlace> places_of(const Observations& observations, std::int64_t i,
                                     const models::Description& about);

/// The single values that some observations are made of, and how.
class Footprints {
 public:
  /// Throws Error that begins with "observation N:" where places_of does.
  Footprints(const Observations& observations, const models::Description& about);

  /// Whether every observation is a value: then the values are the observations themselves.
  bool plain() const { return groups_.empty(); }
  /// One entry per observation, place and channel, of the operator `value`.
  const Observations& values() const { return values_; }
  /// The observations from those values: (rows, values) -> (rows, m), in tape operations.
  autodiff::Var observe(const autodiff::Var& values) const;
  /// Error variances of the observations that errors of the fields leave in them. `variance`: of the error of channel c
  /// at observation i, the same error at all its places, independent between channels. They pass through the squared
  /// slope of the operator, its mean over fields that vary about `mean` by `deviation` (per channel); where no slope is
  /// finite 0. A value has exactly its channel's.
  std::vector<double> error_variance(std::span<const double> mean, std::span<const double> deviation,
                                     const std::function<double(std::int64_t i, std::int64_t c)>& variance) const;

 private:
  /// Observations of one operator and equally many places.
  struct Group {
    const NamedOperator* op;
    std::int64_t places;
    std::vector<std::int64_t> observations;  // their positions
    std::vector<std::int64_t> channels;      // (observations, channels): which they are
    std::vector<std::int64_t> index;         // (observations, places, channels): positions among the values
    std::vector<double> weights;             // (observations, places)

    std::int64_t count() const { return static_cast<std::int64_t>(observations.size()); }
    std::int64_t channel_count() const { return static_cast<std::int64_t>(channels.size()) / count(); }
  };
  /// fields (rows, end - begin, places, channels) of the observations [begin, end) of a group.
  static autodiff::Var apply(const Group& group, const autodiff::Var& fields, std::int64_t begin, std::int64_t end);

  Observations values_;
  std::vector<Group> groups_;  // none where all are values
  autodiff::Tensor order_;     // of each observation, its position in the groups one after the other
};

/// A model's observation operator from the one that it has for values. Where all are values it is that one.
std::unique_ptr<ObservationOperator> observe_through(
    const Observations& observations, const models::Description& about,
    const std::function<std::unique_ptr<ObservationOperator>(const Observations& values)>& observe_values);

}  // namespace levda::da
