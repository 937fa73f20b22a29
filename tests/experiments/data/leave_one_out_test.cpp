/// Leave-one-out interpolation, against interpolants that really leave one out.

#include "experiments/data/leave_one_out.h"

#include <doctest/doctest.h>

#include <Eigen/LU>
#include <cmath>

#include "autodiff/random.h"
#include "experiments/data/generate.h"

using namespace levda;
using namespace levda::experiments;

namespace {

std::vector<double> points(std::int64_t n, std::int64_t p) {
  autodiff::Random random(3, 1);
  std::vector<double> u;
  for (std::int64_t i = 0; i < n * p; ++i) u.push_back(2 * random.uniform() - 1);
  return u;
}

/// What the interpolant through all points but `out` misses there, from its own coefficients.
double left_out(const std::vector<double>& u, std::int64_t p, const std::vector<float>& f, std::int64_t out) {
  const auto n = static_cast<std::int64_t>(f.size());
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < n; ++i)
    if (i != out) kept.push_back(i);
  const auto cube = [&](std::int64_t i, std::int64_t j) {
    double sum = 0;
    for (std::int64_t k = 0; k < p; ++k) sum += std::pow(u[i * p + k] - u[j * p + k], 2);
    return std::pow(sum, 1.5);
  };
  const std::int64_t size = n + p;
  Eigen::MatrixXd a = Eigen::MatrixXd::Zero(size, size);
  Eigen::VectorXd right = Eigen::VectorXd::Zero(size);
  Eigen::VectorXd at = Eigen::VectorXd::Zero(size);
  const auto polynomial = [&](std::int64_t i, std::int64_t k) { return k == 0 ? 1.0 : u[i * p + k - 1]; };
  for (std::int64_t i = 0; i < n - 1; ++i) {
    for (std::int64_t j = 0; j < n - 1; ++j) a(i, j) = cube(kept[i], kept[j]);
    for (std::int64_t k = 0; k <= p; ++k) a(i, n - 1 + k) = a(n - 1 + k, i) = polynomial(kept[i], k);
    right(i) = f[kept[i]];
    at(i) = cube(kept[i], out);
  }
  for (std::int64_t k = 0; k <= p; ++k) at(n - 1 + k) = polynomial(out, k);
  const Eigen::VectorXd coefficients = a.partialPivLu().solve(right);
  return f[out] - at.dot(coefficients);
}

}  // namespace

TEST_CASE("leave-one-out residuals are those of interpolants that really leave one out") {
  const std::int64_t n = 14;
  const std::int64_t p = 2;
  const std::vector<double> u = points(n, p);
  std::vector<float> values;  // (n, 2)
  std::vector<float> first;
  for (std::int64_t i = 0; i < n; ++i) {
    first.push_back(static_cast<float>(std::sin(3 * u[2 * i]) * u[2 * i + 1]));
    values.push_back(first.back());
    values.push_back(static_cast<float>(std::exp(u[2 * i])));
  }
  const std::vector<double> residuals = leave_one_out_residuals(u, n, p, values);
  REQUIRE(residuals.size() == values.size());
  double largest = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    // Condition numbers of some 1e3 times rounding.
    CHECK(std::abs(residuals[2 * i] - left_out(u, p, first, i)) <= 1e-11);
    largest = std::max(largest, std::abs(residuals[2 * i]));
  }
  CHECK(largest > 1e-3);  // there is something to compare
}

TEST_CASE("linear functions of the parameters are left out without a loss; too few or flat points are refused") {
  for (const std::int64_t p : {1, 2, 4}) {
    const std::int64_t n = p + 6;
    const std::vector<double> u = points(n, p);
    std::vector<float> values;
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = 0.25;
      for (std::int64_t k = 0; k < p; ++k) sum += static_cast<double>(k + 1) * u[i * p + k];
      values.push_back(static_cast<float>(sum));
    }
    const std::vector<double> residuals = leave_one_out_residuals(u, n, p, values);
    REQUIRE(residuals.size() == values.size());
    // The values are rounded to float32, and a residual adds up the roundings of all.
    for (const double residual : residuals) CHECK(std::abs(residual) <= 1e-4);
    const std::int64_t few = p + 2;
    CHECK(leave_one_out_residuals(points(few, p), few, p, std::vector<float>(static_cast<std::size_t>(few))).empty());
  }
  std::vector<double> flat = points(9, 2);
  for (std::size_t i = 0; i < flat.size(); i += 2) flat[i + 1] = flat[i];
  CHECK(leave_one_out_residuals(flat, 9, 2, std::vector<float>(9, 1.0F)).empty());
}

TEST_CASE("the error of a set: none of trajectories linear in the parameters, all of noise; parts make the whole") {
  Config config = load_preset("tsunami", "small");
  for (const char* setting : {"data.nodes=6", "data.frames=20", "data.steps_per_frame=1", "data.frame_interval=200",
                              "data.train=12", "data.valid=1", "data.test=1", "data.between=0"})
    apply_setting(config, setting);
  const Generator generator(config);
  const Dataset& outline = generator.outline();
  Dataset set = generator.members(0, 14, {});
  const auto error_of = [&](const Dataset& of) {
    LeaveOneOut all(outline);
    all.add(of, 0);
    const std::optional<InterpolationError> error = all.error();
    REQUIRE(error.has_value());
    return *error;
  };
  const std::int64_t size = set.frame_size();
  autodiff::Random random(5, 1);
  Dataset linear = set;
  Dataset noise = set;
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(set.fields.size()); ++i) {
    const std::span<const double> u = set.parameters_of(i / (20 * size));
    // Ten times as large and without a pattern at the last frame.
    const bool last = i / size % 20 == 19;
    linear.fields[i] =
        static_cast<float>(last ? 10 * random.normal() : 1 + u[0] + static_cast<double>(i % size % 7) * u[1]);
    noise.fields[i] = static_cast<float>(random.normal());
  }
  CHECK(error_of(linear).first <= 1e-5);
  CHECK(error_of(linear).last > 0.9);
  CHECK(error_of(linear).all > error_of(linear).first);
  CHECK(error_of(linear).all < error_of(linear).last);
  CHECK(error_of(noise).all > 0.9);

  LeaveOneOut parts(outline);
  parts.add(generator.members(9, 14, {}), 9);
  parts.add(generator.members(0, 9, {}), 0);
  const std::optional<InterpolationError> whole = parts.error();
  REQUIRE(whole.has_value());
  CHECK(whole->all == error_of(set).all);
  CHECK(whole->first == error_of(set).first);
  CHECK(whole->last == error_of(set).last);
}
