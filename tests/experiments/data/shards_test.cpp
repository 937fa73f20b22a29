/// Data sets in shards: the same values as in one piece, resumed, checked.

#include "experiments/data/shards.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <netcdf.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "autodiff/error.h"
#include "autodiff/tensor.h"
#include "experiments/data/dataset_file.h"
#include "experiments/data/generate.h"
#include "experiments/data/info.h"
#include "experiments/study/score_files.h"
#include "experiments/training/training.h"
#include "nn/atomic_file.h"
#include "tests/experiments/program.h"
#include "tests/nn/temporary_folder.h"

namespace fs = std::filesystem;
using namespace levda;
using namespace levda::experiments;
using testing::TemporaryFolder;

namespace {

/// Nine members, two in a shard.
Config small() {
  Config config = load_preset("tsunami", "small");
  for (const char* setting : {"data.nodes=12", "data.frames=4", "data.frame_interval=2000", "data.steps_per_frame=10",
                              "data.train=5", "data.valid=2", "data.test=2", "data.between=7", "shard_megabytes=0.016"})
    apply_setting(config, setting);
  return config;
}

void same(const Dataset& a, const Dataset& b) {
  CHECK(a.fields == b.fields);
  CHECK(a.parameters == b.parameters);
  CHECK(a.between.fraction == b.between.fraction);
  CHECK(a.between.x == b.between.x);
  CHECK(a.between.y == b.between.y);
  CHECK(a.between.values == b.between.values);
  CHECK(a.fingerprint == b.fingerprint);
  CHECK(a.train == b.train);
  CHECK(a.test == b.test);
}

std::string shard(int i) { return fmt::format("data/{:04}.nc", i); }

/// Another value, as a fault of the disk leaves it. Not one in what HDF5 itself has to understand: it may crash then.
void damage(const fs::path& path) {
  int file = 0;
  int variable = 0;
  float value = 0;
  REQUIRE(nc_open(path.c_str(), NC_WRITE, &file) == NC_NOERR);
  REQUIRE(nc_inq_varid(file, "field", &variable) == NC_NOERR);
  const std::vector<std::size_t> place(5, 0);
  REQUIRE(nc_get_var1_float(file, variable, place.data(), &value) == NC_NOERR);
  value += 1;
  REQUIRE(nc_put_var1_float(file, variable, place.data(), &value) == NC_NOERR);
  REQUIRE(nc_close(file) == NC_NOERR);
}

}  // namespace

TEST_CASE("shards hold what one piece holds, bit by bit, at any number of threads") {
  const TemporaryFolder folder;
  const Config config = small();
  const Dataset whole = generate_dataset(config, {});
  for (const int threads : {1, 3, 64}) {
    CAPTURE(threads);
    const fs::path path = folder.path() / fmt::format("{}", threads) / "data.nc";
    generate_files(config, path, {.threads = threads});
    CHECK(fs::exists(path.parent_path() / shard(4)));
    CHECK_FALSE(fs::exists(path.parent_path() / shard(5)));
    CHECK(fingerprint_of(path) == whole.fingerprint);
    const Dataset read = read_dataset(path);
    same(read, whole);
    REQUIRE(read.interpolation.has_value());
    CHECK(read.interpolation->all > 0);
    CHECK(nn::read_text_file(path) == nn::read_text_file(folder.path() / "1" / "data.nc"));
    CHECK(nn::read_text_file(path.parent_path() / shard(4)) == nn::read_text_file(folder.path() / "1" / shard(4)));
  }
  CHECK(describe_file(folder.path() / "1" / "data.nc").find("leave-one-out") != std::string::npos);
  CHECK(describe_file(folder.path() / "1" / shard(1)).find("members 2 .. 3") != std::string::npos);
  // In one file where it is no larger than a shard: the same error of interpolation, too.
  Config large = config;
  apply_setting(large, "shard_megabytes=32");
  generate_files(large, folder.path() / "one" / "data.nc", {});
  CHECK_FALSE(fs::exists(folder.path() / "one" / "data"));
  const Dataset one = read_dataset(folder.path() / "one" / "data.nc");
  same(one, whole);
  CHECK(one.interpolation->all == read_dataset(folder.path() / "1" / "data.nc").interpolation->all);
}

