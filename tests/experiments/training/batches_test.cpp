#include "models/batches.h"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "autodiff/random.h"
#include "experiments/data/generate.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/device.h"

using namespace levda;
using namespace levda::experiments;
using levda::autodiff::Random;
using levda::autodiff::Tensor;
using levda::testing::devices;
using models::Batch;
using models::Batches;
using models::Placement;
using models::Samples;

namespace {

struct Example {
  Config config = load_preset("tsunami", "small");
  Dataset data;
  models::Surrogate surrogate{.about = {},
                              .net = models::Ldnet({.decoder_depth = 1}, 1),
                              .field_mean = {0.5, -1, 2},
                              .field_std = {2, 0.25, 3},
                              .training_parameters = {},
                              .training_latents = {},
                              .error_variance = {},
                              .between_variance = {},
                              .provenance = {}};

  Example() {
    for (const char* setting :
         {"data.nodes=5", "data.frames=4", "data.steps_per_frame=2", "data.between=6", "data.train=7", "data.valid=1",
          "data.test=1", "training.trajectories=3", "training.points=4", "training.between=5"})
      apply_setting(config, setting);
    data = generate_dataset(config, {});
    surrogate.about = data.about;
  }
  Batches batches(autodiff::Backend& device, Placement placement) const {
    return Batches(config.training, data, surrogate, device, placement);
  }
};

/// Every tensor of a batch, on the CPU.
std::vector<Tensor> parts(const Batch& batch) {
  std::vector<Tensor> all{batch.u, batch.frames.x, batch.frames.y};
  if (batch.frames.mask) all.push_back(*batch.frames.mask);
  if (batch.between)
    for (const Tensor& x : {batch.fraction, batch.between->x, batch.between->y}) all.push_back(x);
  for (Tensor& x : all) x = x.to(autodiff::cpu());
  return all;
}

bool same_bits(const Batch& a, const Batch& b) {
  const std::vector<Tensor> x = parts(a);
  const std::vector<Tensor> y = parts(b);
  bool same = x.size() == y.size();
  for (std::size_t i = 0; same && i < x.size(); ++i) same = levda::testing::same_bits(x[i], y[i]);
  return same;
}

}  // namespace

TEST_CASE("a batch is random nodes of the step's trajectories, and random places of theirs between frames") {
  const Example e;
  const TrainingConfig& training = e.config.training;
  const models::Description& about = e.data.about;
  const auto seed = static_cast<std::uint64_t>(training.seed);
  const std::int64_t cells = about.grid.cells();
  const std::int64_t c = about.channels();
  const auto normal = [&](float value, std::int64_t channel) {
    return (value - static_cast<float>(e.surrogate.field_mean[channel])) *
           static_cast<float>(1 / e.surrogate.field_std[channel]);
  };
  for (autodiff::Backend* device : devices()) {
    Batches batches = e.batches(*device, Placement::resident);
    for (const std::uint32_t step : {0U, 1U, 2U, 7U}) {
      CAPTURE(step);
      batches.select(step);
      const std::vector<Tensor> found = parts(batches.batch());
      REQUIRE(found.size() == 6);
      std::vector<std::vector<float>> values;
      for (const Tensor& x : found) values.push_back(x.to_floats());
      // Two batches of three make an epoch of the seven trajectories; the order is that of stream 100.
      const std::vector<std::int64_t> order = Random(seed, 100, step / 2).permutation(7);
      const auto chosen = [&](std::int64_t group) { return order[step % 2 * 3 + group % 3]; };
      const std::vector<double> u = e.surrogate.normal_parameters(e.data.parameters);
      for (std::int64_t i = 0; i < found[0].size(); ++i)
        CHECK(values[0][i] ==
              static_cast<float>(u[chosen(i / about.parameters()) * about.parameters() + i % about.parameters()]));
      for (std::int64_t group = 0; group < about.frames * 3; ++group) {
        Random random(seed, 1000 + static_cast<std::uint32_t>(group), step);
        for (std::int64_t k = group * 4; k < (group + 1) * 4; ++k) {
          const std::int64_t node = random.below(cells);
          const models::Grid& grid = about.grid;
          CHECK(values[1][2 * k] == static_cast<float>(grid.normal_x(grid.node_x(node % grid.nx))));
          CHECK(values[1][2 * k + 1] == static_cast<float>(grid.normal_y(grid.node_y(0, node / grid.nx))));
          for (std::int64_t i = 0; i < c; ++i)
            CHECK(values[2][c * k + i] == normal(e.data.frame(chosen(group), group / 3)[i * cells + node], i));
        }
      }
      for (std::int64_t group = 0; group < (about.frames - 1) * 3; ++group) {
        const std::int64_t state = chosen(group) * (about.frames - 1) + group / 3;
        CHECK(values[3][group] == static_cast<float>(e.data.between.fraction[state]));
        Random random(seed, 1000 + static_cast<std::uint32_t>(about.frames * 3 + group), step);
        for (std::int64_t k = group * 5; k < (group + 1) * 5; ++k) {
          const std::int64_t place = state * 6 + random.below(6);
          CHECK(values[4][2 * k] == static_cast<float>(about.grid.normal_x(e.data.between.x[place])));
          CHECK(values[4][2 * k + 1] == static_cast<float>(about.grid.normal_y(e.data.between.y[place])));
          for (std::int64_t i = 0; i < c; ++i)
            CHECK(values[5][c * k + i] == normal(e.data.between.values[c * place + i], i));
        }
      }
    }
  }
}

