/// The whole path on a tiny case: stages, skipping, reproducibility.

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "nn/atomic_file.h"
#include "nn/safetensors.h"
#include "tests/autodiff/compare.h"
#include "tests/experiments/program.h"
#include "tests/nn/temporary_folder.h"

namespace fs = std::filesystem;
using levda::nn::read_text_file;
using levda::testing::Outcome;
using levda::testing::run_levda;
using levda::testing::TemporaryFolder;
using levda::testing::tiny;

TEST_CASE("run makes everything, and a second run only reads it") {
  const TemporaryFolder folder;
  const std::string options = tiny + "--out " + (folder.path() / "run").string();
  const Outcome first = run_levda("run" + options);
  INFO(first.output);
  REQUIRE(first.code == 0);
  CHECK(first.output.find("the shipped ones were trained for another configuration; training") != std::string::npos);
  const fs::path out = folder.path() / "run";
  for (const char* name : {"data.nc", "weights.safetensors", "observations/warm-00.nc", "observations/cold-01.nc",
                           "analysis/warm-01.nc", "analysis/cold-00.json", "results.json", "report.html"})
    CHECK_MESSAGE(fs::exists(out / name), name);
  CHECK_FALSE(fs::exists(out / "training.checkpoint.safetensors"));

  const auto results = nlohmann::json::parse(read_text_file(out / "results.json"));
  CHECK(results.at("schema") == 1);
  CHECK(results.at("case") == "tsunami");
  CHECK(results.at("preset") == "small");
  CHECK(results.at("truths") == 2);
  CHECK(results.at("surrogate").at("parameters").get<int>() > 0);
  CHECK(results.at("surrogate").at("test_rel_rmse").get<double>() > 0);
  for (const char* experiment : {"cold", "warm"}) {
    CHECK(results.at("experiments").at(experiment).at("floor").at("rel_rmse").get<double>() > 0);
    for (const char* method : {"free", "climatology", "lookup", "levda"}) {
      const auto& entry = results.at("experiments").at(experiment).at("methods").at(method);
      for (const char* key : {"rel_rmse", "rel_rmse_worst", "rel_rmse_per_time", "param_error", "param_z_rms", "ssr",
                              "ssr_without_surrogate_error", "crps", "coverage90", "seconds_per_truth", "iterations"})
        CHECK_MESSAGE(entry.contains(key), method << " " << key);
      CHECK(entry.at("rel_rmse_per_time").size() == 6);
    }
    CHECK(results.at("experiments").at(experiment).at("methods").at("lookup").at("ssr").is_null());
  }

  const std::string weights = read_text_file(out / "weights.safetensors");
  const Outcome second = run_levda("run" + options);
  REQUIRE(second.code == 0);
  CHECK(second.output.find("data.nc is up to date") != std::string::npos);
  CHECK(second.output.find("weights.safetensors is up to date") != std::string::npos);
  CHECK(second.output.find("are up to date") != std::string::npos);
  CHECK(read_text_file(out / "weights.safetensors") == weights);

  // Another seed: new observations, the same data and weights.
  const Outcome other = run_levda("run" + options + " --seed 2");
  REQUIRE(other.code == 0);
  CHECK(other.output.find("data.nc is up to date") != std::string::npos);
  CHECK(other.output.find("observations: 2 truths") != std::string::npos);
  CHECK(read_text_file(out / "weights.safetensors") == weights);

  // One file of observations alone.
  const Outcome one =
      run_levda("assimilate" + options + " --seed 2 --observations " + (out / "observations/warm-00.nc").string());
  INFO(one.output);
  CHECK(one.code == 0);
  CHECK(one.output.find("source_x = ") != std::string::npos);
  CHECK(fs::exists(out / "analysis.nc"));
}

TEST_CASE("the stages one by one are the run; training and analyses have the same bits at 1 and 2 threads") {
  const TemporaryFolder folder;
  for (const char* threads : {"1", "2"})
    for (const char* stage : {"generate", "train", "observe", "assimilate", "report"}) {
      const Outcome outcome =
          run_levda(stage + tiny + "--threads " + threads + " --out " + (folder.path() / threads).string());
      INFO(outcome.output);
      REQUIRE(outcome.code == 0);
    }
  const fs::path one = folder.path() / "1";
  const fs::path two = folder.path() / "2";
  CHECK(read_text_file(one / "data.nc") == read_text_file(two / "data.nc"));
  const auto a = levda::nn::read_safetensors(one / "weights.safetensors");
  const auto b = levda::nn::read_safetensors(two / "weights.safetensors");
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, tensor] : a.tensors)
    CHECK_MESSAGE(levda::testing::same_bits(tensor, b.tensors.at(name)), name);
  // The files of weights differ in their provenance (time, threads), so analyses are compared with one of them.
  const std::string weights = " --weights " + (one / "weights.safetensors").string();
  const Outcome again = run_levda("assimilate" + tiny + "--threads 2 --out " + two.string() + weights);
  REQUIRE(again.code == 0);
  for (const char* name : {"analysis/warm-00.nc", "analysis/warm-01.nc", "analysis/cold-00.nc", "analysis/cold-01.nc"})
    CHECK_MESSAGE(read_text_file(one / name) == read_text_file(two / name), name);
}

TEST_CASE("an interrupted training goes on to the same weights") {
  const TemporaryFolder folder;
  const std::string whole = (folder.path() / "whole").string();
  const std::string parts = (folder.path() / "parts").string();
  REQUIRE(run_levda("generate" + tiny + "--out " + whole).code == 0);
  const std::string data = " --data " + whole + "/data.nc";
  REQUIRE(run_levda("train" + tiny + "--out " + whole).code == 0);
  // Killed somewhere in the middle, or before, or at the end: whatever was there, it goes on from it.
  const std::string killed =
      "timeout -s KILL 0.3 " + std::string(LEVDA_PROGRAM) + " train" + tiny + "--out " + parts + data;
  CHECK(std::system((killed + " >/dev/null 2>&1").c_str()) >= 0);
  REQUIRE(run_levda("train" + tiny + "--out " + parts + data).code == 0);
  const auto a = levda::nn::read_safetensors(whole + "/weights.safetensors");
  const auto b = levda::nn::read_safetensors(parts + "/weights.safetensors");
  for (const auto& [name, tensor] : a.tensors)
    CHECK_MESSAGE(levda::testing::same_bits(tensor, b.tensors.at(name)), name);
}
