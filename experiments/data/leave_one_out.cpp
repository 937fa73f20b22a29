#include "experiments/data/leave_one_out.h"

#include <oneapi/tbb/parallel_for.h>

#include <Eigen/LU>
#include <algorithm>
#include <cmath>

namespace levda::experiments {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Row i maps the values of all points to the residual at point i; no rows where the points do not determine it.
Matrix residual_matrix(std::span<const double> parameters, std::int64_t n, std::int64_t p) {
  if (n < p + 3) return {};
  const Eigen::Map<const Matrix> u(parameters.data(), n, p);
  Matrix a = Matrix::Zero(n + p + 1, n + p + 1);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) a(i, j) = std::pow((u.row(i) - u.row(j)).norm(), 3);
  a.block(0, n, n, 1).setOnes();
  a.block(0, n + 1, n, p) = u;
  a.block(n, 0, p + 1, n) = a.block(0, n, n, p + 1).transpose();
  const Eigen::PartialPivLU<Matrix> lu(a);
  constexpr double singular = 1e-14;  // treated as singular
  if (!(lu.rcond() > singular)) return {};
  Matrix inverse = lu.inverse().topLeftCorner(n, n);
  for (std::int64_t i = 0; i < n; ++i) inverse.row(i) /= inverse(i, i);
  if (!inverse.allFinite()) return {};
  return inverse;
}

}  // namespace

std::vector<double> leave_one_out_residuals(std::span<const double> parameters, std::int64_t n, std::int64_t p,
                                            std::span<const float> values) {
  const Matrix residual = residual_matrix(parameters, n, p);
  if (residual.rows() == 0) return {};
  const Eigen::Map<const Floats> f(values.data(), n, static_cast<std::int64_t>(values.size()) / n);
  const Matrix e = residual * f.cast<double>();
  return {e.data(), e.data() + e.size()};
}

LeaveOneOut::LeaveOneOut(const Dataset& outline)
    : outline_(outline), members_(std::min<std::int64_t>(outline.train, 512)) {
  constexpr std::int64_t most_frames = 16;
  constexpr std::int64_t most_values = 200'000;
  const models::Grid& grid = outline.about.grid;
  const std::int64_t frames = std::min(outline.about.frames, most_frames);
  for (std::int64_t i = 0; i < frames; ++i) frames_.push_back(i * (outline.about.frames - 1) / (frames - 1));
  const auto values = [&] {
    const std::int64_t nodes = ((grid.nx + stride_ - 1) / stride_) * ((grid.ny + stride_ - 1) / stride_);
    return frames * outline.about.channels() * nodes;
  };
  while (values() > most_values) ++stride_;
  areas_ = models::grid_areas(grid, stride_);
  values_.resize(static_cast<std::size_t>(members_ * frames * outline.about.channels()) * areas_.size());
}

void LeaveOneOut::add(const Dataset& part, std::int64_t first) {
  const models::Grid& grid = outline_.about.grid;
  const std::int64_t c = outline_.about.channels();
  const auto nodes = static_cast<std::int64_t>(areas_.size());
  for (std::int64_t member = first; member < std::min(first + part.members(), members_); ++member)
    for (std::size_t k = 0; k < frames_.size(); ++k) {
      const std::span<const float> field = part.frame(member - first, frames_[k]);
      for (std::int64_t channel = 0; channel < c; ++channel) {
        float* to = values_.data() + ((static_cast<std::int64_t>(k) * c + channel) * members_ + member) * nodes;
        for (std::int64_t j = 0; j < grid.ny; j += stride_)
          for (std::int64_t i = 0; i < grid.nx; i += stride_) *to++ = field[(channel * grid.ny + j) * grid.nx + i];
      }
    }
}

std::optional<InterpolationError> LeaveOneOut::error() const {
  const std::int64_t p = outline_.about.parameters();
  const std::int64_t c = outline_.about.channels();
  const auto nodes = static_cast<std::int64_t>(areas_.size());
  const auto frames = static_cast<std::int64_t>(frames_.size());
  if (outline_.varying) return std::nullopt;
  std::vector<double> u;  // in [-1, 1] within the prior range
  for (std::int64_t i = 0; i < members_ * p; ++i) {
    const double low = outline_.about.parameter_min[i % p];
    u.push_back(2 * (outline_.parameters[i] - low) / (outline_.about.parameter_max[i % p] - low) - 1);
  }
  const Matrix residual = residual_matrix(u, members_, p);
  if (residual.rows() == 0) return std::nullopt;
  const Eigen::Map<const Eigen::RowVectorXd> area(areas_.data(), nodes);
  // Sums of squares of (frame, channel).
  std::vector<double> errors(static_cast<std::size_t>(frames * c));
  std::vector<double> truths(errors);
  oneapi::tbb::parallel_for(std::int64_t{0}, frames * c, [&](std::int64_t block) {
    const Eigen::Map<const Floats> stored(values_.data() + block * members_ * nodes, members_, nodes);
    const Matrix f = stored.cast<double>();
    const Matrix e = residual * f;
    errors[block] = (e.cwiseAbs2() * area.transpose()).sum();
    truths[block] = (f.cwiseAbs2() * area.transpose()).sum();
  });
  const auto pooled = [&](std::int64_t first, std::int64_t last) {  // of frames
    double total = 0;
    std::int64_t channels = 0;
    for (std::int64_t channel = 0; channel < c; ++channel) {
      double error = 0;
      double truth = 0;
      for (std::int64_t frame = first; frame < last; ++frame) {
        error += errors[frame * c + channel];
        truth += truths[frame * c + channel];
      }
      if (truth == 0) continue;
      total += error / truth;
      ++channels;
    }
    return std::sqrt(total / static_cast<double>(channels));
  };
  const InterpolationError result{.all = pooled(0, frames), .first = pooled(0, 1), .last = pooled(frames - 1, frames)};
  for (const double value : {result.all, result.first, result.last})
    if (!std::isfinite(value)) return std::nullopt;
  return result;
}

}  // namespace levda::experiments
