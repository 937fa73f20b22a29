#pragma once

/// Lower triangular matrices as linear maps on the tape. For error_covariance.cpp. Not installed.

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "autodiff/error.h"
#include "autodiff/internal/isolation.h"
#include "autodiff/op.h"

namespace levda::da {

/// L (n, n), lower triangular, as linear maps of rows.
class Triangle {
 public:
  enum class Map : std::uint8_t { product, product_transposed, solution, solution_transposed };

  /// All elements, row-major.
  static std::shared_ptr<const Triangle> full(std::int64_t n, std::vector<double> values) {
    return std::shared_ptr<const Triangle>(new Triangle(n, n - 1, 0, n, std::move(values)));
  }
  /// Row i holds the columns i - bandwidth .. i.
  static std::shared_ptr<const Triangle> banded(std::int64_t n, std::int64_t bandwidth, std::vector<double> values) {
    return std::shared_ptr<const Triangle>(new Triangle(n, bandwidth, bandwidth, bandwidth, std::move(values)));
  }

  std::int64_t size() const { return n_; }

  autodiff::Tensor apply(Map map, const autodiff::Tensor& x) const {
    if (&x.backend() != &autodiff::cpu()) return apply(map, x.to(autodiff::cpu())).to(x.backend());
    autodiff::Tensor y = autodiff::Tensor::empty(x.shape(), x.dtype());
    if (x.dtype() == autodiff::DType::float32)
      run<float>(map, x, y);
    else
      run<double>(map, x, y);
    return y;
  }

 private:
  // Rows of x that are computed together; a row's numbers do not depend on the others.
  static constexpr std::int64_t width = 8;
  using Columns = std::vector<std::array<double, width>>;

  Triangle(std::int64_t n, std::int64_t bandwidth, std::int64_t first, std::int64_t step, std::vector<double> values)
      : n_(n), bandwidth_(bandwidth), first_(first), step_(step), values_(std::move(values)) {}

  /// Element (i, j) is row(i)[j].
  const double* row(std::int64_t i) const { return values_.data() + first_ + i * step_; }
  std::int64_t begin(std::int64_t i) const { return std::max<std::int64_t>(0, i - bandwidth_); }

  template <typename T>
  void run(Map map, const autodiff::Tensor& x, autodiff::Tensor& y) const {
    const std::int64_t rows = n_ == 0 ? 0 : x.size() / n_;
    const T* from = x.data<T>();
    T* to = y.data<T>();
    autodiff::Isolation::run_loop([&] {
      oneapi::tbb::parallel_for(std::int64_t{0}, (rows + width - 1) / width, [&](std::int64_t block) {
        const std::int64_t count = std::min(width, rows - block * width);
        Columns columns(static_cast<std::size_t>(n_));
        for (std::int64_t i = 0; i < n_; ++i)
          for (std::int64_t r = 0; r < count; ++r)
            columns[i][r] = static_cast<double>(from[(block * width + r) * n_ + i]);
        apply(map, columns);
        for (std::int64_t i = 0; i < n_; ++i)
          for (std::int64_t r = 0; r < count; ++r) to[(block * width + r) * n_ + i] = static_cast<T>(columns[i][r]);
      });
    });
  }

  static void add(std::array<double, width>& y, double factor, const std::array<double, width>& x) {
    for (std::size_t r = 0; r < width; ++r) y[r] += factor * x[r];
  }
  static void multiply(std::array<double, width>& y, double factor) {
    for (std::size_t r = 0; r < width; ++r) y[r] *= factor;
  }

  /// In place.
  void apply(Map map, Columns& x) const {
    switch (map) {
      case Map::product:
        for (std::int64_t i = n_ - 1; i >= 0; --i) {
          multiply(x[i], row(i)[i]);
          for (std::int64_t j = begin(i); j < i; ++j) add(x[i], row(i)[j], x[j]);
        }
        return;
      case Map::product_transposed:
        for (std::int64_t i = 0; i < n_; ++i) {
          for (std::int64_t j = begin(i); j < i; ++j) add(x[j], row(i)[j], x[i]);
          multiply(x[i], row(i)[i]);
        }
        return;
      case Map::solution:
        for (std::int64_t i = 0; i < n_; ++i) {
          for (std::int64_t j = begin(i); j < i; ++j) add(x[i], -row(i)[j], x[j]);
          multiply(x[i], 1 / row(i)[i]);
        }
        return;
      case Map::solution_transposed:
        for (std::int64_t i = n_ - 1; i >= 0; --i) {
          multiply(x[i], 1 / row(i)[i]);
          for (std::int64_t j = begin(i); j < i; ++j) add(x[j], -row(i)[j], x[i]);
        }
        return;
    }
  }

  std::int64_t n_;
  std::int64_t bandwidth_;
  std::int64_t first_;
  std::int64_t step_;
  std::vector<double> values_;
};

inline Triangle::Map transposed(Triangle::Map map) {
  using Map = Triangle::Map;
  switch (map) {
    case Map::product: return Map::product_transposed;
    case Map::product_transposed: return Map::product;
    case Map::solution: return Map::solution_transposed;
    case Map::solution_transposed: break;
  }
  return Map::solution;
}

/// A map of the rows of x (.., n), as an operation.
inline autodiff::Var mapped(const std::shared_ptr<const Triangle>& factor, Triangle::Map map, const autodiff::Var& x) {
  auto op = std::make_shared<autodiff::Op>();
  op->name = "error_covariance";
  op->shape = [n = factor->size()](autodiff::Inputs in, const autodiff::Attributes&) {
    const autodiff::Shape& shape = in[0].shape();
    if (shape.rank() < 1 || shape[-1] != n)
      throw Error(fmt::format("[error_covariance] {} errors, where {} are meant", shape.text(), n));
    return shape;
  };
  op->forward = [factor, map](autodiff::Backend&, autodiff::Inputs in, autodiff::Attributes&, autodiff::Tensor& y) {
    y = factor->apply(map, in[0].value());
  };
  op->vjp = [factor, map](const autodiff::Call&, int, const autodiff::Var& w) {
    return mapped(factor, transposed(map), w);
  };
  op->jvp = [factor, map](const autodiff::Call&, const autodiff::Vars& v) { return mapped(factor, map, v[0]); };
  return evaluate(op, {x});
}

}  // namespace levda::da
