/// Bad input gets one line that names the file and the field, and exit code 2; files stay as they were.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "experiments/data/dataset_file.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/data/observation_file.h"
#include "nn/atomic_file.h"
#include "nn/safetensors.h"
#include "tests/experiments/program.h"
#include "tests/nn/temporary_folder.h"

namespace fs = std::filesystem;
using levda::nn::read_text_file;
using levda::nn::write_text_file;
using levda::testing::Outcome;
using levda::testing::run_levda;
using levda::testing::TemporaryFolder;
using levda::testing::tiny;

namespace {

/// One line of output that holds `parts`, and exit code 2.
void check_refused(const std::string& arguments, const std::vector<std::string>& parts) {
  const Outcome outcome = run_levda(arguments);
  CAPTURE(arguments);
  INFO(outcome.output);
  CHECK(outcome.code == 2);
  CHECK(std::count(outcome.output.begin(), outcome.output.end(), '\n') == 1);
  for (const std::string& part : parts) CHECK_MESSAGE(outcome.output.find(part) != std::string::npos, part);
}

/// A finished tiny run, made once; tests work on copies.
const fs::path& finished_run() {
  static const TemporaryFolder folder;
  static const fs::path out = folder.path() / "run";
  static const bool done = run_levda("run" + tiny + "--out " + out.string()).code == 0;
  REQUIRE(done);
  return out;
}

struct Copy {
  TemporaryFolder folder;
  fs::path out = folder.path() / "run";
  Copy() { fs::copy(finished_run(), out, fs::copy_options::recursive); }
  std::string options() const { return tiny + "--out " + out.string(); }
};

void truncate(const fs::path& file, double share) {
  fs::resize_file(file, static_cast<std::uintmax_t>(static_cast<double>(fs::file_size(file)) * share));
}

}  // namespace

TEST_CASE("words of the command line") {
  check_refused("", {"subcommand"});
  check_refused("run", {"CASE"});
  check_refused("run sunami", {"CASE: sunami: unknown; there are atmosphere, kolmogorov, tsunami"});
  check_refused("run tsunami --preset huge", {"--preset: huge: unknown; tsunami has paper, small"});
  check_refused("run tsunami --nonsense 1", {"--nonsense"});
  check_refused("run tsunami --threads 0", {"--threads"});
  CHECK(run_levda("--help").code == 0);
  CHECK(run_levda("run --help").code == 0);
  CHECK(run_levda("--version").output.starts_with("levda "));
  CHECK(run_levda("keys tsunami").output.find("observations.sigma = 0.1") != std::string::npos);
}

TEST_CASE("options and sections that a command does not read") {
  check_refused("generate tsunami --weights w.safetensors", {"generate: ", "--weights"});
  check_refused("generate tsunami --data d.nc", {"--data"});
  check_refused("generate tsunami --seed 2", {"--seed"});
  check_refused("train tsunami --weights w.safetensors", {"--weights"});
  check_refused("report atmosphere --initial mine.nc", {"--initial"});
  check_refused("observe tsunami --methods etkf", {"--methods"});
  check_refused("run tsunami --over members=2,3", {"--over"});
  check_refused("keys tsunami --out here", {"--out"});
  check_refused("assimilate tsunami --experiment cold", {"--experiment", "--observations"});
  check_refused("assimilate tsunami --observations o.csv --batch 2", {"--observations", "--batch"});
  check_refused("assimilate tsunami --observations o.csv --set observations.sigma=2",
                {"--set: observations.sigma: assimilate --observations reads only seed, assimilation"});
  check_refused("assimilate tsunami --observations o.csv --initial i.nc", {"--observations", "--initial"});
  check_refused("generate tsunami --set training.steps=2",
                {"--set: training.steps: generate reads only shard_megabytes, data"});
  check_refused("train tsunami --set seed=2",
                {"--set: seed: train reads only checkpoint_seconds, surrogate, training"});
  check_refused("assimilate tsunami --set encoder.steps=2",
                {"--set: encoder.steps: assimilate reads only seed, data, surrogate, training, observations"});
  check_refused("generate tsunami --set magic.steps=2", {"--set: magic.steps: unknown key"});
}

