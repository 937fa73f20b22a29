/// The CUDA backend beyond single operations: sizes beyond a block, errors that come late, memory,
/// recordings.

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/audit.h"
#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/tiled_sum.h"
#include "tests/autodiff/compare.h"
#ifdef LEVDA_CUDA_STAND_IN
#include "tests/cuda_on_cpu/stand_in.h"
#endif

using namespace levda::autodiff;
using namespace levda::testing;

namespace {

/// Largest difference of f on both backends, relative to the largest result.
double difference(const std::function<Var(const Vars&)>& f, const std::vector<Tensor>& inputs) {
  Vars here;
  Vars there;
  for (const Tensor& x : inputs) {
    here.emplace_back(x);
    there.emplace_back(x.to(cuda()));
  }
  const std::vector<double> expected = f(here).value().to_vector();
  return largest_difference(f(there).value().to_vector(), expected) / (1 + largest(expected));
}

}  // namespace

TEST_CASE("gpu: sums over any axes of any size") {
  const std::vector<std::pair<Shape, Shape>> all{{{1000, 30}, {30}},
                                                 {{30, 1000}, {30, 1}},
                                                 {{40000}, {}},
                                                 {{3000, 3}, {3}},
                                                 {{7, 130, 5}, {130, 1}},
                                                 {{2, 3, 4, 5}, {3, 1, 5}},
                                                 {{2, 300, 2}, {2, 1, 2}},
                                                 {{600, 1, 7}, {7}},
                                                 {{5, 600}, {600}},
                                                 {{1, 1}, {1}},
                                                 {{257, 300}, {300}},
                                                 {{33, 2, 65}, {33, 1, 1}}};
  for (const auto& [x, y] : all) {
    CAPTURE(x.text());
    CAPTURE(y.text());
    const auto f = [&y = y](const Vars& v) { return sum_to(v[0], y); };
    // Both add at most 4e4 numbers, whose sum is as large as the root of their number; in double.
    CHECK(difference(f, {normal_tensor(x, 1)}) <= 4e4 * 0x1p-53);
    // The CPU adds blocks of 1024 in float32.
    CHECK(difference(f, {normal_tensor(x, 2, DType::float32)}) <= 1024 * 0x1p-24);
  }
}

TEST_CASE("gpu: broadcasting, and views that begin anywhere") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto check = [&](const std::function<Var(const Vars&)>& f, const Shape& a, const Shape& b) {
      CAPTURE(a.text());
      CAPTURE(b.text());
      CHECK(difference(f, {normal_tensor(a, 1, dtype), normal_tensor(b, 2, dtype)}) <= 4 * 0x1p-24);
    };
    const auto product = [](const Vars& v) { return v[0] * v[1]; };
    check(product, {1000}, {1000});
    check(product, {1001}, {1001});
    check(product, {1000}, {1});
    check(product, {}, {515});
    check(product, {90, 1, 7}, {1, 5, 7});
    check(product, {3, 4, 5, 6}, {4, 1, 6});
    const auto rows = [](const Vars& v) {  // from the second row of 3 on: no multiple of 16 bytes
      const Var a = v[0].value().rows(1, 5);
      const Var b = v[1].value().rows(1, 5);
      return silu(a) + sin(b) * exp(a);
    };
    check(rows, {6, 3}, {6, 3});
    const auto kept_slope = [](const Vars& v) {
      Tape tape;
      const Var a = tape.variable(v[0].value().rows(1, 5));
      const Var y = silu(a);
      return vjp(y, v[1].value().rows(1, 5), {a})[0];
    };
    check(kept_slope, {6, 3}, {6, 3});
    check(kept_slope, {6, 8}, {6, 8});
    check([](const Vars& v) { return where(greater(v[0], v[1]), v[0], v[1]); }, {70, 1, 9}, {5, 9});
  }
}

