#include "models/surrogate.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "autodiff/error.h"
#include "nn/atomic_file.h"
#include "nn/safetensors.h"
#include "tests/autodiff/compare.h"
#include "tests/autodiff/one_lane.h"
#include "tests/nn/temporary_folder.h"

using namespace levda::autodiff;
using namespace levda::models;
using levda::InputError;
using levda::nn::read_safetensors;
using levda::nn::TensorFile;
using levda::nn::write_safetensors;
using levda::testing::largest_difference;
using levda::testing::normal_tensor;
using levda::testing::same_bits;
using levda::testing::TemporaryFolder;

namespace {

constexpr LdnetArchitecture tiny{.latent = 2,
                                 .parameters = 2,
                                 .channels = 3,
                                 .fourier_features = 3,
                                 .fourier_scale = 0.1,  // not exact in binary: text must keep all digits
                                 .latent_dt = 1.0 / 3,
                                 .dynamics_depth = 2,
                                 .dynamics_width = 4,
                                 .decoder_depth = 2,
                                 .decoder_width = 5};

Surrogate example() {
  const Description about{.case_name = "tsunami",
                          .parameter_names = {"source_x", "source_y"},
                          .parameter_units = {"m", "1"},
                          .parameter_min = {-2e5, 0.1},
                          .parameter_max = {3e5, 0.7},
                          .channel_names = {"u", "v", "eta"},
                          .channel_units = {"m/s", "m/s", "m"},
                          .grid = {.nx = 9,
                                   .ny = 5,
                                   .x0 = -5e5,
                                   .y0 = 1.0 / 7,
                                   .dx = 1.25e5,
                                   .dy = 1e-7,
                                   .offset_x = {0.5, 0, 0},
                                   .offset_y = {0, 0.5, 0}},
                          .frames = 4,
                          .first_time = 0,
                          .frame_interval = 507.3};
  return {.about = about,
          .net = Ldnet(tiny, 3),
          .field_mean = {0.1, -0.2, 0.3},
          .field_std = {1.0 / 3, 2, 1e-3},
          .training_parameters = normal_tensor({6, 2}, 1),
          .training_latents = normal_tensor({6, 4, 2}, 2, DType::float32),
          .error_variance = square(Var(normal_tensor({4, 3}, 3))).value(),
          .between_variance = square(Var(normal_tensor({3, 3}, 4))).value(),
          .provenance = {{"command", "levda train, \"quoted\""}, {"seed", "17"}}};
}

template <typename F>
auto with_threads(int threads, F f) {
  const oneapi::tbb::global_control limit(oneapi::tbb::global_control::max_allowed_parallelism,
                                          static_cast<std::size_t>(threads));
  oneapi::tbb::task_arena arena(threads);
  return arena.execute(f);
}

}  // namespace

