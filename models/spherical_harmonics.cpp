#include "models/spherical_harmonics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"
#include "models/internal/small_products.h"

namespace levda::models {

namespace {

using std::int64_t;

std::size_t index(int64_t i) { return static_cast<std::size_t>(i); }

int64_t rounded_up(int64_t n) { return (n + 3) / 4 * 4; }

/// In longitude, cosines and sines of even and odd order are four classes, each known from a quarter of the circle:
/// their signs at x, pi - x, pi + x and 2 pi - x.
constexpr double class_signs[4][4] = {{1, 1, 1, 1}, {1, -1, -1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}};

/// Orders of even or odd m up to the truncation.
int64_t class_count(int64_t truncation, int which) {
  return which % 2 == 0 ? truncation / 2 + 1 : (truncation + 1) / 2;
}

/// The row of order m among the Fourier coefficients, which are sorted by class.
int64_t fourier_row(int64_t truncation, int64_t m, bool sine) {
  return (sine ? truncation + 1 : 0) + (m % 2 == 0 ? 0 : truncation / 2 + 1) + m / 2;
}

void grow(Coefficients& buffer, int64_t size) {
  if (buffer.size() < index(size)) buffer.resize(index(size));
}

}  // namespace

SphericalHarmonics::SphericalHarmonics(std::int64_t truncation, std::int64_t nlat, Latitudes latitudes)
    : truncation_(truncation), nlat_(nlat), half_(nlat / 2), quarter_(nlat / 2) {
  if (nlat < 8 || nlat % 8 != 0)
    throw Error(fmt::format("spherical harmonics: {} latitudes are not a multiple of 8", nlat));
  if (truncation < 1 || 3 * truncation + 1 > 2 * nlat)
    throw Error(fmt::format("spherical harmonics: truncation {} is not in 1 .. {}, what {} latitudes resolve",
                            truncation, (2 * nlat - 1) / 3, nlat));
  make_latitudes(latitudes);
  make_legendre_tables();
  make_fourier_tables();
  make_derivative_tables();
}

void SphericalHarmonics::make_latitudes(Latitudes latitudes) {
  if (latitudes == Latitudes::gaussian) {
    const GaussRule rule = gauss_rule(nlat_);
    mu_ = rule.abscissa;
    for (int64_t j = 0; j < half_; ++j) {  // from the south pole to the equator: both halves have the same weights
      const double cosine2 = (1 - mu(j)) * (1 + mu(j));
      weight_.push_back(0.5 * rule.weight[index(j)]);
      wind_weight_.push_back(0.5 * rule.weight[index(j)] / cosine2);
    }
  } else {
    for (int64_t j = 0; j < nlat_; ++j)
      mu_.push_back(std::sin(std::numbers::pi * ((static_cast<double>(j) + 0.5) / static_cast<double>(nlat_) - 0.5)));
  }
}

/// Legendre functions in the southern half; where l - m is odd they change sign across the equator. A stride that is no
/// power of two keeps columns apart in the cache.
void SphericalHarmonics::make_legendre_tables() {
  half_stride_ = half_ + 8;
  int64_t offset = 0;
  int64_t rows = 0;
  int64_t entries = 0;
  for (int64_t m = 0; m <= truncation_; ++m) {
    Order order{};
    order.offset = offset;
    const int64_t degrees = truncation_ + 2 - m;
    for (const int64_t odd : {0, 1}) {
      order.count[odd] = (degrees + 1 - odd) / 2;
      order.padded[odd] = rounded_up(order.count[odd]);
      order.by_latitude[odd] = rows * half_stride_;
      order.by_degree[odd] = entries;
      rows += order.count[odd];
      entries += half_ * order.padded[odd];
    }
    order.row = order.padded[0] + order.padded[1];
    offset += 2 * order.row;
    orders_.push_back(order);
  }
  size_ = offset + 8;  // the recurrences in l read beyond a row's end, where their factors are 0
  legendre_.resize(index(rows * half_stride_));
  transposed_.resize(index(entries));
  for (int64_t j = 0; j < half_; ++j)
    for (int64_t m = 0; m <= truncation_; ++m) {
      const Order& order = orders_[index(m)];
      const std::vector<double> p = associated_legendre(m, truncation_ + 1, mu(j));
      for (const int64_t odd : {0, 1})
        for (int64_t k = 0; k < order.count[odd]; ++k) {
          const double value = p[index(2 * k + odd)];
          legendre_[index(order.by_latitude[odd] + k * half_stride_ + j)] = value;
          // A quadrature gives no degree T + 1; only winds have it.
          transposed_[index(order.by_degree[odd] + j * order.padded[odd] + k)] = value;
        }
    }
}

/// Cosines and sines of a quarter of the circle, at the middles of cells so that the four quarters share no point.
void SphericalHarmonics::make_fourier_tables() {
  const auto longitudes = static_cast<double>(nlon());
  for (int which = 0; which < 4; ++which) {
    const int64_t count = class_count(truncation_, which);
    to_points_[which].resize(index(quarter_ * count));
    from_points_[which].resize(index(quarter_ * count));
    for (int64_t k = 0; k < count; ++k)
      for (int64_t i = 0; i < quarter_; ++i) {
        const int64_t m = 2 * k + which % 2;
        const double angle = std::numbers::pi * static_cast<double>(m * (2 * i + 1)) / longitudes;
        const double value = which < 2 ? std::cos(angle) : -std::sin(angle);
        to_points_[which][index(i * count + k)] = (m == 0 ? 1 : 2) * value;
        from_points_[which][index(k * quarter_ + i)] = value / longitudes;
      }
  }
}

/// d/dmu and i m, for winds and from them. With H = (1 - mu^2) d/dmu:
/// H P_l = (l + 1) epsilon_l P_{l-1} - l epsilon_{l+1} P_{l+1}.
void SphericalHarmonics::make_derivative_tables() {
  const auto table = [&](int64_t last, const auto& value) {
    Coefficients result(index(size_), 0.0);
    for (int64_t m = 0; m <= truncation_; ++m)
      for (int64_t l = m; l <= last; ++l) {
        const double v = value(l, m);
        result[index(at(l, m))] = v;
        result[index(at(l, m) + imaginary(m))] = v;
      }
    return result;
  };
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  const int64_t wind_last = truncation_ + 1;
  order_over_degree_ =
      table(wind_last, [&](int64_t l, int64_t m) { return l == 0 ? 0 : real(m) / (real(l) * real(l + 1)); });
  above_ = table(wind_last,
                 [&](int64_t l, int64_t m) { return l >= truncation_ ? 0 : legendre_epsilon(l + 1, m) / real(l + 1); });
  below_ = table(wind_last, [&](int64_t l, int64_t m) { return l == m ? 0 : legendre_epsilon(l, m) / real(l); });
  order_ = table(truncation_, [&](int64_t, int64_t m) { return real(m); });
  from_below_ =
      table(truncation_, [&](int64_t l, int64_t m) { return l == m ? 0 : real(l + 1) * legendre_epsilon(l, m); });
  from_above_ = table(truncation_, [&](int64_t l, int64_t m) { return real(l) * legendre_epsilon(l + 1, m); });
}

std::int64_t SphericalHarmonics::at(std::int64_t l, std::int64_t m) const {
  const Order& order = orders_[index(m)];
  const int64_t odd = (l - m) % 2;
  return order.offset + (odd == 1 ? order.padded[0] : 0) + (l - m) / 2;
}

Coefficients SphericalHarmonics::by_degree(const std::function<double(std::int64_t l, std::int64_t m)>& value) const {
  Coefficients result(index(size_), 0.0);
  for (int64_t m = 0; m <= truncation_; ++m)
    for (int64_t l = m; l <= truncation_; ++l)
      result[index(at(l, m))] = result[index(at(l, m) + imaginary(m))] = value(l, m);
  return result;
}

/// Legendre synthesis, then the four classes of points: classes_in_ as (class, longitude of a quarter, fields,
/// latitude).
void SphericalHarmonics::to_classes(const double* coefficients, std::int64_t fields, Workspace& work) const {
  const int64_t across = stride(fields);
  grow(work.fourier_, 2 * (truncation_ + 1) * across);
  grow(work.halves_, 4 * fields * half_);
  grow(work.classes_in_, 4 * quarter_ * across);
  double* const halves = work.halves_.data();
  for (int64_t m = 0; m <= truncation_; ++m) {
    const Order& order = orders_[index(m)];
    const int64_t parts = m == 0 ? 1 : 2;  // the imaginary part of m = 0 is none
    for (const int64_t odd : {0, 1})
      product(
          parts * fields, order.count[odd], half_,
          [&](int64_t i) {
            return coefficients + i % fields * size_ + order.offset + i / fields * order.row + odd * order.padded[0];
          },
          legendre_.data() + order.by_latitude[odd], half_stride_,
          [&](int64_t i) { return halves + (2 * i + odd) * half_; });
    for (int64_t i = 0; i < parts * fields; ++i) {
      const double* __restrict even = halves + 2 * i * half_;
      const double* __restrict odd = even + half_;
      double* __restrict south =
          work.fourier_.data() + fourier_row(truncation_, m, i >= fields) * across + i % fields * nlat_;
      double* __restrict north = south + half_;
      for (int64_t j = 0; j < half_; ++j) {
        south[j] = even[j] + odd[j];
        north[j] = even[j] - odd[j];
      }
    }
  }
  std::fill_n(work.fourier_.data() + fourier_row(truncation_, 0, true) * across, across, 0.0);
  for (int which = 0; which < 4; ++which) {
    const int64_t count = class_count(truncation_, which);
    const double* const from = to_points_[which].data();
    double* const to = work.classes_in_.data() + which * quarter_ * across;
    product(
        quarter_, count, fields * nlat_, [&](int64_t i) { return from + i * count; },
        work.fourier_.data() + fourier_row(truncation_, which % 2, which >= 2) * across, across,
        [&](int64_t i) { return to + i * across; });
  }
}

/// The inverse of to_classes, from classes_out_.
void SphericalHarmonics::from_classes(std::int64_t fields, const std::vector<double>& weight, double* coefficients,
                                      Workspace& work) const {
  const int64_t across = stride(fields);
  grow(work.fourier_, 2 * (truncation_ + 1) * across);
  grow(work.halves_, 4 * fields * half_);
  for (int which = 0; which < 4; ++which) {
    const double* const from = from_points_[which].data();
    double* const to = work.fourier_.data() + fourier_row(truncation_, which % 2, which >= 2) * across;
    product(
        class_count(truncation_, which), quarter_, fields * nlat_, [&](int64_t k) { return from + k * quarter_; },
        work.classes_out_.data() + which * quarter_ * across, across, [&](int64_t k) { return to + k * across; });
  }
  double* const halves = work.halves_.data();
  for (int64_t m = 0; m <= truncation_; ++m) {
    const Order& order = orders_[index(m)];
    for (int64_t i = 0; i < 2 * fields; ++i) {
      const double* __restrict south =
          work.fourier_.data() + fourier_row(truncation_, m, i >= fields) * across + i % fields * nlat_;
      const double* __restrict north = south + half_;
      double* __restrict even = halves + 2 * i * half_;
      double* __restrict odd = even + half_;
      for (int64_t j = 0; j < half_; ++j) {
        even[j] = (south[j] + north[j]) * weight[index(j)];
        odd[j] = (south[j] - north[j]) * weight[index(j)];
      }
    }
    for (const int64_t odd : {0, 1})
      product(
          2 * fields, half_, order.padded[odd], [&](int64_t i) { return halves + (2 * i + odd) * half_; },
          transposed_.data() + order.by_degree[odd], order.padded[odd],
          [&](int64_t i) {
            return coefficients + i % fields * size_ + order.offset + i / fields * order.row + odd * order.padded[0];
          });
  }
}

void SphericalHarmonics::through_grid(std::span<const double> in, const Pointwise& function, std::span<double> out,
                                      Workspace& work) const {
  const int64_t fields_in = static_cast<int64_t>(in.size()) / size_;
  const int64_t fields_out = static_cast<int64_t>(out.size()) / size_;
  const int64_t across_in = stride(fields_in);
  const int64_t across_out = stride(fields_out);
  to_classes(in.data(), fields_in, work);
  grow(work.classes_out_, 4 * quarter_ * across_out);
  grow(work.points_, 4 * (across_in + across_out));
  const int64_t values_in = fields_in * nlat_;
  const int64_t values_out = fields_out * nlat_;
  for (int64_t i = 0; i < quarter_; ++i) {
    const double* __restrict a = work.classes_in_.data() + i * across_in;
    const double* __restrict b = a + quarter_ * across_in;
    const double* __restrict c = b + quarter_ * across_in;
    const double* __restrict d = c + quarter_ * across_in;
    double* __restrict p = work.points_.data();
    double* __restrict q = p + across_in;
    double* __restrict r = q + across_in;
    double* __restrict s = r + across_in;
    for (int64_t k = 0; k < values_in; ++k) {
      const double even = a[k] + c[k];
      const double even_mirrored = a[k] - c[k];
      const double odd = b[k] + d[k];
      const double odd_mirrored = b[k] - d[k];
      p[k] = even + odd;
      q[k] = even_mirrored - odd_mirrored;
      r[k] = even - odd;
      s[k] = even_mirrored + odd_mirrored;
    }
    double* const first = s + across_in;
    for (int64_t quarter = 0; quarter < 4; ++quarter)
      function(work.points_.data() + quarter * across_in, first + quarter * across_out);
    p = first;
    q = p + across_out;
    r = q + across_out;
    s = r + across_out;
    double* __restrict e = work.classes_out_.data() + i * across_out;
    double* __restrict f = e + quarter_ * across_out;
    double* __restrict g = f + quarter_ * across_out;
    double* __restrict h = g + quarter_ * across_out;
    for (int64_t k = 0; k < values_out; ++k) {
      const double even = p[k] + r[k];
      const double odd = p[k] - r[k];
      const double even_mirrored = q[k] + s[k];
      const double odd_mirrored = s[k] - q[k];
      e[k] = even + even_mirrored;
      f[k] = odd + odd_mirrored;
      g[k] = even - even_mirrored;
      h[k] = odd - odd_mirrored;
    }
  }
  from_classes(fields_out, wind_weight_, out.data(), work);
}

void SphericalHarmonics::check_sizes(std::size_t coefficients, std::size_t grid) const {
  const std::size_t fields = coefficients / index(size_);
  if (coefficients != fields * index(size_) || grid != fields * index(nlat_ * nlon()))
    throw Error(fmt::format("spherical harmonics: {} coefficients of {} per field, but {} values on a grid of {}",
                            coefficients, size_, grid, nlat_ * nlon()));
}

/// f(longitude + angle).
void SphericalHarmonics::rotate(const double* in, std::int64_t fields, double angle, double* out) const {
  for (int64_t field = 0; field < fields; ++field, in += size_, out += size_) {
    for (int64_t m = 0; m <= truncation_; ++m) {
      const Order& order = orders_[index(m)];
      const double c = std::cos(static_cast<double>(m) * angle);
      const double s = std::sin(static_cast<double>(m) * angle);
      for (int64_t k = order.offset; k < order.offset + order.row; ++k) {
        const double re = in[k];
        const double im = in[k + order.row];
        out[k] = c * re - s * im;
        out[k + order.row] = s * re + c * im;
      }
    }
    std::fill(out + size_ - 8, out + size_, 0.0);
  }
}

void SphericalHarmonics::synthesis(std::span<const double> coefficients, std::span<double> grid,
                                   Workspace& work) const {
  check_sizes(coefficients.size(), grid.size());
  const int64_t fields = static_cast<int64_t>(coefficients.size()) / size_;
  grow(work.rotated_, fields * size_);
  // Points of the classes lie half a cell to the east.
  rotate(coefficients.data(), fields, -std::numbers::pi / static_cast<double>(nlon()), work.rotated_.data());
  to_classes(work.rotated_.data(), fields, work);
  const int64_t across = stride(fields);
  for (int64_t i = 0; i < quarter_; ++i) {
    const int64_t longitude[4] = {i, nlat_ - 1 - i, nlat_ + i, nlon() - 1 - i};
    for (int quarter = 0; quarter < 4; ++quarter)
      for (int64_t field = 0; field < fields; ++field)
        for (int64_t j = 0; j < nlat_; ++j) {
          double sum = 0;
          for (int which = 0; which < 4; ++which)
            sum += class_signs[which][quarter] *
                   work.classes_in_[index((which * quarter_ + i) * across + field * nlat_ + j)];
          const int64_t latitude = j < half_ ? j : nlat_ - 1 - (j - half_);
          grid[index((field * nlat_ + latitude) * nlon() + longitude[quarter])] = sum;
        }
  }
}

void SphericalHarmonics::analyse(std::span<const double> grid, const std::vector<double>& weight,
                                 std::span<double> coefficients, Workspace& work) const {
  check_sizes(coefficients.size(), grid.size());
  if (weight.empty()) throw Error("spherical harmonics: there is no analysis on evenly spaced latitudes");
  const int64_t fields = static_cast<int64_t>(coefficients.size()) / size_;
  const int64_t across = stride(fields);
  grow(work.classes_out_, 4 * quarter_ * across);
  for (int64_t i = 0; i < quarter_; ++i) {
    const int64_t longitude[4] = {i, nlat_ - 1 - i, nlat_ + i, nlon() - 1 - i};
    for (int which = 0; which < 4; ++which)
      for (int64_t field = 0; field < fields; ++field)
        for (int64_t j = 0; j < nlat_; ++j) {
          const int64_t latitude = j < half_ ? j : nlat_ - 1 - (j - half_);
          double sum = 0;
          for (int quarter = 0; quarter < 4; ++quarter)
            sum += class_signs[which][quarter] * grid[index((field * nlat_ + latitude) * nlon() + longitude[quarter])];
          work.classes_out_[index((which * quarter_ + i) * across + field * nlat_ + j)] = sum;
        }
  }
  grow(work.rotated_, fields * size_);
  from_classes(fields, weight, work.rotated_.data(), work);
  rotate(work.rotated_.data(), fields, std::numbers::pi / static_cast<double>(nlon()), coefficients.data());
}

void SphericalHarmonics::analysis(std::span<const double> grid, std::span<double> coefficients, Workspace& work) const {
  analyse(grid, weight_, coefficients, work);
  const int64_t fields = static_cast<int64_t>(coefficients.size()) / size_;
  for (int64_t field = 0; field < fields; ++field)
    for (int64_t m = 0; m <= truncation_; ++m) {
      double* const last = coefficients.data() + field * size_ + at(truncation_ + 1, m);
      last[0] = last[imaginary(m)] = 0;
    }
}

void SphericalHarmonics::wind_analysis(std::span<const double> grid, std::span<double> coefficients,
                                       Workspace& work) const {
  analyse(grid, wind_weight_, coefficients, work);
}

}  // namespace levda::models
