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
  std::vector<da::ParameterScore> parameters;  ///< empty without estimates; z needs more than one member
  double seconds = 0;
  std::optional<double> iterations;
  std::vector<da::Iteration> convergence;  ///< of the minimisation; empty without one
  std::string failure;                     ///< message of an error, after which the scores are empty
};

struct TruthScores {
  Truth truth;
  std::map<std::string, MethodScores> methods;
};

/// Streams of random numbers for scores.
enum class Draws : std::uint8_t { levda, free, floor, climatology, lookup };

/// Scores methods on one truth, at every score_stride-th node and at the same times.
class Scorer {
 public:
  /// All must outlive it. The table, made for these observations, is needed when the training trajectories are not in
  /// memory. Throws InputError when the truth is not in the data set.
  Scorer(const Config& config, const models::Surrogate& surrogate, const Dataset& data,
         const ObservationFile& observations, const TrainingTable* table = nullptr);

  /// Fields at the analysis times, then at the times of the forecast, in training standard deviations of the channels:
  /// (N, points, c).
  using Fields = std::function<std::vector<float>(std::int64_t time)>;
  /// model_error: variance per channel that the members do not have, in training variances. parameters: (N, p) at the
  /// last time, physical units; may be empty.
  MethodScores score(const Fields& fields, std::span<const double> model_error, const std::vector<double>& parameters,
                     Draws draws = Draws::levda) const;

  /// The perfect-start forecast: the surrogate from the true start and parameters, a bound for methods that use it.
  MethodScores floor() const;
  /// The training trajectories at the frame of the truth, which is given to this baseline.
  MethodScores climatology() const;
  /// The nearest analogue: the training trajectory and start that fit the observations best (da::Analogues::nearest).
  MethodScores lookup() const;
  /// The true fields of the last observed frame, which are given to this baseline, also for the forecast; before the
  /// first observed frame the climatology's mean.
  MethodScores persistence() const;

 private:
  /// Fields of training trajectories [first, last) at a frame.
  std::vector<float> training_fields(std::int64_t first, std::int64_t last, std::int64_t frame) const;
  /// Parameters of a trajectory at the last frame of an analysis that starts at frame `first`.
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
  std::int64_t values_;  ///< number of scored values in a frame
  autodiff::Tensor points_;
  std::vector<double> areas_;
  std::vector<float> true_fields_;
  std::vector<double> no_error_;
};

}  // namespace levda::experiments
