/// The comparison with PyTorch on a fixed subset of cases, with PyTorch's answers stored: stored.json, see run.sh.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "autodiff/random.h"
#include "tests/parity/graph.h"

using namespace levda::autodiff;
using levda::testing::answer;
using nlohmann::json;

namespace {

/// ||x - truth|| / ||truth||; where the truth is 0, 0 for an exact 0 and else infinite.
double relative_error(const std::vector<double>& x, const std::vector<double>& truth) {
  if (x.size() != truth.size()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    difference += (x[i] - truth[i]) * (x[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  if (difference == 0) return 0;
  return std::sqrt(difference / norm);
}

const json& stored() {
  static const json all = [] {
    std::ifstream in(LEVDA_PARITY_FOLDER "/stored.json");
    return json::parse(in);
  }();
  return all;
}

/// The stored draw with the variables moved by as little as compare.py's other draws are: other round-off, but no edge
/// of a piecewise function is crossed.
json moved(const json& c, int k) {
  json draw = c.at("draws").at(0);
  Random random(static_cast<std::uint64_t>(k));
  for (std::size_t i = 0; i < c.at("inputs").size(); ++i)
    if (k > 0 && !c["inputs"][i].value("constant", false))
      for (json& x : draw.at("inputs").at(i))
        x = x.get<double>() + std::round(64 * (2 * random.uniform() - 1)) * 0x1p-16;
  return draw;
}

}  // namespace

TEST_CASE("PyTorch's answers in float64") {
  REQUIRE(stored().at("cases").size() >= 24);
  for (const json& c : stored().at("cases")) {
    const double tolerance = c.contains("training") ? 1e-9 : 1e-12;
    const json ours = answer(c, c.at("draws").at(0), DType::float64);
    CHECK(ours.size() == c.at("answer").size());
    for (const auto& [output, truth] : c.at("answer").items()) {
      CAPTURE(c.at("name").get<std::string>());
      CAPTURE(output);
      CHECK(relative_error(ours.at(output), truth) <= tolerance);
    }
  }
}

TEST_CASE("in float32 at most four times PyTorch's own error") {
  // Rounding a result once is nobody's fault, even where PyTorch's error is 0.
  const double rounding = 0.5 * static_cast<double>(std::numeric_limits<float>::epsilon());
  for (const json& c : stored().at("cases")) {
    // Both are root mean squares over a few draws, since a single error is large or small by luck. The truth is levda's
    // float64, which the test above compares.
    constexpr int draws = 8;
    std::map<std::string, double> squares;
    for (int k = 0; k < draws; ++k) {
      const json near = moved(c, k);
      const json ours = answer(c, near, DType::float32);
      const json truth = answer(c, near, DType::float64);
      for (const auto& [output, error] : c.at("float32_error").items())
        squares[output] += std::pow(relative_error(ours.at(output), truth.at(output)), 2) / draws;
    }
    for (const auto& [output, error] : c.at("float32_error").items()) {
      CAPTURE(c.at("name").get<std::string>());
      CAPTURE(output);
      CHECK(std::sqrt(squares.at(output)) <= 4 * std::max(error.get<double>(), rounding));
    }
  }
}
