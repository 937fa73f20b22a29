#include "experiments/twin/full_state.h"

#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <array>

#include "autodiff/error.h"
#include "experiments/data/cases.h"
#include "experiments/twin/methods.h"

namespace levda::experiments {

bool runs_solver(const std::string& method) {
  return find_method(method.substr(0, method.find(':'))).space == SpaceName::full;
}

void require_no_solver(const Config& config, const std::vector<std::string>& methods) {
  if (!config.case_name.empty()) return;
  for (const std::string& name : methods)
    if (runs_solver(name)) throw InputError("--methods", name, "runs a solver, which a system of one's own has not");
}

void require_own_data(const Config& config, const Dataset& data) {
  if (data.fingerprint != fingerprint(config, {"data"}))
    throw InputError("configuration", "data",
                     "methods of full states run the solver, and the data set was made by another configuration");
}

da::SolverModel solver_model(const Config& config, const Dataset& data, const Moments& moments) {
  require_own_data(config, data);
  return {data.about, find_case(config.case_name).propagator(config.data), config.data.steps_per_frame, moments.mean,
          moments.deviation};
}

da::Ensemble draw_full_prior(const Config& config, const Dataset& data, const da::SolverModel& model,
                             const std::string& experiment, std::int64_t truth_index) {
  const std::vector<da::MemberOrigin> drawn = draw_members(config, data.train, experiment, truth_index);
  const std::int64_t before = step_of_frame(config.data, -1);
  const bool cold = std::any_of(drawn.begin(), drawn.end(), [](const da::MemberOrigin& one) { return one.frame < 0; });
  if (cold && before < 0)
    throw InputError("configuration", "data.first_frame",
                     "cold methods of full states begin one frame interval before frame 0, and there is nothing");
  Solver solver;
  if (cold) solver = find_case(config.case_name).solver(config.data);
  const auto count = static_cast<std::int64_t>(drawn.size());
  std::vector<double> members(static_cast<std::size_t>(count * model.controls()));
  oneapi::tbb::parallel_for(std::int64_t{0}, count, [&](std::int64_t k) {
    const auto [trajectory, frame] = drawn[k];
    const std::span<const double> parameters = data.parameters_at(trajectory, std::max<std::int64_t>(frame, 0));
    std::vector<float> first;
    if (frame < 0) {
      first.resize(static_cast<std::size_t>(data.frame_size()));
      solver(parameters, std::array{before}, first);
    }
    const std::span<const float> state = frame < 0 ? std::span<const float>(first) : data.frame(trajectory, frame);
    const double time = data.about.first_time + static_cast<double>(frame) * data.about.frame_interval;
    const std::vector<double> v = model.control(state, parameters, time);
    std::copy(v.begin(), v.end(), members.begin() + k * model.controls());
  });
  return da::Ensemble(autodiff::Tensor::from(std::span<const double>(members), {count, model.controls()}));
}

}  // namespace levda::experiments
