/// The whole path on a tiny case: stages, skipping, reproducibility.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
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
using levda::testing::tiny_settings;

namespace {

nlohmann::json json_of(const fs::path& path) { return nlohmann::json::parse(read_text_file(path)); }

/// Scores of LEVDA in the warm experiment have the same keys in both results.
void check_same_keys(const nlohmann::json& some, const nlohmann::json& others) {
  const auto keys = [](const nlohmann::json& results) {
    std::vector<std::string> found;
    const auto& levda = results.at("experiments").at("warm").at("methods").at("levda");
    for (const auto& [key, value] : levda.items()) found.push_back(key);
    if (levda.contains("forecast"))
      for (const auto& [key, value] : levda.at("forecast").items()) found.push_back("forecast " + key);
    return found;
  };
  CHECK(keys(some) == keys(others));
  for (const char* key :
       {"space", "rel_rmse", "rel_rmse_error", "rel_rmse_worst", "rel_rmse_per_truth", "rel_rmse_per_time",
        "rel_spread_per_time", "param_error", "param_z_rms", "ssr", "ssr_error", "ssr_without_model_error", "crps",
        "coverage90", "seconds", "iterations", "cost_per_iteration", "failures"}) {
    const std::vector<std::string> there = keys(some);
    CHECK_MESSAGE(std::find(there.begin(), there.end(), key) != there.end(), key);
  }
}

/// The stages of run before its report, which takes longest.
void without_report(const std::string& options) {
  for (const char* stage : {"generate", "train", "observe", "assimilate"}) {
    const Outcome outcome = run_levda(stage + options);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
  }
}

}  // namespace

TEST_SUITE_BEGIN("runs");

TEST_CASE("run makes everything, and a second run only reads it") {
  const TemporaryFolder folder;
  const std::string options = tiny + "--out " + (folder.path() / "run").string();
  const Outcome first = run_levda("run" + options);
  INFO(first.output);
  REQUIRE(first.code == 0);
  CHECK(first.output.find("the shipped ones are of another configuration; training") != std::string::npos);
  const fs::path out = folder.path() / "run";
  for (const char* name : {"data.nc", "weights.safetensors", "observations/warm-00.nc", "observations/cold-01.nc",
                           "analysis/warm-01.nc", "analysis/cold-00.json", "results.json", "report.html",
                           "pictures/warm-u.png", "pictures/warm-v.png", "pictures/warm-eta.png"})
    CHECK_MESSAGE(fs::exists(out / name), name);
  CHECK_FALSE(fs::exists(out / "training.checkpoint.safetensors"));

  const auto results = json_of(out / "results.json");
  CHECK(results.at("schema") == 2);
  CHECK(results.at("case") == "tsunami");
  CHECK(results.at("preset") == "small");
  CHECK(results.at("truths") == 2);
  CHECK(results.at("surrogate").at("parameters").get<int>() > 0);
  CHECK(results.at("surrogate").at("test_rel_rmse").get<double>() > 0);
  for (const char* experiment : {"cold", "warm"}) {
    const auto& methods = results.at("experiments").at(experiment).at("methods");
    CHECK(methods.at("floor").at("rel_rmse").get<double>() > 0);
    for (const char* method : {"free", "climatology", "lookup", "levda"})
      CHECK(methods.at(method).at("rel_rmse_per_time").size() == 6);
    CHECK(methods.at("lookup").at("ssr").is_null());
  }

  // Scores hold seconds: work done again would show.
  const std::string weights = read_text_file(out / "weights.safetensors");
  const std::string scores = read_text_file(out / "analysis/warm-01.json");
  const auto written = fs::last_write_time(out / "data.nc");
  const auto observed = fs::last_write_time(out / "observations/warm-01.nc");
  REQUIRE(run_levda("run" + options).code == 0);
  CHECK(read_text_file(out / "weights.safetensors") == weights);
  CHECK(read_text_file(out / "analysis/warm-01.json") == scores);
  CHECK(fs::last_write_time(out / "data.nc") == written);
  CHECK(fs::last_write_time(out / "observations/warm-01.nc") == observed);

  // Only the missing file is made again.
  const std::string analysis = read_text_file(out / "analysis/warm-00.nc");
  fs::remove(out / "analysis/warm-00.json");
  REQUIRE(run_levda("assimilate" + options).code == 0);
  CHECK(read_text_file(out / "analysis/warm-00.nc") == analysis);
  CHECK(read_text_file(out / "analysis/warm-01.json") == scores);

  // Another seed: new observations and analyses, the same data and weights; a report refuses to mix the two.
  REQUIRE(run_levda("observe" + options + " --seed 2").code == 0);
  CHECK(run_levda("report" + options).code == 2);
  REQUIRE(run_levda("run" + options + " --seed 2").code == 0);
  CHECK(fs::last_write_time(out / "data.nc") == written);
  CHECK(read_text_file(out / "weights.safetensors") == weights);
  CHECK(read_text_file(out / "analysis/warm-01.json") != scores);

  // One file of observations alone.
  const Outcome one =
      run_levda("assimilate" + options + " --seed 2 --observations " + (out / "observations/warm-00.nc").string());
  INFO(one.output);
  CHECK(one.code == 0);
  CHECK(one.output.find("source_x = ") != std::string::npos);
  CHECK(fs::exists(out / "analysis.nc"));
}

