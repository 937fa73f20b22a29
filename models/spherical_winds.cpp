#include <algorithm>

#include "models/spherical_harmonics.h"

namespace levda::models {

using std::int64_t;

void SphericalHarmonics::wind(const double* vorticity, const double* divergence, double* u, double* v) const {
  // With the stream function psi and the potential chi: U = dchi/dlongitude - H psi, V = dpsi/dlongitude + H chi.
  for (int64_t m = 0; m <= truncation_; ++m) {
    const Order& order = orders_[static_cast<std::size_t>(m)];
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
    const Order& order = orders_[static_cast<std::size_t>(m)];
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
