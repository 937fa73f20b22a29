/// Functions of one variable over the whole range of their type, against long double: the C library's functions, and
/// formulas without cancellation of them.

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "autodiff/derivatives.h"
#include "autodiff/internal/scalar.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;

namespace {

using Real = long double;
constexpr Real infinity = std::numeric_limits<Real>::infinity();

/// Of the function with the exponential e = exp(-|x|), and 0 where an infinite x would make it NaN.
Real sigmoid_of(Real x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
Real times(Real x, Real factor) { return factor == 0 && std::isinf(x) ? std::copysign(Real(0), x) : x * factor; }
Real slope_of_sigmoid(Real x) { return sigmoid_of(x) * sigmoid_of(-x); }
Real silu_slope_of(Real x) { return times(1 + times(x, sigmoid_of(-x)), sigmoid_of(x)); }
Real silu_curvature_of(Real x) {
  return times(2 + times(x, slope_of_sigmoid(x) == 0 ? 0 : sigmoid_of(-x) - sigmoid_of(x)), slope_of_sigmoid(x));
}
Real density_of(Real x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi_v<Real>); }
Real erf_slope_of(Real x) { return 2 * std::numbers::inv_sqrtpi_v<Real> * std::exp(-x * x); }
Real tanh_slope_of(Real x) { return 4 * slope_of_sigmoid(2 * x); }
Real gelu_of(Real x) { return times(x / 2, std::erfc(-x / std::numbers::sqrt2_v<Real>)); }

struct Row {
  const char* name;
  Unary f;
  Var (*op)(const Var&);
  Real (*value)(Real);
  Real (*slope)(Real) = nullptr;
  Real (*curvature)(Real) = nullptr;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all{
      {"neg", Unary::neg, neg, [](Real x) { return -x; }},
      {"sin", Unary::sin, sin, [](Real x) { return std::sin(x); }},
      {"cos", Unary::cos, cos, [](Real x) { return std::cos(x); }},
      {"exp", Unary::exp, exp, [](Real x) { return std::exp(x); }, [](Real x) { return std::exp(x); },
       [](Real x) { return std::exp(x); }},
      {"sqrt", Unary::sqrt, sqrt, [](Real x) { return std::sqrt(x); }, [](Real x) { return 1 / (2 * std::sqrt(x)); }},
      {"square", Unary::square, square, [](Real x) { return x * x; }, [](Real x) { return 2 * x; }},
      {"sigmoid", Unary::sigmoid, sigmoid, sigmoid_of, slope_of_sigmoid,
       [](Real x) { return slope_of_sigmoid(x) * (sigmoid_of(-x) - sigmoid_of(x)); }},
      {"silu_derivative", Unary::silu_derivative, silu_derivative, silu_slope_of, silu_curvature_of},
      {"tanh", Unary::tanh, tanh, [](Real x) { return std::tanh(x); }, tanh_slope_of,
       [](Real x) { return -2 * std::tanh(x) * tanh_slope_of(x); }},
      {"relu", Unary::relu, relu, [](Real x) { return x <= 0 ? 0 : x; }},
      {"gelu", Unary::gelu, gelu, gelu_of,
       [](Real x) { return std::erfc(-x / std::numbers::sqrt2_v<Real>) / 2 + times(x, density_of(x)); },
       [](Real x) { return density_of(x) == 0 ? 0 : (2 - x * x) * density_of(x); }},
      {"erf", Unary::erf, erf, [](Real x) { return std::erf(x); }, erf_slope_of,
       [](Real x) { return times(-2 * x, erf_slope_of(x)); }},
      {"softplus", Unary::softplus, softplus,
       [](Real x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::abs(x))); }, sigmoid_of, slope_of_sigmoid},
      {"log", Unary::log, log, [](Real x) { return std::log(x); }, [](Real x) { return 1 / x; }},
      {"abs", Unary::abs, abs, [](Real x) { return std::abs(x); }},
      {"sign", Unary::sign, levda::autodiff::sign, [](Real x) { return x > 0 ? 1 : (x < 0 ? -1 : x); }}};
  return all;
}

/// silu is no Unary: the backend computes it with its derivative.
const Row silu_row{"silu",        Unary::neg,       silu, [](Real x) { return times(x, sigmoid_of(x)); },
                   silu_slope_of, silu_curvature_of};

