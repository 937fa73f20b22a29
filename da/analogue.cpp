#include "da/analogue.h"

#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "da/observation_operators.h"
#include "models/interpolation.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

namespace {

/// Linear interpolation along one axis: (1 - weight) of entry `low`, weight of the next.
struct Between {
  std::int64_t low;
  double weight;
};

Between between(double position, std::int64_t count) {
  constexpr double resolution = 1e-6;
  position = std::clamp(position, 0.0, static_cast<double>(count - 1));
  const double nearest = std::round(position);
  if (std::abs(position - nearest) < resolution) position = nearest;
  const auto low = std::min(static_cast<std::int64_t>(position), count - 2);
  return {low, position - static_cast<double>(low)};
}

}  // namespace

Analogues::Analogues(const models::Description& about, std::span<const float> fields)
    : about_(about),
      fields_(fields),
      members_(static_cast<std::int64_t>(fields.size()) / (about.frames * about.channels() * about.grid.cells())) {}

std::span<const float> Analogues::field(std::int64_t member, std::int64_t frame) const {
  const auto size = static_cast<std::size_t>(about_.channels() * about_.grid.cells());
  return fields_.subspan(static_cast<std::size_t>(member * about_.frames + frame) * size, size);
}

Analogue Analogues::nearest(const Observations& observations, const ErrorCovariance& covariance, std::int64_t first,
                            std::int64_t last) const {
  const Footprints footprints(observations, about_);
  const Observations& o = footprints.values();
  const models::Grid& grid = about_.grid;
  struct Stencil {
    double frame;  // after the start
    std::int64_t channel;
    models::CubicStencil x;
    models::CubicStencil y;
  };
  std::vector<Stencil> stencils;
  double latest = 0;
  double earliest = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const std::int64_t c = o.channel[i];
    stencils.push_back({.frame = o.time[i] / about_.frame_interval,
                        .channel = c,
                        .x = models::stencil_x(grid, c, o.x[i]),
                        .y = models::stencil_y(grid, c, o.y[i])});
    latest = std::max(latest, stencils.back().frame);
    earliest = std::min(earliest, stencils.back().frame);
  }
  constexpr double resolution = 1e-6;
  while (first <= last && static_cast<double>(first) + earliest < -resolution) ++first;
  while (first <= last && static_cast<double>(last) + latest > static_cast<double>(about_.frames - 1) + resolution)
    --last;
  if (first > last) throw Error("lookup: the observations last longer than the trajectories");

  const std::int64_t starts = last - first + 1;
  const Tensor values = Tensor::from(std::span<const double>(observations.value), {1, observations.size()});
  std::vector<double> misfits(static_cast<std::size_t>(members_ * starts));
  oneapi::tbb::parallel_for(std::int64_t{0}, members_ * starts, [&](std::int64_t k) {
    const std::int64_t member = k / starts;
    const auto start = static_cast<double>(first + k % starts);
    const auto at = [&](const Stencil& s, std::int64_t frame) {
      const float* plane = field(member, frame).data() + s.channel * grid.cells();
      double value = 0;
      for (int b = 0; b < 4; ++b) {
        if (s.y.weights[b] == 0) continue;
        for (int a = 0; a < 4; ++a)
          if (s.x.weights[a] != 0)
            value += s.y.weights[b] * s.x.weights[a] * static_cast<double>(plane[s.y.node(b) * grid.nx + s.x.node(a)]);
      }
      return value;
    };
    std::vector<double> prediction;
    prediction.reserve(stencils.size());
    for (const Stencil& s : stencils) {
      const Between t = between(start + s.frame, about_.frames);
      double value = t.weight < 1 ? (1 - t.weight) * at(s, t.low) : 0;
      if (t.weight > 0) value += t.weight * at(s, t.low + 1);
      prediction.push_back(value);
    }
    const Var predicted(Tensor::from(std::span<const double>(prediction), {1, o.size()}));
    const Var innovation = Var(values) - footprints.observe(predicted);
    misfits[k] = sum(square(covariance.whiten(innovation))).value().item();
  });
  const std::int64_t best = std::min_element(misfits.begin(), misfits.end()) - misfits.begin();
  return {.member = best / starts, .start = first + best % starts, .misfit = misfits[best]};
}

}  // namespace levda::da