TEST_CASE(
    "the stages one by one are the run; training and analyses have the same bits at 1 and 2 threads, and together" *
    doctest::test_suite("runs, long under sanitizers")) {
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
  // The files of weights differ in their provenance (time, threads); the analyses do not depend on it.
  const auto check_analyses = [&] {
    for (const char* name :
         {"analysis/warm-00.nc", "analysis/warm-01.nc", "analysis/cold-00.nc", "analysis/cold-01.nc"})
      CHECK_MESSAGE(read_text_file(one / name) == read_text_file(two / name), name);
  };
  check_analyses();
  // The analyses do not depend on the truths in the same batch: two of one experiment, one of the other.
  for (const char* name : {"analysis/warm-00.nc", "analysis/warm-01.nc", "analysis/cold-01.nc"}) fs::remove(two / name);
  const auto kept = fs::last_write_time(two / "analysis/cold-00.nc");
  REQUIRE(run_levda("assimilate" + tiny + "--batch 2 --out " + two.string()).code == 0);
  CHECK(fs::last_write_time(two / "analysis/cold-00.nc") == kept);
  check_analyses();
}

TEST_CASE("info explains every file of a run; scattered observations go the whole way") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "run";
  const Outcome run = run_levda("run" + tiny + "--set observations.sensors=scattered:60 --out " + out.string());
  INFO(run.output);
  REQUIRE(run.code == 0);
  for (const auto& [name, part] : {std::pair{"data.nc", "8 for training, 2 for validation, 3 for tests"},
                                   {"weights.safetensors", "test_rel_rmse"},
                                   {"observations/warm-00.nc", "60, of which 60 are used"},
                                   {"analysis/cold-01.nc", "6 at 6 times"},
                                   {"analysis/warm-01.json", "scores of one truth"},
                                   {"results.json", "warm levda"}}) {
    const Outcome info = run_levda("info " + (out / name).string());
    CAPTURE(name);
    INFO(info.output);
    CHECK(info.code == 0);
    CHECK(info.output.find(part) != std::string::npos);
  }
  levda::nn::write_text_file(folder.path() / "other", "hello");
  CHECK(run_levda("info " + (folder.path() / "other").string()).code == 2);
  CHECK(run_levda("info " + (folder.path() / "none").string()).output.find("none: no such file") != std::string::npos);
}