TEST_CASE("gpu: layouts of many elements") {
  const Tensor x = normal_tensor({30, 41, 5}, 1);
  CHECK(difference([](const Vars& v) { return transpose(v[0], {2, 0, 1}); }, {x}) == 0);
  CHECK(difference([](const Vars& v) { return concat({v[0], slice(v[0], 1, 3, 20), v[0]}, 1); }, {x}) == 0);
  CHECK(difference([](const Vars& v) { return pad(v[0], 1, 3, 50); }, {x}) == 0);
  CHECK(difference([](const Vars& v) { return expand(reshape(v[0], {30, 41, 1, 5}), {30, 41, 7, 5}); }, {x}) == 0);
  std::vector<std::int64_t> places;
  Random random(3);
  for (int i = 0; i < 700; ++i) places.push_back(random.below(41));
  const auto index = [&](const Var& like) { return Tensor::indices(places, like.value().backend()); };
  CHECK(difference([&](const Vars& v) { return gather(v[0], 1, index(v[0])); }, {x}) == 0);
  // About 17 terms of order one for each row; the CPU adds them in pairs, the GPU in double.
  const double tolerance = 17 * 8 * 0x1p-24;
  const Tensor many = normal_tensor({2, 700, 3}, 2, DType::float32);
  CHECK(difference([&](const Vars& v) { return scatter_add(v[0], 1, index(v[0]), 41); }, {many}) <= tolerance);
  CHECK(difference([&](const Vars& v) { return scatter_add(v[0], 1, index(v[0]), 900); }, {many}) <= tolerance);
}

TEST_CASE("gpu: products of any shape, with and without a bias in the product") {
  const auto check = [](DType dtype) {
    const double tolerance = (dtype == DType::float64 ? 0x1p-53 : 0x1p-24) * 130;  // sums of up to 65 products, twice
    const auto one = [&](const Shape& a, const Shape& b, bool ta, bool tb) {
      CAPTURE(a.text());
      CAPTURE(b.text());
      CHECK(difference([&](const Vars& v) { return matmul(v[0], v[1], ta, tb); },
                       {normal_tensor(a, 1, dtype), normal_tensor(b, 2, dtype)}) <= tolerance);
    };
    one({65, 33}, {33, 17}, false, false);
    one({33, 65}, {33, 17}, true, false);
    one({65, 33}, {17, 33}, false, true);
    one({33, 65}, {17, 33}, true, true);
    one({1, 64}, {64, 1}, false, false);
    one({7, 5, 9}, {9, 4}, false, false);
    one({7, 9, 5}, {9, 4}, true, false);
    one({2, 3, 5, 9}, {3, 4, 9}, false, true);
    one({2, 1, 5, 9}, {3, 9, 4}, false, false);
    one({5, 9}, {6, 9, 4}, false, false);
    const auto layer = [](const Vars& v) { return linear_silu(v[0], v[1], v[2]); };
    const std::vector<Tensor> inputs{normal_tensor({37, 20}, 1, dtype), normal_tensor({20, 33}, 2, dtype),
                                     normal_tensor({33}, 3, dtype)};
    CHECK(difference(layer, inputs) <= tolerance);
    const auto from_the_second_row = [](const Vars& v) { return linear(v[0].value().rows(1, 37), v[1], v[2]); };
    CHECK(difference(from_the_second_row, {normal_tensor({37, 21}, 1, dtype), normal_tensor({21, 33}, 2, dtype),
                                           normal_tensor({33}, 3, dtype)}) <= tolerance);
  };
  check(DType::float32);
  check(DType::float64);
#ifdef LEVDA_CUDA_STAND_IN
  // Other sizes, since plans are kept.
  levda::cuda_on_cpu::refuse_bias_epilogue(true);
  const std::vector<Tensor> inputs{normal_tensor({38, 20}, 1), normal_tensor({20, 34}, 2), normal_tensor({34}, 3)};
  CHECK(difference([](const Vars& v) { return linear(v[0], v[1], v[2]); }, inputs) <= 130 * 0x1p-53);
  levda::cuda_on_cpu::refuse_bias_epilogue(false);
#endif
}

TEST_CASE("gpu: products in less than float32 are asked for, and go back") {
  const Tensor a = normal_tensor({64, 64}, 1, DType::float32);
  const auto f = [](const Vars& v) { return matmul(v[0], v[0]); };
  const double exact = difference(f, {a});
  cuda().set_matmul_precision(MatmulPrecision::tf32);
  const double rounded = difference(f, {a});
  cuda().set_matmul_precision(MatmulPrecision::float32);
  CHECK(exact <= 130 * 0x1p-24);
  CHECK(rounded > 4 * exact);
  CHECK(rounded <= 0x1p-10);  // ten bits of each factor
  CHECK(difference(f, {a}) == exact);
  CHECK_THROWS_WITH_AS(cpu().set_matmul_precision(MatmulPrecision::tf32), "products in tf32 need a GPU", levda::Error);
}

