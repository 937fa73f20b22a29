#include "da/localisation.h"

#include <algorithm>

namespace levda::da {

double gaspari_cohn(double distance, double half_width) {
  const double r = distance / half_width;
  if (r <= 1) return 1 + r * r * (-5.0 / 3 + r * (5.0 / 8 + r * (1.0 / 2 - r / 4)));
  if (!(r < 2)) return 0;
  // Not below 0 by round-off.
  return std::max(0.0, 4 - 2 / (3 * r) + r * (-5 + r * (5.0 / 3 + r * (5.0 / 8 + r * (-1.0 / 2 + r / 12)))));
}

}  // namespace levda::da
