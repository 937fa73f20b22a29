#pragma once

/// The arithmetic of Kolmogorov.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>
#include <utility>

#include "models/kolmogorov.h"

namespace levda::models {

/// Rows are padded so that neighbours need no wrapping, and to whole lines of the cache.
template <typename T>
constexpr std::int64_t pad = 64 / static_cast<std::int64_t>(sizeof(T));

template <typename T>
std::int64_t round_up(std::int64_t value) {
  return (value + pad<T> - 1) / pad<T> * pad<T>;
}

/// out = C c' across the faces between c and c_p1, C = scale (w1 + w2): see Kolmogorov::step. The correction
/// (C / 2)(1 - C)(c_p1 - c) phi(r) is written as C (1 - C) a b / (a + b) with a = c_p1 - c, b = r a, where a b > 0.
template <typename T>
void flux_row(std::int64_t width, T scale, const T* __restrict w1, const T* __restrict w2, const T* __restrict c_m1,
              const T* __restrict c, const T* __restrict c_p1, const T* __restrict c_p2, T* __restrict out) {
  for (std::int64_t i = 0; i < width; ++i) {
    const T courant = scale * (w1[i] + w2[i]);
    const bool forward = courant > 0;
    const T a = c_p1[i] - c[i];
    const T b = forward ? c[i] - c_m1[i] : c_p2[i] - c_p1[i];
    const T product = a * b;
    const T sum = product > 0 ? a + b : T(1);
    const T limited = std::max(product, T(0)) / sum;
    const T speed = std::abs(courant);
    out[i] = courant * (forward ? c[i] : c_p1[i]) + (speed - speed * speed) * limited;
  }
}

/// next = c - (differences of fluxes) + diffusion x Laplacian + force - drag x c.
template <typename T>
void update_row(std::int64_t width, const T* __restrict fx, const T* __restrict fx_west, const T* __restrict fy,
                const T* __restrict fy_south, const T* __restrict c, const T* __restrict west, const T* __restrict east,
                const T* __restrict south, const T* __restrict north, T diffusion, T force, T drag,
                T* __restrict next) {
  for (std::int64_t i = 0; i < width; ++i)
    next[i] = c[i] + ((fx_west[i] - fx[i]) + (fy_south[i] - fy[i])) +
              diffusion * ((west[i] + east[i]) + (south[i] + north[i]) - 4 * c[i]) + (force - drag * c[i]);
}

/// The arithmetic in one type. Pressure: real Fourier transforms in y, by products with matrices of sines and cosines,
/// leave for each wavenumber theta a cyclic tridiagonal system in x,
///   p_{i-1} - (4 - 2 cos theta) p_i + p_{i+1} = -(1/z)(1 - z S)(1 - z / S) p_i = D_i,  S p_i = p_{i-1},
///   z + 1/z = 4 - 2 cos theta, z < 1,
/// which two recursions solve, for all wavenumbers side by side: a geometric series closes the cycle. This equals
/// a division by the eigenvalues 2 cos theta_x + 2 cos theta_y - 4 in Fourier space, in fewer operations. Before the
/// products sums and differences of rows that are mirror images, j, n - j, n/2 - j and n/2 + j, sort even from odd
/// functions and wavenumbers: a quarter of the products is left (half of them for odd n).
template <typename T>
class Kolmogorov::Scheme {
 public:
  explicit Scheme(std::int64_t n)
      : n_(n), width_(round_up<T>(n)), folds_(n % 2 == 0 ? 4 : 2), rows_(folds_ == 4 ? n / 4 + 1 : n / 2 + 1) {
    std::int64_t column = 0;
    root_.assign(static_cast<std::size_t>(width_), T(0));
    closure_.assign(static_cast<std::size_t>(width_), T(1));
    const std::int64_t half = n / 2;
    for (int part = 0; part < folds_; ++part) {
      // Parts of even n: cosines of even and of odd wavenumbers, sines of odd and of even ones.
      const bool sine = part >= folds_ / 2;
      const std::int64_t first = folds_ == 2 ? (sine ? 1 : 0) : std::array{0, 1, 1, 2}[static_cast<std::size_t>(part)];
      const std::int64_t each = folds_ == 2 ? 1 : 2;
      const std::int64_t last = sine ? (n - 1) / 2 : half;
      const std::int64_t count = std::max<std::int64_t>(0, (last - first) / each + 1);
      Part& to = parts_[static_cast<std::size_t>(part)];
      to.column = column;
      to.forward.resize(rows_, count);
      to.inverse.resize(rows_, count);
      for (std::int64_t m = 0; m < count; ++m) {
        const std::int64_t k = first + each * m;
        const double theta = 2 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(n);
        const double b = 2 - std::cos(theta);
        const double z = k == 0 ? 0 : b - std::sqrt(b * b - 1);
        if (k > 0) {
          root_[static_cast<std::size_t>(column + m)] = static_cast<T>(z);
          closure_[static_cast<std::size_t>(column + m)] =
              static_cast<T>(1 / (1 - std::pow(z, static_cast<double>(n))));
        }
        const double weight = (k == 0 || 2 * k == n ? 1.0 : 2.0) / static_cast<double>(n) * (k == 0 ? 1.0 : -z);
        for (std::int64_t j = 0; j < rows_; ++j) {
          // The angle modulo 2 pi, exactly.
          const double angle = 2 * std::numbers::pi * static_cast<double>(j * k % n) / static_cast<double>(n);
          const double wave = sine ? std::sin(angle) : std::cos(angle);
          to.forward(j, m) = static_cast<T>(wave * distinct_images(j) / folds_);
          to.inverse(j, m) = static_cast<T>(wave * weight);
        }
      }
      column += count;
    }
    stride_ = width_ + 2 * pad<T>;
    std::int64_t used = 0;
    const auto take = [&](std::int64_t size) { return std::exchange(used, used + size); };
    field_[0] = take(n * stride_);
    field_[1] = take(n * stride_);
    next_[0] = take(n * stride_);
    next_[1] = take(n * stride_);
    divergence_ = take(n * stride_);
    fluxes_ = take(6 * stride_);
    folded_ = take(folds_ * rows_ * width_);
    waves_ = take(n * width_);
    carried_ = take(width_);
    scratch_size_ = used + pad<T>;  // to align
  }

