#include "experiments/twin/fine_truths.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <utility>

#include "autodiff/error.h"
#include "models/interpolation.h"
#include "nn/progress.h"
#include "nn/safetensors.h"

namespace levda::experiments {

using autodiff::Tensor;

namespace {

constexpr const char* format_name = "levda-truths-1";

std::string fine_fingerprint(const Config& config, const Dataset& data) {
  return fmt::format("{}refinement = {}\n{}", data.fingerprint, config.observations.refinement,
                     find_case(config.case_name).chaotic ? "begin = frame 0\n" : "");
}

/// Trajectories of a file by member; empty when the file has other truths.
std::map<std::int64_t, std::vector<float>> read_trajectories(const std::filesystem::path& path,
                                                             const std::string& fingerprint, std::size_t size) {
  std::map<std::int64_t, std::vector<float>> found;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return found;
  const nn::TensorFile file = nn::read_safetensors(path);
  const auto is = [&](const char* key, const std::string& value) {
    const auto entry = file.metadata.find(key);
    return entry != file.metadata.end() && entry->second == value;
  };
  if (!is("format", format_name)) throw InputError(path.string(), "format", "not truths of levda");
  if (!is("levda_configuration", fingerprint)) return found;
  for (const auto& [name, tensor] : file.tensors) {
    std::int64_t member = -1;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), member);
    if (error != std::errc() || end != name.data() + name.size() || member < 0 ||
        static_cast<std::size_t>(tensor.size()) != size || tensor.dtype() != autodiff::DType::float32)
      throw InputError(path.string(), name, "not a trajectory of the data set");
    found[member] = tensor.to_floats();
  }
  return found;
}

/// f(c, x, y) for all channels of all nodes in the order of a state, at the channel's position.
template <typename F>
void for_places(const models::Description& about, const F& f) {
  const models::Grid& grid = about.grid;
  for (std::int64_t c = 0; c < about.channels(); ++c)
    for (std::int64_t j = 0; j < grid.ny; ++j)
      for (std::int64_t i = 0; i < grid.nx; ++i)
        f(c, grid.node_x(i) + grid.offset_x[c] * grid.dx, grid.node_y(i, j) + grid.offset_y[c] * grid.dy);
}

}  // namespace

TruthSolver truth_solver(const Config& config, const Dataset& data) {
  if (config.case_name.empty() || data.fingerprint != fingerprint(config, {"data"}))
    throw InputError("configuration",
                     config.observations.refinement > 1 ? "observations.refinement" : "observations.sensors",
                     "truths are taken from the solver, and the data set was made by another configuration");
  const Case& system = find_case(config.case_name);
  const auto from_start = [&](const DataConfig& own) {
    return [&data, solver = system.solver(own)](std::int64_t member, auto steps, auto out) {
      solver(data.parameters_of(member), steps, out);
    };
  };
  if (config.observations.refinement == 1)
    return {.data = config.data, .about = data.about, .states = from_start(config.data)};
  const DataConfig fine = system.refine(config.data, config.observations.refinement);
  TruthSolver truth{.data = fine, .about = system.describe(fine), .states = {}};
  if (!system.chaotic) {
    truth.states = from_start(fine);
    return truth;
  }
  truth.states = [&data, fine, about = truth.about, propagator = system.propagator(fine)](
                     std::int64_t member, std::span<const std::int64_t> steps, std::span<float> out) {
    std::vector<double> state;
    state.reserve(static_cast<std::size_t>(about.channels() * about.grid.cells()));
    const std::span<const float> first = data.frame(member, 0);
    for_places(about, [&](std::int64_t c, double x, double y) {
      state.push_back(models::interpolate(first, data.about.grid, c, x, y));
    });
    std::int64_t done = step_of_frame(fine, 0);
    for (std::size_t k = 0; k < steps.size(); ++k) {
      const double time = about.first_time + static_cast<double>(done - step_of_frame(fine, 0)) * about.frame_interval /
                                                 static_cast<double>(fine.steps_per_frame);
      propagator.advance(state, time, steps[k] - std::exchange(done, steps[k]), data.parameters_of(member));
      std::copy(state.begin(), state.end(), out.begin() + static_cast<std::ptrdiff_t>(k * state.size()));
    }
  };
  return truth;
}