TEST_CASE("compare: LEVDA's scores are those of the run; what is there is not done again") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "run";
  without_report(tiny + "--out " + out.string());
  const std::string command =
      "compare" + tiny + "--methods latent_fourdenvar,levda,full_free,etkf --seeds 2 --out " + out.string();
  const Outcome first = run_levda(command);
  INFO(first.output);
  REQUIRE(first.code == 0);
  CHECK(first.output.find("| latent_fourdenvar | latent |") != std::string::npos);
  for (const char* name : {"table.md", "report.html"}) CHECK_MESSAGE(fs::exists(out / "compare" / name), name);
  const auto results = json_of(out / "compare/results.json");
  check_same_keys(results, json_of(out / "results.json"));
  const auto& methods = results.at("experiments").at("warm").at("methods");
  for (const char* key :
       {"climatology", "persistence", "lookup", "floor", "free", "levda", "latent_fourdenvar", "etkf"})
    CHECK_MESSAGE(methods.at(key).at("rel_rmse_per_truth").size() == 2, key);
  const auto per_truth = methods.at("levda").at("rel_rmse_per_truth").get<std::vector<double>>();
  CHECK(methods.at("levda").at("rel_rmse").get<double>() == doctest::Approx((per_truth[0] + per_truth[1]) / 2));
  CHECK(methods.at("levda").at("rel_rmse_error").get<double>() ==  // standard deviation over root 2
        doctest::Approx(std::abs(per_truth[0] - per_truth[1]) / 2));
  CHECK(methods.at("persistence").at("crps").is_null());
  CHECK(methods.at("etkf").at("space") == "full");
  // Members of both spaces have the same parameters, and full ones with the true solver see more in observations.
  CHECK(methods.at("full_free").at("param_error") ==
        doctest::Approx(methods.at("free").at("param_error").get<double>()));
  CHECK(methods.at("etkf").at("rel_rmse").get<double>() < methods.at("full_free").at("rel_rmse").get<double>());
  // The first draw of the errors is the one of the run.
  const auto frames = [&](const char* path) {
    return nlohmann::json::parse(read_text_file(out / path)).at("methods").at("levda").at("frames");
  };
  CHECK(frames("compare/scores/warm-01-0-levda.json") == frames("analysis/warm-01.json"));
  CHECK(frames("compare/scores/warm-01-1-levda.json") != frames("analysis/warm-01.json"));

  const auto kept = fs::last_write_time(out / "compare/scores/warm-00-1-levda.json");
  fs::remove(out / "compare/scores/warm-01-1-levda.json");
  REQUIRE(run_levda(command).code == 0);
  CHECK(fs::last_write_time(out / "compare/scores/warm-00-1-levda.json") == kept);
  CHECK(fs::exists(out / "compare/scores/warm-01-1-levda.json"));
  // More truths leave the others as they are; another noise does not.
  REQUIRE(run_levda(command + " --set observations.truths=3").code == 0);
  CHECK(fs::last_write_time(out / "compare/scores/warm-00-1-levda.json") == kept);
  REQUIRE(run_levda(command + " --noise 0.3").code == 0);
  CHECK(fs::last_write_time(out / "compare/scores/warm-00-1-levda.json") != kept);

  const Outcome tuning = run_levda("compare" + tiny + "--methods levda --validation --out " + out.string());
  REQUIRE(tuning.code == 0);
  CHECK(tuning.output.find("warm: 2 validation truths, ") != std::string::npos);
  const auto tuned = nlohmann::json::parse(read_text_file(out / "validation/results.json"));
  CHECK(results.at("truths_from") == "test");
  CHECK(tuned.at("truths_from") == "validation");
  CHECK(tuned.at("experiments").at("warm").at("methods").at("levda").at("rel_rmse") !=
        methods.at("levda").at("rel_rmse"));

  const Outcome unknown = run_levda("compare" + tiny + "--methods magic --out " + out.string());
  CHECK(unknown.code == 2);
  CHECK(unknown.output.find("--methods: magic: unknown; there are levda, ") != std::string::npos);
}

TEST_CASE("a folder of version 0.1.0 is taken up, and its results are explained") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "run";
  const std::string options = tiny + "--out " + out.string();
  without_report(options);
  const std::string compare = "compare" + options + " --methods levda";
  REQUIRE(run_levda(compare).code == 0);
  // Scores of that version: a comparison kept no minimisations. Another time shows that nothing is computed again.
  for (const char* name : {"analysis/warm-01.json", "compare/scores/warm-01-0-levda.json"}) {
    nlohmann::json scores = json_of(out / name);
    CHECK(scores.at("configuration").get<std::string>().find("\nlevda = 0.1.0, ") != std::string::npos);
    nlohmann::json& levda = scores.at("methods").at("levda");
    if (std::string(name).starts_with("compare")) levda.erase("convergence");
    levda.at("seconds") = 1e6;
    levda::nn::write_text_file(out / name, scores.dump(1));
  }
  REQUIRE(run_levda("assimilate" + options).code == 0);
  REQUIRE(run_levda(compare).code == 0);
  for (const char* name : {"results.json", "compare/results.json"})
    CHECK_MESSAGE(json_of(out / name).at("experiments").at("warm").at("methods").at("levda").at("seconds") > 4e5, name);

  const std::string head = R"({"schema": 1, "case": "tsunami", "preset": "small", "version": "0.1.0", "truths": 2, )";
  const std::string sweep = R"({"kind": "sweep", "case": "tsunami", "preset": "small", "version": "0.1.0",
    "over": "members", "values": ["3", "6"], "methods": {"levda": {"rel_rmse": [0.5, 0.25]}}})";
  for (const auto& [text, line] :
       {std::pair{head + R"("experiments": {"warm": {"floor": {"rel_rmse": 0.1}, "methods": {"levda": {
          "rel_rmse": 0.125, "seconds_per_truth": 1}}}}})",
                  "warm levda:            rel. RMSE 0.1250"},
        {head + R"("kind": "comparison", "experiments": {"cold": {"methods": {"etkf": {"rel_rmse": 0.375}}}}})",
         "cold etkf:             rel. RMSE 0.3750"},
        {sweep, "levda:                 members 6: rel. RMSE 0.2500"}}) {
    levda::nn::write_text_file(out / "results.json", text);
    const Outcome info = run_levda("info " + (out / "results.json").string());
    INFO(info.output);
    CHECK(info.code == 0);
    CHECK(info.output.find(line) != std::string::npos);
  }
}

