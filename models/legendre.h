#pragma once

/// Legendre functions, Gaussian latitudes, and fields from evenly spaced latitudes to Gaussian ones.

#include <cstdint>
#include <span>
#include <vector>

namespace levda::models {

/// sqrt((l^2 - m^2) / (4 l^2 - 1)): mu P_lm = epsilon_{l+1} P_{l+1,m} + epsilon_l P_{l-1,m}.
double legendre_epsilon(std::int64_t l, std::int64_t m);

/// Normalised associated Legendre functions P_lm(mu), l = m .. last, of mean square 1 over [-1, 1] and without the
/// alternating sign, by the three-term recurrence in l. Where P_mm underflows, so close to a pole, it and the others
/// are 0 to double precision as long as last is below a few thousand.
std::vector<double> associated_legendre(std::int64_t m, std::int64_t last, double mu);

/// Abscissae in (-1, 1), ascending, and weights of sum 2, of the Gauss-Legendre rule of n points.
struct GaussRule {
  std::vector<double> abscissa;
  std::vector<double> weight;
};
GaussRule gauss_rule(std::int64_t n);

/// Fields of harmonics from evenly spaced latitudes (SphericalHarmonics::Latitudes::even) to the Gaussian latitudes
/// of a grid of the same size, for which there is an analysis. Along a great circle through the poles a field is a
/// trigonometric polynomial with one term per row: the result is exact where the truncation is below nlat. Winds must
/// be multiplied by cos(latitude).
class EvenToGaussian {
 public:
  explicit EvenToGaussian(std::int64_t nlat);
  /// Both (fields, nlat, 2 nlat). Throws Error when the sizes do not fit.
  void operator()(std::span<const double> even, std::span<double> gaussian) const;

 private:
  std::int64_t nlat_;
  std::vector<double> even_orders_, odd_orders_;  ///< (Gaussian, even latitude), of orders m even and odd
};

}  // namespace levda::models