TEST_CASE("batches that are sent are those of fields on the device, to the bit") {
  Example e;
  const auto check = [&] {
    for (autodiff::Backend* device : devices()) {
      Batches resident = e.batches(*device, Placement::resident);
      Batches streamed = e.batches(*device, Placement::streamed);
      Batches host = e.batches(autodiff::cpu(), Placement::resident);
      CHECK_FALSE(resident.streamed());
      CHECK(streamed.streamed());
      for (const std::int64_t step : {0, 1, 5, 4}) {
        for (Batches* batches : {&resident, &streamed, &host}) batches->select(step);
        CHECK(&streamed.batch().frames.y.backend() == device);
        CHECK(same_bits(resident.batch(), host.batch()));
        CHECK(same_bits(streamed.batch(), host.batch()));
      }
    }
  };
  SUBCASE("as they are") { check(); }
  SUBCASE("without values between frames") {
    e.data.between = {};
    check();
  }
  SUBCASE("parameters that change in time") {
    e.data.varying = true;
    e.data.parameters.clear();
    Random random(3);
    for (std::int64_t i = 0; i < e.data.members() * e.data.about.frames * e.data.about.parameters(); ++i)
      e.data.parameters.push_back(random.uniform());
    check();
  }
  SUBCASE("missing values") {
    for (std::size_t i = 0; i < e.data.fields.size(); i += 3) e.data.fields[i] = std::nanf("");
    check();
  }
}

TEST_CASE("what a step reads stays in place, so that it can be recorded before the first step") {
  const Example e;
  for (autodiff::Backend* device : devices())
    for (const Placement placement : {Placement::resident, Placement::streamed}) {
      Batches batches = e.batches(*device, placement);
      Tensor y = Tensor::zeros({12, 4, 3}, autodiff::DType::float32, *device);
      const auto recording = device->record([&] {
        autodiff::Strided all;
        all.strides[0] = 1;
        device->copy({y.size()}, batches.batch().frames.y, all, y, all);
      });
      for (const std::int64_t step : {3, 0, 8, 2}) {
        batches.select(step);
        recording->run();
        Batches fresh = e.batches(autodiff::cpu(), Placement::resident);
        fresh.select(step);
        CHECK(levda::testing::same_bits(y.to(autodiff::cpu()), fresh.batch().frames.y));
      }
    }
}

TEST_CASE("drawn once: the same points of a trajectory and frame whenever it comes, others of others") {
  Example e;
  e.config.training.draw = models::PointDraw::once;
  using Points = std::vector<float>;
  std::map<std::pair<std::vector<float>, std::int64_t>, Points> known;  // by (parameters of the trajectory, time)
  std::map<std::pair<std::vector<float>, std::int64_t>, Points> known_between;
  for (autodiff::Backend* device : devices())
    for (const Placement placement : {Placement::resident, Placement::streamed}) {
      Batches batches = e.batches(*device, placement);
      for (const std::int64_t step : {0, 1, 2, 3, 9, 4}) {
        batches.select(step);
        const Batch batch = batches.batch();
        const std::vector<float> u = batch.u.to_floats();
        const std::vector<std::int64_t> order =
            Random(static_cast<std::uint64_t>(e.config.training.seed), 100, static_cast<std::uint32_t>(step / 2))
                .permutation(7);
        const Tensor states = batches.states().to(autodiff::cpu());
        const auto look = [&](const Samples& samples, auto& seen) {
          const std::vector<float> x = samples.x.to_floats();
          const std::vector<float> y = samples.y.to_floats();
          for (std::int64_t group = 0; group < samples.x.shape()[0]; ++group) {
            const std::vector<float> own{u[group % 3 * 2], u[group % 3 * 2 + 1]};
            const std::int64_t points = samples.x.shape()[1];
            Points p(x.begin() + group * points * 2, x.begin() + (group + 1) * points * 2);
            p.insert(p.end(), y.begin() + group * points * 3, y.begin() + (group + 1) * points * 3);
            CHECK(seen.try_emplace({own, group / 3}, p).first->second == p);
          }
        };
        look(batch.frames, known);
        look(*batch.between, known_between);
        for (std::int64_t group = 0; group < 12; ++group)
          CHECK(states.data<std::int64_t>()[group] == order[step % 2 * 3 + group % 3] * 4 + group / 3);
      }
    }
  CHECK(known.size() == 7 * 4);
  CHECK(known_between.size() == 7 * 3);
  std::set<Points> different;
  for (const auto& [key, points] : known) different.insert(points);
  CHECK(different.size() == known.size());
}

