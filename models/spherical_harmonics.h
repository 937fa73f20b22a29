#pragma once

/// Spherical harmonics on a Gaussian grid: synthesis, analysis, and the winds and derivatives that go with them.

#include <cstdint>
#include <functional>
#include <new>
#include <span>
#include <vector>

#include "models/legendre.h"

namespace levda::models {

/// Vectors that begin at a line of the cache.
template <class T>
struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};
  CacheLineAllocator() = default;
  template <class U>
  CacheLineAllocator(const CacheLineAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, alignment); }
  bool operator==(const CacheLineAllocator&) const { return true; }
};
using Coefficients = std::vector<double, CacheLineAllocator<double>>;

/// Fields f(longitude, mu = sin latitude) = sum over |m| <= T and l >= |m| of f_lm P_lm(mu) exp(i m longitude), l <= T:
/// triangular truncation. P_00 = 1, so f_00 is the mean over the sphere. Degree T + 1 is stored too, since the winds of
/// truncated vorticity and divergence have it. Winds are multiplied by cos(latitude) before they are transformed.
///
/// A field's coefficients are `size()` doubles: for each m >= 0 the real, then the imaginary parts, in each first l =
/// m, m + 2, .. and then l = m + 1, m + 3, ..; `at` finds one. In between lies padding, which is 0. Several fields
/// follow each other.
///
/// A grid is (nlat, nlon), nlon = 2 nlat: longitudes 360 i / nlon degrees, latitudes ascending, either Gaussian or in
/// the middle of nlat equal bands. Objects are immutable and may be used by many threads, each with its own Workspace.
class SphericalHarmonics {
 public:
  enum class Latitudes : std::uint8_t { gaussian, even };

  /// Throws Error: nlat is not a positive multiple of 8, or 3 truncation + 1 > nlon (products would alias).
  SphericalHarmonics(std::int64_t truncation, std::int64_t nlat, Latitudes latitudes);

  std::int64_t truncation() const { return truncation_; }
  std::int64_t nlat() const { return nlat_; }
  std::int64_t nlon() const { return 2 * nlat_; }
  std::int64_t size() const { return size_; }
  /// Sine of latitude j.
  double mu(std::int64_t j) const { return mu_[static_cast<std::size_t>(j)]; }

  /// Where the real part of degree l (m <= l <= T + 1) and order m (0 <= m <= T) lies; the imaginary part is
  /// `imaginary(m)` further.
  std::int64_t at(std::int64_t l, std::int64_t m) const;
  std::int64_t imaginary(std::int64_t m) const { return orders_[static_cast<std::size_t>(m)].row; }
  /// value(l, m) at each coefficient, real and imaginary; 0 in the padding and at l = T + 1.
  Coefficients by_degree(const std::function<double(std::int64_t l, std::int64_t m)>& value) const;

  /// Memory for the steps between spectra and grid.
  class Workspace {
    friend class SphericalHarmonics;
    Coefficients fourier_, classes_in_, classes_out_, halves_, points_, rotated_;
  };

  /// Fields at the nodes of the grid: coefficients (fields, size) to grid (fields, nlat, nlon).
  void synthesis(std::span<const double> coefficients, std::span<double> grid, Workspace& work) const;
  /// Coefficients up to degree T of fields at the Gaussian nodes; exact for fields of degree 2 nlat - 1 - T.
  /// wind_analysis takes cos(latitude) times a component of a wind: see `divergence`. Throws Error on an even grid.
  void analysis(std::span<const double> grid, std::span<double> coefficients, Workspace& work) const;
  void wind_analysis(std::span<const double> grid, std::span<double> coefficients, Workspace& work) const;

  /// A function of fields, point by point: synthesis of `in`, function, wind_analysis of its results. The function is
  /// called once for each of nlon longitudes (half a cell beside those of the grid) with (fields, nlat) values to read
  /// and to write, latitudes in an internal order.
  using Pointwise = std::function<void(const double* in, double* out)>;
  void through_grid(std::span<const double> in, const Pointwise& function, std::span<double> out,
                    Workspace& work) const;

  /// cos(latitude) times the wind (eastward U, northward V) on the unit sphere of given vorticity and divergence.
  void wind(const double* vorticity, const double* divergence, double* u, double* v) const;
  /// Divergence and curl, up to degree T, of the vector field of which wind_analysis gave (a, b).
  void divergence(const double* a, const double* b, double* out) const;
  void curl(const double* a, const double* b, double* out) const;

 private:
  /// Where one order lies in coefficients and tables.
  struct Order {
    std::int64_t offset;               ///< of its real parts
    std::int64_t row;                  ///< length of its real parts, padding included
    std::int64_t count[2], padded[2];  ///< coefficients of even and odd l - m
    std::int64_t by_latitude[2];       ///< P_lm as (l, half of the latitudes)
    std::int64_t by_degree[2];         ///< the same as (half of the latitudes, l)
  };

  void make_latitudes(Latitudes latitudes);
  void make_legendre_tables();
  void make_fourier_tables();
  void make_derivative_tables();
  void check_sizes(std::size_t coefficients, std::size_t grid) const;
  std::int64_t stride(std::int64_t fields) const { return fields * nlat_ + 8; }
  void to_classes(const double* coefficients, std::int64_t fields, Workspace& work) const;
  void from_classes(std::int64_t fields, const std::vector<double>& weight, double* coefficients,
                    Workspace& work) const;
  void rotate(const double* in, std::int64_t fields, double angle, double* out) const;
  void analyse(std::span<const double> grid, const std::vector<double>& weight, std::span<double> coefficients,
               Workspace& work) const;
  template <bool Curl>
  void derivative(const double* a, const double* b, double* out) const;

  std::int64_t truncation_, nlat_, half_, quarter_, size_;
  std::vector<double> mu_, weight_, wind_weight_;
  std::vector<Order> orders_;
  Coefficients legendre_, transposed_;
  std::int64_t half_stride_;
  Coefficients to_points_[4], from_points_[4];
  Coefficients order_over_degree_, above_, below_, order_, from_below_, from_above_;
};

}  // namespace levda::models