TEST_CASE("gpu: dense systems of more rows than a few") {
  const Tensor x = normal_tensor({3, 40, 40}, 1);
  const Tensor b = normal_tensor({40, 5}, 2);
  const auto shifted = [](const Var& v) {
    std::vector<double> unit(1600, 0.0);
    for (std::size_t i = 0; i < 40; ++i) unit[i * 41] = 20;
    return v + Var(Tensor::from(std::span<const double>(unit), {40, 40}, v.dtype(), v.value().backend()));
  };
  // Condition numbers of about 10 (normal matrices of 40 rows, moved by three times their radius).
  const double tolerance = 40 * 10 * 0x1p-53;
  CHECK(difference([&](const Vars& v) { return solve(shifted(v[0]), v[1]); }, {x, b}) <= tolerance);
  CHECK(difference([&](const Vars& v) { return solve(shifted(v[0]), v[1], true); }, {x, b}) <= tolerance);
  CHECK(difference([&](const Vars& v) { return cholesky(shifted(v[0])); }, {x}) <= tolerance);
  // Row exchanges that matter: a zero on the diagonal.
  const Tensor swapped = Tensor::from(std::vector<double>{0, 2, 1, 3, 1, 0, 1, 0, 5}, {3, 3});
  for (const bool transposed : {false, true})
    CHECK(difference([&](const Vars& v) { return solve(v[0], v[1], transposed); },
                     {swapped, normal_tensor({3, 2}, 3)}) <= 100 * 0x1p-53);
}

TEST_CASE("gpu: errors of the device come out when the host waits, once, and name the operation") {
  const Tensor x = Tensor::zeros({2, 3}, DType::float64, cuda());
  const auto wrong = [](std::int64_t k) { return Tensor::indices(std::vector<std::int64_t>{0, k}, cuda()); };
  CHECK_THROWS_WITH_AS(gather(x, 0, wrong(2)).value().to_vector(), "[gather] index 2 is outside 2 rows", levda::Error);
  CHECK(x.to_vector().size() == 6);  // as if nothing had been
  CHECK_THROWS_WITH_AS(gather(x, 1, wrong(-1)).value().to_vector(), "[gather] index -1 is outside 3 rows",
                       levda::Error);
  CHECK_THROWS_WITH_AS(scatter_add(x, 0, wrong(4), 4).value().to_vector(), "[scatter_add] index 4 is outside 4 rows",
                       levda::Error);
  scatter_add(x, 0, wrong(0), 0);
  CHECK_THROWS_WITH_AS(cuda().synchronise(), "[scatter_add] index 0 is outside 0 rows", levda::Error);
  const Var singular = Tensor::from(std::vector<double>{1, 2, 2, 4}, {2, 2}, DType::float64, cuda());
  const Var b = Tensor::zeros({2, 1}, DType::float64, cuda());
  CHECK_THROWS_WITH_AS(solve(singular, b).value().to_vector(), "[solve] singular matrix of 2 rows", levda::Error);
  CHECK_THROWS_WITH_AS(cholesky(-1 * singular).value().to_vector(),
                       "[cholesky] not positive definite: a matrix of 2 rows", levda::Error);
  cuda().synchronise();
}

TEST_CASE("gpu: tensors of two devices do not mix, and go back and forth") {
  const Tensor here = normal_tensor({5, 3}, 1);
  const Tensor there = here.to(cuda());
  CHECK(there.device() == Device::cuda);
  CHECK(there.to(cuda()).storage() == there.storage());
  CHECK(same_bits(there.to(cpu()), here));
  CHECK(same_bits(there.to(DType::float32).to(cpu()), here.to(DType::float32)));
  CHECK_THROWS_WITH_AS(Var(here) + Var(there), "[add] the inputs are on devices cpu and cuda", levda::Error);
  Tensor overwritten = Tensor::zeros({3}, DType::float64, cuda());
  overwritten.set(std::span<const double>(std::vector<double>{1, 2, 3}));
  CHECK(overwritten.to_vector() == std::vector<double>{1, 2, 3});
  CHECK_THROWS_AS(overwritten.set(std::span<const double>(std::vector<double>{1, 2})), levda::Error);
  // More than the ring of small uploads holds at once, and more than it holds in all.
  const std::vector<double> large(1 << 19, 1.5);
  CHECK(sum(Var(Tensor::from(std::span<const double>(large), {1 << 19}, DType::float64, cuda()))).value().item() ==
        1.5 * (1 << 19));
  Tensor total = Tensor::zeros({1000}, DType::float64, cuda());
  for (int k = 0; k < 2000; ++k) {
    const std::vector<double> part(1000, k);
    const Tensor term = Tensor::from(std::span<const double>(part), {1000}, DType::float64, cuda());
    cuda().binary(Binary::add, total, term, total);
  }
  CHECK(total.to_vector() == std::vector<double>(1000, 1999 * 2000 / 2));
}

