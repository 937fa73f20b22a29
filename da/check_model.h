#pragma once

/// A check of a ForwardModel that a user has written: it tests everything that assimilation methods rely on.

#include <string>
#include <vector>

#include "da/ensemble.h"
#include "da/forward_model.h"

namespace levda::da {

struct CheckSettings {
  /// Two durations a and b for which advance(a + b) must equal advance(b) after advance(a). {0, 0}: not checked.
  std::pair<double, double> durations{0, 0};
  bool channels_matter = true;   ///< another channel of an observation gives another prediction
  bool places_matter = true;     ///< another place does
  double step = 1e-2;            ///< longest step of the Taylor test, in standard deviations of the ensemble
  double slope_tolerance = 0.1;  ///< |slope - 2|
  double tolerance = 1e-9;       ///< relative difference between two ways to compute the same numbers, in float64
  std::uint64_t seed = 1;        ///< of random directions
};

/// One thing that was checked.
struct ModelCheck {
  enum class Result : std::uint8_t { passed, failed, skipped };
  std::string name;
  Result result = Result::skipped;
  std::string detail;  ///< the measured numbers, or the reason for skipping
};

struct ModelReport {
  std::vector<ModelCheck> rows;

  bool passed() const;  ///< no row failed
  /// The row of a name. Throws Error when there is none.
  const ModelCheck& row(const std::string& name) const;
  /// One line for each row: name, result, detail.
  std::string table() const;
};

/// Checks a model at the members of an ensemble. The times, places and channels of the observations should be like
/// those of the later use; their values do not matter. Rows:
///   finite       predictions and advanced members are finite numbers
///   constants    predict and forecast of constants equal operator() and advance on a tape
///   batch        rows and points evaluated together equal rows and points alone
///   observations each observation alone, and all of them in reverse order, have the same predictions as among all
///   time         an observation at time t is one at time 0 of the members advanced by t
///   channel      an observation of another channel has another prediction
///   place        an observation at another place has another prediction
///   advance      advance(a + b) equals advance(b) after advance(a)
///   jvp and vjp  <w, J d> = <J' w, d> of the operator and of advance, on the tape
///   linearise    tangents of linearise equal the tape's, value equals predict
///   Taylor       f(v + h d) - f(v) - h <grad f, d> shrinks like h^2 for f = 1/2 |R^-1/2 (y - G)|^2, grad f by vjp
/// All later rows are skipped when a number is not finite. Derivatives are skipped when the model throws Error for
/// control vectors on a tape.
ModelReport check_model(const ForwardModel& model, const Ensemble& ensemble, const Observations& observations,
                        const CheckSettings& settings = {});

}  // namespace levda::da
