#include "da/check_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/random.h"
#include "da/internal/matrices.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;

namespace {

using Result = ModelCheck::Result;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

bool finite(const Tensor& x) { return matrix_of(x).allFinite(); }

/// Largest difference, relative to the largest number; NaN when a number is NaN.
double difference(const Tensor& a, const Tensor& b) {
  const Matrix x = matrix_of(flattened(a, 1));
  const Matrix y = matrix_of(flattened(b, 1));
  if (x.rows() != y.rows() || x.cols() != y.cols())
    throw Error(fmt::format("shapes {} and {} differ", a.shape().text(), b.shape().text()));
  if (!x.allFinite() || !y.allFinite()) return std::numeric_limits<double>::quiet_NaN();  // maxCoeff may pass over it
  const double largest = std::max(x.cwiseAbs().maxCoeff(), y.cwiseAbs().maxCoeff());
  const double apart = (x - y).cwiseAbs().maxCoeff();
  return apart == 0 ? 0 : apart / largest;
}

/// One check of a model.
class Checker {
 public:
  Checker(const ForwardModel& model, const Ensemble& ensemble, const Observations& observations,
          const CheckSettings& settings)
      : model_(model),
        observations_(observations),
        settings_(settings),
        v_(ensemble.members()),
        observe_(model.observe(observations)),
        predictions_(observe_->predict(v_)) {
    autodiff::Random random(settings.seed);
    std::vector<double> direction = ensemble.spread();
    for (double& d : direction) d = (d > 0 ? d : 1) * random.normal();
    direction_ = Tensor::from(std::span<const double>(direction), {1, ensemble.controls()});
    std::vector<double> weight;
    for (std::int64_t i = 0; i < observations.size(); ++i) weight.push_back(random.normal());
    weight_ = Tensor::from(std::span<const double>(weight), {1, observations.size()});
    std::vector<double> later;
    for (std::int64_t i = 0; i < ensemble.controls(); ++i) later.push_back(random.normal());
    later_weight_ = Tensor::from(std::span<const double>(later), {1, ensemble.controls()});
    last_time_ = *std::max_element(observations.time.begin(), observations.time.end());
  }

  ModelReport run() {
    row("finite", [this] { return is_finite(); });
    const bool usable = report_.passed();
    const auto numbers = [&](const char* name, std::string (Checker::*check)()) {
      if (usable)
        row(name, [this, check] { return (this->*check)(); });
      else
        report_.rows.push_back({name, Result::skipped, "not all numbers are finite"});
    };
    numbers("constants", &Checker::constants);
    numbers("batch", &Checker::batch);
    numbers("observations", &Checker::each_observation);
    numbers("time", &Checker::time);
    numbers("channel", &Checker::channel);
    numbers("place", &Checker::place);
    numbers("advance", &Checker::durations);
    numbers("jvp and vjp", &Checker::adjoint);
    numbers("linearise", &Checker::linearise);
    numbers("Taylor", &Checker::taylor);
    return std::move(report_);
  }

 private:
  /// A check returns a text with its measurements. It throws Fault when the model fails, Skip when it cannot be
  /// checked.
  struct Fault {
    std::string detail;
  };
  struct Skip {
    std::string why;
  };

  template <typename F>
  void row(const char* name, const F& check) {
    ModelCheck& own = report_.rows.emplace_back(ModelCheck{.name = name, .result = Result::passed, .detail = {}});
    try {
      own.detail = check();
    } catch (const Fault& fault) {
      own = {name, Result::failed, fault.detail};
    } catch (const Skip& skip) {
      own = {name, Result::skipped, skip.why};
    } catch (const Error& error) {
      own = {name, Result::failed, error.what()};
    }
  }

  /// Throws Fault unless two tensors agree.
  std::string same(const char* subject, const Tensor& a, const Tensor& b) const {
    const double apart = difference(a, b);
    std::string text = fmt::format("{}: {:.1e}", subject, apart);
    if (!(apart <= settings_.tolerance)) throw Fault{text + fmt::format(", allowed {:.1e}", settings_.tolerance)};
    return text;
  }

  Tensor member(std::int64_t k) const { return v_.rows(k, k + 1); }

  std::string is_finite() const {
    if (!finite(predictions_)) throw Fault{"a prediction is not finite"};
    if (!finite(model_.forecast(v_, last_time_))) throw Fault{fmt::format("not finite after {}", last_time_)};
    return "predictions, and members at the last time";
  }

  std::string constants() {
    return same("predict", (*observe_)(Var(v_)).value(), predictions_) + "; " +
           same("forecast", model_.advance(Var(v_), last_time_).value(), model_.forecast(v_, last_time_));
  }