TEST_CASE("gpu: random rows and Adam are the CPU's") {
  const RandomRows rows{.seed = (std::uint64_t{7} << 40) + 5, .stream = 1000, .choices = 12345};
  const auto drawn = [&](Backend& backend) {
    const Tensor step = Tensor::indices(std::vector<std::int64_t>{17}, backend);
    const Tensor base = Tensor::indices(std::vector<std::int64_t>{0, 1000000, -5}, backend);
    Tensor y = Tensor::empty({3 * 301}, DType::int64, backend);
    backend.draw_rows(rows, step, base, y);
    return y.to(cpu());
  };
  CHECK(same_bits(drawn(cuda()), drawn(cpu())));

  for (const DType dtype : {DType::float32, DType::float64}) {
    const auto stepped = [&](Backend& backend) {
      Tensor m = normal_tensor({301}, 1, dtype).to(backend);
      Tensor v = square(Var(normal_tensor({301}, 2, dtype))).value().to(backend);
      Tensor p = normal_tensor({301}, 3, dtype).to(backend);
      const Tensor g = normal_tensor({301}, 4, dtype).to(backend);
      const Tensor now = Tensor::from(std::vector<double>{1e-2, 10, 1000, 1e-4}, {4}, DType::float64, backend);
      backend.adam({.beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}, now, g, m, v, p);
      return concat({Var(m), Var(v), Var(p)}, 0).value().to_vector();
    };
    const std::vector<double> expected = stepped(cpu());
    const double unit = dtype == DType::float64 ? 0x1p-53 : 0x1p-24;
    CHECK(largest_difference(stepped(cuda()), expected) <= 16 * unit * (1 + largest(expected)));
  }
}

TEST_CASE("gpu: memory is accounted for and comes back") {
  cuda().synchronise();
  const MemoryUse before = cuda().memory();
  {
    const Tensor x = Tensor::zeros({1 << 18}, DType::float32, cuda());
    CHECK(cuda().memory().live - before.live == 1 << 20);
    CHECK(cuda().memory().peak >= before.live + (1 << 20));
  }
  CHECK(cuda().memory().live == before.live);
  CHECK(cuda().available() > 0);
#ifdef LEVDA_CUDA_STAND_IN
  const auto allocations = levda::cuda_on_cpu::counts().allocations;
  for (int k = 0; k < 20; ++k) Tensor::zeros({1 << 18}, DType::float32, cuda());
  CHECK(levda::cuda_on_cpu::counts().allocations == allocations);  // the cached block each time
  levda::cuda_on_cpu::set_memory_limit(levda::cuda_on_cpu::counts().live_bytes + 1000);
  CHECK_THROWS_WITH_AS(Tensor::zeros({1 << 28}, DType::float32, cuda()), doctest::Contains("out of device memory"),
                       levda::Error);
  levda::cuda_on_cpu::set_memory_limit(std::size_t{8} << 30);
  CHECK(Tensor::full({3}, 2, DType::float64, cuda()).to_vector() == std::vector<double>(3, 2.0));
#endif
}

TEST_CASE("gpu: the guard and the accounts of a tape") {
  Tape tape;
  tape.guard(true);
  const Var x = tape.variable(Tensor::from(std::vector<double>{1, -1}, {2}, DType::float64, cuda()));
  CHECK_THROWS_WITH_AS(
      log(x), "[log] made 1 of 2 numbers NaN or infinite at node 1; result (2) 0 to 0, 1 not finite; from (2) -1 to 1",
      levda::NonFiniteError);
  const Var y = sin(x);
  CHECK(audit(tape).memory.live == cuda().memory().live);
  CHECK(audit(tape).operations.size() == 2);
}

