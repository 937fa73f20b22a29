#pragma once

/// Work on many rows of a network, cut to suit the device that its weights lie on.

#include <functional>

#include "autodiff/backend.h"

namespace levda::models {

/// Rows that a device of one lane (Backend::lanes) evaluates at once: enough to fill it, and a bound on its memory, 0.1
/// GB for each activation of width 96 in float32, of which a tape with its tangents holds some twenty.
constexpr std::int64_t rows_at_once = 1 << 18;

/// Groups [first_group, end_group) and of each the rows [first_row, end_row).
struct Piece {
  std::int64_t first_group;
  std::int64_t end_group;
  std::int64_t first_row;
  std::int64_t end_row;

  std::int64_t groups() const { return end_group - first_group; }
  std::int64_t rows() const { return end_row - first_row; }
};

/// Calls f for pieces that cover `groups` groups of `rows` rows each. Where several tapes run at once, tiles of at most
/// `tile` rows of one group, in parallel; on a device of one lane pieces of about `most` rows one after the other,
/// either whole groups or rows of one group.
void for_each_piece(const autodiff::Backend& backend, std::int64_t groups, std::int64_t rows, std::int64_t tile,
                    std::int64_t most, const std::function<void(const Piece&)>& f);

}  // namespace levda::models