  std::int64_t scratch_size() const { return scratch_size_; }

  void project(std::span<T> state, std::span<T> scratch) const {
    T* const work = aligned(scratch);
    for (int c = 0; c < 2; ++c)
      for (std::int64_t j = 0; j < n_; ++j) std::copy_n(state.data() + (c * n_ + j) * n_, n_, row(work, next_[c], j));
    finish(work, state);
  }

  void step(std::span<T> state, double viscosity, double dt, double h, double drag, const std::vector<double>& force,
            std::span<T> scratch) const {
    T* const work = aligned(scratch);
    for (int c = 0; c < 2; ++c)
      for (std::int64_t j = 0; j < n_; ++j) {
        T* const to = row(work, field_[c], j);
        std::copy_n(state.data() + (c * n_ + j) * n_, n_, to);
        to[-1] = to[n_ - 1];
        for (std::int64_t i = n_; i < width_ + 2; ++i) to[i] = to[i - n_];
      }

    const T scale = static_cast<T>(0.5 * dt / h);
    const T diffusion = static_cast<T>(viscosity * dt / (h * h));
    const T loss = static_cast<T>(drag * dt);
    std::array<T*, 6> flux{};  // of u and v: across east faces, north faces, and the north faces of the row before
    for (int k = 0; k < 6; ++k) flux[k] = work + fluxes_ + k * stride_ + pad<T>;
    const auto across_north = [&](std::int64_t j) {
      const T* const v = row(work, field_[1], j);
      const T* const v_north = row(work, field_[1], wrap(j + 1));
      for (int c = 0; c < 2; ++c)
        flux_row(width_, scale, v, c == 0 ? v + 1 : v_north, row(work, field_[c], wrap(j - 1)), row(work, field_[c], j),
                 row(work, field_[c], wrap(j + 1)), row(work, field_[c], wrap(j + 2)), flux[2 + c]);
    };
    across_north(n_ - 1);
    for (std::int64_t j = 0; j < n_; ++j) {
      std::swap(flux[2], flux[4]);
      std::swap(flux[3], flux[5]);
      across_north(j);
      const T* const u = row(work, field_[0], j);
      const T* const u_north = row(work, field_[0], wrap(j + 1));
      for (int c = 0; c < 2; ++c) {
        const T* const here = row(work, field_[c], j);
        flux_row(width_, scale, u, c == 0 ? u + 1 : u_north, here - 1, here, here + 1, here + 2, flux[c]);
        flux[c][-1] = flux[c][n_ - 1];
        update_row(width_, flux[c], flux[c] - 1, flux[2 + c], flux[4 + c], here, here - 1, here + 1,
                   row(work, field_[c], wrap(j - 1)), row(work, field_[c], wrap(j + 1)), diffusion,
                   c == 0 ? static_cast<T>(dt * force[static_cast<std::size_t>(j)]) : T(0), loss,
                   row(work, next_[c], j));
      }
    }
    finish(work, state);
  }