  std::string batch() {
    const Tensor later = model_.forecast(v_, last_time_);
    std::string text;
    for (std::int64_t k = 0; k < v_.shape()[0]; ++k) {
      text = same("predict, rows", observe_->predict(member(k)), predictions_.rows(k, k + 1));
      text += "; " + same("forecast, rows", model_.forecast(member(k), last_time_), later.rows(k, k + 1));
    }
    const Tensor groups = v_.reshaped({v_.shape()[0], 1, v_.shape()[1]});
    return text + "; " + same("predict, groups", observe_->predict(groups), predictions_) + "; " +
           same("forecast, groups", model_.forecast(groups, last_time_), later);
  }

  /// Columns of the predictions.
  Tensor columns(const std::vector<std::int64_t>& positions) const {
    return gather(Var(predictions_), 1, Tensor::indices(positions)).value();
  }

  /// Some positions, evenly spread.
  std::vector<std::int64_t> some() const {
    constexpr std::int64_t most = 24;
    const std::int64_t m = observations_.size();
    std::vector<std::int64_t> positions;
    for (std::int64_t k = 0; k < std::min(m, most); ++k) positions.push_back(k * m / std::min(m, most));
    return positions;
  }

  std::string each_observation() {
    std::string text;
    for (const std::int64_t i : some()) {
      const std::vector<std::int64_t> alone{i};
      text = same("alone", model_.observe(observations_.part(alone))->predict(v_), columns(alone));
    }
    std::vector<std::int64_t> reversed(static_cast<std::size_t>(observations_.size()));
    std::iota(reversed.rbegin(), reversed.rend(), 0);
    return text + "; " +
           same("in reverse order", model_.observe(observations_.part(reversed))->predict(v_), columns(reversed));
  }

  std::string time() {
    std::string text;
    for (const std::int64_t i : some()) {
      Observations now = observations_.part(std::vector<std::int64_t>{i});
      if (now.time[0] == 0) continue;
      const Tensor there = model_.forecast(v_, now.time[0]);
      now.time[0] = 0;
      text = same("after advance", model_.observe(now)->predict(there), columns({i}));
    }
    if (text.empty()) throw Skip{"all observations are at time 0"};
    return text;
  }

  /// Whether predictions differ from others by more than round-off.
  std::string matters(const char* subject, const std::function<bool(Observations&)>& change) const {
    bool changed = false;
    for (const std::int64_t i : some()) {
      const Observations one = observations_.part(std::vector<std::int64_t>{i});
      Observations other = one;
      if (!change(other)) continue;
      changed = true;
      if (difference(model_.observe(other)->predict(v_), model_.observe(one)->predict(v_)) > settings_.tolerance)
        return fmt::format("another {}, another prediction", subject);
    }
    if (!changed) throw Skip{fmt::format("all observations have the same {}", subject)};
    throw Fault{fmt::format("predictions do not depend on the {}", subject)};
  }

  std::string channel() {
    if (!settings_.channels_matter) throw Skip{"does not matter"};
    return matters("channel", [this](Observations& one) {
      const std::vector<std::int64_t>& all = observations_.channel;
      const auto other = std::find_if(all.begin(), all.end(), [&](std::int64_t c) { return c != one.channel[0]; });
      if (other == all.end()) return false;
      one.channel[0] = *other;
      return true;
    });
  }

  std::string place() {
    if (!settings_.places_matter) throw Skip{"does not matter"};
    return matters("place", [this](Observations& one) {
      for (std::int64_t k = 0; k < observations_.size(); ++k) {
        if (observations_.channel[k] != one.channel[0]) continue;
        if (observations_.x[k] == one.x[0] && observations_.y[k] == one.y[0]) continue;
        one.x[0] = observations_.x[k];
        one.y[0] = observations_.y[k];
        return true;
      }
      return false;
    });
  }

  std::string durations() {
    const auto [a, b] = settings_.durations;
    if (a == 0 && b == 0) throw Skip{"no durations are given"};
    return same("in two parts", model_.forecast(model_.forecast(v_, a), b), model_.forecast(v_, a + b));
  }

  /// <w, J d> by a forward sweep and <J' w, d> by a reverse sweep, relative to the sum of magnitudes.
  std::string products(const char* subject, const std::function<Var(const Var&)>& f, const Tensor& w) const {
    autodiff::Tape tape;
    const Var x = tape.variable(member(0));
    const Var y = f(x);
    if (!y.tracked()) throw Fault{fmt::format("{}: the result is not on the tape", subject)};
    const Vector forward = vector_of(jvp(y, {x}, {Var(direction_.reshaped({1, 1, direction_.size()}))}).value());
    const Vector reverse = vector_of(vjp(y, Var(w), {x})[0].value());
    const Vector terms = forward.cwiseProduct(vector_of(w));
    const Vector others = reverse.cwiseProduct(vector_of(direction_));
    const double scale = std::max(terms.cwiseAbs().sum(), others.cwiseAbs().sum());
    const double apart = std::abs(terms.sum() - others.sum()) / (scale > 0 ? scale : 1);
    const std::string text = fmt::format("{}: {:.1e}", subject, apart);
    if (!(apart <= settings_.tolerance)) throw Fault{text + fmt::format(", allowed {:.1e}", settings_.tolerance)};
    return text;
  }

