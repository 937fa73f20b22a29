#include "autodiff/tensor.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <numeric>
#include <string>

#include "autodiff/error.h"
#include "tests/autodiff/compare.h"

using namespace levda::autodiff;
using levda::testing::same_bits;

namespace {

/// 0, 1, 2, ..
Tensor counting(const Shape& shape) {
  std::vector<double> values(static_cast<std::size_t>(shape.size()));
  std::iota(values.begin(), values.end(), 0.0);
  return Tensor::from(std::span<const double>(values), shape);
}

}  // namespace

TEST_CASE("tensor: copies and views share the storage, clones do not") {
  Tensor x = counting({4, 3});
  CHECK(x.unique());
  const Tensor copy = x;
  CHECK_FALSE(x.unique());
  Tensor middle = x.rows(1, 3);
  CHECK(middle.shape() == Shape{2, 3});
  CHECK(middle.to_vector() == std::vector<double>{3, 4, 5, 6, 7, 8});
  const Tensor inner = middle.rows(1, 2).reshaped({3, 1});
  CHECK(inner.to_vector() == std::vector<double>{6, 7, 8});
  const Tensor clone = middle.clone();

  x.data<double>()[7] = -1;
  CHECK(copy.to_vector()[7] == -1);
  CHECK(middle.to_vector()[4] == -1);
  CHECK(inner.to_vector()[1] == -1);
  CHECK(clone.to_vector() == std::vector<double>{3, 4, 5, 6, 7, 8});
  CHECK(clone.unique());

  middle.data<double>()[0] = 100;
  CHECK(x.to_vector()[3] == 100);
}

TEST_CASE("tensor: a view keeps the storage alive") {
  Tensor view;
  CHECK_FALSE(view);
  {
    const Tensor x = counting({1000, 2});
    view = x.rows(998, 1000);
  }
  CHECK(view);
  CHECK(view.to_vector() == std::vector<double>{1996, 1997, 1998, 1999});
}

TEST_CASE("tensor: views of no rows, and tensors of no elements") {
  const Tensor x = counting({4, 3});
  CHECK(x.rows(4, 4).shape() == Shape{0, 3});
  CHECK(x.rows(2, 2).to_vector().empty());
  const Tensor none = Tensor::zeros({0, 5});
  CHECK(none.to_floats().empty());
  CHECK(none.clone().shape() == Shape{0, 5});
  CHECK(none.reshaped({5, 0}).size() == 0);
  CHECK(none.to(DType::float64).size() == 0);
}

TEST_CASE("tensor: conversion rounds to the nearest float and back without loss") {
  const std::vector<double> values{0.1, -1e30, 1 + 0x1p-24, 1 + 0x1p-52, 0.0, 3.0};
  const Tensor wide = Tensor::from(std::span<const double>(values), {2, 3});
  CHECK(wide.dtype() == DType::float64);
  const Tensor narrow = wide.to(DType::float32);
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(narrow.to_floats()[i] == static_cast<float>(values[i]));
  CHECK(same_bits(narrow, Tensor::from(std::span<const double>(values), {2, 3}, DType::float32)));
  CHECK(same_bits(narrow.to(DType::float64).to(DType::float32), narrow));
  CHECK(narrow.to_vector()[0] == static_cast<double>(0.1F));
  // Nothing changes: the same storage.
  CHECK(wide.to(DType::float64).data<double>() == wide.data<double>());
  CHECK(Tensor::from(std::vector<float>{1.5F}, {1}, DType::float64).data<double>()[0] == 1.5);
  // Views convert from their own first element.
  CHECK(wide.rows(1, 2).to(DType::float32).to_floats()[2] == 3.0F);
}