TEST_CASE("surrogate: what was saved is loaded, bit for bit") {
  const TemporaryFolder folder;
  const Surrogate a = example();
  save_surrogate(folder / "weights.safetensors", a);
  const Surrogate b = load_surrogate(folder / "weights.safetensors");
  CHECK(b.about.case_name == a.about.case_name);
  CHECK(b.about.parameter_names == a.about.parameter_names);
  CHECK(b.about.parameter_units == a.about.parameter_units);
  CHECK(b.about.parameter_min == a.about.parameter_min);
  CHECK(b.about.parameter_max == a.about.parameter_max);
  CHECK(b.about.channel_names == a.about.channel_names);
  CHECK(b.about.channel_units == a.about.channel_units);
  CHECK(b.about.grid.nx == a.about.grid.nx);
  CHECK(b.about.grid.ny == a.about.grid.ny);
  CHECK(b.about.grid.x0 == a.about.grid.x0);
  CHECK(b.about.grid.y0 == a.about.grid.y0);
  CHECK(b.about.grid.dx == a.about.grid.dx);
  CHECK(b.about.grid.dy == a.about.grid.dy);
  CHECK(b.about.grid.offset_x == a.about.grid.offset_x);
  CHECK(b.about.grid.offset_y == a.about.grid.offset_y);
  CHECK(b.about.frames == a.about.frames);
  CHECK(b.about.first_time == a.about.first_time);
  CHECK(b.about.frame_interval == a.about.frame_interval);
  CHECK(b.net.architecture() == a.net.architecture());
  REQUIRE(b.net.parameters().size() == a.net.parameters().size());
  for (std::size_t i = 0; i < a.net.parameters().size(); ++i) {
    CHECK(b.net.parameters().name(i) == a.net.parameters().name(i));
    CHECK(b.net.parameters().trainable(i) == a.net.parameters().trainable(i));
    CHECK(same_bits(b.net.parameters()[i], a.net.parameters()[i]));
  }
  CHECK(b.field_mean == a.field_mean);
  CHECK(b.field_std == a.field_std);
  CHECK(same_bits(b.training_parameters, a.training_parameters));
  CHECK(same_bits(b.training_latents, a.training_latents));
  CHECK(same_bits(b.error_variance, a.error_variance));
  CHECK(same_bits(b.between_variance, a.between_variance));
  for (const auto& [key, value] : a.provenance) CHECK(b.provenance.at(key) == value);

  // Saved again, the file is the same.
  save_surrogate(folder / "again.safetensors", b);
  CHECK(levda::nn::read_text_file(folder / "again.safetensors") ==
        levda::nn::read_text_file(folder / "weights.safetensors"));
}

TEST_CASE("surrogate: parameters to [-1, 1] and back") {
  const Surrogate s = example();
  const std::vector<double> ends{-2e5, 0.1, 3e5, 0.7, 5e4, 0.4};
  // A few roundings of numbers of order one.
  CHECK(largest_difference(s.normal_parameters(ends), std::vector<double>{-1, -1, 1, 1, 0, 0}) <= 4e-16);
  const std::vector<double> normal = normal_tensor({20}, 4).to_vector();
  CHECK(largest_difference(s.normal_parameters(s.physical_parameters(normal)), normal) <= 20 * 3 * 0x1p-53);
  const std::vector<double> physical = s.physical_parameters(normal);
  CHECK(std::abs(physical[0] - (-2e5 + 0.5 * (normal[0] + 1) * 5e5)) <= 1e-9);
  CHECK(std::abs(physical[1] - (0.1 + 0.5 * (normal[1] + 1) * 0.6)) <= 1e-15);
  CHECK(s.normal_parameters(std::vector<double>{}).empty());
}

TEST_CASE("surrogate: network coordinates and areas of a torus and a sphere") {
  Grid grid = example().about.grid;
  CHECK(grid.area(3, 4) == 1);
  grid.geometry = Geometry::torus;
  const double period = 9 * grid.dx;
  CHECK(grid.normal_x(grid.x0) == -1);
  CHECK(std::abs(grid.normal_x(grid.x0 + period) - 1) <= 1e-15);
  CHECK(grid.contains_x(grid.x0 + 1.9 * period));
  CHECK_FALSE(grid.contains_x(grid.x0 + 2.1 * period));
  CHECK_FALSE(grid.contains_x(std::nan("")));
  CHECK(grid.contains_y(grid.y0 - 4.9 * grid.dy));
  CHECK(grid.area(3, 4) == 1);
  const Grid sphere{.nx = 12,
                    .ny = 6,
                    .x0 = 0,
                    .y0 = -75,
                    .dx = 30,
                    .dy = 30,
                    .offset_x = {0},
                    .offset_y = {0},
                    .x = {},
                    .y = {},
                    .geometry = Geometry::sphere};
  CHECK(sphere.normal_x(180) == 0);
  CHECK(sphere.normal_y(-45) == -0.5);
  CHECK(sphere.contains_x(-180));
  CHECK(sphere.contains_y(90));
  CHECK_FALSE(sphere.contains_y(90.1));
  CHECK(sphere.fault().empty());
  Grid wrong = sphere;
  wrong.y0 = -50;
  CHECK(wrong.fault() == "latitudes of a sphere lie between -90 and 90 degrees");
  wrong = sphere;
  wrong.dx = 29;
  CHECK(wrong.fault() == "longitudes of a sphere go round in 360 degrees");
  wrong.geometry = Geometry::plane;
  CHECK(wrong.fault().empty());
  const std::vector<double> areas = grid_areas(sphere, 2);
  REQUIRE(areas.size() == 18);
  CHECK(std::abs(areas[0] - std::cos(75 * std::numbers::pi / 180)) <= 1e-15);
  CHECK(std::abs(areas[17] - std::cos(45 * std::numbers::pi / 180)) <= 1e-15);
}

