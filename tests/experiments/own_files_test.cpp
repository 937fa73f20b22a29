/// The program on files of somebody else: what it says, and where land stays missing.

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "experiments/data/netcdf_file.h"
#include "tests/experiments/program.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::experiments;
namespace fs = std::filesystem;
using levda::testing::run_levda;

namespace {

constexpr std::int64_t members = 12;
constexpr std::int64_t frames = 6;
constexpr std::int64_t nx = 6;
constexpr std::int64_t ny = 5;

bool is_land(std::int64_t i, std::int64_t j) { return i < 3 && j < 3; }

/// Waves at a speed that differs from member to member; a corner is land. A variable and an attribute are not known.
void write_set(const fs::path& path) {
  NetcdfWriter file(path);
  for (const auto& [name, size] : {std::pair{"member", members},
                                   {"time", frames},
                                   {"channel", std::int64_t{1}},
                                   {"y", ny},
                                   {"x", nx},
                                   {"parameter", std::int64_t{1}}})
    file.dimension(name, size);
  const auto write = [&](const char* name, const std::vector<std::string>& dimensions,
                         const std::vector<double>& values) {
    file.variable(name, Type::Float64, dimensions);
    file.write(name, values);
  };
  write("time", {"time"}, {0, 1, 2, 3, 4, 5});
  write("x", {"x"}, {0, 1, 2, 3, 4, 5});
  write("y", {"y"}, {0, 1, 2, 3, 4});
  write("depth", {"y"}, {0, 1, 2, 3, 4});
  file.attribute("grid_type", "C");
  std::vector<double> speed;
  std::vector<double> field;
  for (std::int64_t m = 0; m < members; ++m) {
    speed.push_back(0.5 + static_cast<double>(m * 5 % members) / members);
    for (std::int64_t t = 0; t < frames; ++t)
      for (std::int64_t j = 0; j < ny; ++j)
        for (std::int64_t i = 0; i < nx; ++i)
          field.push_back(is_land(i, j) ? std::nan("")
                                        : std::sin(static_cast<double>(i) - speed.back() * static_cast<double>(t)));
  }
  write("parameters", {"member", "parameter"}, speed);
  write("field", {"member", "time", "channel", "y", "x"}, field);
  file.commit();
}

}  // namespace

TEST_CASE("the program: what is not read is named, land stays missing, and a bad fit is told") {
  const levda::testing::TemporaryFolder folder;
  const fs::path data = folder.path() / "waves.nc";
  const fs::path seen = folder.path() / "seen.csv";
  const std::string out = " --out " + folder.path().string();
  write_set(data);
  const auto trained = run_levda("train --data " + data.string() + out +
                                 " --set training.steps=40 --set surrogate.latent=2 --set surrogate.decoder_width=8 "
                                 "--set surrogate.dynamics_width=8");
  INFO(trained.output);
  REQUIRE(trained.code == 0);
  CHECK(trained.output.find("waves.nc: not read: depth, grid_type\n") != std::string::npos);

  std::ofstream(seen) << "time,x,y,channel,value,error_std,qc_flag\n0,0.2,0.3,0,0.5,0.1,0\n1,4,3,0,500,0.1,9\n";
  const auto told = run_levda("assimilate --weights " + (folder.path() / "weights.safetensors").string() +
                              " --observations " + seen.string() + out + " --set assimilation.members=6");
  INFO(told.output);
  CHECK(told.code == 0);
  for (const char* line : {"seen.csv: not read: qc_flag, which looks like quality flags",
                           "seen.csv: 1 of 2 values lie where the data set never has any, as on land (line 2)",
                           "start frames 0 .. 4 of the prior, as 2 of 6 frames are observed\n",
                           "the analysis misses the observations: 2 J_o / n is "})
    CHECK_MESSAGE(told.output.find(line) != std::string::npos, line);
  const NetcdfReader analysis(folder.path() / "analysis.nc");
  for (const char* name : {"field_mean", "field_spread"}) {
    const std::vector<float> values = analysis.read<float>(name);
    REQUIRE(values.size() == 2 * 9);  // every other node of two frames
    for (std::size_t k = 0; k < values.size(); ++k) {
      const auto node = static_cast<std::int64_t>(k) % 9;
      CHECK(std::isnan(values[k]) == is_land(node % 3 * 2, node / 3 * 2));
    }
  }
  CHECK(analysis.read<std::int32_t>("observation_qc") == std::vector<std::int32_t>{4, 0});
}
