/// Pieces cover all rows once, within their bounds.

#include "models/pieces.h"

#include <doctest/doctest.h>

#include <mutex>
#include <vector>

#include "tests/autodiff/one_lane.h"

using namespace levda;
using namespace levda::models;

TEST_CASE("pieces cover every row of every group once, in tiles or in few large pieces") {
  for (autodiff::Backend* backend : {&autodiff::cpu(), &testing::one_lane()})
    for (const std::int64_t groups : {1, 3, 10})
      for (const std::int64_t rows : {1, 7, 32, 33, 100})
        for (const std::int64_t most : {0, 1, 10, 64, 250, 100000}) {
          CAPTURE(groups);
          CAPTURE(rows);
          CAPTURE(most);
          std::vector<int> seen(static_cast<std::size_t>(groups * rows), 0);
          std::mutex mutex;
          std::vector<Piece> pieces;
          for_each_piece(*backend, groups, rows, 32, most, [&](const Piece& piece) {
            const std::lock_guard lock(mutex);
            pieces.push_back(piece);
            for (std::int64_t g = piece.first_group; g < piece.end_group; ++g)
              for (std::int64_t r = piece.first_row; r < piece.end_row; ++r) seen[g * rows + r] += 1;
          });
          CHECK(seen == std::vector<int>(seen.size(), 1));
          const bool large = backend->prefers_large_batches();
          for (const Piece& piece : pieces) {
            CHECK(piece.groups() * piece.rows() <= (large ? std::max<std::int64_t>(1, most) : 32));
            CHECK((piece.groups() == 1 || piece.rows() == rows));
          }
          if (large && most >= groups * rows) CHECK(pieces.size() == 1);
        }
}