TEST_CASE("keys of a configuration") {
  const TemporaryFolder folder;
  const std::string out = " --out " + (folder.path() / "run").string();
  const auto set = [&](const std::string& key) { return "run tsunami" + out + " --set " + key; };
  check_refused(set("data.nods=3"), {"--set: data.nods: unknown key"});
  check_refused(set("data.nodes"), {"--set: data.nodes: section.key=value is needed"});
  check_refused(set("data.nodes=3.5"), {"--set: data.nodes: a whole number is needed"});
  check_refused(set("data.nodes=2"), {"--set: data.nodes: 2 is not in 4"});
  check_refused(set("assimilation.members=1"), {"--set: assimilation.members: 1 is not in 2"});
  check_refused(set("observations.sigma=0"), {"--set: observations.sigma: 0 is not in"});
  check_refused(set("observations.sigma=nan"), {"--set: observations.sigma: nan is not in"});
  check_refused(set("observations.sigma=-1"), {"--set: observations.sigma: -1 is not in"});
  check_refused(set("observations.truths=31"), {"configuration: observations.truths", "31 truths"});
  check_refused(set("data.steps_per_frame=1"), {"configuration: data.steps_per_frame: steps of 857.1 s are unstable"});
  check_refused(set("data.design=odd"), {"--set: data.design: \"odd\" is none of even, uniform"});
  check_refused(set("training.optimiser=sgd"), {"training.optimiser", "\"sgd\" is none of adam, soap"});
  check_refused(set("assimilation.shift=30"), {"configuration: assimilation.shift"});
  check_refused(set("assimilation.annealing=[10]"), {"configuration: assimilation.annealing"});
  check_refused(set("assimilation.start_max=40"), {"configuration: assimilation.start_max"});
  CHECK_FALSE(fs::exists(folder.path() / "run" / "data.nc"));

  const auto with_file = [&](const std::string& text) {
    write_text_file(folder.path() / "my.toml", text);
    return "run tsunami" + out + " --config " + (folder.path() / "my.toml").string();
  };
  check_refused(with_file("[data]\nnodez = 3\n"), {"my.toml: data.nodez: unknown key"});
  check_refused(with_file("[data\n"), {"my.toml: line "});
  check_refused(with_file("[data]\nnodes = \"many\"\n"), {"my.toml: data.nodes: a whole number is needed"});
  check_refused("run tsunami --config " + (folder.path() / "none.toml").string(), {"none.toml: no such file"});
  CHECK(run_levda("keys tsunami --config " + (write_text_file(folder.path() / "my.toml", "[data]\nnodes = 20\n"),
                                              (folder.path() / "my.toml").string()))
            .output.find("data.nodes = 20") != std::string::npos);
}

TEST_CASE("sensors that make no sense") {
  const Copy copy;
  check_refused("observe" + copy.options() + " --set observations.sensors=grid:8",
                {"observations.sensors", "neither grid:NXxNY nor random:N nor scattered:N"});
  check_refused("observe" + copy.options() + " --set observations.sensors=grid:99x2",
                {"observations.sensors", "99 x 2"});
}

TEST_CASE("scattered values need the solver that made the data set") {
  const Copy copy;
  check_refused("observe" + copy.options() + " --set observations.sensors=scattered:0", {"0 scattered values"});
  check_refused("observe" + copy.options() + " --set observations.sensors=scattered:9 --set data.seed=5",
                {"observations.sensors", "made by another configuration"});
}

TEST_CASE("an output path below a regular file") {
  const TemporaryFolder folder;
  write_text_file(folder.path() / "file", "precious");
  for (const char* stage : {"generate", "train", "observe", "assimilate", "report", "run"})
    check_refused(stage + tiny + "--out " + (folder.path() / "file" / "run").string(),
                  {"file is a file, not a folder"});
  CHECK(read_text_file(folder.path() / "file") == "precious");
}

TEST_CASE("data sets: missing, truncated, foreign") {
  const TemporaryFolder folder;
  const std::string out = tiny + "--out " + folder.path().string();
  check_refused("train" + out, {"data.nc: no such file"});
  for (const double share : {0.0, 0.1, 0.5, 0.95}) {
    const Copy copy;
    truncate(copy.out / "data.nc", share);
    fs::remove(copy.out / "weights.safetensors");
    check_refused("train" + copy.options(), {"data.nc: "});
    CHECK_FALSE(fs::exists(copy.out / "weights.safetensors"));
  }
  const Copy copy;
  write_text_file(copy.out / "data.nc", "not a data set");
  check_refused("train" + copy.options(), {"data.nc: not a NetCDF file"});
  fs::copy_file(copy.out / "observations/warm-00.nc", copy.out / "data.nc", fs::copy_options::overwrite_existing);
  check_refused("train" + copy.options(), {"data.nc: levda_format: not a data set"});
  CHECK(fs::exists(copy.out / "weights.safetensors"));
}