TEST_CASE("surrogate: a geometry survives the file; one that does not exist is refused; without one it is a plane") {
  const TemporaryFolder folder;
  Surrogate s = example();
  s.about.grid.geometry = Geometry::torus;
  LdnetArchitecture architecture = tiny;
  architecture.geometry = Geometry::torus;
  s.net = Ldnet(architecture, 3);
  save_surrogate(folder / "w", s);
  const Surrogate back = load_surrogate(folder / "w");
  CHECK(back.about.grid.geometry == Geometry::torus);
  CHECK(back.net.architecture() == architecture);
  TensorFile file = read_safetensors(folder / "w");
  file.metadata["grid_geometry"] = "disc";
  write_safetensors(folder / "disc", file);
  CHECK_THROWS_WITH(load_surrogate(folder / "disc"),
                    doctest::Contains("grid_geometry: \"disc\" is none of plane, torus, sphere"));
  file.metadata.erase("grid_geometry");
  file.metadata.erase("embedding");
  write_safetensors(folder / "old", file);
  CHECK(load_surrogate(folder / "old").about.grid.geometry == Geometry::plane);
}

TEST_CASE("surrogate: published networks and their scaling survive the file; what they cannot be is refused") {
  const TemporaryFolder folder;
  for (const std::int64_t features : {0, 3})
    for (const auto& [dynamics, decoder] :
         {std::pair{levda::nn::Hidden::relu, levda::nn::Hidden::residual_relu},
          std::pair{levda::nn::Hidden::residual_relu, levda::nn::Hidden::residual_silu}}) {
      LdnetArchitecture architecture = tiny;
      architecture.fourier_features = features;
      architecture.dynamics_layers = dynamics;
      architecture.decoder_layers = decoder;
      architecture.fourier_trainable = features > 0;
      if (features > 0) architecture.fourier_init = levda::nn::FourierFeatures::Draw::uniform;
      Surrogate a = example();
      a.net = Ldnet(architecture, 3);
      a.scaling = Scaling{{0.1, 0.2, 0.3}, {1.0 / 3, 4, 5}};
      save_surrogate(folder / "w", a);
      const Surrogate b = load_surrogate(folder / "w");
      CHECK(b.net.architecture() == architecture);
      REQUIRE(b.net.parameters().size() == a.net.parameters().size());
      for (std::size_t i = 0; i < a.net.parameters().size(); ++i) {
        CHECK(b.net.parameters().trainable(i) == a.net.parameters().trainable(i));
        CHECK(same_bits(b.net.parameters()[i], a.net.parameters()[i]));
      }
      REQUIRE(b.scaling);
      CHECK(b.scaling->offset == a.scaling->offset);
      CHECK(b.scaling->scale == a.scaling->scale);
      CHECK(b.offset(1) == 0.2);
      CHECK(b.scale(1) == 4);
      CHECK(b.field_std == a.field_std);
    }
  const TensorFile good = read_safetensors(folder / "w");
  const auto refused = [&](const std::string& message, auto change) {
    TensorFile file = good;
    change(file);
    write_safetensors(folder / "bad", file);
    CHECK_THROWS_WITH_AS(load_surrogate(folder / "bad"), ((folder / "bad").string() + ": " + message).c_str(),
                         InputError);
  };
  refused("decoder_layers: \"gelu\" is none of residual_silu, relu, residual_relu",
          [](TensorFile& f) { f.metadata["decoder_layers"] = "gelu"; });
  refused("fourier_trainable: 2 is not in 0 .. 1", [](TensorFile& f) { f.metadata["fourier_trainable"] = "2"; });
  refused("fourier_features: -1 is not in 0 .. 4096", [](TensorFile& f) { f.metadata["fourier_features"] = "-1"; });
  refused("decoder.0.weight: float32 (8, 5), where float32 (4, 5) is needed",
          [](TensorFile& f) { f.metadata["fourier_features"] = "0"; });
  refused("normalisation.scale: not positive",
          [](TensorFile& f) { f.tensors["normalisation.scale"] = Tensor::full({3}, 0, DType::float64); });
  refused("normalisation.offset: no such tensor", [](TensorFile& f) { f.tensors.erase("normalisation.offset"); });
  // Files of before: what they do not say is as it was.
  save_surrogate(folder / "w", example());
  TensorFile old = read_safetensors(folder / "w");
  CHECK(old.tensors.count("normalisation.scale") == 0);
  for (const char* key : {"dynamics_layers", "decoder_layers", "fourier_uniform", "fourier_trainable"})
    old.metadata.erase(key);
  write_safetensors(folder / "old", old);
  const Surrogate s = load_surrogate(folder / "old");
  CHECK(s.net.architecture() == tiny);
  CHECK(s.offset(1) == s.field_mean[1]);
  CHECK(s.scale(1) == s.field_std[1]);
}