 private:
  using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Map = Eigen::Map<Matrix, 0, Eigen::OuterStride<>>;

  struct Part {
    std::int64_t column = 0;  ///< of the transform
    Matrix forward;           ///< (rows, wavenumbers)
    Matrix inverse;
  };

  double distinct_images(std::int64_t j) const {
    if (folds_ == 2) return j == 0 ? 1 : 2;
    return j == 0 || 4 * j == n_ ? 2 : 4;
  }
  std::int64_t wrap(std::int64_t j) const { return j < 0 ? j + n_ : j >= n_ ? j - n_ : j; }
  T* row(T* work, std::int64_t field, std::int64_t j) const { return work + field + j * stride_ + pad<T>; }
  T* aligned(std::span<T> scratch) const {
    const auto place = reinterpret_cast<std::uintptr_t>(scratch.data());
    return scratch.data() + (64 - place % 64) % 64 / sizeof(T);
  }
  T* folded(T* work, int part) const { return work + folded_ + part * rows_ * width_; }

  /// state = the projection of what next_ holds.
  void finish(T* work, std::span<T> state) const {
    for (std::int64_t j = 0; j < n_; ++j) {
      T* __restrict u = row(work, next_[0], j);
      const T* __restrict v = row(work, next_[1], j);
      const T* __restrict south = row(work, next_[1], wrap(j - 1));
      T* __restrict d = row(work, divergence_, j);
      u[-1] = u[n_ - 1];
      for (std::int64_t i = 0; i < width_; ++i) d[i] = (u[i] - u[i - 1]) + (v[i] - south[i]);
    }
    solve(work);
    for (std::int64_t j = 0; j < n_; ++j) {
      const T* __restrict p = row(work, divergence_, j);
      const T* __restrict north = row(work, divergence_, wrap(j + 1));
      const T* __restrict u = row(work, next_[0], j);
      const T* __restrict v = row(work, next_[1], j);
      T* __restrict to_u = state.data() + j * n_;
      T* __restrict to_v = to_u + n_ * n_;
      for (std::int64_t i = 0; i + 1 < n_; ++i) to_u[i] = u[i] - (p[i + 1] - p[i]);
      to_u[n_ - 1] = u[n_ - 1] - (p[0] - p[n_ - 1]);
      for (std::int64_t i = 0; i < n_; ++i) to_v[i] = v[i] - (north[i] - p[i]);
    }
  }

  /// In place: divergence to pressure.
  void solve(T* work) const {
    fold(work);
    T* const waves = work + waves_;
    for (int part = 0; part < folds_; ++part) {
      const Part& by = parts_[static_cast<std::size_t>(part)];
      Map(waves + by.column, n_, by.forward.cols(), Eigen::OuterStride<>(width_)).noalias() =
          Map(folded(work, part), rows_, n_, Eigen::OuterStride<>(width_)).transpose() * by.forward;
    }
    solve_constant(waves);
    recur(waves, work + carried_);
    for (int part = 0; part < folds_; ++part) {
      const Part& by = parts_[static_cast<std::size_t>(part)];
      Map(folded(work, part), rows_, n_, Eigen::OuterStride<>(width_)).noalias() =
          by.inverse * Map(waves + by.column, n_, by.inverse.cols(), Eigen::OuterStride<>(width_)).transpose();
    }
    unfold(work);
  }

  void fold(T* work) const {
    for (std::int64_t j = 0; j < rows_; ++j) {
      const T* __restrict a = row(work, divergence_, j);
      const T* __restrict b = row(work, divergence_, wrap(n_ - j));
      T* __restrict even = folded(work, 0) + j * width_;
      T* __restrict odd = folded(work, 1) + j * width_;
      if (folds_ == 2) {
        for (std::int64_t i = 0; i < width_; ++i) {
          even[i] = a[i] + b[i];
          odd[i] = a[i] - b[i];
        }
        continue;
      }
      const T* __restrict c = row(work, divergence_, n_ / 2 - j);
      const T* __restrict d = row(work, divergence_, n_ / 2 + j);
      T* __restrict sine_odd = folded(work, 2) + j * width_;
      T* __restrict sine_even = folded(work, 3) + j * width_;
      for (std::int64_t i = 0; i < width_; ++i) {
        even[i] = (a[i] + b[i]) + (c[i] + d[i]);
        odd[i] = (a[i] + b[i]) - (c[i] + d[i]);
        sine_odd[i] = (a[i] - b[i]) + (c[i] - d[i]);
        sine_even[i] = (a[i] - b[i]) - (c[i] - d[i]);
      }
    }
  }

