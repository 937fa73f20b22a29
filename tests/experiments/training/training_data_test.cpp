/// What of a data set a training looks at.

#include <doctest/doctest.h>

#include <cmath>

#include "tests/autodiff/compare.h"
#include "tests/experiments/training/tiny_training.h"
#include "tests/nn/temporary_folder.h"

using namespace levda;
using namespace levda::experiments;
using levda::testing::TinyTraining;

namespace {

/// Frames, and values between them where wanted.
TinyTraining with(std::initializer_list<const char*> settings) {
  TinyTraining tiny;
  for (const char* setting : settings) apply_setting(tiny.config, setting);
  tiny.data = generate_dataset(tiny.config, {});
  return tiny;
}

std::vector<double> weights_of(const TinyTraining& tiny) {
  const levda::testing::TemporaryFolder folder;
  const models::Surrogate s = tiny.train(folder / "checkpoint");
  std::vector<double> all;
  for (std::size_t i = 0; i < s.net.parameters().size(); ++i)
    for (const double value : s.net.parameters()[i].to_vector()) all.push_back(value);
  return all;
}

}  // namespace

TEST_CASE("training looks at the values between frames") {
  TinyTraining tiny = with({"data.steps_per_frame=4", "data.between=5"});
  REQUIRE(tiny.data.between.points == 5);
  const std::vector<double> weights = weights_of(tiny);
  for (float& value : tiny.data.between.values) value += 1;
  CHECK(weights_of(tiny) != weights);
}

TEST_CASE("the error between frames is measured: it is part of the surrogate") {
  const levda::testing::TemporaryFolder folder;
  TinyTraining tiny = with({"data.steps_per_frame=4", "data.between=5"});
  const models::Surrogate s = tiny.train(folder / "checkpoint");
  CHECK(s.provenance.count("test_rel_rmse_between") == 1);
  // A truth that is far away at the validation member's places between frames, and only there.
  const auto per_member = tiny.data.between.values.size() / 4;
  for (std::size_t i = 2 * per_member; i < 3 * per_member; ++i) tiny.data.between.values[i] += 1e3F;
  const models::Surrogate far = tiny.train(folder / "checkpoint2");
  CHECK(far.error_variance.to_vector() == s.error_variance.to_vector());
  for (const double variance : far.between_variance.to_vector()) CHECK(variance > 1e6);
}

TEST_CASE("missing values are passed over: they would make every weight NaN") {
  TinyTraining tiny = with({"training.steps=20"});
  for (std::size_t i = 0; i < tiny.data.fields.size(); i += 3) tiny.data.fields[i] = std::nanf("");
  const levda::testing::TemporaryFolder folder;
  const models::Surrogate s = tiny.train(folder / "checkpoint");
  for (std::size_t i = 0; i < s.net.parameters().size(); ++i)
    for (const double weight : s.net.parameters()[i].to_vector()) CHECK(std::isfinite(weight));
  for (const double variance : s.error_variance.to_vector()) CHECK(variance > 0);
  CHECK(std::stod(s.provenance.at("test_rel_rmse")) > 0);
}

TEST_CASE("parameters that change in time but do not are constant ones, to the bit") {
  const TinyTraining constant = with({});
  TinyTraining varying = constant;
  varying.data.varying = true;
  varying.data.parameters.clear();
  for (std::int64_t member = 0; member < constant.data.members(); ++member)
    for (std::int64_t frame = 0; frame < constant.data.about.frames; ++frame) {
      const std::span<const double> own = constant.data.parameters_of(member);
      varying.data.parameters.insert(varying.data.parameters.end(), own.begin(), own.end());
    }
  const std::vector<double> weights = weights_of(constant);
  CHECK(weights_of(varying) == weights);
  // The last frame's value is in force on the step to it.
  varying.data.parameters[static_cast<std::size_t>(2 * (constant.data.about.frames - 1))] += 0.1;
  CHECK(weights_of(varying) != weights);
}

TEST_CASE("the library makes the program's surrogate of the same arrays, to the bit") {
  const TinyTraining tiny = with({"data.steps_per_frame=4", "data.between=5", "training.steps=20"});
  const Dataset& set = tiny.data;
  const Dataset arrays = models::make_dataset({.about = set.about,
                                               .train = set.train,
                                               .valid = set.valid,
                                               .test = set.test,
                                               .parameters = set.parameters,
                                               .fields = set.fields,
                                               .between = set.between},
                                              set.members());
  const levda::testing::TemporaryFolder folder;
  CHECK(models::content(models::train_surrogate(arrays, tiny.config.surrogate, tiny.config.training)) ==
        models::content(tiny.train(folder / "checkpoint")));
}