TEST_CASE("surrogate: the grid's points as network coordinates") {
  const Grid grid = example().about.grid;
  CHECK(grid.cells() == 45);
  CHECK(grid.normal_x(-5e5) == -1);
  CHECK(grid.normal_x(5e5) == 1);
  CHECK(std::abs(grid.normal_y(1.0 / 7 + 2e-7)) <= 1e-9);  // y0 is rounded by 1e-17 where dy is 1e-7
  const Tensor all = grid_points(grid, 1);
  REQUIRE(all.shape() == Shape{45, 2});
  CHECK(all.dtype() == DType::float32);
  const std::vector<double> x = all.to_vector();
  for (std::size_t j = 0; j < 5; ++j)
    for (std::size_t i = 0; i < 9; ++i) {
      CHECK(std::abs(x[2 * (j * 9 + i)] - (0.25 * static_cast<double>(i) - 1)) <= 1e-7);
      CHECK(std::abs(x[2 * (j * 9 + i) + 1] - (0.5 * static_cast<double>(j) - 1)) <= 1e-7);
    }
  const Tensor sparse = grid_points(grid, 3);
  REQUIRE(sparse.shape() == Shape{3 * 2, 2});
  for (std::int64_t j = 0; j < 2; ++j)
    for (std::int64_t i = 0; i < 3; ++i)
      CHECK(same_bits(sparse.rows(3 * j + i, 3 * j + i + 1), all.rows(27 * j + 3 * i, 27 * j + 3 * i + 1)));
}