TEST_CASE("gpu: sums over tiles, their gradients and second derivatives") {
  const auto f = [](const Vars& shared, const Vars& rows) {
    return sum(square(linear_silu(rows[0], shared[0], shared[1]) - rows[1]));
  };
  const auto gradients = [&](Backend& backend, std::int64_t tile) {
    const auto input = [&](const Shape& shape, std::uint64_t seed) { return normal_tensor(shape, seed).to(backend); };
    const std::vector<Tensor> weights{input({4, 6}, 1), input({6}, 2)};
    const Var x(input({50, 4}, 3));
    const Var y(input({50, 6}, 4));
    const Function total = [&](const Vars& w) { return tiled_sum(f, w, {x, y}, tile); };
    std::vector<double> all;
    const auto add = [&](const Tensor& part) {
      for (const double value : part.to_vector()) all.push_back(value);
    };
    const ValueAndGrad result = value_and_grad(total, weights);
    all.push_back(result.value);
    for (const Tensor& g : result.gradients) add(g);
    const std::vector<Tensor> v{input({4, 6}, 5), input({6}, 6)};
    for (const Tensor& h : hvp(total, weights, v)) add(h);
    return all;
  };
  const std::vector<double> expected = gradients(cpu(), 7);
  for (const std::int64_t tile : {1, 7, 50, 1000})
    CHECK(largest_difference(gradients(cuda(), tile), expected) <= 1e-12 * largest(expected));
}

TEST_CASE("gpu: a recording does what its function does, with what lies in its tensors then") {
  Tensor x = Tensor::zeros({40, 3}, DType::float64, cuda());
  Tensor y = Tensor::zeros({3}, DType::float64, cuda());
  const Tensor w = normal_tensor({3, 3}, 1).to(cuda());
  const auto f = [&] {
    Tape tape;
    const Var in = tape.variable(x);
    const Var out = sum(square(silu(matmul(in, Var(w)))));
    const Var g = vjp(out, Tensor::full({}, 1, DType::float64, cuda()), {in})[0];
    const Tensor columns = sum_to(g, {3}).value();
    cuda().binary(Binary::add, y, columns, y);
  };
  const std::int64_t live = cuda().memory().live;
  std::vector<std::vector<double>> by_calls;
  const auto run = [&](const std::function<void()>& step) {
    std::vector<std::vector<double>> results;
    y.set(std::span<const double>(std::vector<double>(3, 0.0)));
    for (std::uint64_t k = 0; k < 5; ++k) {
      x.set(std::span<const double>(normal_tensor({40, 3}, 10 + k).to_vector()));
      step();
      results.push_back(y.to_vector());
      // Memory of others between the replays, overwritten: none of it is the recording's.
      for (const std::int64_t n : {3, 120, 9}) Tensor::full({n}, 1e300, DType::float64, cuda());
    }
    return results;
  };
  by_calls = run(f);
  {
    const std::unique_ptr<Recording> recording = cuda().record(f);
    CHECK(run([&] { recording->run(); }) == by_calls);
    CHECK(cuda().memory().live > live);
  }
  CHECK(cuda().memory().live == live);
#ifdef LEVDA_CUDA_STAND_IN
  {
    const std::unique_ptr<Recording> recording = cuda().record(f);
    for (int k = 0; k < 2; ++k) recording->run();
    const auto before = levda::cuda_on_cpu::counts();
    for (int k = 0; k < 10; ++k) recording->run();
    const auto after = levda::cuda_on_cpu::counts();
    CHECK(after.launches == before.launches);
    CHECK(after.graph_launches == before.graph_launches + 10);
    CHECK(after.allocations == before.allocations);
  }
#endif
}

TEST_CASE("gpu: what a recording must not do is refused, and the backend goes on") {
  Tensor x = Tensor::zeros({3}, DType::float64, cuda());
  for (int what = 0; what < 3; ++what) {
    bool first = true;  // the first run is no recording yet
    const std::unique_ptr<Recording> recording = cuda().record([&] {
      const Tensor y = (Var(x) + 1.0).value();
      if (first) return;
      if (what == 0) y.to_vector();
      if (what == 1) x.set(std::span<const double>(std::vector<double>(3, 1.0)));
      if (what == 2) cuda().synchronise();
    });
    recording->run();
    first = false;
    const char* const messages[] = {"a download inside a recorded step", "an upload inside a recorded step",
                                    "waiting inside a recorded step"};
    CHECK_THROWS_WITH_AS(recording->run(), messages[what], levda::Error);
    CHECK((Var(x) + 1.0).value().to_vector() == std::vector<double>(3, 1.0));
  }
}
