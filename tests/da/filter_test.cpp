#include "da/filter.h"

#include <doctest/doctest.h>

#include <cmath>

#include "autodiff/error.h"
#include "da/step_model.h"

using namespace levda;
using namespace levda::da;
using autodiff::Tensor;
using autodiff::Var;

namespace {

/// Records the sizes and first values of its calls, and adds 1 to the first component of every member.
class Noting final : public FilterMethod {
 public:
  std::string name() const override { return "noting"; }
  mutable std::vector<std::int64_t> sizes;
  mutable std::vector<double> first;  // of the prior's mean

 private:
  Ensemble analyse(const ObservationOperator& observe, const WindowProblem& problem) const override {
    sizes.push_back(observe.size());
    first.push_back(problem.prior.mean().to_vector()[0]);
    return Ensemble((Var(problem.prior.members()) + 1.0).value());
  }
};

/// Every step adds 10.
StepModel adding() {
  return {2, 0.5, [](const Var& v) { return v + 10.0; }};
}

}  // namespace

TEST_CASE("filter: every time of observations once, in order, none from the future") {
  const StepModel model = adding();
  const std::vector<double> start{0, 0, 2, 0};
  const Ensemble prior(Tensor::from(std::span<const double>(start), {2, 2}));
  Observations o;
  o.add(1.0, 0, 0, 1, 5, 1);
  o.add(0.5, 0, 0, 0, 5, 1);
  o.add(1.0, 0, 0, 0, 5, 1);
  o.add(2.0, 0, 0, 0, 5, 1);
  o.add(1.5, 0, 0, 0, 5, 1, not_to_be_assimilated);
  const DiagonalCovariance covariance(std::vector<double>(5, 1.0));
  const Noting method;
  const Analysis analysis = method.assimilate(
      {.prior = prior, .model = model, .observations = o, .covariance = covariance, .times = {0, 1, 1.5}});
  CHECK(method.sizes == std::vector<std::int64_t>{1, 2});  // that at 2 comes after the last time
  CHECK(method.first == std::vector<double>{11, 22});
  std::vector<double> means;
  for (const Ensemble& ensemble : analysis.ensembles) means.push_back(ensemble.mean().to_vector()[0]);
  CHECK(means == std::vector<double>{1, 23, 33});
}

TEST_CASE("step model: components of states at whole steps") {
  const StepModel model = adding();
  Observations o;
  o.add(1.0, 0, 0, 1, 0, 1);
  o.add(0.0, 0, 0, 0, 0, 1);
  const auto observe = model.observe(o);
  const std::vector<double> v{1, 2};
  CHECK(observe->predict(Tensor::from(std::span<const double>(v), {1, 2})).to_vector() == std::vector<double>{22, 1});
  o.time[0] = 0.7;
  CHECK_THROWS_AS(model.observe(o), Error);
  o.time[0] = 1;
  o.channel[0] = 2;
  CHECK_THROWS_AS(model.observe(o), Error);
}
