#include "models/row_blocks.h"

#include <oneapi/tbb/parallel_for.h>

#include <algorithm>

#include "autodiff/internal/isolation.h"

namespace levda::models {

void for_each_row_block(const autodiff::Backend& backend, std::int64_t groups, std::int64_t rows, std::int64_t tile,
                        std::int64_t most, const std::function<void(const RowBlock&)>& f) {
  const bool large = backend.prefers_large_batches();
  const std::int64_t some_rows = std::max<std::int64_t>(1, std::min(rows, large ? most : tile));
  const std::int64_t some_groups = large ? std::max<std::int64_t>(1, most / some_rows) : 1;
  const std::int64_t across = (rows + some_rows - 1) / some_rows;
  const std::int64_t down = (groups + some_groups - 1) / some_groups;
  const auto block = [&](std::int64_t i) {
    const std::int64_t group = i / across * some_groups;
    const std::int64_t row = i % across * some_rows;
    f({.first_group = group,
       .end_group = std::min(group + some_groups, groups),
       .first_row = row,
       .end_row = std::min(row + some_rows, rows)});
  };
  if (large)
    for (std::int64_t i = 0; i < down * across; ++i) block(i);
  else
    autodiff::Isolation::run_loop([&] { oneapi::tbb::parallel_for(std::int64_t{0}, down * across, block); });
}

}  // namespace levda::models
