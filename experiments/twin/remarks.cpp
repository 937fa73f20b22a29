#include "experiments/twin/remarks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "experiments/data/shown_number.h"
#include "nn/progress.h"

namespace levda::experiments {

void tell_starts(const Config& config, const models::Description& about, bool chosen) {
  const AssimilationConfig& a = config.assimilation;
  nn::write_note(stderr,
                 fmt::format("start frames {} .. {} of the prior, as {}{} of {} frames are observed{}\n", a.start_min,
                             a.start_max, chosen ? "assimilation.start_max says; " : "", a.frames, about.frames,
                             a.forecast > 0 ? fmt::format(" and {} are forecast", a.forecast) : ""));
}

void tell_misfit(const LatentAnalysis& analysis, const da::Observations& observations) {
  const std::vector<std::int32_t>& qc = analysis.details.qc.empty() ? observations.qc : analysis.details.qc;
  const auto n = static_cast<double>(std::count(qc.begin(), qc.end(), da::used));
  const auto costs = analysis.diagnostics.find("cost_observations");
  if (costs == analysis.diagnostics.end() || n == 0) return;
  double cost = 0;  // an observation in several windows counts in each with a part
  for (const double window : costs->second) cost += window;
  const double ratio = 2 * cost / n;
  const double deviation = std::sqrt(2 / n);  // of a mean of n squares of normal numbers
  if (ratio <= std::max(2.0, 1 + 5 * deviation)) return;
  nn::write_note(
      stderr,
      fmt::format(
          "the analysis misses the observations: 2 J_o / n is {:.3g} (1 expected): wrong values, flags or units, "
          "errors that are too small, or a surrogate that does not hold here\n",
          ratio));
}

void tell_range(const models::Description& about, std::int64_t parameter, double mean) {
  const auto k = static_cast<std::size_t>(parameter);
  if (mean >= about.parameter_min[k] && mean <= about.parameter_max[k]) return;
  const std::string range = fmt::format("{:g} .. {:g}", about.parameter_min[k], about.parameter_max[k]);
  nn::write_note(stderr, fmt::format("{} is outside its prior range, {}: the surrogate never saw such a value\n",
                                     about.parameter_names[k], with_unit(range, about.parameter_units[k])));
}

}  // namespace levda::experiments
