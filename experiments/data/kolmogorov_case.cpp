/// The Kolmogorov flow benchmark: unknown Reynolds number, and in the variant `modes` an unknown initial condition too
/// (Xiao et al., LD-EnSF, arXiv 2411.19305; the variant is not from there).

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "autodiff/error.h"
#include "experiments/data/cases.h"
#include "models/kolmogorov.h"

namespace levda::experiments {

namespace {

using models::Kolmogorov;

models::KolmogorovSettings settings_of(const DataConfig& data) {
  models::KolmogorovSettings settings{.nodes = data.nodes};
  if (data.variant == "modes")
    settings.modes = 3;
  else if (!data.variant.empty())
    throw InputError("configuration", "data.variant", fmt::format("\"{}\" is neither empty nor modes", data.variant));
  if (!data.initial.empty()) throw InputError("configuration", "data.initial", "kolmogorov takes none");
  return settings;
}

DataConfig refine(const DataConfig& data, std::int64_t times) {
  DataConfig fine = refined(data, times);
  models::KolmogorovSettings settings = settings_of(fine);
  settings.modes = 0;  // the step does not need the burn-in
  const Kolmogorov model(settings);
  fine.steps_per_frame = std::llround(data.frame_interval / model.dt());
  return fine;
}

/// The scheme chooses its steps; the frames must lie on them.
void check_steps(const DataConfig& data, const Kolmogorov& model) {
  const double dt = data.frame_interval / static_cast<double>(data.steps_per_frame);
  if (!(std::abs(dt - model.dt()) <= 1e-9 * model.dt()))
    throw InputError(
        "configuration", "data.steps_per_frame",
        fmt::format("steps of {:.6g}, where the scheme's are {:.6g} on {} nodes", dt, model.dt(), data.nodes));
}

models::Description describe(const DataConfig& data) {
  const models::KolmogorovSettings settings = settings_of(data);
  const double h = settings.length / static_cast<double>(data.nodes);
  models::Description about{.case_name = "kolmogorov",
                            .parameter_names = {"reynolds"},
                            .parameter_units = {"1"},
                            .parameter_min = {500},
                            .parameter_max = {1500},
                            .channel_names = {"u", "v"},
                            .channel_units = {"1", "1"},
                            .grid = {.nx = data.nodes,
                                     .ny = data.nodes,
                                     .x0 = 0,
                                     .y0 = 0,
                                     .dx = h,
                                     .dy = h,
                                     .offset_x = {Kolmogorov::offset_x.begin(), Kolmogorov::offset_x.end()},
                                     .offset_y = {Kolmogorov::offset_y.begin(), Kolmogorov::offset_y.end()},
                                     .x = {},
                                     .y = {},
                                     .geometry = models::Geometry::torus},
                            .frames = data.frames,
                            .first_time = static_cast<double>(settings.burn_in) * settings.outer_step +
                                          static_cast<double>(data.first_frame) * data.frame_interval,
                            .frame_interval = data.frame_interval,
                            .time_unit = "1",
                            .place_unit = "1"};
  for (std::int64_t k = 1; k <= settings.modes; ++k) {
    about.parameter_names.push_back(fmt::format("amplitude_{}", k));
    about.parameter_units.emplace_back("1");
    about.parameter_min.push_back(-1);
    about.parameter_max.push_back(1);
  }
  return about;
}

}  // namespace

Case kolmogorov_case() {
  return {.name = "kolmogorov",
          .about = "two-dimensional turbulence stirred by a sine, of unknown viscosity",
          .refine = refine,
          .describe = describe,
          .solver = [](const DataConfig& data) -> Solver {
            const auto model = std::make_shared<const Kolmogorov>(settings_of(data));
            check_steps(data, *model);
            return [model](auto parameters, auto steps, auto out) { model->states(parameters, steps, out); };
          },
          .propagator = [](const DataConfig& data) -> models::Propagator {
            // The modes are in the initial condition alone: without them no base flow is burnt in.
            models::KolmogorovSettings settings = settings_of(data);
            const std::int64_t modes = std::exchange(settings.modes, 0);
            const auto model = std::make_shared<const Kolmogorov>(settings);
            check_steps(data, *model);
            std::vector<double> least(static_cast<std::size_t>(1 + modes), std::numeric_limits<double>::lowest());
            least[0] = model->least_reynolds();
            return {.advance =
                        [model](auto state, double, auto steps, auto parameters) {
                          std::vector<double> scratch(static_cast<std::size_t>(model->scratch_size()));
                          for (std::int64_t k = 0; k < steps; ++k)
                            model->step(state, parameters[0], std::span(scratch));
                        },
                    .least = std::move(least)};
          },
          .chaotic = true};
}

}  // namespace levda::experiments
