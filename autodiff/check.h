#pragma once

/// Checks of derivatives, for the library's operations and for functions of users.

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "autodiff/op.h"

namespace levda::autodiff {

/// The directional derivative <w, J v> for random w and v, computed in three ways.
struct DerivativeCheck {
  double by_vjp = 0;            ///< <J' w, v>
  double by_jvp = 0;            ///< <w, J v>
  double by_differences = 0;    ///< central differences of <w, f(x + h v)>, extrapolated to h = 0 (Ridders 1982)
  double difference_error = 0;  ///< error of by_differences, as the extrapolation estimates it
  double scale = 0;             ///< sum |w_i (J v)_i|, the scale of round-off errors

  /// |<w, J v> - <J' w, v>| / scale, or 0 when both are 0.
  double adjoint_error() const;
  /// |<w, J v> - differences| / scale.
  double finite_difference_error() const;
  /// A readable table.
  std::string text() const;
};

/// Checks f at `inputs` (float types) in a random direction from the seed. The direction has the size of each input, so
/// that the differences neither vanish in round-off nor leave the input's neighbourhood. f may return any shape. Throws
/// Error when f has no value, or computes with a variable that is not among its inputs.
DerivativeCheck check_derivatives(const std::function<Var(const Vars&)>& f, std::span<const Tensor> inputs,
                                  std::uint64_t seed = 1);
inline DerivativeCheck check_derivatives(const std::function<Var(const Vars&)>& f, std::initializer_list<Tensor> inputs,
                                         std::uint64_t seed = 1) {
  return check_derivatives(f, std::span(inputs.begin(), inputs.size()), seed);
}

}  // namespace levda::autodiff
