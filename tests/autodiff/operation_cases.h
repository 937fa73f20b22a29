#pragma once

/// One table of cases for every check of every operation, on every backend.

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "autodiff/op.h"
#include "autodiff/random.h"

namespace levda::testing {

using namespace autodiff;

struct Case {
  std::string op;
  std::vector<Shape> shapes;
  std::function<Var(const Vars&)> f;
  /// Reference value of one element from the inputs' values in row-major order, where there is an obvious one.
  std::function<double(const std::vector<std::vector<double>>&, std::size_t)> reference = {};
  /// Inputs are shifted to be at least this (0: standard normal as it is).
  double positive = 0;
  /// Numbers of either sign, those of input k with sizes from 2 k + 1/2 to 2 k + 3/2, so that the steps of differences
  /// do not cross the edges of piecewise functions.
  bool away = false;
  /// The derivative is 0.
  bool flat = false;
};

inline Tensor index(const Var& like) {
  return Tensor::indices(std::vector<std::int64_t>{2, 0, 2, 1, 1}, like.value().backend());
}

/// k times the unit matrix.
inline Var diagonal(double k, std::int64_t n, const Var& like) {
  std::vector<double> values(static_cast<std::size_t>(n * n), 0.0);
  for (std::int64_t i = 0; i < n; ++i) values[i * n + i] = k;
  return Tensor::from(std::span<const double>(values), {n, n}, like.dtype(), like.value().backend());
}

/// 1, 0, 1, 0, ..
inline Var every_other(const Shape& shape, const Var& like) {
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 2 == 0 ? 1 : 0;
  return Tensor::from(std::span<const double>(values), shape, like.dtype(), like.value().backend());
}

inline double sigmoid_of(double x) { return 1 / (1 + std::exp(-x)); }

inline std::vector<Case> cases() {
  using V = const Vars&;
  using R = const std::vector<std::vector<double>>&;
  return {
      {"neg", {{3, 5}}, [](V x) { return neg(x[0]); }, [](R x, std::size_t i) { return -x[0][i]; }},
      {"sin", {{3, 5}}, [](V x) { return sin(x[0]); }, [](R x, std::size_t i) { return std::sin(x[0][i]); }},
      {"cos", {{3, 5}}, [](V x) { return cos(x[0]); }, [](R x, std::size_t i) { return std::cos(x[0][i]); }},
      {"exp", {{3, 5}}, [](V x) { return exp(x[0]); }, [](R x, std::size_t i) { return std::exp(x[0][i]); }},
      {"sqrt", {{3, 5}}, [](V x) { return sqrt(x[0]); }, [](R x, std::size_t i) { return std::sqrt(x[0][i]); }, 1},
      {"square", {{3, 5}}, [](V x) { return square(x[0]); }, [](R x, std::size_t i) { return x[0][i] * x[0][i]; }},
      {"sigmoid", {{4, 9}}, [](V x) { return sigmoid(x[0]); }, [](R x, std::size_t i) { return sigmoid_of(x[0][i]); }},
      {"silu",
       {{4, 9}},
       [](V x) { return silu(x[0]); },
       [](R x, std::size_t i) { return x[0][i] * sigmoid_of(x[0][i]); }},
      {"silu_derivative",
       {{4, 9}},
       [](V x) { return silu_derivative(x[0]); },
       [](R x, std::size_t i) {
         const double s = sigmoid_of(x[0][i]);
         return s + x[0][i] * s * (1 - s);
       }},
      {"tanh", {{4, 9}}, [](V x) { return tanh(x[0]); }, [](R x, std::size_t i) { return std::tanh(x[0][i]); }},
      {"relu",
       {{4, 9}},
       [](V x) { return relu(x[0]); },
       [](R x, std::size_t i) { return x[0][i] > 0 ? x[0][i] : 0; },
       0,
       true},
      {"gelu",
       {{4, 9}},
       [](V x) { return gelu(x[0]); },
       [](R x, std::size_t i) { return x[0][i] / 2 * (1 + std::erf(x[0][i] / std::sqrt(2))); }},
      {"erf", {{4, 9}}, [](V x) { return erf(x[0]); }, [](R x, std::size_t i) { return std::erf(x[0][i]); }},
      {"softplus",
       {{4, 9}},
       [](V x) { return softplus(x[0]); },
       [](R x, std::size_t i) { return std::log(1 + std::exp(x[0][i])); }},
      {"log", {{3, 5}}, [](V x) { return log(x[0]); }, [](R x, std::size_t i) { return std::log(x[0][i]); }, 1},
      {"pow",
       {{3, 5}},
       [](V x) { return pow(x[0], 1.7); },
       [](R x, std::size_t i) { return std::pow(x[0][i], 1.7); },
       1},
      {"pow",
       {{3, 5}},
       [](V x) { return pow(x[0], 3); },
       [](R x, std::size_t i) { return x[0][i] * x[0][i] * x[0][i]; }},
      {"pow",
       {{3, 5}},
       [](V x) { return pow(x[0], -0.5); },
       [](R x, std::size_t i) { return 1 / std::sqrt(x[0][i]); },
       1},
      {"abs", {{3, 5}}, [](V x) { return abs(x[0]); }, [](R x, std::size_t i) { return std::abs(x[0][i]); }, 0, true},
      {"sign",
       {{3, 5}},
       [](V x) { return sign(x[0]); },
       [](R x, std::size_t i) { return x[0][i] > 0 ? 1 : -1; },
       0,
       true,
       true},
      {"greater",
       {{3, 4}, {4}},
       [](V x) { return greater(x[0], x[1]); },
       [](R x, std::size_t i) { return x[0][i] > x[1][i % 4] ? 1 : 0; },
       0,
       true,
       true},
      {"maximum",
       {{3, 4}, {3, 4}},
       [](V x) { return maximum(x[0], x[1]); },
       [](R x, std::size_t i) { return std::max(x[0][i], x[1][i]); },
       0,
       true},
      {"maximum",
       {{3, 1}, {2, 1, 4}},
       [](V x) { return maximum(x[0], x[1]); },
       [](R x, std::size_t i) { return std::max(x[0][i / 4 % 3], x[1][i / 12 * 4 + i % 4]); },
       0,
       true},
      {"minimum",
       {{4}, {3, 4}},
       [](V x) { return minimum(x[0], x[1]); },
       [](R x, std::size_t i) { return std::min(x[0][i % 4], x[1][i]); },
       0,
       true},
      {"where",
       {{3, 4}, {3, 4}},
       [](V x) {
         return where(every_other({3, 4}, x[0]), x[0], x[1]);
       },
       [](R x, std::size_t i) { return x[i % 2][i]; }},
      {"where",
       {{4}, {3, 1}},
       [](V x) {
         return where(every_other({2, 1, 4}, x[0]), x[0], x[1]);
       },
       [](R x, std::size_t i) { return i % 2 == 0 ? x[0][i % 4] : x[1][i / 4 % 3]; }},
      {"where",  // a mask that is computed from an input
       {{3, 4}, {3, 4}},
       [](V x) { return where(greater(x[0], x[1]), square(x[0]), x[1]); },
       [](R x, std::size_t i) { return x[0][i] > x[1][i] ? x[0][i] * x[0][i] : x[1][i]; },
       0,
       true},
      {"scale",
       {{7}},
       [](V x) { return scale(x[0], -1.5, 0.25); },
       [](R x, std::size_t i) { return -1.5 * x[0][i] + 0.25; }},
      {"add", {{3, 4}, {3, 4}}, [](V x) { return x[0] + x[1]; }, [](R x, std::size_t i) { return x[0][i] + x[1][i]; }},
      {"add", {{3, 4}, {4}}, [](V x) { return x[0] + x[1]; }, [](R x, std::size_t i) { return x[0][i] + x[1][i % 4]; }},
      {"add",
       {{3, 1}, {2, 1, 4}},
       [](V x) { return x[0] + x[1]; },
       [](R x, std::size_t i) { return x[0][i / 4 % 3] + x[1][i / 12 * 4 + i % 4]; }},
      {"sub", {{3, 4}, {}}, [](V x) { return x[0] - x[1]; }, [](R x, std::size_t i) { return x[0][i] - x[1][0]; }},
      {"sub", {{4}, {3, 4}}, [](V x) { return x[0] - x[1]; }, [](R x, std::size_t i) { return x[0][i % 4] - x[1][i]; }},
      {"mul", {{3, 4}, {3, 4}}, [](V x) { return x[0] * x[1]; }, [](R x, std::size_t i) { return x[0][i] * x[1][i]; }},
      {"mul",
       {{3, 4}, {3, 1}},
       [](V x) { return x[0] * x[1]; },
       [](R x, std::size_t i) { return x[0][i] * x[1][i / 4]; }},
      {"mul",
       {{4}, {2, 3, 4}},
       [](V x) { return x[0] * x[1]; },
       [](R x, std::size_t i) { return x[0][i % 4] * x[1][i]; }},
      {"div",
       {{3, 4}, {4}},
       [](V x) { return x[0] / x[1]; },
       [](R x, std::size_t i) { return x[0][i] / x[1][i % 4]; },
       1},
      {"matmul",
       {{3, 4}, {4, 5}},
       [](V x) { return matmul(x[0], x[1]); },
       [](R x, std::size_t i) {
         double y = 0;
         for (std::size_t k = 0; k < 4; ++k) y += x[0][i / 5 * 4 + k] * x[1][k * 5 + i % 5];
         return y;
       }},
      {"matmul", {{4, 3}, {4, 5}}, [](V x) { return matmul(x[0], x[1], true, false); }},
      {"matmul", {{3, 4}, {5, 4}}, [](V x) { return matmul(x[0], x[1], false, true); }},
      {"matmul",
       {{4, 3}, {5, 4}},
       [](V x) { return matmul(x[0], x[1], true, true); },
       [](R x, std::size_t i) {
         double y = 0;
         for (std::size_t k = 0; k < 4; ++k) y += x[0][k * 3 + i / 5] * x[1][i % 5 * 4 + k];
         return y;
       }},
      {"matmul", {{2, 3, 4}, {4, 5}}, [](V x) { return matmul(x[0], x[1]); }},
      {"matmul", {{2, 3, 4}, {2, 4, 5}}, [](V x) { return matmul(x[0], x[1]); }},
      {"matmul", {{3, 4}, {2, 5, 4}}, [](V x) { return matmul(x[0], x[1], false, true); }},
      {"matmul", {{2, 1, 4, 3}, {3, 4, 5}}, [](V x) { return matmul(x[0], x[1], true, false); }},
      {"solve",
       {{2, 2}, {2, 3}},
       [](V x) { return solve(x[0] + diagonal(6, 2, x[0]), x[1]); },
       [](R x, std::size_t i) {  // Cramer's rule
         const double a = x[0][0] + 6;
         const double d = x[0][3] + 6;
         const double determinant = a * d - x[0][1] * x[0][2];
         const std::size_t k = i % 3;
         return (i < 3 ? d * x[1][k] - x[0][1] * x[1][3 + k] : a * x[1][3 + k] - x[0][2] * x[1][k]) / determinant;
       }},
      {"solve", {{3, 3}, {3, 2}}, [](V x) { return solve(x[0] + diagonal(6, 3, x[0]), x[1], true); }},
      {"solve", {{2, 3, 3}, {3, 2}}, [](V x) { return solve(x[0] + diagonal(6, 3, x[0]), x[1]); }},
      {"solve", {{3, 3}, {2, 3, 1}}, [](V x) { return solve(x[0] + diagonal(6, 3, x[0]), x[1], true); }},
      {"solve", {{2, 1, 3, 3}, {4, 3, 1}}, [](V x) { return solve(x[0] + diagonal(6, 3, x[0]), x[1]); }},
      {"cholesky",
       {{2, 2}},
       [](V x) { return cholesky(x[0] + diagonal(6, 2, x[0])); },
       [](R x, std::size_t i) {
         const double l00 = std::sqrt(x[0][0] + 6);
         const double l10 = (x[0][1] + x[0][2]) / 2 / l00;
         const double l[] = {l00, 0, l10, std::sqrt(x[0][3] + 6 - l10 * l10)};
         return l[i];
       }},
      {"cholesky", {{2, 3, 3}}, [](V x) { return cholesky(x[0] + diagonal(6, 3, x[0])); }},
      {"linear",
       {{6, 4}, {4, 5}, {5}},
       [](V x) { return linear(x[0], x[1], x[2]); },
       [](R x, std::size_t i) {
         double y = x[2][i % 5];
         for (std::size_t k = 0; k < 4; ++k) y += x[0][i / 5 * 4 + k] * x[1][k * 5 + i % 5];
         return y;
       }},
      {"linear", {{2, 3, 4}, {4, 5}, {5}}, [](V x) { return linear(x[0], x[1], x[2]); }},
      {"linear_silu",
       {{6, 4}, {4, 5}, {5}},
       [](V x) { return linear_silu(x[0], x[1], x[2]); },
       [](R x, std::size_t i) {
         double y = x[2][i % 5];
         for (std::size_t k = 0; k < 4; ++k) y += x[0][i / 5 * 4 + k] * x[1][k * 5 + i % 5];
         return y * sigmoid_of(y);
       }},
      {"linear_silu", {{2, 3, 4}, {4, 5}, {5}}, [](V x) { return linear_silu(x[0], x[1], x[2]); }},
      {"sum_to",
       {{3, 4, 5}},
       [](V x) {
         return sum_to(x[0], {4, 1});
       },
       [](R x, std::size_t i) {
         double y = 0;
         for (std::size_t a = 0; a < 3; ++a)
           for (std::size_t c = 0; c < 5; ++c) y += x[0][a * 20 + i * 5 + c];
         return y;
       }},
      {"sum_to", {{3, 4}}, [](V x) { return sum(x[0]); }},
      {"sum_to",
       {{2, 3, 4}},
       [](V x) {
         return sum(x[0], {0, -1});
       },
       [](R x, std::size_t i) {
         double y = 0;
         for (std::size_t k = 0; k < 8; ++k) y += x[0][k / 4 * 12 + i * 4 + k % 4];
         return y;
       }},
      {"sum_to",
       {{2, 3, 4}},
       [](V x) { return mean(x[0], {1}, true); },
       [](R x, std::size_t i) {
         const std::size_t first = i / 4 * 12 + i % 4;
         return (x[0][first] + x[0][first + 4] + x[0][first + 8]) / 3;
       }},
      {"sum_to", {{3, 4}}, [](V x) { return mean(x[0]); }},
      {"logsumexp",
       {{3, 5}},
       [](V x) { return logsumexp(x[0], {1}); },
       [](R x, std::size_t i) {
         double y = 0;
         for (std::size_t k = 0; k < 5; ++k) y += std::exp(x[0][i * 5 + k]);
         return std::log(y);
       }},
      {"logsumexp",
       {{2, 3, 4}},
       [](V x) {
         return logsumexp(x[0], {0, 2}, true);
       },
       [](R x, std::size_t i) {
         double y = 0;
         for (std::size_t k = 0; k < 8; ++k) y += std::exp(x[0][k / 4 * 12 + i * 4 + k % 4]);
         return std::log(y);
       }},
      {"expand",
       {{3, 1}},
       [](V x) {
         return expand(x[0], {2, 3, 4});
       },
       [](R x, std::size_t i) { return x[0][i / 4 % 3]; }},
      {"reshape",
       {{3, 4}},
       [](V x) {
         return reshape(x[0], {2, 6});
       },
       [](R x, std::size_t i) { return x[0][i]; }},
      {"concat",
       {{3, 2}, {3, 4}},
       [](V x) {
         return concat({x[0], x[1]}, 1);
       },
       [](R x, std::size_t i) { return i % 6 < 2 ? x[0][i / 6 * 2 + i % 6] : x[1][i / 6 * 4 + i % 6 - 2]; }},
      {"concat",
       {{2, 3}, {1, 3}},
       [](V x) {
         return concat({x[0], x[1], x[0]}, 0);
       }},
      {"concat",  // stack
       {{3, 2}, {3, 2}},
       [](V x) {
         return stack({x[0], x[1]}, 1);
       },
       [](R x, std::size_t i) { return x[i / 2 % 2][i / 4 * 2 + i % 2]; }},
      {"transpose",
       {{2, 3, 4}},
       [](V x) {
         return transpose(x[0], {2, 0, 1});
       },
       [](R x, std::size_t i) { return x[0][i / 3 % 2 * 12 + i % 3 * 4 + i / 6]; }},
      {"transpose",
       {{2, 3, 4}},
       [](V x) { return transpose(x[0]); },
       [](R x, std::size_t i) { return x[0][i / 12 * 12 + i % 3 * 4 + i % 12 / 3]; }},
      {"slice",
       {{3, 6}},
       [](V x) { return slice(x[0], 1, 2, 3); },
       [](R x, std::size_t i) { return x[0][i / 3 * 6 + 2 + i % 3]; }},
      {"pad",
       {{3, 2}},
       [](V x) { return pad(x[0], -1, 1, 4); },
       [](R x, std::size_t i) { return i % 4 == 0 || i % 4 == 3 ? 0 : x[0][i / 4 * 2 + i % 4 - 1]; }},
      {"gather",
       {{3, 4}},
       [](V x) { return gather(x[0], 0, index(x[0])); },
       [](R x, std::size_t i) {
         const std::size_t rows[] = {2, 0, 2, 1, 1};
         return x[0][rows[i / 4] * 4 + i % 4];
       }},
      {"gather", {{2, 3}}, [](V x) { return gather(x[0], 1, index(x[0])); }},
      {"scatter_add",
       {{5, 2}},
       [](V x) { return scatter_add(x[0], 0, index(x[0]), 4); },
       [](R x, std::size_t i) {
         const std::size_t rows[] = {2, 0, 2, 1, 1};
         double y = 0;
         for (std::size_t k = 0; k < 5; ++k)
           if (rows[k] == i / 2) y += x[0][k * 2 + i % 2];
         return y;
       }},
  };
}

inline std::vector<Tensor> inputs_of(const Case& c, DType dtype, Backend& backend = cpu()) {
  Random random(7);
  std::vector<Tensor> inputs;
  for (const Shape& shape : c.shapes) {
    std::vector<double> values(static_cast<std::size_t>(shape.size()));
    for (double& value : values) {
      value = c.positive > 0 ? c.positive + random.uniform() : random.normal();
      if (c.away) value = std::copysign(0.5 + 2 * static_cast<double>(inputs.size()) + random.uniform(), value);
    }
    inputs.push_back(Tensor::from(std::span<const double>(values), shape, dtype, backend));
  }
  return inputs;
}

}  // namespace levda::testing
