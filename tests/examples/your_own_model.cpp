// A model of your own: hares and lynxes (Lotka and Volterra). 16 counts tell their numbers and the hares' growth rate.
//
// A forward model says how many controls it has, how they change with time, and what observations of them give. A
// parameter is a control that does not change. All formulas are tape operations, so the library knows their
// derivatives.

#include <cmath>
#include <cstdio>

#include "da/check_model.h"
#include "da/levda.h"

using namespace levda::autodiff;
using namespace levda::da;

struct Populations : ForwardModel {  // a row: logarithm of the hares, logarithm of the lynxes, growth rate
  std::int64_t controls() const override { return 3; }
  Var advance(const Var& v, double duration) const override {
    Var hares = slice(v, 1, 0, 1), lynxes = slice(v, 1, 1, 1), rate = slice(v, 1, 2, 1);
    for (long step = std::lround(duration / 0.05); step > 0; --step) {
      hares = hares + 0.05 * (rate - exp(lynxes));
      lynxes = lynxes + 0.05 * (exp(hares) - 1.0);
    }
    return concat({hares, lynxes, rate}, 1);
  }
  std::unique_ptr<ObservationOperator> observe(const Observations& o) const override;
};
struct Counts : ObservationOperator {  // channel 0 is the hares, channel 1 the lynxes; one column per count
  Counts(const Populations& model, Observations o) : model_(model), o_(std::move(o)) {}
  std::int64_t size() const override { return o_.size(); }
  Var operator()(const Var& v) const override {
    Vars columns;
    for (std::int64_t i = 0; i < size(); ++i)
      columns.push_back(exp(slice(model_.advance(v, o_.time[i]), 1, o_.channel[i], 1)));
    return concat(columns, 1);
  }
  const Populations& model_;
  Observations o_;
};
std::unique_ptr<ObservationOperator> Populations::observe(const Observations& o) const {
  return std::make_unique<Counts>(*this, o);
}

int main() {
  const Populations model;
  Random random(1);
  Observations counts;
  for (int i = 1; i <= 16; ++i) counts.add(0.25 * i, 0, 0, i % 2, 0, 0.05);  // time, place, channel, value, error
  counts.value = model.observe(counts)->predict(Tensor::from(std::vector<double>{0.4, -0.2, 1.2}, {1, 3})).to_vector();
  for (double& count : counts.value) count += 0.05 * random.normal();
  std::vector<double> guesses;  // 20 members
  for (int i = 0; i < 60; ++i) guesses.push_back((i % 3 == 2 ? 1 : 0) + 0.4 * random.normal());
  const Ensemble prior(Tensor::from(guesses, {20, 3}));
  const ModelReport check = check_model(model, prior, counts, {.durations = {0.5, 1}, .places_matter = false});
  const DiagonalCovariance r(std::vector<double>(16, 0.05 * 0.05));
  const Ensemble start = Levda().assimilate({prior, model, counts, r, {0}}).ensembles[0];
  const double rate = start.mean().to_vector()[2], spread = start.spread()[2];
  std::printf("%sgrowth rate %.3f +- %.3f, truth 1.2\n", check.table().c_str(), rate, spread);
  return check.passed() && std::abs(rate - 1.2) <= 3 * spread && spread <= 0.1 ? 0 : 1;
}