TEST_CASE(
    "surrogate: latent trajectories are rollouts from rest without s_0, the same bits for any number of "
    "threads") {
  const Ldnet net(tiny, 3);
  const std::vector<double> u = normal_tensor({5, 2}, 5).to_vector();
  const auto run = [&] { return latent_trajectories(net, u, 5, 4); };
  const Tensor latents = with_threads(1, run);
  REQUIRE(latents.shape() == Shape{5, 4, 2});
  CHECK(same_bits(with_threads(4, run), latents));
  const Var all(Tensor::from(std::span<const double>(u), {5, 2}, DType::float32));
  const Vars states = net.rollout(net.parameters().constants(), all, Var(Tensor::zeros({5, 2})), 4);
  for (std::int64_t member = 0; member < 5; ++member)
    for (std::int64_t frame = 0; frame < 4; ++frame)
      // float32 sums of a few terms in another order, over four steps.
      CHECK(largest_difference(
                latents.rows(member, member + 1).reshaped({4, 2}).rows(frame, frame + 1).to_vector(),
                states[static_cast<std::size_t>(frame) + 1].value().rows(member, member + 1).to_vector()) <= 1e-5);
}

TEST_CASE("surrogate: decoded fields are decode_all in tiles, the same bits for any number of threads") {
  const Ldnet net(tiny, 3);
  const Tensor s = normal_tensor({3, 2}, 6, DType::float32);
  const Tensor x = normal_tensor({600, 2}, 7, DType::float32);  // two whole tiles and a rest
  const auto run = [&] { return decode_states(net, s, x); };
  const Tensor fields = with_threads(1, run);
  REQUIRE(fields.shape() == Shape{3, 600, 3});
  CHECK(same_bits(with_threads(4, run), fields));
  const Vars w = net.parameters().constants();
  const Tensor expected = net.decode_all(w, net.features(w, Var(x)), Var(s)).value();
  CHECK(largest_difference(fields, expected) <= 1e-5);
  CHECK(levda::testing::largest(expected.to_vector()) > 0.1);
}

TEST_CASE("surrogate: on a device of one lane, in few large pieces, the same to round-off, and results on the CPU") {
  const Ldnet net(tiny, 3);
  Ldnet moved(tiny, 3);
  levda::nn::Parameters& weights = moved.parameters();
  for (std::size_t i = 0; i < weights.size(); ++i) weights.set(i, weights[i].to(levda::testing::one_lane()));
  const std::vector<double> u = normal_tensor({5, 2}, 5).to_vector();
  const std::vector<double> varying = normal_tensor({5, 4, 2}, 8).to_vector();
  const Tensor s = normal_tensor({3, 2}, 6, DType::float32);
  const Tensor x = normal_tensor({600, 2}, 7, DType::float32);
  const Tensor latents = latent_trajectories(net, u, 5, 4);
  const Tensor fields = decode_states(net, s, x);
  // float32 sums of a few terms in another order, over four steps. One call, whole states, rows of one, single rows.
  for (const std::int64_t most : {rows_at_once, std::int64_t{1300}, std::int64_t{250}, std::int64_t{1}}) {
    CAPTURE(most);
    const Tensor found = decode_states(moved, s, x, most);
    CHECK(found.device() == levda::autodiff::Device::cpu);
    CHECK(largest_difference(found, fields) <= 1e-5);
  }
  for (const std::int64_t most : {rows_at_once, std::int64_t{9}, std::int64_t{1}}) {
    CAPTURE(most);
    const Tensor found = latent_trajectories(moved, u, 5, 4, most);
    CHECK(found.device() == levda::autodiff::Device::cpu);
    CHECK(largest_difference(found, latents) <= 1e-5);
    CHECK(largest_difference(latent_trajectories(moved, varying, 5, 4, most),
                             latent_trajectories(net, varying, 5, 4)) <= 1e-5);
  }
}