TEST_CASE("forecasts are scored by themselves and change nothing else; a sweep along the members") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "run";
  const std::string options = tiny + "--out " + out.string();
  without_report(options);
  const auto scores = [&] {
    return nlohmann::json::parse(read_text_file(out / "analysis/warm-01.json")).at("methods").at("levda");
  };
  const auto alone = scores();
  CHECK_FALSE(alone.contains("forecast"));
  const Outcome run = run_levda("assimilate" + options + " --set assimilation.forecast=2");
  INFO(run.output);
  REQUIRE(run.code == 0);
  CHECK(scores().at("frames") == alone.at("frames"));
  CHECK(scores().at("forecast").size() == 2);
  const auto results = json_of(out / "results.json");
  const auto& free = results.at("experiments").at("warm").at("methods").at("free");
  CHECK(free.at("rel_rmse_per_time").size() == 6);
  CHECK(free.at("forecast").at("rel_spread_per_time").size() == 2);
  CHECK(run_levda("assimilate" + options + " --set assimilation.forecast=3").code == 2);  // frame 4 + 6 + 3 of 12

  const Outcome sweep = run_levda("sweep" + options + " --over members=3,6 --set assimilation.forecast=2");
  INFO(sweep.output);
  REQUIRE(sweep.code == 0);
  for (const char* name : {"table.md", "report.html", "error.png", "seconds.png", "6/table.md", "3/scores"})
    CHECK_MESSAGE(fs::exists(out / "sweep/members" / name), name);
  const auto growth = json_of(out / "sweep/members/results.json");
  CHECK(run_levda("info " + (out / "sweep/members/results.json").string()).output.find("members 6: rel. RMSE") !=
        std::string::npos);
  CHECK(growth.at("x") == std::vector<double>{3, 6});
  CHECK(growth.at("exponents").at("levda").at("seconds").is_number());
  // One schema for all studies.
  CHECK(growth.at("schema") == 2);
  CHECK(growth.at("studies").size() == 2);
  check_same_keys(growth.at("studies")[1], results);
  CHECK(growth.at("studies")[0].at("experiments") == json_of(out / "sweep/members/3/results.json").at("experiments"));
  const auto cell = json_of(out / "sweep/members/3/results.json");
  for (const auto& [key, value] : cell.items()) CHECK_MESSAGE(results.contains(key), key);
  for (const auto& [key, value] : results.items()) CHECK_MESSAGE((growth.contains(key) || key == "experiments"), key);
  CHECK(run_levda("sweep" + options + " --over magic=1").output.find("--over: magic") != std::string::npos);
}

TEST_CASE("fine truths: other observations and scores, computed once") {
  const TemporaryFolder folder;
  const fs::path out = folder.path() / "run";
  const std::string options = tiny + "--out " + out.string();
  without_report(options);
  const std::string weights = read_text_file(out / "weights.safetensors");
  const auto floor = [&] {
    return json_of(out / "results.json").at("experiments").at("warm").at("methods").at("floor");
  };
  const auto coarse = floor();
  for (const char* sensors : {"grid:4x4", "scattered:40"}) {
    const std::string fine = options + " --set observations.refinement=2 --set observations.sensors=" + sensors;
    const Outcome observe = run_levda("observe" + fine);
    INFO(observe.output);
    REQUIRE(observe.code == 0);
    CHECK((observe.output.find("fine truths") != std::string::npos) == (std::string(sensors) == "grid:4x4"));
    REQUIRE(run_levda("assimilate" + fine).code == 0);
    CHECK(floor() != coarse);
    CHECK(read_text_file(out / "weights.safetensors") == weights);
  }
}

