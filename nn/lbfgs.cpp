#include "nn/lbfgs.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>

#include "autodiff/error.h"

namespace levda::nn {

namespace {

using Point = std::vector<double>;

double dot(const Point& a, const Point& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }
double norm(const Point& a) { return std::sqrt(dot(a, a)); }

/// f along the line x + t p.
struct Line {
  const ObjectiveWithGradient& f;
  const Point& x;
  const Point& p;
  std::int64_t& evaluations;

  struct Sample {
    double t = 0;
    double value = 0;
    double slope = 0;
    Point at;
    Point gradient;
  };

  Sample operator()(double t) const {
    Sample s{.t = t, .value = 0, .slope = 0, .at = x, .gradient = Point(x.size())};
    for (std::size_t i = 0; i < x.size(); ++i) s.at[i] += t * p[i];
    s.value = f(s.at, s.gradient);
    ++evaluations;
    s.slope = dot(s.gradient, p);
    if (!std::isfinite(s.value) || !std::isfinite(s.slope)) s.value = std::numeric_limits<double>::infinity();
    return s;
  }
};

/// Minimum of the cubic through two samples, kept away from the ends; the middle if the cubic has no minimum.
double cubic_minimum(const Line::Sample& a, const Line::Sample& b) {
  const double middle = 0.5 * (a.t + b.t);
  if (!std::isfinite(a.value) || !std::isfinite(b.value)) return middle;
  const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t);
  const double square = d1 * d1 - a.slope * b.slope;
  if (!(square >= 0)) return middle;
  const double d2 = std::copysign(std::sqrt(square), b.t - a.t);
  const double t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
  const double margin = 0.1 * std::abs(b.t - a.t);
  if (!std::isfinite(t)) return middle;
  return std::clamp(t, std::min(a.t, b.t) + margin, std::max(a.t, b.t) - margin);
}

/// A step that meets the strong Wolfe conditions, else the best step with a decrease, else t = 0.
Line::Sample wolfe_search(const Line& line, const Line::Sample& start, double first, const LbfgsSettings& s) {
  constexpr int most = 25;
  const auto enough = [&](const Line::Sample& a) { return a.value <= start.value + s.decrease * a.t * start.slope; };
  const auto flat = [&](const Line::Sample& a) { return std::abs(a.slope) <= -s.curvature * start.slope; };
  Line::Sample low = start;
  Line::Sample high;
  Line::Sample previous = start;
  bool bracketed = false;
  double t = first;
  int count = 0;
  for (; count < most && !bracketed; ++count) {  // algorithm 3.5
    Line::Sample now = line(t);
    if (!enough(now) || (count > 0 && now.value >= previous.value)) {
      low = previous;
      high = std::move(now);
      bracketed = true;
    } else if (flat(now)) {
      return now;
    } else if (now.slope >= 0) {
      high = previous;
      low = std::move(now);
      bracketed = true;
    } else {
      previous = std::move(now);
      t *= 2;
    }
  }
  if (!bracketed) return previous;
  for (; count < most; ++count) {  // algorithm 3.6
    Line::Sample now = line(cubic_minimum(low, high));
    if (!enough(now) || now.value >= low.value) {
      high = std::move(now);
    } else {
      if (flat(now)) return now;
      if (now.slope * (high.t - low.t) >= 0) high = low;
      low = std::move(now);
    }
    if (std::abs(high.t - low.t) <= 1e-16 * std::abs(low.t)) break;
  }
  return low;
}

}  // namespace

LbfgsResult minimise_lbfgs(const ObjectiveWithGradient& f, std::vector<double> start, const LbfgsSettings& settings) {
  if (!f) throw Error("L-BFGS: there is no function");
  if (settings.memory < 1 || settings.iterations < 0 || !(0 < settings.decrease) ||
      !(settings.decrease < settings.curvature) || !(settings.curvature < 1))
    throw Error("L-BFGS: memory >= 1, iterations >= 0 and 0 < decrease < curvature < 1 are needed");
  LbfgsResult result{.x = std::move(start)};
  Point gradient(result.x.size());
  result.value = f(result.x, gradient);
  result.evaluations = 1;
  if (!std::isfinite(result.value) || !std::isfinite(norm(gradient)))
    throw Error("L-BFGS: the function is not finite at the start");

  struct Pair {
    Point s;  // step
    Point y;  // change of the gradient
    double rho;
  };
  std::deque<Pair> pairs;
  bool told = false;  // whether `accepted` has been called for this iterate
  for (;;) {
    result.gradient_norm = norm(gradient);
    if (settings.accepted && !told) settings.accepted(result.x, result.value, gradient);
    told = false;
    if (result.gradient_norm <= settings.gradient_tolerance * std::max(1.0, norm(result.x))) {
      result.converged = true;
      return result;
    }
    if (result.iterations == settings.iterations) return result;
    ++result.iterations;

    Point p = gradient;  // two-loop recursion, algorithm 7.4
    std::vector<double> alpha(pairs.size());
    for (std::size_t k = pairs.size(); k-- > 0;) {
      alpha[k] = pairs[k].rho * dot(pairs[k].s, p);
      for (std::size_t i = 0; i < p.size(); ++i) p[i] -= alpha[k] * pairs[k].y[i];
    }
    const double scale = pairs.empty() ? 1 : 1 / (pairs.back().rho * dot(pairs.back().y, pairs.back().y));
    for (double& value : p) value *= scale;
    for (std::size_t k = 0; k < pairs.size(); ++k) {
      const double beta = pairs[k].rho * dot(pairs[k].y, p);
      for (std::size_t i = 0; i < p.size(); ++i) p[i] += (alpha[k] - beta) * pairs[k].s[i];
    }
    for (double& value : p) value = -value;

    const Line line{f, result.x, p, result.evaluations};
    const Line::Sample here{
        .t = 0, .value = result.value, .slope = dot(gradient, p), .at = result.x, .gradient = gradient};
    const double first = pairs.empty() ? std::min(1.0, 1 / result.gradient_norm) : 1;
    Line::Sample next = wolfe_search(line, here, first, settings);
    if (next.t == 0) {
      if (pairs.empty()) return result;  // no descent even along the gradient: round-off is reached
      pairs.clear();                     // try again along the gradient
      told = true;
      continue;
    }
    Pair pair{.s = Point(p.size()), .y = Point(p.size()), .rho = 0};
    for (std::size_t i = 0; i < p.size(); ++i) {
      pair.s[i] = next.at[i] - result.x[i];
      pair.y[i] = next.gradient[i] - gradient[i];
    }
    const double sy = dot(pair.s, pair.y);
    if (sy > 0) {  // true by the curvature condition, except for round-off
      pair.rho = 1 / sy;
      pairs.push_back(std::move(pair));
      if (static_cast<std::int64_t>(pairs.size()) > settings.memory) pairs.pop_front();
    }
    const double gain = result.value - next.value;
    result.x = std::move(next.at);
    result.value = next.value;
    gradient = std::move(next.gradient);
    if (gain <= settings.value_tolerance * std::max(1.0, std::abs(result.value)) && settings.value_tolerance > 0) {
      result.gradient_norm = norm(gradient);
      result.converged = true;
      if (settings.accepted) settings.accepted(result.x, result.value, gradient);
      return result;
    }
  }
}

}  // namespace levda::nn