TEST_CASE("weights: missing, truncated, foreign, of other data") {
  const Copy copy;
  const fs::path weights = copy.out / "weights.safetensors";
  const std::string results = read_text_file(copy.out / "results.json");
  truncate(weights, 0.5);
  check_refused("assimilate" + copy.options(), {"weights.safetensors: ", "truncated"});
  write_text_file(weights, "{}");
  check_refused("assimilate" + copy.options(), {"weights.safetensors: not a safetensors file"});
  fs::remove(weights);
  check_refused("assimilate" + copy.options(), {"weights.safetensors: no such file"});
  CHECK(read_text_file(copy.out / "results.json") == results);
  // The shipped ones have another grid.
  check_refused("assimilate" + copy.options() + " --weights " + LEVDA_PRETRAINED_FOLDER + "/tsunami-small.safetensors",
                {"tsunami-small.safetensors: grid: differs from the data set's"});
}

TEST_CASE("observations: missing, of another configuration, outside the time span") {
  const Copy copy;
  const fs::path observations = copy.out / "observations/cold-00.nc";
  fs::remove(copy.out / "analysis/cold-00.json");
  check_refused("assimilate" + copy.options() + " --set observations.sigma=0.2",
                {"cold-00.nc: levda_configuration: of another configuration"});
  // The file has six observed frames, the configuration two.
  check_refused("assimilate" + copy.options() + " --set assimilation.frames=2 --observations " + observations.string(),
                {"cold-00.nc: time: row", "outside the time span"});
  truncate(observations, 0.6);
  check_refused("assimilate" + copy.options(), {"cold-00.nc: "});
  fs::remove(observations);
  check_refused("assimilate" + copy.options(), {"cold-00.nc: no such file"});
  check_refused("report" + copy.options(), {"cold-00.json: missing"});
}

TEST_CASE("observations of the world with values that cannot be") {
  using namespace levda::experiments;
  const Copy copy;
  const fs::path mine = copy.folder.path() / "mine.nc";
  const levda::models::Description about = read_dataset(copy.out / "data.nc").about;
  const auto refused = [&](const auto& change, const std::vector<std::string>& parts) {
    ObservationFile file{.experiment = "warm", .observations = {}, .truth = std::nullopt, .fingerprint = ""};
    file.observations.add(0, 0, 0, 2, 0.1, 0.05);
    file.observations.add(857.12, 1e5, -1e5, 2, 0.1, 0.05);
    levda::models::Description changed = about;
    change(file, changed);
    write_observations(mine, file, changed);
    check_refused("assimilate" + copy.options() + " --observations " + mine.string(), parts);
    CHECK_FALSE(fs::exists(copy.out / "analysis.nc"));
  };
  refused([](auto& f, auto&) { f.observations.value[1] = std::nan(""); }, {"mine.nc: value: row 1: nan is not finite"});
  refused([](auto& f, auto&) { f.observations.error_std[0] = 0; }, {"mine.nc: error_std: row 0: 0 is not positive"});
  refused([](auto& f, auto&) { f.observations.error_std[0] = -1; }, {"mine.nc: error_std: row 0: -1 is not positive"});
  refused([](auto& f, auto&) { f.observations.time[1] = 1e6; },
          {"mine.nc: time: row 1: 1000000 is outside the time span"});
  refused([](auto& f, auto&) { f.observations.time[0] = -1; }, {"mine.nc: time: row 0: -1 is outside the time span"});
  refused([](auto& f, auto&) { f.observations.x[0] = 9e6; }, {"mine.nc: x: row 0", "outside the domain"});
  refused([](auto& f, auto&) { f.observations.channel[0] = 7; }, {"mine.nc: channel: row 0: 7"});
  refused(
      [](auto& f, auto&) {
        const auto copy_of = f.observations;
        f.observations.add(copy_of.time[0], copy_of.x[0], copy_of.y[0], 2, copy_of.value[0], copy_of.error_std[0]);
      },
      {"mine.nc: value: row 2: repeats row 0"});
  refused([](auto& f, auto&) { f.observations.qc = {6, 7}; }, {"mine.nc: qc: no observation is to be assimilated"});
  refused([](auto& f, auto&) { f.experiment = "tepid"; }, {"mine.nc: experiment: \"tepid\""});
  refused([](auto&, auto& d) { d.channel_names[2] = "salt"; }, {"mine.nc: channel_name: \"salt\" is not a channel"});
  NetcdfWriter bare(mine);
  bare.attribute("levda_format", std::string("levda-observations-1"));
  bare.attribute("experiment", std::string("warm"));
  bare.dimension("row", 3);
  bare.dimension("other", 2);
  bare.variable("value", Type::Float64, {"row"});
  bare.write("value", std::vector<double>{0, 1, 2});
  bare.variable("time", Type::Float64, {"other"});
  bare.write("time", std::vector<double>{0, 1});
  bare.commit();
  check_refused("assimilate" + copy.options() + " --observations " + mine.string(),
                {"mine.nc: time: shape (2), where (3) is needed"});
}

