/// Blocks cover all rows once, within their bounds.

#include "models/row_blocks.h"

#include <doctest/doctest.h>

#include <mutex>
#include <vector>

#include "tests/autodiff/one_lane.h"

using namespace levda;
using namespace levda::models;

TEST_CASE("blocks cover every row of every group once, in tiles or in few large blocks") {
  for (autodiff::Backend* backend : {&autodiff::cpu(), &testing::one_lane()})
    for (const std::int64_t groups : {1, 3, 10})
      for (const std::int64_t rows : {1, 7, 32, 33, 100})
        for (const std::int64_t most : {0, 1, 10, 64, 250, 100000}) {
          CAPTURE(groups);
          CAPTURE(rows);
          CAPTURE(most);
          std::vector<int> seen(static_cast<std::size_t>(groups * rows), 0);
          std::mutex mutex;
          std::vector<RowBlock> blocks;
          for_each_row_block(*backend, groups, rows, 32, most, [&](const RowBlock& block) {
            const std::lock_guard lock(mutex);
            blocks.push_back(block);
            for (std::int64_t g = block.first_group; g < block.end_group; ++g)
              for (std::int64_t r = block.first_row; r < block.end_row; ++r) seen[g * rows + r] += 1;
          });
          CHECK(seen == std::vector<int>(seen.size(), 1));
          const bool large = backend->prefers_large_batches();
          for (const RowBlock& block : blocks) {
            CHECK(block.groups() * block.rows() <= (large ? std::max<std::int64_t>(1, most) : 32));
            CHECK((block.groups() == 1 || block.rows() == rows));
          }
          if (large && most >= groups * rows) CHECK(blocks.size() == 1);
        }
}