TEST_CASE("what is there is kept, what is missing, damaged or of another set is made") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "data.nc";
  const Config config = small();
  const auto written = [&](int i) { return fs::last_write_time(folder.path() / shard(i)); };
  generate_files(config, path, {});
  const std::string index = nn::read_text_file(path);
  const std::string third = nn::read_text_file(folder.path() / shard(3));
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  const auto age = [&] {
    for (int i = 0; i < 5; ++i) fs::last_write_time(folder.path() / shard(i), old);
  };
  age();
  // As a kill leaves it: no index, some shards, one of them of an earlier configuration.
  fs::remove(path);
  fs::remove(folder.path() / shard(3));
  Config other = config;
  apply_setting(other, "data.seed=9");
  generate_files(other, folder.path() / "other" / "data.nc", {});
  fs::copy_file(folder.path() / "other" / shard(0), folder.path() / shard(0), fs::copy_options::overwrite_existing);
  damage(folder.path() / shard(1));
  fs::last_write_time(folder.path() / shard(1), old);
  nn::write_text_file(folder.path() / shard(7), "of a set of more shards");
  generate_files(config, path, {});
  CHECK(nn::read_text_file(path) == index);
  CHECK(nn::read_text_file(folder.path() / shard(3)) == third);
  for (const int kept : {2, 4}) CHECK(written(kept) - old < std::chrono::seconds(1));
  for (const int made : {0, 1, 3}) CHECK(written(made) - old > std::chrono::minutes(30));
  CHECK_FALSE(fs::exists(folder.path() / shard(7)));
  same(read_dataset(path), generate_dataset(config, {}));

  // All of another configuration.
  generate_files(other, path, {});
  same(read_dataset(path), generate_dataset(other, {}));
}

TEST_CASE("a shard that is damaged, missing or of another set is named") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "data.nc";
  const Config config = small();
  generate_files(config, path, {});
  const auto refusal = [&] {
    try {
      read_dataset(path);
    } catch (const InputError& error) {
      return std::string(error.what()).substr(folder.path().string().size() + 1);
    }
    return std::string("read");
  };
  CHECK(refusal() == "read");
  damage(folder.path() / shard(2));
  CHECK(refusal().starts_with("data/0002.nc: "));
  fs::remove(folder.path() / shard(2));
  CHECK(refusal() == "data/0002.nc: no such file; levda generate makes this shard anew");
  fs::copy_file(folder.path() / shard(1), folder.path() / shard(2));
  CHECK(refusal() == "data/0002.nc: first_member: is not 4");

  // A value that changed without the file noticing: the checksum does.
  Dataset part = Generator(config).members(4, 6, {});
  const std::vector<std::int64_t> sums = member_checksums(part);
  part.fields[part.fields.size() - 1] += 1;
  CHECK(member_checksums(part)[0] == sums[0]);
  CHECK(member_checksums(part)[1] != sums[1]);
  part.between.x[0] += 1;
  CHECK(member_checksums(part)[0] != sums[0]);
}

TEST_CASE("a generate that is told to stop goes on from there; an index is of a complete set") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "data.nc";
  const Config config = small();
  int asked = 0;
  const GenerateOptions options{.threads = 1, .stop = [&] { return ++asked == 2; }};
  CHECK_THROWS_AS(generate_files(config, path, options), Interrupted);
  CHECK_FALSE(fs::exists(path));
  CHECK(fs::exists(folder.path() / shard(0)));
  CHECK_FALSE(fs::exists(folder.path() / shard(4)));
  generate_files(config, path, {});
  same(read_dataset(path), generate_dataset(config, {}));
}

TEST_CASE("what is not kept in memory is read when it is needed: the same values, moments and errors") {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "data.nc";
  Config config = small();
  for (const char* setting : {"surrogate.latent=1", "surrogate.decoder_depth=2", "surrogate.decoder_width=4",
                              "training.steps=3", "training.trajectories=1", "training.points=2", "training.between=2"})
    apply_setting(config, setting);
  generate_files(config, path, {});
  const Dataset whole = read_dataset(path);
  const auto members = [&](const Dataset& set, std::int64_t first, std::int64_t last) {
    std::vector<float> all;
    set.each_member(first, last, [&](std::int64_t member, std::span<const float> fields) {
      CHECK(member == first++);
      all.insert(all.end(), fields.begin(), fields.end());
    });
    return all;
  };
  for (const auto& [keep, in_memory] : {std::pair{Keep::none, 9}, {Keep::tests, 7}}) {
    const Dataset some = read_dataset(path, 0, 0, keep);
    CHECK(some.in_memory == in_memory);
    CHECK(some.fields.size() == static_cast<std::size_t>((9 - in_memory) * 4 * some.frame_size()));
    CHECK(some.parameters == whole.parameters);
    CHECK(some.between.values == whole.between.values);
    CHECK(field_moments(some).mean == field_moments(whole).mean);
    CHECK(field_moments(some).deviation == field_moments(whole).deviation);
    CHECK_FALSE(has_missing(some));
    CHECK(members(some, 0, 9) == whole.fields);
    CHECK(members(some, 3, 8) == members(whole, 3, 8));
    CHECK(members(some, 5, 5).empty());
    CHECK(std::ranges::equal(read_dataset(path, 0, 0, Keep::tests).frame(8, 3), whole.frame(8, 3)));
    CHECK_THROWS_WITH_AS(some.frame(4, 0), "the fields of trajectory 4 are not in memory", Error);
  }
  // A training: its validation and its tests.
  const auto trained = [&](Keep keep) {
    const models::Surrogate s =
        train_surrogate(config, read_dataset(path, 10, 3, keep), {.checkpoint = folder.path() / "none", .threads = 0});
    std::map<std::string, std::string> provenance = s.provenance;
    for (const char* time : {"trained", "train_seconds", "train_gflops"}) provenance.erase(time);
    return std::pair{models::content(s), provenance};
  };
  CHECK(trained(Keep::none) == trained(Keep::all));
  const Dataset outline = read_dataset(path, 0, 0, Keep::none);
  fs::remove(folder.path() / shard(4));
  CHECK_THROWS_AS(members(outline, 0, 9), InputError);
}

