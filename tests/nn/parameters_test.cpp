#include "nn/parameters.h"

#include <doctest/doctest.h>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/op.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/device.h"

using namespace levda::autodiff;
using levda::nn::Parameters;
using levda::testing::normal_tensor;
using levda::testing::same_bits;

namespace {

Parameters some() {
  Parameters p;
  p.add("a", normal_tensor({2, 3}, 1, DType::float32));
  p.add("frozen", normal_tensor({4}, 2, DType::float32), false);
  p.add("b", normal_tensor({5}, 3, DType::float32));
  return p;
}

}  // namespace

TEST_CASE("parameters: names, order and count") {
  Parameters p = some();
  REQUIRE(p.size() == 3);
  CHECK(p.name(0) == "a");
  CHECK(p.name(1) == "frozen");
  CHECK(p.trainable(0));
  CHECK_FALSE(p.trainable(1));
  CHECK(p.count() == 11);
  CHECK(p.add("c", Tensor::zeros({1})) == 3);
  CHECK(p.count() == 12);
}

TEST_CASE("parameters: on a tape the frozen ones are constants") {
  const Parameters p = some();
  Tape tape;
  const Vars w = p.on(tape);
  REQUIRE(w.size() == 3);
  CHECK(tape.size() == 2);
  CHECK(w[0].tracked());
  CHECK_FALSE(w[1].tracked());
  CHECK(w[2].tracked());
  for (std::size_t i = 0; i < 3; ++i) CHECK(same_bits(w[i].value(), p[i]));
}

TEST_CASE("parameters: constants in either type") {
  const Parameters p = some();
  const Vars same = p.constants();
  const Vars wide = p.constants(DType::float64);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK_FALSE(same[i].tracked());
    CHECK(same_bits(same[i].value(), p[i]));
    CHECK(wide[i].dtype() == DType::float64);
    CHECK(same_bits(wide[i].value().to(DType::float32), p[i]));
  }
}

TEST_CASE("parameters: set replaces a value of the same shape") {
  Parameters p = some();
  const Tensor value = normal_tensor({5}, 9, DType::float32);
  p.set(2, value);
  CHECK(same_bits(p[2], value));
  CHECK_THROWS_WITH_AS(p.set(2, Tensor::zeros({4})), "parameter b has shape (5), not (4)", levda::Error);
  CHECK_THROWS_WITH_AS(p.set(0, Tensor::zeros({6})), "parameter a has shape (2, 3), not (6)", levda::Error);
  CHECK(same_bits(p[2], value));
  CHECK_THROWS_WITH_AS(p.add("a", Tensor::zeros({1})), "two parameters have the name a", levda::Error);
  CHECK(p.size() == 3);
}

TEST_CASE("parameters: moved to a device and back, the frozen ones too, they have the same bits") {
  const Parameters before = some();
  Parameters p = before;
  for (std::size_t i = 0; i < p.size(); ++i) CHECK(p[i].storage() != before[i].storage());  // a copy is independent
  const levda::autodiff::Storage* const first = p[0].storage();
  p.move(cpu());
  CHECK(p[0].storage() == first);
  for (Backend* device : levda::testing::devices()) {
    p.move(*device);
    for (std::size_t i = 0; i < p.size(); ++i) {
      CHECK(&p[i].backend() == device);
      CHECK(before[i].device() == Device::cpu);
    }
    p.move(cpu());
    for (std::size_t i = 0; i < p.size(); ++i) CHECK(same_bits(p[i], before[i]));
  }
}
