#include "experiments/twin/twin.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"
#include "experiments/twin/fine_truths.h"
#include "models/interpolation.h"

namespace levda::experiments {

using autodiff::Random;

namespace {

/// A grid of sensors, a number of random ones, or a number of scattered values.
struct Sensors {
  std::int64_t nx = 0;
  std::int64_t ny = 0;
  std::int64_t random = 0;
  std::int64_t scattered = 0;
};

Sensors parse_sensors(const std::string& text, const models::Grid& grid) {
  const auto fail = [&](const std::string& message) {
    throw InputError("configuration", "observations.sensors", message);
  };
  constexpr long long most = 1000000;
  int end = 0;
  long long nx = 0;
  long long ny = 0;
  if (std::sscanf(text.c_str(), "scattered:%lld%n", &nx, &end) == 1 && end == static_cast<int>(text.size())) {
    if (nx < 1 || nx > most) fail(fmt::format("{} scattered values, at least 1 and at most {}", nx, most));
    return {.scattered = nx};
  }
  if (std::sscanf(text.c_str(), "random:%lld%n", &nx, &end) == 1 && end == static_cast<int>(text.size())) {
    if (nx < 1 || nx > grid.cells()) fail(fmt::format("{} sensors on {} cells", nx, grid.cells()));
    return {.random = nx};
  }
  if (std::sscanf(text.c_str(), "grid:%lldx%lld%n", &nx, &ny, &end) != 2 || end != static_cast<int>(text.size()))
    fail(fmt::format("\"{}\" is neither grid:NXxNY nor random:N nor scattered:N", text));
  if (nx < 1 || ny < 1 || nx > grid.nx || ny > grid.ny)
    fail(fmt::format("{} x {} sensors on {} x {} cells", nx, ny, grid.nx, grid.ny));
  return {.nx = nx, .ny = ny};
}

}  // namespace

const std::vector<std::string>& experiment_names() {
  static const std::vector<std::string> names{"cold", "warm"};
  return names;
}

Random random_for(const Config& config, std::uint32_t stream, const std::string& experiment, std::int64_t truth) {
  const auto& names = experiment_names();
  const auto position = std::find(names.begin(), names.end(), experiment) - names.begin();
  return Random(static_cast<std::uint64_t>(config.seed), stream + static_cast<std::uint32_t>(position),
                static_cast<std::uint32_t>(truth));
}

std::vector<Truth> draw_truths(const Config& config, const Dataset& data, const std::string& experiment) {
  const AssimilationConfig& a = config.assimilation;
  if (config.observations.truths > data.test)
    throw InputError(
        "configuration", "observations.truths",
        fmt::format("{}, but the data set has {} test trajectories", config.observations.truths, data.test));
  const std::vector<std::int64_t> order =
      random_for(config, streams::truth_order, experiment, 0).permutation(data.test);
  std::vector<Truth> truths;
  for (std::int64_t i = 0; i < config.observations.truths; ++i) {
    std::int64_t start = -1;
    if (experiment == "warm")
      start =
          a.start_min + random_for(config, streams::start_frame, experiment, i).below(a.start_max - a.start_min + 1);
    truths.push_back({.index = i, .member = data.first_test() + order[i], .start = start});
  }
  return truths;
}

std::vector<Truth> validation_truths(const Config& config, const Dataset& data, const std::string& experiment) {
  const AssimilationConfig& a = config.assimilation;
  if (data.valid < 1) throw InputError("data set", "valid", "there are no validation trajectories");
  constexpr std::int64_t first_index = 1 << 20;  // larger than the indices of test truths
  std::vector<Truth> truths;
  for (std::int64_t i = 0; i < data.valid; ++i) {
    std::int64_t start = -1;
    if (experiment == "warm")
      start =
          a.start_min +
          random_for(config, streams::start_frame, experiment, first_index + i).below(a.start_max - a.start_min + 1);
    truths.push_back({.index = first_index + i, .member = data.train + i, .start = start});
  }
  return truths;
}

std::vector<double> analysis_times(const Config& config, const models::Description& about,
                                   const std::string& experiment) {
  std::vector<double> times;
  const std::int64_t first = experiment == "cold" ? 1 : 0;
  for (std::int64_t j = 0; j < config.assimilation.frames; ++j)
    times.push_back(static_cast<double>(first + j) * about.frame_interval);
  return times;
}

std::vector<double> forecast_times(const Config& config, const models::Description& about,
                                   const std::string& experiment) {
  std::vector<double> times;
  const std::int64_t first = config.assimilation.frames + (experiment == "cold" ? 1 : 0);
  for (std::int64_t j = 0; j < config.assimilation.forecast; ++j)
    times.push_back(static_cast<double>(first + j) * about.frame_interval);
  return times;
}

namespace {

/// Positions j nx + i of the cells with sensors.
std::vector<std::int64_t> cells_of(const Config& config, const models::Grid& grid, const Sensors& sensors) {
  std::vector<std::int64_t> cells;
  if (sensors.random == 0) {
    for (std::int64_t b = 0; b < sensors.ny; ++b)
      for (std::int64_t a = 0; a < sensors.nx; ++a)
        cells.push_back(b * grid.ny / sensors.ny * grid.nx + a * grid.nx / sensors.nx);
    return cells;
  }
  Random random(static_cast<std::uint64_t>(config.seed), streams::sensor_places);
  std::vector<bool> taken(static_cast<std::size_t>(grid.cells()), false);
  while (static_cast<std::int64_t>(cells.size()) < sensors.random) {
    const std::int64_t cell = random.below(grid.cells());
    const bool kept = random.uniform() < grid.area(cell % grid.nx, cell / grid.nx);  // rejection; areas are at most 1
    if (!kept || taken[cell]) continue;
    taken[cell] = true;
    cells.push_back(cell);
  }
  std::sort(cells.begin(), cells.end());
  return cells;
}

/// All channels of cells, at observed frames.
void observe_cells(const Config& config, const Dataset& data, const Moments& moments, const Truth& truth,
                   const std::string& experiment, const Sensors& sensors, Random& random, da::Observations& o) {
  const models::Grid& grid = data.about.grid;
  const std::vector<double> times = analysis_times(config, data.about, experiment);
  const std::vector<std::int64_t> cells = cells_of(config, grid, sensors);
  for (std::int64_t k = 0; k < config.assimilation.frames; k += config.observations.every) {
    const std::span<const float> field = data.frame(truth.member, truth.first_frame() + k);
    for (const std::int64_t cell : cells)
      for (std::int64_t c = 0; c < data.about.channels(); ++c) {
        const std::int64_t i = cell % grid.nx;
        const std::int64_t j = cell / grid.nx;
        const double error = config.observations.sigma * moments.deviation[c];
        o.add(times[k], grid.x0 + (static_cast<double>(i) + grid.offset_x[c]) * grid.dx,
              grid.y0 + (static_cast<double>(j) + grid.offset_y[c]) * grid.dy, c,
              field[c * grid.cells() + cell] + error * random.normal(), error);
      }
  }
}

/// Single values of a random channel at random solver steps and places between the nodes, in order of time.
void observe_scattered(const Config& config, const Dataset& data, const Moments& moments, const Truth& truth,
                       std::int64_t count, Random& random, da::Observations& o) {
  const TruthSolver solver = truth_solver(config, data);
  const models::Description& about = data.about;
  const models::Grid& grid = about.grid;
  const std::int64_t per_frame = solver.data.steps_per_frame;
  // Time 0 of the observations lies at frame `start`.
  const std::int64_t zero = step_of_frame(solver.data, truth.start);
  const std::int64_t first = step_of_frame(solver.data, truth.first_frame());
  std::vector<std::int64_t> steps;
  for (std::int64_t i = 0; i < count; ++i)
    steps.push_back(first + random.below((config.assimilation.frames - 1) * per_frame + 1));
  std::sort(steps.begin(), steps.end());
  std::vector<std::int64_t> distinct = steps;
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  const auto size = static_cast<std::size_t>(about.channels() * solver.about.grid.cells());
  std::vector<float> states(distinct.size() * size);
  solver.states(truth.member, distinct, states);
  for (const std::int64_t step : steps) {
    const auto state =
        static_cast<std::size_t>(std::lower_bound(distinct.begin(), distinct.end(), step) - distinct.begin());
    const std::int64_t c = random.below(about.channels());
    const double x = grid.x0 + static_cast<double>(grid.nx - 1) * grid.dx * random.uniform();
    const double y = grid.y0 + static_cast<double>(grid.ny - 1) * grid.dy * random.uniform();
    const double error = config.observations.sigma * moments.deviation[c];
    const double value = models::interpolate(std::span(states).subspan(state * size, size), solver.about.grid, c, x, y);
    o.add(static_cast<double>(step - zero) / static_cast<double>(per_frame) * about.frame_interval, x, y, c,
          value + error * random.normal(), error);
  }
}

/// Adds an error of random sign to a share of the values; returns 1 for these values, 0 for the others.
std::vector<std::int32_t> add_gross_errors(const ObservationConfig& config, Random random, da::Observations& o) {
  std::vector<std::int32_t> gross;
  for (std::int64_t i = 0; i < o.size(); ++i) {
    gross.push_back(random.uniform() < config.gross_fraction ? 1 : 0);
    const double sign = random.uniform() < 0.5 ? -1 : 1;
    if (gross.back() == 1) o.value[i] += sign * config.gross_size * o.error_std[i];
  }
  return gross;
}

}  // namespace

ObservationFile observe_truth(const Config& config, const Dataset& data, const Moments& moments, const Truth& truth,
                              const std::string& experiment, std::int64_t noise) {
  ObservationFile file{.experiment = experiment,
                       .observations = {},
                       .truth = truth,
                       .fingerprint = observation_fingerprint(config, data)};
  Random random =
      random_for(config, streams::observation_noise + static_cast<std::uint32_t>(noise) * streams::further_draw,
                 experiment, truth.index);
  const Sensors sensors = parse_sensors(config.observations.sensors, data.about.grid);
  if (sensors.scattered > 0)
    observe_scattered(config, data, moments, truth, sensors.scattered, random, file.observations);
  else
    observe_cells(config, data, moments, truth, experiment, sensors, random, file.observations);
  if (config.observations.gross_fraction > 0)
    file.gross = add_gross_errors(
        config.observations,
        random_for(config, streams::gross_errors + static_cast<std::uint32_t>(noise) * streams::further_draw,
                   experiment, truth.index),
        file.observations);
  return file;
}

std::uint64_t method_seed(const Config& config, const Truth& truth, std::int64_t draw) {
  Checksum sum;
  const std::array<std::int64_t, 3> numbers{config.seed, truth.index, draw};
  sum.add(std::span<const std::int64_t>(numbers));
  return sum.value();
}

void check_sensors(const Config& config, const models::Grid& grid) { parse_sensors(config.observations.sensors, grid); }

std::vector<std::int64_t> sensor_cells(const Config& config, const models::Grid& grid) {
  const auto fail = [](const char* message) { throw InputError("configuration", "observations.sensors", message); };
  if (grid.listed()) fail("the encoder needs sensors on a regular grid, and the data set is a list of points");
  const Sensors sensors = parse_sensors(config.observations.sensors, grid);
  if (sensors.scattered > 0) fail("the encoder needs sensors that stay in place, grid:NXxNY or random:N");
  return cells_of(config, grid, sensors);
}

std::vector<da::MemberOrigin> draw_members(const Config& config, std::int64_t trajectories,
                                           const std::string& experiment, std::int64_t truth) {
  const AssimilationConfig& a = config.assimilation;
  if (a.members > trajectories)
    throw InputError("configuration", "assimilation.members",
                     fmt::format("{} members, but there are {} training trajectories", a.members, trajectories));
  const bool cold = experiment == "cold";
  return da::draw_origins(trajectories, a.members, cold ? -1 : a.start_min, cold ? -1 : a.start_max,
                          random_for(config, streams::prior_members, experiment, truth));
}

void check_frames(const Config& config, const models::Description& about, const std::string& source) {
  const AssimilationConfig& a = config.assimilation;
  const std::int64_t needed = a.frames + a.forecast;
  if (needed > about.frames)
    throw InputError(source, "frames", fmt::format("{}, but {} are to be analysed", about.frames, needed));
  if (a.start_max < a.start_min)
    throw InputError("configuration", "assimilation.start_max",
                     fmt::format("{} is below start_min, {}", a.start_max, a.start_min));
  if (a.shift > a.window)
    throw InputError("configuration", "assimilation.shift",
                     fmt::format("{} is above the window, {}", a.shift, a.window));
  if (a.start_max + needed > about.frames)
    throw InputError(
        source, "frames",
        fmt::format("{}, but assimilation.start_max = {} and assimilation.frames = {}{} need {}", about.frames,
                    a.start_max, a.frames,
                    a.forecast > 0 ? fmt::format(" and assimilation.forecast = {}", a.forecast) : std::string(),
                    a.start_max + needed));
}

std::string observation_fingerprint(const Config& config, const Dataset& data) {
  const AssimilationConfig& a = config.assimilation;
  const bool from_frame = config.observations.refinement > 1 && find_case(config.case_name).chaotic;
  return data.fingerprint + fingerprint(config, {"observations", "seed"}) +
         fmt::format("frames = {}\nstarts = {} .. {}\n", a.frames, a.start_min, a.start_max) +
         (from_frame ? "begin = frame 0\n" : "");
}

}  // namespace levda::experiments
