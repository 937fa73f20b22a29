/// The atmosphere benchmark: shallow water on the sphere under a heating of unknown strength and width (Xiao et al.,
/// LD-EnSF, arXiv 2411.19305), from a built-in initial condition or one of the user.

#include <fmt/format.h>

#include <limits>
#include <memory>

#include "autodiff/error.h"
#include "experiments/data/atmosphere_initial.h"
#include "experiments/data/cases.h"
#include "models/atmosphere.h"

namespace levda::experiments {

namespace {

using models::Atmosphere;

models::AtmosphereSettings settings_of(const DataConfig& data) {
  if (!data.variant.empty()) throw InputError("configuration", "data.variant", "atmosphere has none");
  return {.nodes = data.nodes, .dt = data.frame_interval * 3600 / static_cast<double>(data.steps_per_frame)};
}

std::shared_ptr<const Atmosphere> model_of(const DataConfig& data) {
  const models::AtmosphereSettings settings = settings_of(data);
  return std::make_shared<const Atmosphere>(
      data.initial.empty() ? Atmosphere(settings) : Atmosphere(settings, read_atmosphere_initial(data.initial)));
}

/// Transforms sampled states to spherical harmonics, steps, and samples again.
models::Propagator propagator(const DataConfig& data) {
  const std::shared_ptr<const Atmosphere> model = model_of(data);
  const auto to_gaussian = std::make_shared<const models::EvenToGaussian>(data.nodes);
  return {.advance =
              [model, to_gaussian](std::span<double> fields, double time, std::int64_t steps,
                                   std::span<const double> parameters) {
                Atmosphere::Scratch scratch;
                Atmosphere::State state;
                model->analyse(fields, *to_gaussian, state, scratch);
                for (std::int64_t k = 0; k < steps; ++k)
                  model->step(state, time + static_cast<double>(k) * model->dt() / 3600, parameters, scratch);
                model->sample(state, fields, scratch);
              },
          .least = {std::numeric_limits<double>::lowest(), 0},
          .clock = true};
}

models::Description describe(const DataConfig& data) {
  const models::AtmosphereSettings settings = settings_of(data);
  const double cell = 180 / static_cast<double>(data.nodes);
  return {.case_name = "atmosphere",
          .parameter_names = {"heating", "heating_width"},
          .parameter_units = {"m h-1", "rad"},
          .parameter_min = {0.1, 1},
          .parameter_max = {30, 4},
          .channel_names = {"u", "v", "h"},
          .channel_units = {"m s-1", "m s-1", "m"},
          .grid = {.nx = 2 * data.nodes,
                   .ny = data.nodes,
                   .x0 = 0,
                   .y0 = -90 + 0.5 * cell,
                   .dx = cell,
                   .dy = cell,
                   .offset_x = {0, 0, 0},
                   .offset_y = {0, 0, 0},
                   .x = {},
                   .y = {},
                   .geometry = models::Geometry::sphere},
          .frames = data.frames,
          .first_time = settings.start_up + static_cast<double>(data.first_frame) * data.frame_interval,
          .frame_interval = data.frame_interval,
          .time_unit = "h",
          .place_unit = "degrees"};
}

}  // namespace

Case atmosphere_case() {
  return {.name = "atmosphere",
          .about = "shallow water on the sphere under a heating of unknown strength and width",
          .describe = describe,
          .solver = [](const DataConfig& data) -> Solver {
            return [model = model_of(data)](auto parameters, auto steps, auto out) {
              model->states(parameters, steps, out);
            };
          },
          .propagator = propagator};
}

}  // namespace levda::experiments