TEST_CASE("data sets with values that cannot be") {
  using namespace levda::experiments;
  const Copy copy;
  const Dataset good = read_dataset(copy.out / "data.nc");
  const auto refused = [&](const auto& change, const std::vector<std::string>& parts) {
    Dataset set = good;
    change(set);
    write_dataset(copy.out / "data.nc", set);
    check_refused("train" + copy.options(), parts);
  };
  refused([](Dataset& d) { d.fields[17] = std::numeric_limits<float>::infinity(); },
          {"data.nc: field: holds a value that is not finite"});
  refused([](Dataset& d) { std::fill(d.fields.begin(), d.fields.end(), std::nanf("")); },
          {"data.nc: field: holds no value at all"});
  refused([](Dataset& d) { d.parameters[3] = 0.7; },
          {"data.nc: parameters: source_y has values from", "to 0.7, outside its prior range 0 .. 0.5"});
  refused([](Dataset& d) { d.parameters[1] = std::nan(""); },
          {"data.nc: parameters: holds a value that is not finite"});
  refused([](Dataset& d) { d.about.parameter_max[0] = d.about.parameter_min[0]; },
          {"data.nc: parameters: source_x", "prior range 0 .. 0 is empty"});
  refused([](Dataset& d) { d.about.frame_interval = 0; }, {"data.nc: time: is not evenly spaced and increasing"});
}

TEST_CASE("weights with a value that is not finite") {
  const Copy copy;
  const fs::path weights = copy.out / "weights.safetensors";
  levda::nn::TensorFile file = levda::nn::read_safetensors(weights);
  file.tensors["decoder.out.bias"] = levda::autodiff::Tensor::full({3}, std::nan(""));
  levda::nn::write_safetensors(weights, file);
  check_refused("assimilate" + copy.options(),
                {"weights.safetensors: decoder.out.bias: holds a value that is not finite"});
}

TEST_CASE("a system that the program does not know: what is needed instead of CASE") {
  const Copy copy;
  const std::string out = " --out " + (copy.folder.path() / "own").string();
  const std::string data = " --data " + (copy.out / "data.nc").string();
  check_refused("generate" + out, {"CASE: is needed: which solver is to be run?"});
  check_refused("train" + out, {"CASE: is needed, or --data"});
  check_refused("train" + data, {"--out: is needed where CASE is left out"});
  check_refused("assimilate --observations o.csv" + out, {"--weights: is needed with --observations"});
  check_refused("assimilate --observations o.csv --experiment tepid" + out, {"--experiment"});
  check_refused("train" + data + out + " --set training.trajectories=9",
                {"training.trajectories: 9, but the data set has 8 training trajectories"});
  const std::string few = " --set assimilation.members=6";
  check_refused("observe" + data + out, {"assimilation.members: 20, but", "has 8 training trajectories"});
  check_refused("observe" + data + out + few + " --set assimilation.start_min=11",
                {"assimilation.start_max: 6 is below start_min, 11"});
  check_refused("observe" + data + out + few + " --set assimilation.frames=30",
                {"data.nc: frames: 12, but 30 are to be analysed"});
  check_refused("observe" + data + out + few + " --set assimilation.shift=9",
                {"assimilation.shift: 9 is above the window, 6"});
  check_refused("observe" + data + out + few + " --set observations.sensors=scattered:9",
                {"scattered values are taken from a solver"});
  // Before anything is trained.
  check_refused("compare" + data + out + few + " --methods levda,etkf:inflation=1.1",
                {"--methods: etkf:inflation=1.1: runs a solver, which a system of one's own has not"});
  check_refused("sweep" + data + out + few + " --methods levda --over sensors=grid:2x2,scattered:5",
                {"scattered values need a solver"});
  check_refused("run" + data + out + few + " --set observations.refinement=2",
                {"observations.refinement: needs a solver"});
  CHECK_FALSE(fs::exists(copy.folder.path() / "own" / "weights.safetensors"));
}

