#include "autodiff/cuda/shapes.h"

#include <doctest/doctest.h>

#include <map>
#include <vector>

using namespace levda::autodiff;
using namespace levda::autodiff::gpu;

TEST_CASE("launch shapes: enough threads, few enough blocks") {
  CHECK(blocks_for(0) == 1);
  CHECK(blocks_for(1) == 1);
  CHECK(blocks_for(block_threads) == 1);
  CHECK(blocks_for(block_threads + 1) == 2);
  CHECK(blocks_for(std::int64_t{1} << 40) == 2112);
}

TEST_CASE("flat walks find the places that the loops of the CPU go through") {
  const std::vector<std::pair<Shape, Shape>> broadcasts{
      {{3, 4}, {4}}, {{2, 3, 4}, {3, 1}},       {{5}, {1}},   {{2, 1, 3}, {2, 1}},
      {{1, 1}, {}},  {{4, 3, 2, 5}, {3, 1, 5}}, {{0, 3}, {3}}};
  for (const auto& [whole, part] : broadcasts) {
    CAPTURE(whole.text());
    CAPTURE(part.text());
    const auto sw = broadcast_strides(whole, whole);
    const auto sp = broadcast_strides(part, whole);
    const Walk<2> walk(whole, {sw.data(), sp.data()});
    const FlatWalk<2> flat(walk);
    CHECK(flat.size == whole.size());
    std::int64_t i = 0;
    walk.for_each_row([&](const auto& offset) {
      for (std::int64_t k = 0; k < walk.inner(); ++k) {
        std::int64_t at[2];
        flat.locate(i++, at);
        CHECK(at[0] == offset[0] + k * walk.inner_stride(0));
        CHECK(at[1] == offset[1] + k * walk.inner_stride(1));
      }
    });
    CHECK(i == whole.size());
  }
}

TEST_CASE("flat walks of more elements than 32 bits count") {
  const Shape whole{1 << 20, 1 << 13};
  const auto strides = broadcast_strides(whole, whole);
  const Shape column{1 << 20, 1};
  const auto rows = broadcast_strides(column, whole);
  const FlatWalk<2> flat(Walk<2>(whole, {strides.data(), rows.data()}));
  const std::int64_t i = (std::int64_t{1} << 32) + 12345;
  std::int64_t at[2];
  flat.locate(i, at);
  CHECK(at[0] == i);
  CHECK(at[1] == i >> 13);
}

TEST_CASE("reductions: every element belongs to one result and one chunk") {
  const std::vector<std::pair<Shape, Shape>> all{{{3, 4}, {}},
                                                 {{3, 4}, {4}},
                                                 {{3, 4}, {3, 1}},
                                                 {{2, 3, 4}, {3, 1}},
                                                 {{4000, 3}, {3}},
                                                 {{3, 4000}, {3, 1}},
                                                 {{70, 50, 3}, {50, 1}},
                                                 {{2, 3, 4, 5}, {3, 1, 5}},
                                                 {{2, 300, 2}, {2, 1, 2}},
                                                 {{5}, {5}},
                                                 {{1, 1}, {1}},
                                                 {{100000}, {}},
                                                 {{0, 3}, {3}},
                                                 {{0}, {}},
                                                 {{2000, 300}, {300}}};
  for (const auto& [x, y] : all) {
    CAPTURE(x.text());
    CAPTURE(y.text());
    const Reduction r(x, y);
    CHECK(r.kept.size == y.size());
    CHECK(r.kept.size * r.reduced.size == x.size());
    CHECK(r.width >= 1);
    CHECK(block_threads % r.width == 0);
    CHECK(r.chunks >= 1);
    CHECK(r.chunks <= 65535);  // the second axis of a grid
    CHECK(r.chunks * r.chunk >= r.reduced.size);
    CHECK((r.chunks - 1) * r.chunk <= r.reduced.size);
    // The position of an element by broadcasting.
    const auto sx = broadcast_strides(x, x);
    const auto sy = broadcast_strides(y, x);
    std::map<std::int64_t, std::int64_t> result_of;
    const Walk<2> walk(x, {sx.data(), sy.data()});
    walk.for_each_row([&](const auto& at) {
      for (std::int64_t k = 0; k < walk.inner(); ++k)
        result_of[at[0] + k * walk.inner_stride(0)] = at[1] + k * walk.inner_stride(1);
    });
    std::size_t found = 0;
    for (std::int64_t k = 0; k < r.kept.size; ++k)
      for (std::int64_t i = 0; i < r.reduced.size; ++i) {
        std::int64_t first[1];
        std::int64_t at[1];
        r.kept.locate(k, first);
        r.reduced.locate(i, at);
        const auto place = result_of.find(first[0] + at[0]);
        REQUIRE(place != result_of.end());
        REQUIRE(place->second == k);
        ++found;
      }
    CHECK(found == result_of.size());
  }
}

TEST_CASE("reductions fill a device: a bias gradient of many rows is cut, a short sum is not") {
  const Reduction bias({204000, 300}, {300});
  CHECK(bias.along_kept);
  CHECK(bias.width == block_threads);
  CHECK(bias.chunks == 512);
  const Reduction row({4, 20}, {4, 1});
  CHECK_FALSE(row.along_kept);
  CHECK(row.chunks == 1);
  const Reduction whole({1 << 22}, {});
  CHECK(whole.chunks == 1024);
}