TEST_CASE("surrogate: bad files are refused with the file and the field") {
  const TemporaryFolder folder;
  const std::string good = (folder / "good.safetensors").string();
  const std::string path = (folder / "bad.safetensors").string();
  save_surrogate(good, example());
  const TensorFile intact = read_safetensors(good);
  const auto refused = [&](const std::string& message, auto change) {
    TensorFile file = intact;
    change(file);
    write_safetensors(path, file);
    CHECK_THROWS_WITH_AS(load_surrogate(path), (path + ": " + message).c_str(), InputError);
  };
  const auto text = [](const std::string& key, const std::string& value) {
    return [=](TensorFile& f) { f.metadata[key] = value; };
  };
  write_safetensors(path, intact);
  CHECK_NOTHROW(load_surrogate(path));

  const std::string missing = (folder / "missing").string();
  CHECK_THROWS_WITH_AS(load_surrogate(missing), (missing + ": no such file").c_str(), InputError);
  const std::string foreign = "format: not a surrogate of levda (\"levda-surrogate-2\" expected)";
  refused(foreign, [](TensorFile& f) { f.metadata.erase("format"); });
  refused(foreign, text("format", "pt"));
  refused(foreign, [](TensorFile& f) { f.metadata.clear(); });

  // Every key and every tensor is needed.
  for (const char* key :
       {"case",           "parameter_names", "parameter_units", "channel_names", "channel_units",    "grid_nx",
        "grid_ny",        "grid_x0",         "grid_y0",         "grid_dx",       "grid_dy",          "frames",
        "first_time",     "frame_interval",  "latent",          "latent_dt",     "fourier_features", "fourier_scale",
        "dynamics_depth", "dynamics_width",  "decoder_depth",   "decoder_width"})
    refused(std::string(key) + ": missing from the metadata", [&](TensorFile& f) { f.metadata.erase(key); });
  for (const auto& [name, tensor] : intact.tensors) {
    CAPTURE(name);
    const std::string& key = name;
    const Tensor& value = tensor;
    refused(key + ": no such tensor", [&](TensorFile& f) { f.tensors.erase(key); });
    refused(key + ": holds a value that is not finite", [&](TensorFile& f) {
      std::vector<double> values = value.to_vector();
      values.back() = std::numeric_limits<double>::quiet_NaN();
      f.tensors[key] = Tensor::from(std::span<const double>(values), value.shape(), value.dtype());
    });
    if (key == "prior.parameters") continue;  // its rows are the number of members: see below
    refused(fmt::format("{}: {} {}, where {} {} is needed", key, levda::autodiff::name(value.dtype()),
                        value.shape().prepend({1}).text(), levda::autodiff::name(value.dtype()), value.shape().text()),
            [&](TensorFile& f) { f.tensors[key] = value.reshaped(value.shape().prepend({1})); });
    const DType other = value.dtype() == DType::float32 ? DType::float64 : DType::float32;
    refused(fmt::format("{}: {} {}, where {} {} is needed", key, levda::autodiff::name(other), value.shape().text(),
                        levda::autodiff::name(value.dtype()), value.shape().text()),
            [&](TensorFile& f) { f.tensors[key] = value.to(other); });
  }
  refused("prior.parameters: float64 (6, 3), where float64 (6, 2) is needed", [](TensorFile& f) {
    f.tensors["prior.parameters"] = normal_tensor({6, 3}, 1);
  });
  refused("prior.latents: float32 (6, 4, 2), where float32 (5, 4, 2) is needed", [](TensorFile& f) {
    f.tensors["prior.parameters"] = normal_tensor({5, 2}, 1);
  });
  refused("decoder.0.weight: float32 (8, 5), where float32 (8, 6) is needed", text("decoder_width", "6"));

  // Values that make no sense.
  refused("grid_nx: \"nine\" is not a number", text("grid_nx", "nine"));
  refused("grid_nx: \"9.5\" is not a number", text("grid_nx", "9.5"));
  refused("grid_nx: 0 is not in 1 .. 1048576", text("grid_nx", "0"));
  refused("frames: \"\" is not a number", text("frames", ""));
  refused("frames: -1 is not in 1 .. 1048576", text("frames", "-1"));
  refused("latent: 99999999 is not in 1 .. 4096", text("latent", "99999999"));
  refused("first_time: not finite", text("first_time", "nan"));
  refused("latent_dt: not finite", text("latent_dt", "inf"));
  refused("frame_interval: not positive", text("frame_interval", "0"));
  refused("normalisation.field_std: not positive", [](TensorFile& f) {
    f.tensors["normalisation.field_std"] = Tensor::from(std::vector<double>{1, 0, 1}, {3});
  });
  refused("normalisation.parameter_max: not above parameter_min", [](TensorFile& f) {
    f.tensors["normalisation.parameter_max"] = Tensor::from(std::vector<double>{-2e5, 0.7}, {2});
  });
}

