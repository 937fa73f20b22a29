#include "autodiff/shape.h"

#include <doctest/doctest.h>

#include <vector>

#include "autodiff/error.h"

using namespace levda::autodiff;

TEST_CASE("shape: extents, sizes and parts") {
  const Shape scalar;
  CHECK(scalar.rank() == 0);
  CHECK(scalar.size() == 1);
  CHECK(scalar.text() == "()");

  const Shape s{2, 3, 4};
  CHECK(s.rank() == 3);
  CHECK(s.size() == 24);
  CHECK(s.size(1, 3) == 12);
  CHECK(s.size(1, 1) == 1);
  CHECK(s[0] == 2);
  CHECK(s[-1] == 4);
  CHECK(s.position(-3) == 0);
  CHECK(s.text() == "(2, 3, 4)");
  CHECK(std::vector<std::int64_t>(s.begin(), s.end()) == std::vector<std::int64_t>{2, 3, 4});
  CHECK(s.with(-2, 7) == Shape{2, 7, 4});
  CHECK(s.prepend({5, 6}) == Shape{5, 6, 2, 3, 4});
  CHECK(scalar.prepend(s) == s);
  CHECK(s.part(1, 3) == Shape{3, 4});
  CHECK(s.part(2, 2) == scalar);
  CHECK(Shape{2, 0, 4}.size() == 0);
  CHECK(Shape{1, 1, 1, 1, 1, 9}.size() == 9);
}

TEST_CASE("shape: equality looks at the rank too") {
  CHECK(Shape{2, 3} == Shape{2, 3});
  CHECK_FALSE(Shape{2, 3} == Shape{3, 2});
  CHECK_FALSE(Shape{2} == Shape{2, 1});
  CHECK_FALSE(Shape{} == Shape{1});
}

TEST_CASE("shape: errors name the axis and the shape") {
  const Shape s{2, 3};
  CHECK_THROWS_WITH_AS((Shape{1, 2, 3, 4, 5, 6, 7}), "a shape has 7 axes, more than 6", levda::Error);
  CHECK_THROWS_WITH_AS((Shape{2, -1}), "shape with a negative extent -1", levda::Error);
  CHECK_THROWS_WITH_AS(s[2], "axis 2 is outside shape (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(s[-3], "axis -3 is outside shape (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(Shape{}[0], "axis 0 is outside shape ()", levda::Error);
  CHECK_THROWS_WITH_AS(s.with(2, 1), "axis 2 is outside shape (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(s.prepend({1, 1, 1, 1, 1}), "shapes (1, 1, 1, 1, 1) and (2, 3) together have more than 6 axes",
                       levda::Error);
}

TEST_CASE("shape: broadcasting follows NumPy") {
  struct Row {
    Shape a, b, result;
  };
  const Row rows[] = {
      {{}, {}, {}},
      {{}, {2, 3}, {2, 3}},
      {{3}, {2, 3}, {2, 3}},
      {{1}, {2, 3}, {2, 3}},
      {{2, 1}, {2, 3}, {2, 3}},
      {{3, 1}, {2, 1, 4}, {2, 3, 4}},
      {{1, 5}, {4, 1}, {4, 5}},
      {{0}, {1}, {0}},
      {{2, 0}, {2, 1}, {2, 0}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.a.text());
    CAPTURE(row.b.text());
    CHECK(broadcast("op", row.a, row.b) == row.result);
    CHECK(broadcast("op", row.b, row.a) == row.result);
    CHECK(broadcasts_to(row.a, row.result));
    CHECK(broadcasts_to(row.b, row.result));
  }
  CHECK_THROWS_WITH_AS(broadcast("op", {2, 3}, {4, 3}), "[op] cannot broadcast (2, 3) and (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(broadcast("op", {2}, {2, 3}), "[op] cannot broadcast (2) and (2, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(broadcast("op", {0}, {2}), "[op] cannot broadcast (0) and (2)", levda::Error);
}

TEST_CASE("shape: only the smaller side is repeated") {
  CHECK(broadcasts_to({3, 1}, {2, 3, 4}));
  CHECK_FALSE(broadcasts_to({2, 3}, {3}));
  CHECK_FALSE(broadcasts_to({2, 3}, {2, 1}));
  CHECK_FALSE(broadcasts_to({2}, {2, 3}));
}
