#pragma once

/// Work on many rows of a network, in blocks that suit the device on which its weights lie.

#include <functional>

#include "autodiff/backend.h"

namespace levda::models {

/// Rows that a device with prefers_large_batches() evaluates at once: enough to fill it, and a bound on its memory. An
/// activation of width 96 in float32 takes 0.1 GB; a tape with its tangents holds about twenty.
constexpr std::int64_t rows_at_once = 1 << 18;

/// Rows [first_row, end_row) of each of the groups [first_group, end_group).
struct RowBlock {
  std::int64_t first_group;
  std::int64_t end_group;
  std::int64_t first_row;
  std::int64_t end_row;

  std::int64_t groups() const { return end_group - first_group; }
  std::int64_t rows() const { return end_row - first_row; }
};

/// Calls f for blocks that cover `groups` groups of `rows` rows each: where several tapes run at once, for blocks of at
/// most `tile` rows of one group, in parallel; on a device of one lane for blocks of about `most` rows, one after the
/// other, each of whole groups or of rows of one group.
void for_each_row_block(const autodiff::Backend& backend, std::int64_t groups, std::int64_t rows, std::int64_t tile,
                        std::int64_t most, const std::function<void(const RowBlock&)>& f);

}  // namespace levda::models