TEST_CASE("other data are not taken for the same, whatever the configuration says" *
          doctest::test_suite("runs, long under sanitizers")) {
  const TemporaryFolder folder;
  const std::string a = (folder.path() / "a").string();
  const std::string b = (folder.path() / "b").string();
  REQUIRE(run_levda("run" + tiny + "--out " + a).code == 0);
  REQUIRE(run_levda("generate" + tiny + "--set data.seed=7 --set data.design=uniform --out " + b).code == 0);
  // Methods of the two spaces would have other members.
  const Outcome foreign = run_levda("compare" + tiny + "--methods levda --out " + b + " --data " + b +
                                    "/data.nc --weights " + a + "/weights.safetensors");
  CHECK(foreign.code == 2);
  CHECK(foreign.output.find("training_parameters: trained on other trajectories") != std::string::npos);
  const std::string results = read_text_file(a + "/analysis/warm-00.json");
  const Outcome outcome =
      run_levda("run" + tiny + "--out " + a + " --data " + b + "/data.nc --weights " + a + "/weights.safetensors");
  INFO(outcome.output);
  REQUIRE(outcome.code == 0);
  CHECK(read_text_file(a + "/analysis/warm-00.json") != results);
}

TEST_CASE("an interrupted training goes on to the same weights") {
  const TemporaryFolder folder;
  const std::string whole = (folder.path() / "whole").string();
  const std::string parts = (folder.path() / "parts").string();
  REQUIRE(run_levda("generate" + tiny + "--out " + whole).code == 0);
  const std::string data = " --data " + whole + "/data.nc";
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const std::string longer = " --set training.steps=300 ";  // a step takes ten times as long
#else
  const std::string longer = " --set training.steps=3000 ";
#endif
  REQUIRE(run_levda("train" + tiny + longer + "--out " + whole).code == 0);
  const fs::path checkpoint = parts + "/training.checkpoint.safetensors";
  for (int kill = 0; kill < 2; ++kill) {
    // Killed some time after the first checkpoint.
    const std::string killed = fmt::format(
        "{} train{}{} --set checkpoint_seconds=0.02 --out {}{} >/dev/null 2>&1 & process=$!; "
        "while [ ! -e {} ]; do sleep 0.01; done; sleep 0.2; kill -KILL $process",
        LEVDA_PROGRAM, tiny, longer, parts, data, checkpoint.string());
    REQUIRE(std::system(killed.c_str()) == 0);
    CHECK_FALSE(fs::exists(parts + "/weights.safetensors"));
  }
  REQUIRE(fs::exists(checkpoint));
  const Outcome other = run_levda("train" + tiny + longer + "--set training.seed=9 --out " + parts + data);
  CHECK(other.code == 2);
  CHECK(other.output.find("an unfinished training of another configuration") != std::string::npos);
  REQUIRE(run_levda("train" + tiny + longer + "--out " + parts + data).code == 0);
  CHECK_FALSE(fs::exists(checkpoint));
  const auto a = levda::nn::read_safetensors(whole + "/weights.safetensors");
  const auto b = levda::nn::read_safetensors(parts + "/weights.safetensors");
  for (const auto& [name, tensor] : a.tensors)
    CHECK_MESSAGE(levda::testing::same_bits(tensor, b.tensors.at(name)), name);
}

TEST_CASE("another run on the same folder is refused; an interrupt stops a training after a checkpoint") {
  const TemporaryFolder folder;
  const std::string out = folder.path().string();
  REQUIRE(run_levda("generate" + tiny + "--out " + out).code == 0);
  // Far longer than this test; running for sure once there is a checkpoint. From 5000 steps on it would time large
  // products first.
  const std::string train = fmt::format(
      "{} train{} --set training.steps=4999 --set training.trajectories=8 --set training.points=64"
      " --set checkpoint_seconds=0.02 --out {}",
      LEVDA_PROGRAM, tiny, out);
  const std::string script = fmt::format(
      "{0} >/dev/null 2>&1 & process=$!; while [ ! -e {1}/training.checkpoint.safetensors ]; do sleep 0.01; done; "
      "{0} > {1}/second 2>&1; echo $? >> {1}/second; kill -INT $process; wait $process; echo $? >> {1}/second",
      train, out);
  // Not in the background of this shell: there SIGINT would be ignored from the start.
  REQUIRE(std::system(fmt::format("bash -c 'set -m; {}'", script).c_str()) == 0);
  const std::string second = read_text_file(folder.path() / "second");
  INFO(second);
  CHECK(second.find("is in use by another run") != std::string::npos);
  CHECK(second.ends_with("\n2\n130\n"));
  CHECK(fs::exists(folder.path() / "training.checkpoint.safetensors"));
  CHECK_FALSE(fs::exists(folder.path() / "weights.safetensors"));
}

