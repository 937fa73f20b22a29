#include "models/spherical_harmonics.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"

namespace levda::models {

namespace {

using std::int64_t;
using Lanes = Eigen::Array<double, 4, 1>;

std::size_t index(int64_t i) { return static_cast<std::size_t>(i); }

int64_t rounded_up(int64_t n) { return (n + 3) / 4 * 4; }

/// sqrt((l^2 - m^2) / (4 l^2 - 1)): mu P_lm = epsilon_{l+1} P_{l+1,m} + epsilon_l P_{l-1,m}.
double epsilon(int64_t l, int64_t m) {
  const auto ll = static_cast<double>(l * l);
  return std::sqrt((ll - static_cast<double>(m * m)) / (4 * ll - 1));
}

/// A tile of out(i)[r] = sum_k a(i)[k] b[k stride + r] in registers.
template <int Rows, int Columns, class A, class Out>
void product_tile(int64_t first, int64_t inner, const A& a, const double* b, int64_t stride, int64_t column,
                  const Out& out) {
  Lanes sum[Rows][Columns];
  const double* left[Rows];
  for (int i = 0; i < Rows; ++i) {
    left[i] = a(first + i);
    for (int c = 0; c < Columns; ++c) sum[i][c].setZero();
  }
  b += column;
  for (int64_t k = 0; k < inner; ++k, b += stride) {
    Lanes right[Columns];
    for (int c = 0; c < Columns; ++c) right[c] = Eigen::Map<const Lanes>(b + 4 * c);
    for (int i = 0; i < Rows; ++i)
      for (int c = 0; c < Columns; ++c) sum[i][c] += left[i][k] * right[c];
  }
  for (int i = 0; i < Rows; ++i)
    for (int c = 0; c < Columns; ++c) Eigen::Map<Lanes>(out(first + i) + column + 4 * c) = sum[i][c];
}

template <int Rows, class A, class Out>
void product_rows(int64_t first, int64_t inner, int64_t column, int64_t columns, const A& a, const double* b,
                  int64_t stride, const Out& out) {
  if (columns >= 8)
    product_tile<Rows, 2>(first, inner, a, b, stride, column, out);
  else
    product_tile<Rows, 1>(first, inner, a, b, stride, column, out);
}

/// out(i)[r] = sum_k a(i)[k] b[k stride + r] for i < rows, k < inner, r < columns, a multiple of 4. Of these sizes
/// (tens) Eigen's own product spends more time on packing than on multiplying.
template <class A, class Out>
void product(int64_t rows, int64_t inner, int64_t columns, const A& a, const double* b, int64_t stride,
             const Out& out) {
  const int64_t tiles = (rows + 5) / 6;
  for (int64_t column = 0; column < columns; column += 8)
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t first = tile * rows / tiles;
      const int64_t left = columns - column;
      switch ((tile + 1) * rows / tiles - first) {
        case 6: product_rows<6>(first, inner, column, left, a, b, stride, out); break;
        case 5: product_rows<5>(first, inner, column, left, a, b, stride, out); break;
        case 4: product_rows<4>(first, inner, column, left, a, b, stride, out); break;
        case 3: product_rows<3>(first, inner, column, left, a, b, stride, out); break;
        case 2: product_rows<2>(first, inner, column, left, a, b, stride, out); break;
        default: product_rows<1>(first, inner, column, left, a, b, stride, out); break;
      }
    }
}

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

std::vector<double> associated_legendre(std::int64_t m, std::int64_t last, double mu) {
  std::vector<double> p(index(std::max<int64_t>(last - m + 1, 1)));
  const double cosine = std::sqrt((1 - mu) * (1 + mu));
  p[0] = 1;
  for (int64_t k = 1; k <= m; ++k) p[0] *= cosine * std::sqrt(1 + 0.5 / static_cast<double>(k));
  for (int64_t l = m + 1; l <= last; ++l) {
    const double before = l - m >= 2 ? epsilon(l - 1, m) * p[index(l - m - 2)] : 0;
    p[index(l - m)] = (mu * p[index(l - m - 1)] - before) / epsilon(l, m);
  }
  return p;
}

GaussRule gauss_rule(std::int64_t n) {
  GaussRule rule{std::vector<double>(index(n)), std::vector<double>(index(n))};
  for (int64_t i = 0; i < n; ++i) {
    long double x = -std::cos(std::numbers::pi_v<long double> * (static_cast<long double>(i) + 0.75L) /
                              (static_cast<long double>(n) + 0.5L));
    long double slope = 0;
    for (int iteration = 0; iteration < 100; ++iteration) {
      long double previous = 0;
      long double p = 1;
      for (int64_t l = 1; l <= n; ++l) {
        const auto d = static_cast<long double>(l);
        const long double next = ((2 * d - 1) * x * p - (d - 1) * previous) / d;
        previous = p;
        p = next;
      }
      slope = static_cast<long double>(n) * (x * p - previous) / (x * x - 1);
      const long double change = p / slope;
      x -= change;
      if (std::abs(change) < 1e-18L) break;
    }
    rule.abscissa[index(i)] = static_cast<double>(x);
    rule.weight[index(i)] = static_cast<double>(2 / ((1 - x * x) * slope * slope));
  }
  return rule;
}

EvenToGaussian::EvenToGaussian(std::int64_t nlat) : nlat_(nlat) {
  // P_lm of even m is a sum of cosines of the polar distance, of odd m one of sines; the even latitudes lie in the
  // middles of nlat cells from pole to pole.
  constexpr double pi = std::numbers::pi;
  const auto n = static_cast<double>(nlat);
  for (const double mu : gauss_rule(nlat).abscissa) {
    const double at = std::acos(-mu);  // from the south pole
    for (int64_t j = 0; j < nlat; ++j) {
      const double from = pi * (static_cast<double>(j) + 0.5) / n;
      double cosines = 1 / n;
      double sines = 0;
      for (int64_t k = 1; k < nlat; ++k) {
        const auto wave = static_cast<double>(k);
        cosines += 2 / n * std::cos(wave * at) * std::cos(wave * from);
        sines += 2 / n * std::sin(wave * at) * std::sin(wave * from);
      }
      even_orders_.push_back(cosines);
      odd_orders_.push_back(sines + std::sin(n * at) * std::sin(n * from) / n);
    }
  }
}

void EvenToGaussian::operator()(std::span<const double> even, std::span<double> gaussian) const {
  const int64_t nlon = 2 * nlat_;
  const int64_t points = nlat_ * nlon;
  if (even.size() != gaussian.size() || static_cast<int64_t>(even.size()) % points != 0)
    throw Error(
        fmt::format("spherical harmonics: {} values to {}, on grids of {}", even.size(), gaussian.size(), points));
  // Half a turn away even orders are the same, odd ones change sign.
  std::vector<double> sums(even.size());
  for (int64_t row = 0; row < static_cast<int64_t>(even.size()); row += nlon)
    for (int64_t i = 0; i < nlat_; ++i) {
      sums[index(row + i)] = 0.5 * (even[index(row + i)] + even[index(row + i + nlat_)]);
      sums[index(row + i + nlat_)] = 0.5 * (even[index(row + i)] - even[index(row + i + nlat_)]);
    }
  std::vector<double> line(index(nlon));
  for (int64_t first = 0; first < static_cast<int64_t>(even.size()); first += points)
    for (int64_t j = 0; j < nlat_; ++j) {
      std::fill(line.begin(), line.end(), 0.0);
      for (int64_t k = 0; k < nlat_; ++k) {
        const double* __restrict from = sums.data() + first + k * nlon;
        const double a = even_orders_[index(j * nlat_ + k)];
        const double b = odd_orders_[index(j * nlat_ + k)];
        for (int64_t i = 0; i < nlat_; ++i) line[index(i)] += a * from[i];
        for (int64_t i = nlat_; i < nlon; ++i) line[index(i)] += b * from[i];
      }
      double* const to = gaussian.data() + first + j * nlon;
      for (int64_t i = 0; i < nlat_; ++i) {
        to[i] = line[index(i)] + line[index(i + nlat_)];
        to[i + nlat_] = line[index(i)] - line[index(i + nlat_)];
      }
    }
}

SphericalHarmonics::SphericalHarmonics(std::int64_t truncation, std::int64_t nlat, Latitudes latitudes)
    : truncation_(truncation), nlat_(nlat), half_(nlat / 2), quarter_(nlat / 2) {
  if (nlat < 8 || nlat % 8 != 0)
    throw Error(fmt::format("spherical harmonics: {} latitudes are not a multiple of 8", nlat));
  if (truncation < 1 || 3 * truncation + 1 > 2 * nlat)
    throw Error(fmt::format("spherical harmonics: truncation {} is not in 1 .. {}, what {} latitudes resolve",
                            truncation, (2 * nlat - 1) / 3, nlat));
  if (latitudes == Latitudes::gaussian) {
    const GaussRule rule = gauss_rule(nlat);
    mu_ = rule.abscissa;
    for (int64_t j = 0; j < half_; ++j) {  // from the south pole to the equator: both halves have the same weights
      const double cosine2 = (1 - mu(j)) * (1 + mu(j));
      weight_.push_back(0.5 * rule.weight[index(j)]);
      wind_weight_.push_back(0.5 * rule.weight[index(j)] / cosine2);
    }
  } else {
    for (int64_t j = 0; j < nlat; ++j)
      mu_.push_back(std::sin(std::numbers::pi * ((static_cast<double>(j) + 0.5) / static_cast<double>(nlat) - 0.5)));
  }

  // Legendre functions in the southern half; where l - m is odd they change sign across the equator. A stride that is
  // no power of two keeps columns apart in the cache.
  half_stride_ = half_ + 8;
  int64_t offset = 0;
  int64_t rows = 0;
  int64_t entries = 0;
  for (int64_t m = 0; m <= truncation; ++m) {
    Order order{};
    order.offset = offset;
    const int64_t degrees = truncation + 2 - m;
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
    for (int64_t m = 0; m <= truncation; ++m) {
      const Order& order = orders_[index(m)];
      const std::vector<double> p = associated_legendre(m, truncation + 1, mu(j));
      for (const int64_t odd : {0, 1})
        for (int64_t k = 0; k < order.count[odd]; ++k) {
          const double value = p[index(2 * k + odd)];
          legendre_[index(order.by_latitude[odd] + k * half_stride_ + j)] = value;
          // A quadrature gives no degree T + 1: of it only winds know.
          transposed_[index(order.by_degree[odd] + j * order.padded[odd] + k)] = value;
        }
    }

  // Cosines and sines of a quarter of the circle, at the middles of cells so that the four quarters share no point.
  const auto longitudes = static_cast<double>(nlon());
  for (int which = 0; which < 4; ++which) {
    const int64_t count = class_count(truncation, which);
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

  // d/dmu and i m, for winds and from them. With H = (1 - mu^2) d/dmu:
  // H P_l = (l + 1) epsilon_l P_{l-1} - l epsilon_{l+1} P_{l+1}.
  const auto table = [&](int64_t last, const auto& value) {
    Coefficients result(index(size_), 0.0);
    for (int64_t m = 0; m <= truncation; ++m)
      for (int64_t l = m; l <= last; ++l) {
        const double v = value(l, m);
        result[index(at(l, m))] = v;
        result[index(at(l, m) + imaginary(m))] = v;
      }
    return result;
  };
  const auto real = [](int64_t n) { return static_cast<double>(n); };
  const int64_t wind_last = truncation + 1;
  order_over_degree_ =
      table(wind_last, [&](int64_t l, int64_t m) { return l == 0 ? 0 : real(m) / (real(l) * real(l + 1)); });
  above_ =
      table(wind_last, [&](int64_t l, int64_t m) { return l >= truncation ? 0 : epsilon(l + 1, m) / real(l + 1); });
  below_ = table(wind_last, [&](int64_t l, int64_t m) { return l == m ? 0 : epsilon(l, m) / real(l); });
  order_ = table(truncation, [&](int64_t, int64_t m) { return real(m); });
  from_below_ = table(truncation, [&](int64_t l, int64_t m) { return l == m ? 0 : real(l + 1) * epsilon(l, m); });
  from_above_ = table(truncation, [&](int64_t l, int64_t m) { return real(l) * epsilon(l + 1, m); });
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

/// The way back from classes_out_.
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

void SphericalHarmonics::wind(const double* vorticity, const double* divergence, double* u, double* v) const {
  // Of the stream function and the potential: U = dchi/dlongitude - H psi, V = dpsi/dlongitude + H chi.
  for (int64_t m = 0; m <= truncation_; ++m) {
    const Order& order = orders_[index(m)];
    for (const int64_t part : {0, 1}) {
      const double sign = part == 0 ? 1 : -1;  // i (x + i y) = -y + i x
      const int64_t own = order.offset + part * order.row;
      const int64_t other = order.offset + (1 - part) * order.row;
      for (const int64_t odd : {0, 1}) {
        const int64_t at_l = odd * order.padded[0];
        const int64_t next = odd == 0 ? order.padded[0] : 1;          // degree l + 1
        const int64_t previous = odd == 0 ? order.padded[0] - 1 : 0;  // degree l - 1
        const double* __restrict ratio = order_over_degree_.data() + own + at_l;
        const double* __restrict above = above_.data() + own + at_l;
        const double* __restrict below = below_.data() + own + at_l;
        const double* __restrict z = vorticity + own;
        const double* __restrict d = divergence + own;
        const double* __restrict z_other = vorticity + other + at_l;
        const double* __restrict d_other = divergence + other + at_l;
        double* __restrict to_u = u + own + at_l;
        double* __restrict to_v = v + own + at_l;
        for (int64_t k = 0; k < order.padded[odd]; ++k) {
          to_u[k] = sign * ratio[k] * d_other[k] + above[k] * z[k + next] - below[k] * z[k + previous];
          to_v[k] = sign * ratio[k] * z_other[k] - above[k] * d[k + next] + below[k] * d[k + previous];
        }
      }
    }
  }
  std::fill(u + size_ - 8, u + size_, 0.0);
  std::fill(v + size_ - 8, v + size_, 0.0);
}

template <bool Curl>
void SphericalHarmonics::derivative(const double* a, const double* b, double* out) const {
  // By parts: divergence_l = i m a_l - ((l + 1) epsilon_l b_{l-1} - l epsilon_{l+1} b_{l+1}), curl of (a, b) is the
  // divergence of (b, -a).
  const double* const straight = Curl ? b : a;
  const double* const crossed = Curl ? a : b;
  const double sign_crossed = Curl ? 1 : -1;
  for (int64_t m = 0; m <= truncation_; ++m) {
    const Order& order = orders_[index(m)];
    for (const int64_t part : {0, 1}) {
      const double sign = part == 0 ? -1 : 1;
      const int64_t own = order.offset + part * order.row;
      const int64_t other = order.offset + (1 - part) * order.row;
      for (const int64_t odd : {0, 1}) {
        const int64_t at_l = odd * order.padded[0];
        const int64_t next = odd == 0 ? order.padded[0] : 1;
        const int64_t previous = odd == 0 ? order.padded[0] - 1 : 0;
        const double* __restrict factor = order_.data() + own + at_l;
        const double* __restrict below = from_below_.data() + own + at_l;
        const double* __restrict above = from_above_.data() + own + at_l;
        const double* __restrict x = straight + other + at_l;
        const double* __restrict y = crossed + own;
        double* __restrict to = out + own + at_l;
        for (int64_t k = 0; k < order.padded[odd]; ++k)
          to[k] = sign * factor[k] * x[k] + sign_crossed * (below[k] * y[k + previous] - above[k] * y[k + next]);
      }
    }
  }
  std::fill(out + size_ - 8, out + size_, 0.0);
}

void SphericalHarmonics::divergence(const double* a, const double* b, double* out) const {
  derivative<false>(a, b, out);
}

void SphericalHarmonics::curl(const double* a, const double* b, double* out) const { derivative<true>(a, b, out); }

}  // namespace levda::models
