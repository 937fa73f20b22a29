/// Sums of many numbers. The bound is that of a sum in pairs (Higham, Accuracy and Stability of Numerical Algorithms,
/// 2nd edition, 4.2): a sum of n numbers by a tree of depth d is off by at most d u times the sum of their sizes, where
/// u is half a unit in the last place. The trees are at most 3 levels deeper than log2 n.

#include <doctest/doctest.h>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <cmath>

#include "autodiff/derivatives.h"
#include "autodiff/tiled_sum.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using namespace levda::testing;

namespace {

double unit(DType dtype) { return dtype == DType::float32 ? 0x1p-24 : 0x1p-53; }

/// The greatest error of a sum of n numbers, relative to the sum of their sizes. more: levels of the tree beyond the
/// pairs, and roundings before and after the sum.
double bound(DType dtype, double n, double more = 0) { return (std::log2(n) + 3 + more) * unit(dtype); }

/// Every number of `found` is `exact`, up to a relative error.
void check_all(const Var& found, long double exact, double error) {
  for (const double value : found.value().to_vector())
    CHECK(std::abs(static_cast<double>(value - exact)) <= error * static_cast<double>(exact));
}

long double tenth(DType dtype) { return dtype == DType::float32 ? static_cast<long double>(0.1F) : 0.1; }

}  // namespace

TEST_CASE("sums over any axes are off by the logarithm of their length") {
  const std::vector<std::pair<Shape, Shape>> all{
      {{1000000}, {}},               // all
      {{1000000, 3}, {3}},           // first
      {{3, 1000000}, {3, 1}},        // last
      {{2, 1000000, 2}, {2, 1, 2}},  // middle
      {{1000, 2, 1000}, {2, 1}},     // first and last
      {{100, 2, 100, 2, 100}, {2, 1, 2, 1}},
      {{1000000, 1}, {1}},
      {{1000, 1500}, {1500}},  // wider than a strip
      {{7, 130, 5}, {130, 1}},
      {{999983}, {1}},
      {{65}, {}},
      {{3, 129, 2}, {3, 1, 2}},
  };
  for (const DType dtype : {DType::float32, DType::float64})
    for (const auto& [x, y] : all) {
      CAPTURE(x.text());
      CAPTURE(y.text());
      const auto n = static_cast<double>(x.size()) / static_cast<double>(y.size());
      const Var equal(Tensor::full(x, 0.1, dtype));
      check_all(sum_to(equal, y), n * tenth(dtype), bound(dtype, n));
      // Numbers of both signs against a sum in more digits.
      if (x.size() > 1000000) continue;
      const Tensor normal = normal_tensor(x, 3, dtype);
      const std::vector<double> values = normal.to_vector();
      long double exact = 0;
      long double size = 0;
      for (const double value : values) {
        exact += value;
        size += std::abs(value);
      }
      const double found = sum(sum_to(Var(normal), y)).value().item();
      CHECK(std::abs(static_cast<double>(found - exact)) <=
            bound(dtype, static_cast<double>(x.size()), 3) * static_cast<double>(size));
    }
}

TEST_CASE("means and variances of very many rows") {
  const Var x(Tensor::full({20000000, 2}, 0.1));
  check_all(mean(x, {0}), 0.1F, bound(DType::float32, 2e7, 2));  // 1 / n and the product with it are rounded too
  // Ones and minus ones: the mean is 0 and the variance 1, and all terms are exact.
  std::vector<double> signs(1000000);
  for (std::size_t i = 0; i < signs.size(); ++i) signs[i] = i % 4 < 2 ? 1 : -1;
  const Var s = Tensor::from(std::span<const double>(signs), {500000, 2}, DType::float32);
  const Var centred = s - mean(s, {0});
  check_all(mean(square(centred), {0}), 1, bound(DType::float32, 5e5, 2));
  // log(10^6 e^0.1)
  check_all(logsumexp(Var(Tensor::full({1000000}, 0.1)), {0}), 0.1F + std::log(1e6L), bound(DType::float32, 1e6, 2));
}

TEST_CASE("scatter_add of many rows into few") {
  for (const DType dtype : {DType::float32, DType::float64})
    for (const std::int64_t rows : {1, 3})
      for (const Shape& shape : {Shape{999999}, Shape{999999, 2}, Shape{2, 333333, 1}}) {
        CAPTURE(shape.text());
        const int axis = shape.rank() == 3 ? 1 : 0;
        std::vector<std::int64_t> index(static_cast<std::size_t>(shape[axis]));
        for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::int64_t>(i) % rows;
        const auto n = static_cast<double>(shape[axis] / rows);
        const Var y = scatter_add(Var(Tensor::full(shape, 0.1, dtype)), axis, Tensor::indices(index), rows + 1);
        check_all(slice(y, axis, 0, rows), n * tenth(dtype), bound(dtype, n));
        CHECK(largest(slice(y, axis, rows, 1).value().to_vector()) == 0);
      }
}

TEST_CASE("the gradients of a layer over many rows") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Tape tape;
    const Var x(Tensor::full({1000000, 3}, 1, dtype));
    const Var weight = tape.variable(Tensor::full({3, 2}, 0.5, dtype));
    const Var bias = tape.variable(Tensor::full({2}, 0, dtype));
    const Var y = linear(x, weight, bias);
    const Vars g = vjp(y, Tensor::full({1000000, 2}, 0.1, dtype), {weight, bias});
    // Products are cut into pieces of at most 4096 rows, which Eigen adds in an order of its own.
    check_all(g[0], 1e6L * tenth(dtype), bound(dtype, 1e6, 4096));
    check_all(g[0], 1e6L * tenth(dtype), dtype == DType::float32 ? 1e-5 : 1e-13);  // what it is on common machines
    check_all(g[1], 1e6L * tenth(dtype), bound(dtype, 1e6));
  }
}

TEST_CASE("sums of many tiles, for any number of threads") {
  const auto f = [](const Vars& shared, const Vars& rows) { return sum(shared[0] * rows[0]); };
  const std::int64_t n = 200000;
  const Tensor rows = Tensor::full({n, 1}, 0.1);
  const auto once = [&] {
    Tape tape;
    const Var scale = tape.variable(Tensor::full({}, 1));
    const Var y = tiled_sum(f, {scale}, {Var(rows)}, 2);
    return std::vector<Tensor>{y.value(), vjp(y, Tensor::full({}, 1), {scale})[0].value(),
                               jvp(y, {scale}, {Var(Tensor::full({}, 1))}).value()};
  };
  const auto run = [&](int threads) {
    const oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism,
                                            static_cast<std::size_t>(threads));
    return oneapi::tbb::task_arena(threads).execute(once);
  };
  const std::vector<Tensor> one = run(1);
  const std::vector<Tensor> four = run(4);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(same_bits(one[i], four[i]));
    // 16 sums of slots are added one after the other.
    check_all(Var(one[i]), static_cast<long double>(n) * 0.1F, bound(DType::float32, static_cast<double>(n), 16 + 1));
  }
}