std::vector<float> fine_trajectories(const Config& config, const Dataset& data,
                                     const std::vector<std::int64_t>& members, const std::function<void()>& finished) {
  const TruthSolver truth = truth_solver(config, data);
  const models::Grid& fine = truth.about.grid;
  const std::int64_t c = data.about.channels();
  const auto fine_size = static_cast<std::size_t>(c * fine.cells());
  std::vector<std::int64_t> steps;
  for (std::int64_t frame = 0; frame < data.about.frames; ++frame) steps.push_back(step_of_frame(truth.data, frame));
  std::vector<float> fields(members.size() * static_cast<std::size_t>(data.about.frames * data.frame_size()));
  std::mutex mutex;
  oneapi::tbb::parallel_for(std::int64_t{0}, static_cast<std::int64_t>(members.size()), [&](std::int64_t k) {
    std::vector<float> states(steps.size() * fine_size);
    truth.states(members[k], steps, states);
    float* out = fields.data() + k * data.about.frames * data.frame_size();
    for (std::size_t frame = 0; frame < steps.size(); ++frame) {
      const std::span<const float> state = std::span<const float>(states).subspan(frame * fine_size, fine_size);
      for_places(data.about, [&](std::int64_t channel, double x, double y) {
        *out++ = static_cast<float>(models::interpolate(state, fine, channel, x, y));
      });
    }
    if (find_case(config.case_name).chaotic) {  // exactly, not interpolated to the finer grid and back
      const std::span<const float> first = data.frame(members[k], 0);
      std::copy(first.begin(), first.end(), fields.begin() + k * data.about.frames * data.frame_size());
    }
    const std::lock_guard lock(mutex);
    if (finished) finished();
  });
  return fields;
}

void use_fine_truths(const Config& config, const std::vector<std::int64_t>& members, const std::filesystem::path& path,
                     Dataset& data) {
  const auto size = static_cast<std::size_t>(data.about.frames * data.frame_size());
  const std::string configuration = fine_fingerprint(config, data);
  std::map<std::int64_t, std::vector<float>> all = read_trajectories(path, configuration, size);
  std::vector<std::int64_t> missing;
  for (const std::int64_t member : members)
    if (!all.contains(member) && std::find(missing.begin(), missing.end(), member) == missing.end())
      missing.push_back(member);
  if (!missing.empty()) {
    nn::Progress progress("fine truths", static_cast<std::int64_t>(missing.size()), stderr);
    std::int64_t done = 0;
    const std::vector<float> made = fine_trajectories(config, data, missing, [&] { progress.update(++done); });
    nn::TensorFile file{.metadata = {{"format", format_name}, {"levda_configuration", configuration}}, .tensors = {}};
    for (std::size_t k = 0; k < missing.size(); ++k)
      all[missing[k]].assign(made.begin() + static_cast<std::ptrdiff_t>(k * size),
                             made.begin() + static_cast<std::ptrdiff_t>((k + 1) * size));
    const models::Grid& grid = data.about.grid;
    for (const auto& [member, fields] : all)
      file.tensors[fmt::format("{:06}", member)] =
          Tensor::from(std::span<const float>(fields), {data.about.frames, data.about.channels(), grid.ny, grid.nx});
    nn::write_safetensors(path, file);
  }
  for (const std::int64_t member : members)
    std::copy(all.at(member).begin(), all.at(member).end(),
              data.fields.begin() + (member - data.in_memory) * static_cast<std::ptrdiff_t>(size));
}

}  // namespace levda::experiments
