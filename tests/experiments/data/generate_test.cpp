/// What generate_dataset puts into a data set, against the solver itself.

#include "experiments/data/generate.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/error.h"
#include "experiments/data/cases.h"
#include "experiments/data/dataset_file.h"
#include "experiments/training/training.h"
#include "models/interpolation.h"
#include "nn/safetensors.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;

namespace {

Config small() {
  Config config = load_preset("tsunami", "small");
  for (const char* setting : {"data.nodes=12", "data.frames=4", "data.frame_interval=2000", "data.steps_per_frame=10",
                              "data.train=2", "data.valid=1", "data.test=1", "data.between=7"})
    apply_setting(config, setting);
  return config;
}

}  // namespace

TEST_CASE("frames and values between them are the solver's own states, channels from their staggered places") {
  const Config config = small();
  std::vector<std::int64_t> finished;
  const Dataset set = generate_dataset(config, [&](std::int64_t done) { finished.push_back(done); });
  CHECK(finished == std::vector<std::int64_t>{1, 2, 3, 4});
  const models::Grid& grid = set.about.grid;
  const BetweenFrames& between = set.between;
  REQUIRE(between.points == 7);
  REQUIRE(between.fraction.size() == 4 * 3);
  REQUIRE(between.values.size() == 4 * 3 * 7 * 3);
  const auto size = static_cast<std::size_t>(set.frame_size());
  std::vector<std::int64_t> steps;
  for (std::int64_t step = 0; step <= 40; ++step) steps.push_back(step);
  std::vector<float> states(steps.size() * size);
  bool off_the_nodes = false;
  for (std::int64_t member = 0; member < 4; ++member) {
    find_case("tsunami").solver(config.data)(set.parameters_of(member), steps, states);
    for (std::int64_t frame = 0; frame < 4; ++frame) {
      const std::span<const float> expected = std::span(states).subspan(10 * (frame + 1) * size, size);
      const std::span<const float> found = set.frame(member, frame);
      REQUIRE(std::equal(found.begin(), found.end(), expected.begin()));
    }
    for (std::int64_t interval = 0; interval < 3; ++interval) {
      const std::int64_t at = member * 3 + interval;
      const double step = 10 * between.fraction[at];
      REQUIRE(step == std::round(step));
      CHECK(step >= 1);
      CHECK(step <= 9);
      const std::int64_t whole = 10 * (interval + 1) + std::llround(step);
      const std::span<const float> state = std::span(states).subspan(whole * size, size);
      for (std::int64_t k = at * 7; k < (at + 1) * 7; ++k) {
        CHECK(between.x[k] >= grid.x0);
        CHECK(between.x[k] <= grid.x0 + grid.width());
        CHECK(between.y[k] >= grid.y0);
        CHECK(between.y[k] <= grid.y0 + grid.height());
        const double cells = (between.x[k] - grid.x0) / grid.dx;
        off_the_nodes = off_the_nodes || std::abs(cells - std::round(cells)) > 0.1;
        for (std::int64_t c = 0; c < 3; ++c)
          CHECK(between.values[k * 3 + c] ==
                static_cast<float>(models::interpolate(state, grid, c, between.x[k] + grid.offset_x[c] * grid.dx,
                                                       between.y[k] + grid.offset_y[c] * grid.dy)));
      }
    }
  }
  CHECK(off_the_nodes);
}

TEST_CASE("a data set comes back from its file bit by bit, values between frames too") {
  const testing::TemporaryFolder folder;
  const Dataset set = generate_dataset(small(), {});
  std::string name;
  SUBCASE("NetCDF") { name = "data.nc"; }
  SUBCASE("safetensors") { name = "data.safetensors"; }
  write_dataset(folder / name, set);
  CHECK(fingerprint_of(folder / name) == set.fingerprint);
  const Dataset back = read_dataset(folder / name);
  CHECK(training_fingerprint(small(), back) == training_fingerprint(small(), set));
  CHECK(back.train == set.train);
  CHECK(back.valid == set.valid);
  CHECK(back.test == set.test);
  CHECK(back.about.case_name == set.about.case_name);
  CHECK(back.about.parameter_max == set.about.parameter_max);
  CHECK(back.about.channel_units == set.about.channel_units);
  CHECK(back.about.grid.dx == doctest::Approx(set.about.grid.dx).epsilon(1e-15));
  CHECK(back.about.grid.offset_x == set.about.grid.offset_x);
  CHECK(back.fields == set.fields);
  CHECK(back.parameters == set.parameters);
  CHECK(back.fingerprint == set.fingerprint);
  CHECK(back.between.points == set.between.points);
  CHECK(back.between.fraction == set.between.fraction);
  CHECK(back.between.x == set.between.x);
  CHECK(back.between.y == set.between.y);
  CHECK(back.between.values == set.between.values);
  CHECK(back.about.frame_interval == set.about.frame_interval);
}

TEST_CASE("a data set in safetensors that contradicts itself is refused by the entry at fault") {
  const testing::TemporaryFolder folder;
  const std::filesystem::path path = folder / "data.safetensors";
  const auto refusal = [&](const auto& damage) {
    write_dataset(path, generate_dataset(small(), {}));
    nn::TensorFile file = nn::read_safetensors(path);
    damage(file);
    nn::write_safetensors(path, file);
    try {
      read_dataset(path);
    } catch (const InputError& error) {
      return std::string(error.what()).substr(path.string().size() + 2);
    }
    return std::string("none");
  };
  const auto replace = [](nn::TensorFile& file, const std::string& from, const std::string& to) {
    std::string& text = file.metadata.at("description");
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
  };
  using autodiff::Tensor;
  CHECK(refusal([](nn::TensorFile&) {}) == "none");
  CHECK(refusal([](nn::TensorFile& f) { f.tensors.erase("parameters"); }) == "parameters: no such tensor");
  CHECK(refusal([](nn::TensorFile& f) { f.metadata.erase("levda_configuration"); }) ==
        "levda_configuration: missing from the metadata");
  CHECK(refusal([](nn::TensorFile& f) { f.metadata["format"] = "levda-surrogate-1"; }).starts_with("format: "));
  CHECK(refusal([](nn::TensorFile& f) { f.metadata["description"] = "{"; }).starts_with("description: "));
  CHECK(refusal([&](nn::TensorFile& f) { replace(f, "\"train\":", "\"rain\":"); }).starts_with("description: "));
  CHECK(refusal([&](nn::TensorFile& f) { replace(f, "\"frames\":", "\"frames\":-"); }).starts_with("description: "));
  CHECK(refusal([&](nn::TensorFile& f) { replace(f, "\"nx\":", "\"nx\":1"); }).starts_with("field: float32 "));
  CHECK(refusal([](nn::TensorFile& f) {
          const Tensor& field = f.tensors.at("field");
          f.tensors["field"] = Tensor::full(field.shape(), std::numeric_limits<double>::infinity());
        }) == "field: holds a value that is not finite");
  CHECK(refusal([](nn::TensorFile& f) {
          const Tensor& field = f.tensors.at("between_field");
          f.tensors["between_field"] = field.reshaped({field.size()});
        }).starts_with("between_x: "));
}

TEST_CASE("no values between frames: where none are wanted, or the solver has no step there") {
  Config config = small();
  apply_setting(config, "data.between=0");
  CHECK(generate_dataset(config, {}).between.points == 0);
  config = small();
  apply_setting(config, "data.steps_per_frame=1");
  apply_setting(config, "data.frame_interval=200");
  CHECK(generate_dataset(config, {}).between.points == 0);
}
