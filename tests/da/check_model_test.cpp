/// Models that are right pass every row of the check; each fault fails in the row that names it.

#include "da/check_model.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autodiff/custom_op.h"
#include "autodiff/error.h"
#include "da/latent_model.h"
#include "linear_model.h"
#include "tests/autodiff/compare.h"
#include "tests/da/forced_lorenz.h"

using namespace levda;
using namespace levda::da;
using autodiff::Tensor;
using autodiff::Var;
using Result = ModelCheck::Result;

namespace {

Ensemble ensemble_of(std::int64_t members, std::int64_t controls, double about, double spread) {
  autodiff::Random random(3);
  std::vector<double> values;
  for (std::int64_t i = 0; i < members * controls; ++i) values.push_back(about + spread * random.normal());
  return Ensemble(Tensor::from(std::span<const double>(values), {members, controls}));
}

Observations lorenz_observations() {
  Observations o;
  for (int t = 0; t < 4; ++t)
    for (std::int64_t c = 0; c < 3; ++c) o.add(0.05 * t, 0, 0, c, 0, 0.5);
  return o;
}

const CheckSettings lorenz{.durations = {0.05, 0.1}, .places_matter = false};

/// Lorenz-96 seen through an operator that a test spoils.
template <typename Operator>
class Spoilt final : public ForwardModel {
 public:
  std::int64_t controls() const override { return inner_.controls(); }
  Var advance(const Var& v, double duration) const override { return inner_.advance(v, duration); }
  std::unique_ptr<ObservationOperator> observe(const Observations& o) const override {
    return std::make_unique<Operator>(inner_, o);
  }

 private:
  StepModel inner_ = testing::forced_lorenz();
};

class Plain : public ObservationOperator {
 public:
  Plain(const StepModel& model, const Observations& o) : inner_(model.observe(o)) {}
  std::int64_t size() const override { return inner_->size(); }
  Var operator()(const Var& v) const override { return (*inner_)(v); }

 protected:
  std::unique_ptr<ObservationOperator> inner_;
};

class MixesRows final : public Plain {
 public:
  using Plain::Plain;
  Var operator()(const Var& v) const override {
    const Var y = Plain::operator()(v);
    return y + 1e-3 * sum_to(y, {y.shape()[1]});
  }
};

class IgnoresTime final : public Plain {
 public:
  IgnoresTime(const StepModel& model, Observations o) : Plain(model, at_start(std::move(o))) {}

 private:
  static Observations at_start(Observations o) {
    std::fill(o.time.begin(), o.time.end(), 0.0);
    return o;
  }
};

class IgnoresChannel final : public Plain {
 public:
  IgnoresChannel(const StepModel& model, Observations o) : Plain(model, first(std::move(o))) {}