  /// Whether the model can be differentiated; throws Skip.
  void require_derivatives() const {
    autodiff::Tape tape;
    try {
      (*observe_)(tape.variable(member(0)));
    } catch (const Error& error) {
      throw Skip{fmt::format("no derivatives: {}", error.what())};
    }
  }

  std::string adjoint() {
    require_derivatives();
    return products(
               "operator", [this](const Var& x) { return (*observe_)(x); }, weight_) +
           "; " +
           products(
               "advance", [this](const Var& x) { return model_.advance(x, last_time_); }, later_weight_);
  }

  std::string linearise() {
    require_derivatives();
    const Tensor along = direction_.reshaped({1, 1, direction_.size()});
    const Linearisation own = observe_->linearise(member(0), along);
    const Linearisation plain = observe_->ObservationOperator::linearise(member(0), along);
    return same("value", own.value, observe_->predict(member(0))) + "; " +
           same("tangents", own.tangents, plain.tangents);
  }

  std::string taylor() {
    require_derivatives();
    // y = G(v) + errors of the stated size, so that the gradient is not 0.
    std::vector<double> inverse;
    for (const double deviation : observations_.error_std) inverse.push_back(1 / deviation);
    const Var scale(Tensor::from(std::span<const double>(inverse), {observations_.size()}));
    const Var errors(weight_);
    const Var y(predictions_.rows(0, 1));
    const auto cost = [&](const Var& x) { return 0.5 * sum(square((y - (*observe_)(x)) * scale + errors)); };
    autodiff::Tape tape;
    const Var x = tape.variable(member(0));
    const Var here = cost(x);
    const Var gradient = vjp(here, Var(Tensor::full({}, 1, autodiff::DType::float64)), {x})[0];
    const double f = here.value().item();
    const double slope = sum(gradient * Var(direction_)).value().item();
    std::string text;
    std::vector<double> remainders;
    double h = settings_.step;
    for (int k = 0; k < 6; ++k, h /= 2) {
      const double there = cost(Var(member(0)) + h * Var(direction_)).value().item();
      remainders.push_back(std::abs(there - f - h * slope));
      // Below this the remainder is round-off of f.
      if (!(remainders.back() > 1e4 * epsilon * (std::abs(f) + std::abs(there)))) break;
      if (k == 0) continue;
      const double order = std::log2(remainders[remainders.size() - 2] / remainders.back());
      text += fmt::format("{}h {:.1e}: {:.3f}", text.empty() ? "slopes: " : ", ", h, order);
      orders_.push_back(order);
    }
    if (orders_.empty()) throw Fault{"the steps are too short: round-off hides the remainder"};
    // Only the shortest steps count, where terms of third order are small.
    for (std::size_t k = orders_.size() > 2 ? orders_.size() - 2 : 0; k < orders_.size(); ++k)
      if (!(std::abs(orders_[k] - 2) <= settings_.slope_tolerance)) throw Fault{text};
    return text;
  }

  const ForwardModel& model_;
  const Observations& observations_;
  const CheckSettings& settings_;
  Tensor v_;  // (N, n)
  std::unique_ptr<ObservationOperator> observe_;
  Tensor predictions_;   // (N, m)
  Tensor direction_;     // (1, n)
  Tensor weight_;        // (1, m)
  Tensor later_weight_;  // (1, n)
  double last_time_ = 0;
  std::vector<double> orders_;
  ModelReport report_;
};

}  // namespace

bool ModelReport::passed() const {
  return std::none_of(rows.begin(), rows.end(), [](const ModelCheck& one) { return one.result == Result::failed; });
}

const ModelCheck& ModelReport::row(const std::string& name) const {
  for (const ModelCheck& one : rows)
    if (one.name == name) return one;
  throw Error(fmt::format("check of a model: no row {}", name));
}

std::string ModelReport::table() const {
  std::string text;
  for (const ModelCheck& one : rows)
    text += fmt::format("{:<13} {:<8} {}\n", one.name,
                        one.result == Result::passed   ? "passed"
                        : one.result == Result::failed ? "FAILED"
                                                       : "skipped",
                        one.detail);
  return text;
}

ModelReport check_model(const ForwardModel& model, const Ensemble& ensemble, const Observations& observations,
                        const CheckSettings& settings) {
  if (observations.size() == 0) throw Error("check of a model: no observations");
  if (ensemble.controls() != model.controls())
    throw Error(fmt::format("check of a model: an ensemble of {} controls for a model of {}", ensemble.controls(),
                            model.controls()));
  return Checker(model, ensemble, observations, settings).run();
}

}  // namespace levda::da