TEST_CASE("a scaling of the network's own is what batches are normalised with") {
  Example e;
  e.surrogate.scaling = models::Scaling{{1, 2, 3}, {0.5, 4, 2}};
  Example plain;
  plain.surrogate.field_mean = {1, 2, 3};
  plain.surrogate.field_std = {0.5, 4, 2};
  CHECK(same_bits(e.batches(autodiff::cpu(), Placement::resident).batch(),
                  plain.batches(autodiff::cpu(), Placement::resident).batch()));
}

TEST_CASE("missing values are 0 where the mask is 0, and counted") {
  Example e;
  CHECK_FALSE(e.batches(autodiff::cpu(), Placement::automatic).missing());
  e.data.fields.back() = std::nanf("");  // of a test trajectory: no training looks at it
  CHECK_FALSE(e.batches(autodiff::cpu(), Placement::automatic).missing());
  for (std::size_t i = 0; i < e.data.fields.size(); i += 2) e.data.fields[i] = std::nanf("");
  for (autodiff::Backend* device : devices()) {
    Batches batches = e.batches(*device, Placement::automatic);
    CHECK(batches.missing());
    batches.select(2);
    const Batch batch = batches.batch();
    REQUIRE(batch.frames.mask);
    const std::vector<float> y = batch.frames.y.to_floats();
    const std::vector<float> mask = batch.frames.mask->to_floats();
    double count = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      CHECK((mask[i] == 1 || (mask[i] == 0 && y[i] == 0)));
      CHECK(std::isfinite(y[i]));
      count += mask[i];
    }
    CHECK(count > 0);
    CHECK(count < static_cast<double>(y.size()));
    CHECK(batch.frames.count() == count);
    CHECK(batch.between->count() == static_cast<double>(batch.between->y.size()));
  }
}

TEST_CASE("with a pool, batches are of its nodes and of no others, each at its place") {
  Example e;
  const std::int64_t cells = e.data.about.grid.cells();
  const std::int64_t frames = e.data.about.frames;
  const std::int64_t c = e.data.about.channels();
  Dataset whole = e.data;
  e.data.pool.points = 6;
  e.data.moments = field_moments(whole);
  e.data.in_memory = e.data.train;
  Random random(7, 1);
  for (std::int64_t i = 0; i < e.data.train * frames * 6; ++i) {
    const std::int64_t node = random.below(cells);
    e.data.pool.nodes.push_back(static_cast<std::int32_t>(node));
    for (std::int64_t channel = 0; channel < c; ++channel)
      e.data.pool.values.push_back(whole.frame(i / (6 * frames), i / 6 % frames)[channel * cells + node]);
  }
  e.data.fields.erase(e.data.fields.begin(), e.data.fields.begin() + e.data.train * frames * c * cells);
  const std::vector<float> nodes = models::grid_points(e.data.about.grid, 1).to_floats();
  for (autodiff::Backend* device : devices())
    for (const Placement placement : {Placement::resident, Placement::streamed}) {
      Batches batches = e.batches(*device, placement);
      batches.select(1);
      const std::vector<Tensor> found = parts(batches.batch());
      const std::vector<float> x = found[1].to_floats();
      const std::vector<float> y = found[2].to_floats();
      const std::vector<std::int64_t> order =
          Random(static_cast<std::uint64_t>(e.config.training.seed), 100, 0).permutation(7);
      for (std::int64_t i = 0; i < frames * 3 * 4; ++i) {
        const std::int64_t member = order[3 + i / 4 % 3];
        const std::int64_t first = (member * frames + i / 12) * 6;
        bool of_the_pool = false;
        for (std::int64_t k = first; k < first + 6 && !of_the_pool; ++k) {
          const std::int32_t node = e.data.pool.nodes[k];
          of_the_pool = x[2 * i] == nodes[2 * node] && x[2 * i + 1] == nodes[2 * node + 1];
          for (std::int64_t channel = 0; channel < c && of_the_pool; ++channel)
            CHECK(y[i * c + channel] ==
                  (e.data.pool.values[k * c + channel] - static_cast<float>(e.surrogate.field_mean[channel])) *
                      static_cast<float>(1 / e.surrogate.field_std[channel]));
        }
        CHECK(of_the_pool);
      }
    }
}