 private:
  static Observations first(Observations o) {
    std::fill(o.channel.begin(), o.channel.end(), 0);
    return o;
  }
};

class NotFinite final : public Plain {
 public:
  using Plain::Plain;
  Var operator()(const Var& v) const override { return log(Plain::operator()(v) - 1e3); }
};

class WrongTangents final : public Plain {
 public:
  using Plain::Plain;
  Linearisation linearise(const Tensor& v, const Tensor& directions) const override {
    Linearisation all = Plain::linearise(v, directions);
    all.tangents = (2 * Var(all.tangents)).value();
    return all;
  }
};

/// One tangent, the last but one, is not a number: a place that a vectorised maximum passes over.
class NanTangent final : public Plain {
 public:
  using Plain::Plain;
  Linearisation linearise(const Tensor& v, const Tensor& directions) const override {
    Linearisation all = Plain::linearise(v, directions);
    std::vector<double> tangents = all.tangents.to_vector();
    tangents[tangents.size() - 2] = std::numeric_limits<double>::quiet_NaN();
    all.tangents = Tensor::from(std::span<const double>(tangents), all.tangents.shape());
    return all;
  }
};

class WrongConstants final : public Plain {
 public:
  using Plain::Plain;
  Tensor predict(const Tensor& v) const override { return (Var(Plain::predict(v)) + 1.0).value(); }
};

/// Its predictions depend on the number of observations.
class CountsObservations final : public Plain {
 public:
  using Plain::Plain;
  Var operator()(const Var& v) const override {
    return Plain::operator()(v) * (1 + 1e-6 * static_cast<double>(size()));
  }
};

/// The forward derivative of an operation is wrong; the reverse one is right.
class WrongJvp final : public Plain {
 public:
  using Plain::Plain;
  Var operator()(const Var& v) const override {
    static const autodiff::Function squared = autodiff::custom_op(
        {.name = "squared",
         .value = [](const autodiff::Vars& x) { return square(x[0]); },
         .vjp = [](const autodiff::Call& n, int, const Var& w) { return 2 * w * n.inputs[0]; },
         .jvp = [](const autodiff::Call& n, const autodiff::Vars& t) { return 3 * t[0] * n.inputs[0]; }});
    return squared({Plain::operator()(v)});
  }
};

/// The derivative misses a term.
class HalfDetached final : public Plain {
 public:
  using Plain::Plain;
  Var operator()(const Var& v) const override {
    const Var y = Plain::operator()(v);
    return y + square(y).detach();
  }
};

template <typename Operator>
ModelReport spoilt() {
  return check_model(Spoilt<Operator>(), ensemble_of(4, testing::places + 1, 3, 1), lorenz_observations(), lorenz);
}

/// The rows that failed, by name.
std::vector<std::string> failures(const ModelReport& report) {
  std::vector<std::string> names;
  for (const ModelCheck& one : report.rows)
    if (one.result == Result::failed) names.push_back(one.name);
  return names;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("models that are right pass: Lorenz, a linear model, a surrogate") {
  const ModelReport of_lorenz = spoilt<Plain>();
  CAPTURE(of_lorenz.table());
  CHECK(of_lorenz.passed());
  CHECK(of_lorenz.row("Taylor").detail.find("slopes: h 5.0e-03: ") == 0);
  CHECK(of_lorenz.row("place").result == Result::skipped);
  CHECK(of_lorenz.row("advance").result == Result::passed);
  CHECK(of_lorenz.table().find("jvp and vjp   passed") != std::string::npos);

  autodiff::Random random(5);
  const LinearModel linear(random_matrix(4, 4, random), random_matrix(3, 4, random));
  Observations o;
  for (int t = 0; t < 3; ++t)
    for (std::int64_t c = 0; c < 3; ++c) o.add(t, 0, 0, c, 0, 1);
  const ModelReport of_linear = check_model(linear, ensemble_of(5, 4, 0, 1), o, {.durations = {1, 2}});
  CAPTURE(of_linear.table());
  CHECK(of_linear.passed());

  models::Surrogate s{.about = {.channel_names = {"u", "v"},
                                .grid = {.nx = 8, .ny = 8, .offset_x = {0, 0.5}, .offset_y = {0, 0}},
                                .frames = 10,
                                .frame_interval = 10},
                      .net = models::Ldnet({.latent = 3, .parameters = 1, .channels = 2}, 3),
                      .field_mean = {0, 1},
                      .field_std = {1, 2},
                      .training_parameters = {},
                      .training_latents = {},
                      .error_variance = {},
                      .provenance = {}};
  const LatentModel latent(s);
  Observations seen;
  for (int i = 0; i < 30; ++i) seen.add(i % 4 * 7.5, 6 * random.uniform(), 6 * random.uniform(), i % 2, 0, 0.1);
  const ModelReport of_latent = check_model(latent, ensemble_of(4, 4, 0, 0.5), seen, {.durations = {20, 15}});
  CAPTURE(of_latent.table());
  CHECK(of_latent.passed());
  CHECK(of_latent.row("place").result == Result::passed);
}

TEST_CASE("each fault fails in the row that names it") {
  CHECK(failures(spoilt<MixesRows>()) == Names{"batch"});
  CHECK(failures(spoilt<IgnoresTime>()) == Names{"time"});
  CHECK(failures(spoilt<IgnoresChannel>()) == Names{"channel"});
  CHECK(failures(spoilt<NotFinite>()) == Names{"finite"});
  CHECK(spoilt<NotFinite>().row("Taylor").result == Result::skipped);
  CHECK(failures(spoilt<WrongTangents>()) == Names{"linearise"});
  CHECK(failures(spoilt<NanTangent>()) == Names{"linearise"});
  CHECK(failures(spoilt<WrongJvp>()) == Names{"jvp and vjp"});
  CHECK(failures(spoilt<HalfDetached>()) == Names{"Taylor"});
  CHECK(failures(spoilt<CountsObservations>()) == Names{"observations", "time"});
  const std::vector<std::string> wrong = failures(spoilt<WrongConstants>());
  CHECK(wrong.front() == "constants");
  CHECK_FALSE(spoilt<MixesRows>().passed());
  // A model that depends on the duration in a way that two shorter steps do not reproduce.
  const StepModel still(1, 1, [](const Var& v) { return v; });
  class Clocked final : public ForwardModel {
   public:
    explicit Clocked(const StepModel& model) : model_(model) {}
    std::int64_t controls() const override { return 1; }
    Var advance(const Var& v, double duration) const override { return v + duration * duration; }
    std::unique_ptr<ObservationOperator> observe(const Observations& o) const override { return model_.observe(o); }

   private:
    const StepModel& model_;
  };
  Observations o;
  o.add(0, 0, 0, 0, 0, 1);
  o.add(0, 1, 0, 0, 0, 1);
  const ModelReport clocked =
      check_model(Clocked(still), ensemble_of(3, 1, 0, 1), o, {.durations = {1, 2}, .places_matter = false});
  CHECK(failures(clocked) == Names{"advance"});
  CHECK(failures(check_model(still, ensemble_of(3, 1, 0, 1), o)) == Names{"place"});
  CHECK_THROWS_AS(check_model(still, ensemble_of(3, 2, 0, 1), o), Error);
  CHECK_THROWS_AS(check_model(still, ensemble_of(3, 1, 0, 1), Observations{}), Error);
}
