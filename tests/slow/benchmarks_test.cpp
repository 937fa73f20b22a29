/// The headline figures of the other benchmarks with their shipped weights, 16 truths each: about six minutes on two
/// cores. Bounds are what the presets are meant to reach; where one cannot, the README says why.

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "nn/atomic_file.h"
#include "tests/experiments/program.h"
#include "tests/nn/temporary_folder.h"

using levda::testing::run_levda;

namespace {

struct Results {
  nlohmann::json json;

  double surrogate() const { return json.at("surrogate").at("test_rel_rmse"); }
  double floor() const { return warm("floor", "rel_rmse"); }
  double warm(const char* method, const char* key) const {
    return json.at("experiments").at("warm").at("methods").at(method).at(key);
  }
};

Results results_of(const std::string& system, const std::string& preset) {
  const levda::testing::TemporaryFolder folder;
  const std::filesystem::path out = folder.path() / "run";
  const auto outcome = run_levda("run " + system + " --preset " + preset + " --out " + out.string());
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  Results results{nlohmann::json::parse(levda::nn::read_text_file(out / "results.json"))};
  CHECK(results.json.at("truths") == 16);
  return results;
}

}  // namespace

TEST_CASE("kolmogorov, preset small: LEVDA reaches the surrogate's own error") {
  const Results r = results_of("kolmogorov", "small");
  CHECK(r.surrogate() <= 0.05);
  CHECK(r.warm("levda", "rel_rmse") <= 1.05 * r.floor());
  CHECK(r.warm("levda", "param_error") <= 0.01);
}

TEST_CASE("kolmogorov, preset modes: LEVDA is beyond a table of trajectories") {
  const Results r = results_of("kolmogorov", "modes");
  CHECK(r.surrogate() <= 0.10);
  CHECK(r.warm("levda", "rel_rmse") <= 1.15 * r.floor());
  CHECK(r.warm("levda", "rel_rmse") <= 0.7 * r.warm("lookup", "rel_rmse"));
}

TEST_CASE("atmosphere, preset small: LEVDA reaches the surrogate's own error") {
  const Results r = results_of("atmosphere", "small");
  CHECK(r.surrogate() <= 0.08);
  CHECK(r.warm("levda", "rel_rmse") <= 1.15 * r.floor());
  // Calibrated on validation trajectories.
  CHECK(r.warm("levda", "ssr") >= 0.85);
  CHECK(r.warm("levda", "ssr") <= 1.15);
  CHECK(r.warm("levda", "coverage90") >= 0.85);
  CHECK(r.warm("levda", "coverage90") <= 0.95);
  CHECK(r.warm("levda", "param_z_rms") <= 2);
}