/// The distance of a result from the true value, in units in the last place of the type at that value, and infinite
/// when one is NaN, zero by definition or infinite and the other is not. Overflow counts as the number after the
/// greatest.
template <typename T>
double units(T found, Real truth, Real scale = 0) {
  using Limits = std::numeric_limits<T>;
  if (std::isnan(truth) || std::isnan(found)) return std::isnan(truth) && std::isnan(found) ? 0 : INFINITY;
  if (truth == 0) return found == 0 && std::signbit(found) == std::signbit(truth) ? 0 : INFINITY;
  const Real most = std::ldexp(Real(1), Limits::max_exponent);
  if (std::isinf(truth)) return std::isinf(found) && (found > 0) == (truth > 0) ? 0 : INFINITY;
  const auto capped = [&](Real x) { return std::min(most, std::max(-most, x)); };
  const int exponent = std::ilogb(std::max(std::abs(truth), scale));
  const Real unit = std::ldexp(Real(1), std::max(exponent + 1, Limits::min_exponent) - Limits::digits);
  return static_cast<double>(std::abs(capped(found) - capped(truth)) / unit);
}

/// About 10^5 numbers: bit patterns at equal distances (all exponents, denormals too) and [-40, 40] in equal steps.
template <typename T>
std::vector<T> sweep() {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  std::vector<T> all;
  const Bits end = std::bit_cast<Bits>(std::numeric_limits<T>::infinity());
  const Bits step = end / 30011;
  for (Bits bits = 1; bits < end - step; bits += step) {
    all.push_back(std::bit_cast<T>(bits));
    all.push_back(-all.back());
  }
  const T width = sizeof(T) == 4 ? 110 : 760;  // exp of it overflows
  for (int i = -20000; i <= 20000; ++i) {
    all.push_back(static_cast<T>(i) / 20000 * width);
    all.push_back(static_cast<T>(i) / 20000 * 40);
  }
  return all;
}

template <typename T>
std::vector<T> edges() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> all;
  for (const double x :
       {0.0, 1.0, 20.0, 40.0, 87.4, 88.8, 100.0, 103.5, 104.1, 708.0, 709.5, 710.0, 745.0, 746.0, 1e4, 1e30})
    all.push_back(static_cast<T>(x));
  for (const T x : {Limits::infinity(), Limits::quiet_NaN(), Limits::denorm_min(), Limits::min(), Limits::max(),
                    Limits::min() / 3, Limits::epsilon(), Limits::max() / 4})
    all.push_back(x);
  const std::size_t n = all.size();
  for (std::size_t i = 0; i < n; ++i) all.push_back(-all[i]);
  return all;
}

template <typename T>
Tensor tensor(const std::vector<T>& x) {
  Tensor y =
      Tensor::empty({static_cast<std::int64_t>(x.size())}, sizeof(T) == 4 ? DType::float32 : DType::float64, cpu());
  std::copy(x.begin(), x.end(), y.data<T>());
  return y;
}

/// Calls body(row, x, result) for the values of the backend, and for those of the formulas for one number that a GPU
/// uses.
template <typename T, typename Body>
void for_each_value(const std::vector<T>& x, const Body& body) {
  const auto check = [&](const Row& row, const T* y) {
    for (std::size_t i = 0; i < x.size(); ++i) body(row, x[i], y[i]);
  };
  std::vector<T> y(x.size());
  for (const Row& row : rows()) {
    check(row, row.op(Var(tensor(x))).value().template data<T>());
    scalar::visit(row.f, [&](auto f) {
      for (std::size_t i = 0; i < x.size(); ++i) y[i] = scalar::apply<decltype(f)::value>(x[i]);
    });
    check(row, y.data());
  }
  check(silu_row, silu(Var(tensor(x))).value().template data<T>());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = scalar::silu(x[i], scalar::Logistic<T>(x[i]));
  check(silu_row, y.data());
}

template <typename T>
void check_values(const std::vector<T>& at) {
  for_each_value(at, [](const Row& row, T x, T y) {
    const Real truth = row.value(static_cast<Real>(x));
    Real scale = 0;
    // The two terms of the derivative of silu cancel for negative numbers.
    if (row.f == Unary::silu_derivative)
      scale = sigmoid_of(static_cast<Real>(x)) * (1 + times(std::abs(static_cast<Real>(x)), sigmoid_of(-x)));
    // Results that are denormal, from denormal values of erfc.
    if (row.f == Unary::gelu) scale = 64 * static_cast<Real>(std::numeric_limits<T>::min());
    double error = units(y, truth, scale);
    // A value below half the least denormal number is 0 when it is rounded.
    if (y == 0 && std::abs(truth) <= static_cast<Real>(std::numeric_limits<T>::denorm_min()) &&
        std::signbit(y) == std::signbit(truth))
      error = 0;
    if (!(error <= 4)) {
      const std::string where = std::string(row.name) + " in " + (sizeof(T) == 4 ? "float32" : "float64");
      FAIL_CHECK(where, " at ", static_cast<double>(x), ": ", static_cast<double>(y), ", not ",
                 static_cast<double>(truth));
    }
  });
}