TEST_CASE("two members, every minimiser and precision: the same minimum where J has one" *
          doctest::test_suite("runs, long under sanitizers")) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  REQUIRE(run_levda("run" + tiny + "--out " + out).code == 0);
  // Two members span one direction.
  const Outcome two = run_levda("run" + tiny + "--set assimilation.members=2 --out " + out);
  INFO(two.output);
  REQUIRE(two.code == 0);
  const auto rmse = [&](const std::string& settings) {
    const Outcome run =
        run_levda("assimilate" + tiny + "--set assimilation.starts=0 --set 'assimilation.annealing=[10,1]' " +
                  settings + " --out " + out);
    INFO(run.output);
    REQUIRE(run.code == 0);
    const auto results = nlohmann::json::parse(read_text_file(fs::path(out) / "results.json"));
    return results.at("experiments").at("cold").at("methods").at("levda").at("rel_rmse").get<double>();
  };
  const double gauss_newton = rmse("");
  CHECK(rmse("--set assimilation.precision=float64") == doctest::Approx(gauss_newton).epsilon(1e-4));
  CHECK(rmse("--set assimilation.minimiser=lbfgs --set assimilation.iterations=500") ==
        doctest::Approx(gauss_newton).epsilon(1e-3));
  // The ensemble's Y makes another J, and so another analysis.
  const double ensemble = rmse("--set assimilation.minimiser=ensemble");
  CHECK(ensemble > 0);
  CHECK(ensemble != gauss_newton);
  CHECK(rmse("--set assimilation.control=transform --set assimilation.window=5 --set assimilation.shift=1") > 0);
  CHECK(rmse("--set assimilation.gross_error=4 --set assimilation.inflation=1.1 --set "
             "assimilation.relaxation=0.3 "
             "--set assimilation.parameters=bounded --set assimilation.parameter_walk=0.01 "
             "--set assimilation.window=3 --set assimilation.shift=2") > 0);
}

TEST_CASE("a disk that is full: one line, exit code 2, and what was there before stays") {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  REQUIRE(run_levda("generate" + tiny + "--out " + out).code == 0);
  const std::string data = read_text_file(fs::path(out) / "data.nc");
  // No file may grow beyond 2 kB: writing fails as on a full disk, with the signal passed over.
  const std::string command = fmt::format("bash -c 'trap \"\" XFSZ; ulimit -f 2; {} $0 $@' ", LEVDA_PROGRAM);
  for (const std::string& stage :
       {"generate" + tiny + "--set data.seed=2 --out " + out, "train" + tiny + "--out " + out}) {
    const Outcome run = levda::testing::run(command + stage);
    CAPTURE(run.output);
    CHECK(run.code == 2);
    CHECK(run.output.find(out) != std::string::npos);
    CHECK(read_text_file(fs::path(out) / "data.nc") == data);
    CHECK_FALSE(fs::exists(fs::path(out) / "weights.safetensors"));
  }
  REQUIRE(run_levda("train" + tiny + "--out " + out).code == 0);
}

TEST_CASE("a system that the program does not know goes the whole way to the report" *
          doctest::test_suite("runs, long under sanitizers")) {
  const TemporaryFolder folder;
  const std::string out = (folder.path() / "run").string();
  REQUIRE(run_levda("generate" + tiny + "--out " + out).code == 0);
  const std::string own = (folder.path() / "own").string();
  const std::string command = "run --data " + out + "/data.nc --out " + own + tiny_settings;
  const Outcome run = run_levda(command);
  INFO(run.output);
  REQUIRE(run.code == 0);
  CHECK(fs::exists(fs::path(own) / "report.html"));
  const auto written = fs::last_write_time(fs::path(own) / "weights.safetensors");
  REQUIRE(run_levda(command).code == 0);
  CHECK(fs::last_write_time(fs::path(own) / "weights.safetensors") == written);
  // A single analysed frame leaves nothing to draw a curve through, which is no fault.
  const Outcome one =
      run_levda(command + " --set assimilation.frames=1 --set assimilation.window=1 --set assimilation.shift=1");
  INFO(one.output);
  CHECK(one.code == 0);
}

TEST_SUITE_END();
