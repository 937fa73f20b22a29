#pragma once

/// Scores of methods on one truth of a twin experiment.

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "da/method.h"
#include "da/scores.h"
#include "experiments/twin/training_table.h"
#include "experiments/twin/twin.h"

namespace levda::experiments {

/// One method on one truth.
struct MethodScores {
  std::vector<da::FieldScores> frames;         ///< per analysis time
  std::vector<da::FieldScores> forecast;       ///< per time after them
  std::vector<da::ParameterScore> parameters;  ///< z is meaningless for single estimates; none where there are none
  double seconds = 0;
  std::optional<double> iterations;
  std::vector<da::Iteration> convergence;  ///< of the minimisation, where there is one
  std::string failure;                     ///< what went wrong; the scores are then empty
};

struct TruthScores {
  Truth truth;
  std::map<std::string, MethodScores> methods;
};

/// Random numbers that scores take: methods of one number share them.
enum class Draws : std::uint8_t { levda, free, floor, climatology, lookup };

/// Of one truth: all methods are scored at every score_stride-th node and at the same times.
class Scorer {
 public:
  /// All must outlive it; the table, of these observations among others, is needed where the training trajectories are
  /// not in memory. Throws InputError when the truth is not in the data set.
  Scorer(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
         const ObservationFile& observations, const TrainingTable* table = nullptr);

  /// Fields at an analysis time or, counted on, at a time of the forecast, in training standard deviations of the
  /// channels: (N, points, c).
  using Fields = std::function<std::vector<float>(std::int64_t time)>;
  /// model_error: variance per channel that is not in the members, in training variances. parameters: (N, p), physical
  /// units, of the last time; may be empty.
  MethodScores score(const Fields& fields, std::span<const double> model_error, const std::vector<double>& parameters,
                     Draws draws = Draws::levda) const;

  /// The surrogate from the true start and parameters, a bound for methods that use it.
  MethodScores floor() const;
  /// The training trajectories at the true frame, told which one.
  MethodScores climatology() const;
  /// The training trajectory and start that fit the observations best, da::Analogues::nearest.
  MethodScores lookup() const;
  /// The true fields of the last observed frame before, told them, also for the forecast; before the first one the
  /// climatology's mean.
  MethodScores persistence() const;

 private:
  /// Of training trajectories [first, last) at a frame.
  std::vector<float> training_fields(std::int64_t first, std::int64_t last, std::int64_t frame) const;
  /// Parameters of a trajectory at the last analysed frame of one that starts at `first`.
  std::span<const double> last_parameters(std::int64_t member, std::int64_t first) const;
  std::span<const float> true_fields(std::int64_t time) const;

  const Config& config_;
  const models::Surrogate& surrogate_;
  const Dataset& data_;
  const ObservationFile& file_;
  const TrainingTable* table_;
  Truth truth_;
  bool cold_;
  std::int64_t frames_;
  std::int64_t forecast_;
  std::int64_t values_;  ///< of a frame that are scored
  autodiff::Tensor points_;
  std::vector<double> areas_;
  std::vector<float> true_fields_;
  std::vector<double> no_error_;
};

}  // namespace levda::experiments