/// Value, first and second derivative of op at every x, the derivatives by reverse sweeps.
template <typename T>
std::array<Tensor, 3> derivatives(Var (*op)(const Var&), const std::vector<T>& at) {
  Tape tape;
  const Var x = tape.variable(tensor(at));
  const Tensor ones = Tensor::full(x.shape(), 1, x.dtype());
  const Var y = op(x);
  const Var slope = vjp(y, ones, {x}, Graph::keep)[0];
  const Tensor forward = jvp(y, {x}, {Var(ones)}).value();
  CHECK(levda::testing::same_bits(forward, vjp(y, ones, {x})[0].value()));
  return {y.value(), slope.value(), slope.tracked() ? vjp(slope, ones, {x})[0].value() : Tensor()};
}

}  // namespace

TEST_CASE_TEMPLATE("functions over the whole range are off by at most 4 units in the last place", T, float, double) {
  check_values(sweep<T>());
}

TEST_CASE_TEMPLATE("functions at infinities, NaN, signed zeros, denormals and near overflow", T, float, double) {
  check_values(edges<T>());
}

TEST_CASE_TEMPLATE("first and second derivatives at infinities, huge and tiny numbers", T, float, double) {
  std::vector<Row> all = rows();
  all.push_back(silu_row);
  for (const Row& row : all) {
    if (row.slope == nullptr) continue;
    std::vector<T> at;
    for (const T x : edges<T>())
      if (!(x < 0 || (x == 0 && std::signbit(x))) || (row.f != Unary::sqrt && row.f != Unary::log)) at.push_back(x);
    const std::array<Tensor, 3> found = derivatives(row.op, at);
    const auto check = [&](const char* which, const Tensor& values, Real (*reference)(Real)) {
      for (std::size_t i = 0; i < at.size(); ++i) {
        const Real truth = reference(static_cast<Real>(at[i]));
        const T value = values.data<T>()[i];
        CAPTURE(std::string(row.name));
        CAPTURE(std::string(which));
        CAPTURE(static_cast<double>(at[i]));
        CAPTURE(static_cast<double>(value));
        CAPTURE(static_cast<double>(truth));
        if (std::isnan(truth) || std::isinf(static_cast<T>(truth))) {
          CHECK((std::isnan(truth) ? std::isnan(value) : value == static_cast<T>(truth)));
          continue;
        }
        // Where terms of order one cancel, their round-off remains. In the derivative of gelu this is 1 + erf.
        const Real size =
            std::abs(at[i]) < T(row.f == Unary::gelu ? 41 : 1) ? std::max(Real(1), std::abs(truth)) : std::abs(truth);
        CHECK(std::abs(static_cast<Real>(value) - truth) <=
              8 * static_cast<Real>(std::numeric_limits<T>::epsilon()) * size +
                  static_cast<Real>(800) * static_cast<Real>(std::numeric_limits<T>::denorm_min()));
      }
    };
    check("first", found[1], row.slope);
    if (row.curvature != nullptr) check("second", found[2], row.curvature);
  }
}

TEST_CASE_TEMPLATE("the weights of logsumexp sum to 1 at any shift", T, float, double) {
  for (const double shift : {0.0, 1e6, -1e6, 1e30, -1e30}) {
    CAPTURE(shift);
    std::vector<T> x;
    for (int i = 0; i < 64; ++i) x.push_back(static_cast<T>(shift + 0.125 * i));
    Tape tape;
    const Var v = tape.variable(tensor(x));
    const Tensor one = Tensor::full({}, 1, v.dtype());
    const Var weights = vjp(logsumexp(v, {0}), one, {v}, Graph::keep)[0];
    // 64 terms and their sum, each rounded a few times.
    const double tolerance = 16 * static_cast<double>(std::numeric_limits<T>::epsilon());
    CHECK(std::abs(sum(weights.detach()).value().item() - 1) <= tolerance);
    double total = 0;
    for (const T& one_x : x) total += std::exp(static_cast<double>(one_x) - static_cast<double>(x.back()));
    for (std::size_t i = 0; i < x.size(); ++i)
      CHECK(std::abs(static_cast<double>(weights.value().data<T>()[i]) -
                     std::exp(static_cast<double>(x[i]) - static_cast<double>(x.back())) / total) <= tolerance);
    // They are constant along the shift: the Hessian times ones is 0.
    const Tensor ones = Tensor::full(v.shape(), 1, v.dtype());
    CHECK(levda::testing::largest(jvp(weights, {v}, {Var(ones)}).value().to_vector()) <= tolerance);
  }
}