TEST_CASE("twin experiments do not depend on whether the set is in memory" *
          doctest::test_suite("long under sanitizers")) {
  const TemporaryFolder folder;
  const std::string all = (folder.path() / "all").string();
  const std::string some = (folder.path() / "some").string();
  const auto run = [&](const std::string& stage, const std::string& options) {
    const testing::Outcome outcome = testing::run_levda(stage + testing::tiny + options);
    INFO(outcome.output);
    REQUIRE(outcome.code == 0);
  };
  run("generate", "--set shard_megabytes=0.03 --out " + all);
  run("train", "--out " + all);
  for (const char* stage : {"observe", "assimilate", "report"}) {
    run(stage, "--out " + all);
    const bool weights = stage != std::string("observe");
    run(stage, "--set training.pool=30 --data " + all + "/data.nc --out " + some +
                   (weights ? " --weights " + all + "/weights.safetensors" : ""));
  }
  for (const char* name : {"cold-00", "cold-01", "warm-00", "warm-01"}) {
    const std::string file = fmt::format("/analysis/{}", name);
    const std::string configuration = fingerprint_of(all + file + ".nc");
    const auto expected = read_truth_scores(all + file + ".json", configuration);
    const auto found = read_truth_scores(some + file + ".json", configuration);
    REQUIRE(expected.has_value());
    REQUIRE(found.has_value());
    REQUIRE(found->methods.size() == expected->methods.size());
    for (const auto& [method, scores] : expected->methods) {
      CAPTURE(method);
      const MethodScores& own = found->methods.at(method);
      REQUIRE(own.frames.size() == scores.frames.size());
      for (std::size_t t = 0; t < scores.frames.size(); ++t) CHECK(own.frames[t].pack() == scores.frames[t].pack());
      for (std::size_t k = 0; k < scores.parameters.size(); ++k)
        CHECK(own.parameters[k].error == scores.parameters[k].error);
    }
  }
}

TEST_CASE("with a pool, random nodes of the training trajectories are kept, and all of the others") {
  const TemporaryFolder folder;
  const Config config = small();
  generate_files(config, folder.path() / "data.nc", {});
  const Dataset whole = read_dataset(folder.path() / "data.nc");
  SUBCASE("in shards") {}
  SUBCASE("in one file") { write_dataset(folder.path() / "data.nc", whole); }
  const Dataset pooled = read_dataset(folder.path() / "data.nc", 10, 3);
  const std::int64_t cells = 12 * 12;
  CHECK(pooled.pool.points == 10);
  CHECK(pooled.fields.size() == static_cast<std::size_t>(4 * 4 * 3 * cells));
  REQUIRE(pooled.pool.nodes.size() == 5 * 4 * 10);
  REQUIRE(pooled.pool.values.size() == 5 * 4 * 10 * 3);
  CHECK(pooled.between.values == whole.between.values);
  CHECK(pooled.parameters == whole.parameters);
  CHECK(field_moments(pooled).mean == field_moments(whole).mean);
  CHECK(field_moments(pooled).deviation == field_moments(whole).deviation);
  std::set<std::int32_t> seen;
  for (std::int64_t i = 0; i < 5 * 4 * 10; ++i) {
    const std::int32_t node = pooled.pool.nodes[i];
    REQUIRE(node >= 0);
    REQUIRE(node < cells);
    seen.insert(node);
    for (std::int64_t c = 0; c < 3; ++c)
      CHECK(pooled.pool.values[i * 3 + c] == whole.frame(i / 40, i / 10 % 4)[c * cells + node]);
  }
  // 200 draws of 144: 108 different ones, standard deviation 4.
  CHECK(seen.size() > 80);
  CHECK(seen.size() < 136);
  for (std::int64_t member = 5; member < 9; ++member)
    for (std::int64_t frame = 0; frame < 4; ++frame)
      CHECK(std::ranges::equal(pooled.frame(member, frame), whole.frame(member, frame)));
  CHECK_THROWS_WITH_AS(pooled.frame(4, 0), "the fields of trajectory 4 are not in memory", Error);
  CHECK(read_dataset(folder.path() / "data.nc", 10, 3).pool.nodes == pooled.pool.nodes);
  CHECK(read_dataset(folder.path() / "data.nc", 10, 4).pool.nodes != pooled.pool.nodes);
  CHECK(read_dataset(folder.path() / "data.nc", cells, 3).pool.points == 0);
}