TEST_CASE("surrogate: contents that contradict themselves are refused") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  save_surrogate(path, example());
  const TensorFile good = read_safetensors(path);
  const auto refused = [&](const std::string& key, const std::string& value, const std::string& message) {
    TensorFile file = good;
    file.metadata[key] = value;
    write_safetensors(folder / "b.safetensors", file);
    const std::string expected = (folder / "b.safetensors").string() + ": " + key + ": " + message;
    CHECK_THROWS_WITH_AS(load_surrogate(folder / "b.safetensors"), expected.c_str(), InputError);
  };
  refused("parameter_units", "m", "not as many as parameter_names");
  refused("channel_units", "m", "not as many as channel_names");
  refused("grid_nx", "1", "at least two nodes are needed");
  refused("grid_ny", "1", "at least two nodes are needed");
  refused("grid_dx", "0", "not positive");
  refused("grid_dy", "-1", "not positive");
  refused("latent_dt", "-0.5", "not positive");
  {
    // Before a network of that depth is made.
    TensorFile deep = good;
    deep.metadata["decoder_depth"] = "900";
    deep.tensors["decoder.899.weight"] = deep.tensors.at("decoder.1.weight");
    write_safetensors(folder / "b.safetensors", deep);
    const std::string expected = (folder / "b.safetensors").string() + ": decoder.2.weight: no such tensor";
    CHECK_THROWS_WITH_AS(load_surrogate(folder / "b.safetensors"), expected.c_str(), InputError);
  }
  TensorFile file = good;
  file.tensors["error_variance"] = Tensor::full({4, 3}, -1, DType::float64);
  write_safetensors(folder / "b.safetensors", file);
  CHECK_THROWS_AS(load_surrogate(folder / "b.safetensors"), InputError);
  Surrogate comma = example();
  comma.about.parameter_names[0] = "a,b";
  const std::string expected = (folder / "c.safetensors").string() + ": parameter_names: \"a,b\" holds a comma";
  CHECK_THROWS_WITH_AS(save_surrogate(folder / "c.safetensors", comma), expected.c_str(), InputError);
}

TEST_CASE("weights keep units, the reference of times, and where there are never values") {
  const TemporaryFolder folder;
  Surrogate s = example();
  CHECK(read_safetensors((save_surrogate(folder / "w", s), folder / "w")).tensors.count("grid.never") == 0);
  s.about.place_unit_y = "hPa";
  s.about.time_reference = "2020-01-01";
  s.about.calendar = "noleap";
  s.about.unsaid_units = {"x", "channel"};
  s.about.grid.never.assign(3 * 45, 0);
  s.about.grid.never[50] = 1;
  save_surrogate(folder / "w", s);
  const Surrogate again = load_surrogate(folder / "w");
  CHECK(again.about.unit_y() == "hPa");
  CHECK(again.about.time_reference == "2020-01-01");
  CHECK(again.about.calendar == "noleap");
  CHECK(again.about.unsaid_units == s.about.unsaid_units);
  CHECK(again.about.grid.never == s.about.grid.never);
  CHECK(content(again) == content(s));
  TensorFile file = read_safetensors(folder / "w");
  file.tensors["grid.never"] = Tensor::full({3, 45}, 2.0F);
  write_safetensors(folder / "w", file);
  CHECK_THROWS_WITH_AS(load_surrogate(folder / "w"),
                       ((folder / "w").string() + ": grid.never: neither 0 nor 1").c_str(), InputError);
}