TEST_CASE("tensor: full, item and names") {
  CHECK(Tensor::full({}, 2.5).item() == 2.5);
  CHECK(Tensor::full({1, 1}, -1, DType::float64).item() == -1);
  CHECK(Tensor::zeros({2}).to_vector() == std::vector<double>{0, 0});
  CHECK(Tensor::zeros({2}).dtype() == DType::float32);
  CHECK(std::string(name(DType::float32)) == "float32");
  CHECK(std::string(name(DType::float64)) == "float64");
  CHECK(std::string(name(DType::int64)) == "int64");
  CHECK(std::string(name(Tensor::zeros({1}).device())) == "cpu");
  CHECK(bytes_of(DType::float32) == 4);
  CHECK(bytes_of(DType::float64) == 8);
  CHECK(bytes_of(DType::int64) == 8);
}

TEST_CASE("tensor: int64 lists are data, and not numbers to compute with") {
  const Tensor index = Tensor::indices(std::vector<std::int64_t>{3, 1, 2, 0});
  CHECK(index.shape() == Shape{4});
  CHECK(index.data<std::int64_t>()[2] == 2);
  CHECK(index.rows(1, 3).clone().data<std::int64_t>()[0] == 1);
  CHECK_THROWS_WITH_AS(index.to(DType::float64), "cannot convert int64 to float64", levda::Error);
  CHECK_THROWS_WITH_AS(Tensor::zeros({2}).to(DType::int64), "cannot convert float32 to int64", levda::Error);
}

TEST_CASE("tensor: errors") {
  const Tensor x = counting({4, 3});
  CHECK_THROWS_WITH_AS(Tensor::from(std::vector<double>{1, 2}, {3}), "2 values for a tensor of shape (3)",
                       levda::Error);
  CHECK_THROWS_WITH_AS(Tensor::from(std::vector<float>{1, 2}, {}), "2 values for a tensor of shape ()", levda::Error);
  CHECK_THROWS_WITH_AS(x.item(), "item() needs one element, but the shape is (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(Tensor::zeros({0}).item(), "item() needs one element, but the shape is (0)", levda::Error);
  CHECK_THROWS_WITH_AS(x.reshaped({5}), "cannot reshape (4, 3) to (5)", levda::Error);
  CHECK_THROWS_WITH_AS(x.rows(2, 5), "rows 2 to 5 are outside a tensor of shape (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(x.rows(-1, 2), "rows -1 to 2 are outside a tensor of shape (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(x.rows(3, 2), "rows 3 to 2 are outside a tensor of shape (4, 3)", levda::Error);
  CHECK_THROWS_WITH_AS(Tensor::full({}, 1).rows(0, 1), "rows 0 to 1 are outside a tensor of shape ()", levda::Error);
  CHECK_THROWS_WITH_AS(x.data<float>(), "float32 access to a float64 tensor", levda::Error);
  CHECK_THROWS_WITH_AS(Tensor::zeros({2}).data<double>(), "float64 access to a float32 tensor", levda::Error);
  CHECK_THROWS_WITH_AS(x.data<std::int64_t>(), "int64 access to a float64 tensor", levda::Error);
}

TEST_CASE("tensor: memory is aligned, counted and given back") {
  const std::int64_t before = cpu().memory().live;
  {
    std::vector<Tensor> kept;
    std::int64_t bytes = 0;
    for (const std::int64_t size : {1, 15, 16, 17, 100, 5000, 70000, 5000000}) {
      kept.push_back(Tensor::zeros({size}));
      bytes += 4 * size;
      CHECK(reinterpret_cast<std::uintptr_t>(kept.back().data<float>()) % 64 == 0);
    }
    const std::int64_t live = cpu().memory().live - before;
    CHECK(live >= bytes);
    // Blocks are of whole multiples of 64 bytes, and of four sizes per power of two: at most a quarter over.
    CHECK(live <= bytes + bytes / 4 + 8 * 64);
    CHECK(cpu().memory().peak >= before + bytes);
    const Tensor view = kept.back().rows(1, 2);
    CHECK(cpu().memory().live - before == live);
  }
  CHECK(cpu().memory().live == before);
}
