/// The tsunami benchmark: closed basin, unknown place of the source (Xiao et al., LD-EnSF, arXiv 2411.19305).

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <vector>

#include "autodiff/error.h"
#include "experiments/data/cases.h"
#include "models/tsunami.h"

namespace levda::experiments {

namespace {

/// Walls enclose n cells. On r times as many nodes these are a cell's r-th in length, and the outermost nodes lie
/// nearer to the walls: length = L (n - 1) / (n - r), while the source's place counts over L all the same.
models::TsunamiSettings settings_of(const DataConfig& data) {
  models::TsunamiSettings settings{.nodes = data.nodes};
  settings.source_extent = settings.length;
  settings.length *= static_cast<double>(data.nodes - 1) / static_cast<double>(data.nodes - data.refinement);
  return settings;
}

models::Tsunami solver(const DataConfig& data) {
  if (!data.variant.empty()) throw InputError("configuration", "data.variant", "tsunami has none");
  if (!data.initial.empty()) throw InputError("configuration", "data.initial", "tsunami takes none");
  models::TsunamiSettings settings = settings_of(data);
  const double dx = settings.length / static_cast<double>(data.nodes - 1);
  const double dt = data.frame_interval / static_cast<double>(data.steps_per_frame);
  settings.courant = dt * std::sqrt(settings.gravity * settings.depth) / dx;
  if (settings.courant > std::sqrt(0.5))
    throw InputError("configuration", "data.steps_per_frame",
                     fmt::format("steps of {:.4g} s are unstable on cells of {:.4g} m", dt, dx));
  return models::Tsunami(settings);
}

}  // namespace

Case tsunami_case() {
  return {.name = "tsunami",
          .about = "shallow-water wave from an unknown source in a closed basin",
          .describe =
              [](const DataConfig& data) {
                const models::TsunamiSettings settings = settings_of(data);
                const models::Tsunami model = solver(data);
                using models::Tsunami;
                return models::Description{.case_name = "tsunami",
                                           .parameter_names = {"source_x", "source_y"},
                                           .parameter_units = {"1", "1"},
                                           .parameter_min = {0, 0},
                                           .parameter_max = {0.5, 0.5},
                                           .channel_names = {"u", "v", "eta"},
                                           .channel_units = {"m s-1", "m s-1", "m"},
                                           .grid = {.nx = data.nodes,
                                                    .ny = data.nodes,
                                                    .x0 = -0.5 * settings.length,
                                                    .y0 = -0.5 * settings.length,
                                                    .dx = model.dx(),
                                                    .dy = model.dx(),
                                                    .offset_x = {Tsunami::offset_x.begin(), Tsunami::offset_x.end()},
                                                    .offset_y = {Tsunami::offset_y.begin(), Tsunami::offset_y.end()}},
                                           .frames = data.frames,
                                           .first_time = static_cast<double>(data.first_frame) * data.frame_interval,
                                           .frame_interval = data.frame_interval};
              },
          .solver = [](const DataConfig& data) -> Solver {
            return
                [model = solver(data)](auto parameters, auto steps, auto out) { model.states(parameters, steps, out); };
          },
          .propagator = [](const DataConfig& data) -> models::Propagator {
            // The source's place is in the initial condition alone.
            constexpr double lowest = std::numeric_limits<double>::lowest();
            return {.advance =
                        [model = solver(data), nodes = data.nodes](auto state, double, auto steps, auto) {
                          std::vector<double> scratch(static_cast<std::size_t>(3 * nodes));
                          for (std::int64_t k = 0; k < steps; ++k) model.step(state, scratch);
                        },
                    .least = {lowest, lowest}};
          }};
}

}  // namespace levda::experiments