  void unfold(T* work) const {
    for (std::int64_t j = 0; j < rows_; ++j) {
      T* a = row(work, divergence_, j);  // images may coincide
      T* b = row(work, divergence_, wrap(n_ - j));
      const T* __restrict even = folded(work, 0) + j * width_;
      const T* __restrict odd = folded(work, 1) + j * width_;
      if (folds_ == 2) {
        for (std::int64_t i = 0; i < width_; ++i) {
          a[i] = even[i] + odd[i];
          b[i] = even[i] - odd[i];
        }
        continue;
      }
      T* c = row(work, divergence_, n_ / 2 - j);
      T* d = row(work, divergence_, n_ / 2 + j);
      const T* __restrict sine_odd = folded(work, 2) + j * width_;
      const T* __restrict sine_even = folded(work, 3) + j * width_;
      for (std::int64_t i = 0; i < width_; ++i) {
        const T even_cosine = even[i] + odd[i];
        const T odd_cosine = even[i] - odd[i];
        const T even_sine = sine_odd[i] + sine_even[i];
        const T odd_sine = sine_odd[i] - sine_even[i];
        a[i] = even_cosine + even_sine;
        b[i] = even_cosine - even_sine;
        c[i] = odd_cosine + odd_sine;
        d[i] = odd_cosine - odd_sine;
      }
    }
  }

  /// Column 0: p_{i-1} - 2 p_i + p_{i+1} = D_i, where D and p have mean 0.
  void solve_constant(T* waves) const {
    double slope = 0;
    double slopes = 0;
    for (std::int64_t i = 0; i < n_; ++i) slopes += (slope += static_cast<double>(waves[i * width_]));
    const double mean_slope = slopes / static_cast<double>(n_);
    slope = 0;
    double p = 0;
    double sum = 0;
    for (std::int64_t i = 0; i < n_; ++i) {
      slope += static_cast<double>(waves[i * width_]);
      waves[i * width_] = static_cast<T>(p);
      sum += p;
      p += slope - mean_slope;
    }
    const T mean = static_cast<T>(sum / static_cast<double>(n_));
    for (std::int64_t i = 0; i < n_; ++i) waves[i * width_] -= mean;
  }

  /// The other columns: y_i = D_i + z y_{i-1}, then p_i = y_i + z p_{i+1} (times -z: in the inverse matrices). Column 0
  /// has z = 0 here.
  void recur(T* waves, T* __restrict carried) const {
    const T* __restrict z = root_.data();
    const auto sweep = [&](T* first, std::int64_t to_next) {
      std::fill_n(carried, width_, T(0));
      const T* from = first;
      for (std::int64_t i = 0; i < n_; ++i, from += to_next)
        for (std::int64_t k = 0; k < width_; ++k) carried[k] = from[k] + z[k] * carried[k];
      for (std::int64_t k = 0; k < width_; ++k) carried[k] *= closure_[static_cast<std::size_t>(k)];
      T* __restrict to = first;
      for (std::int64_t i = 0; i < n_; ++i, to += to_next)
        for (std::int64_t k = 0; k < width_; ++k) to[k] = carried[k] = to[k] + z[k] * carried[k];
    };
    sweep(waves, width_);
    sweep(waves + (n_ - 1) * width_, -width_);
  }

  std::int64_t n_;
  std::int64_t width_;
  int folds_;
  std::int64_t rows_;  ///< of a part
  std::array<Part, 4> parts_;
  std::vector<T> root_;     ///< z per column
  std::vector<T> closure_;  ///< 1 / (1 - z^n)

  // Places in scratch.
  std::int64_t stride_;
  std::array<std::int64_t, 2> field_{};
  std::array<std::int64_t, 2> next_{};
  std::int64_t divergence_;
  std::int64_t fluxes_;
  std::int64_t folded_;
  std::int64_t waves_;  ///< (x, wavenumbers in y)
  std::int64_t carried_;
  std::int64_t scratch_size_;
};

}  // namespace levda::models