TEST_CASE("files of a run that are damaged are made anew, observations of another truth refused") {
  const Copy copy;
  const std::string scores = read_text_file(copy.out / "results.json");
  truncate(copy.out / "analysis/cold-00.json", 0.5);
  truncate(copy.out / "analysis/warm-01.nc", 0.5);
  const Outcome outcome = run_levda("assimilate" + copy.options());
  INFO(outcome.output);
  CHECK(outcome.code == 0);
  CHECK(outcome.output.find("cold-00.json: damaged; the scores are made anew") != std::string::npos);
  CHECK(outcome.output.find("warm-01.nc: damaged; it is made anew") != std::string::npos);

  const auto swap = [&](const char* from, const char* to) {
    fs::copy_file(copy.out / "observations" / from, copy.out / "observations" / to,
                  fs::copy_options::overwrite_existing);
    fs::remove(copy.out / "analysis" / fs::path(to).replace_extension("json"));
    check_refused("assimilate" + copy.options(),
                  {fmt::format("{}: truth_index: of another truth; run levda observe first", to)});
  };
  swap("warm-01.nc", "warm-00.nc");
  swap("cold-00.nc", "cold-01.nc");
}

TEST_CASE("observations as CSV: what is wrong is one line with the file, the column and the line") {
  const Copy copy;
  const fs::path mine = copy.folder.path() / "mine.csv";
  const std::string header = "time,x,y,channel,value,error_std\n";
  const std::string command = "assimilate --weights " + (copy.out / "weights.safetensors").string() +
                              " --observations " + mine.string() + " --out " + (copy.folder.path() / "own").string() +
                              " --set assimilation.members=6";
  const auto refused = [&](const std::string& rows, const std::vector<std::string>& parts) {
    write_text_file(mine, header + rows);
    check_refused(command, parts);
  };
  refused("0,0,0,salt,1,0.1\n", {"mine.csv: channel: line 2: \"salt\" is not a channel of the surrogate (u, v, eta)"});
  refused("0,0,0,eta,1\n", {"mine.csv: line 2: 5 fields"});
  refused("0,0,0,eta,1,0\n", {"mine.csv: error_std: line 2: 0 is not positive"});
  refused("0,9e6,0,eta,1,0.1\n", {"mine.csv: x: line 2: 9000000 m is outside the domain"});
  refused("1e5,0,0,eta,1,0.1\n", {"mine.csv: time: line 2: 100000 is outside the time span"});
  refused("5,0,0,eta,1,0.1\n0,1,0,eta,1,0.1\n5,0,0,eta,1,0.1\n", {"mine.csv: value: line 4: repeats line 2"});
  refused("", {"mine.csv: qc: no observation is to be assimilated"});
  refused("10285.44,0,0,eta,1,0.1\n", {"frames: 12, but 13 are to be analysed"});
  refused("0,0,0,eta,1,1e200\n", {"mine.csv: error_std: line 2: 1e+200 has no square"});
  write_text_file(mine, header + "400,0,0,eta,0.1,0.1\n");
  check_refused(command + " --experiment cold", {"mine.csv: time: line 2: 400 is before the first frame, 857.12"});
  // Unsorted times are no fault.
  write_text_file(mine, header + "4000,0,0,eta,0.1,0.1\n0,1,0,eta,0.1,0.1\n900.5,-3e5,2e5,u,0,0.1\n");
  const Outcome good = run_levda(command);
  INFO(good.output);
  CHECK(good.code == 0);
  CHECK(good.output.find("source_x = ") != std::string::npos);
}
