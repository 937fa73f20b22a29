#include "experiments/experiment.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "autodiff/error.h"
#include "experiments/training/training.h"
#include "experiments/twin/fine_truths.h"
#include "experiments/twin/twin.h"
#include "models/checksum.h"
#include "nn/atomic_file.h"
#include "nn/safetensors.h"

namespace levda::experiments {

namespace fs = std::filesystem;

namespace {

bool near(std::span<const double> a, std::span<const double> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return std::abs(x - y) <= 1e-9 * (std::abs(x) + std::abs(y)); });
}

/// Throws InputError naming the field of the weights that does not fit the data.
void check_match(const models::Surrogate& s, const Dataset& data, const fs::path& weights, bool with_case) {
  const models::Description& a = s.about;
  const models::Description& b = data.about;
  const models::Grid& g = a.grid;
  const models::Grid& h = b.grid;
  const std::pair<const char*, bool> fields[]{
      {"case", !with_case || a.case_name == b.case_name},
      {"channel_names", a.channel_names == b.channel_names},
      {"parameter_names", a.parameter_names == b.parameter_names},
      {"parameter_min", near(a.parameter_min, b.parameter_min)},
      {"parameter_max", near(a.parameter_max, b.parameter_max)},
      {"grid", g.nx == h.nx && g.ny == h.ny && g.listed() == h.listed()},
      {"grid_geometry", g.geometry == h.geometry},
      {"grid_x0", std::abs(g.x0 - h.x0) + std::abs(g.y0 - h.y0) <= 1e-6 * g.dx},
      {"grid_dx", std::abs(g.dx - h.dx) <= 1e-9 * g.dx && std::abs(g.dy - h.dy) <= 1e-9 * g.dy},
      {"grid.x", near(g.x, h.x)},
      {"grid.y", near(g.y, h.y)},
      {"grid.offset_x", near(g.offset_x, h.offset_x)},
      {"grid.offset_y", near(g.offset_y, h.offset_y)},
      {"frames", a.frames == b.frames},
      {"first_time", std::abs(a.first_time - b.first_time) <= 1e-9 * a.frame_interval},
      {"frame_interval", std::abs(a.frame_interval - b.frame_interval) <= 1e-9 * a.frame_interval}};
  for (const auto& [field, equal] : fields)
    if (!equal) throw InputError(weights.string(), field, "differs from the data set's");
}

/// Latent states of the prior come from the weights' training trajectories, full states from the data set's.
void check_members(const models::Surrogate& s, const Dataset& data, const fs::path& weights) {
  const std::vector<double> trained = s.training_parameters.to_vector();
  const std::span<const double> there(data.parameters.data(), std::min(trained.size(), data.parameters.size()));
  if (s.training_parameters.shape()[0] != data.train || !near(trained, there))
    throw InputError(weights.string(), "training_parameters",
                     "trained on other trajectories than the data set's; methods would have different members");
}

/// Settles what the configuration of twin experiments leaves to the data. Throws InputError for a set that is not
/// gridded or has missing values, and for a configuration that does not fit it.
void settle_twin(Config& config, const Dataset& data, const std::string& path) {
  const models::Description& about = data.about;
  const models::Grid& grid = about.grid;
  if (grid.listed())
    throw InputError(path, "field",
                     "a list of points, where twin experiments need a regular grid; --observations FILE does not");
  if (has_missing(data))
    throw InputError(path, "field",
                     "has missing values, where twin experiments need complete fields; --observations FILE does not");
  config.assimilation = resolve(config.assimilation, about.frames, about.frames / 2);
  if (config.observations.truths == 0) config.observations.truths = std::min<std::int64_t>(16, data.test);
  const auto at_most = [&](const char* key, std::int64_t wanted, std::int64_t there, const char* trajectories) {
    if (wanted > there)
      throw InputError("configuration", key, fmt::format("{}, but {} has {} {}", wanted, path, there, trajectories));
  };
  at_most("observations.truths", config.observations.truths, data.test, "test trajectories");
  at_most("assimilation.members", config.assimilation.members, data.train, "training trajectories");
  constexpr std::int64_t least = 4;  // for cubic interpolation
  if (grid.nx < least || grid.ny < least)
    throw InputError(path, "field",
                     fmt::format("{} x {} nodes, where twin experiments need {} x {}", grid.nx, grid.ny, least, least));
  check_sensors(config, grid);
  if (config.observations.sensors.starts_with("scattered:")) {
    if (config.case_name.empty())
      throw InputError("configuration", "observations.sensors",
                       "scattered values are taken from a solver's steps, and a system of one's own has no solver: "
                       "grid:NXxNY or random:N");
    if (data.fingerprint != fingerprint(config, {"data"}))
      throw InputError("configuration", "observations.sensors",
                       "truths are taken from the solver, and the data set was made by another configuration");
  }
  check_frames(config, about, path);
}

/// The test trajectories that are truths of either experiment.
std::vector<std::int64_t> truth_members(const Config& config, const Dataset& data) {
  std::vector<std::int64_t> members;
  for (const std::string& experiment : experiment_names())
    for (const Truth& truth : draw_truths(config, data, experiment)) members.push_back(truth.member);
  return members;
}

fs::path probed(const fs::path& out) {
  const nn::AtomicFile probe(out / "probe");  // removed at once: fails here rather than after an hour
  return out;
}

}  // namespace

fs::path Request::data_path() const { return data.empty() ? out / dataset_name() : data; }

fs::path Request::weights_path() const { return weights.empty() ? out / "weights.safetensors" : weights; }

fs::path Request::observation_path(const std::string& experiment, std::int64_t truth) const {
  return out / "observations" / fmt::format("{}-{:02}.nc", experiment, truth);
}

fs::path Request::analysis_path(const std::string& experiment, std::int64_t truth, const char* extension) const {
  return out / "analysis" / fmt::format("{}-{:02}.{}", experiment, truth, extension);
}

RunFolder::RunFolder(const fs::path& out) : lock_(probed(out)) {
  nn::remove_unfinished(out);
  for (const char* room : {"data", "observations", "analysis", "pictures"}) nn::remove_unfinished(out / room);
}

fs::path pretrained_folder() {
  if (const char* folder = std::getenv("LEVDA_PRETRAINED")) return folder;
  // An installed program finds the folder beside itself, wherever it was installed to; a build tree has no such folder.
  std::error_code none;
  const fs::path installed = fs::read_symlink("/proc/self/exe", none).parent_path() / LEVDA_INSTALLED_PRETRAINED;
  return fs::is_directory(installed, none) ? installed.lexically_normal() : LEVDA_PRETRAINED_FOLDER;
}

std::string trained_configuration(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return "";
  const nn::TensorFile file = nn::read_safetensors(path);
  if (const auto format = file.metadata.find("format");
      format == file.metadata.end() || !format->second.starts_with("levda-"))
    throw InputError(path.string(), "format", "not a file of levda; it is not overwritten");
  const auto entry = file.metadata.find("levda_configuration");
  return entry == file.metadata.end() ? "" : entry->second;
}

bool choose_weights(Request& request, const Dataset& data) {
  if (!request.weights.empty()) return true;
  const std::string wanted = training_fingerprint(request.config, data);
  if (trained_configuration(request.weights_path()) == wanted) return true;
  const fs::path shipped =
      pretrained_folder() / fmt::format("{}-{}.safetensors", request.config.case_name, request.config.preset);
  if (trained_configuration(shipped) != wanted) return false;
  request.weights = shipped;
  return true;
}

autodiff::Backend& choose_device(const std::string& device, const std::string& matmul) {
  using autodiff::MatmulPrecision;
  autodiff::Backend* backend = &autodiff::cpu();
  if (device == "cuda") {
    try {
      backend = &autodiff::cuda();
    } catch (const Error& error) {
      throw InputError("--device", device, error.what());
    }
  } else if (matmul != autodiff::name(MatmulPrecision::float32)) {
    throw InputError("--matmul", matmul, "needs a GPU, --device cuda");
  }
  for (const MatmulPrecision precision : {MatmulPrecision::float32, MatmulPrecision::tf32, MatmulPrecision::bf16})
    if (matmul == autodiff::name(precision)) backend->set_matmul_precision(precision);
  return *backend;
}

Dataset read_data(const Request& request, std::int64_t pool, Keep keep) {
  const Config& config = request.config;
  Dataset data = read_dataset(request.data_path(), pool, config.training.seed, keep);
  if (!config.case_name.empty() && data.about.case_name != config.case_name)
    throw InputError(request.data_path().string(), "case",
                     fmt::format("is {}, not {}", data.about.case_name, config.case_name));
  return data;
}

std::shared_ptr<const models::Surrogate> read_surrogate(const Request& request) {
  auto surrogate = std::make_shared<models::Surrogate>(models::load_surrogate(request.weights_path()));
  surrogate->net.parameters().move(*request.backend);
  return surrogate;
}

Experiment open(Request request, const Needs& needs, const Experiment* from) {
  Experiment e{
      .request = std::move(request), .needs = needs, .data = {}, .fine_truths = {}, .surrogate = {}, .weights = {}};
  Config& config = e.request.config;
  if (config.training.pool == 0) e.needs.keep = Keep::all;
  std::shared_ptr<Dataset> read;
  const auto read_again = [&] { read = std::make_shared<Dataset>(read_data(e.request, 0, e.needs.keep)); };
  const bool shared = from != nullptr && from->needs.keep >= e.needs.keep;
  if (!shared) read_again();
  e.data = shared ? from->data : read;
  if (needs.surrogate) {
    std::error_code ignored;
    if (!fs::exists(e.request.weights_path(), ignored)) choose_weights(e.request, *e.data);
  }
  std::vector<std::int64_t> truths;
  if (needs.twin) {
    settle_twin(config, *e.data, e.request.data_path().string());
    if (config.observations.refinement > 1) {
      truths = truth_members(config, *e.data);
      e.fine_truths = fmt::format("{} times as fine: {}", config.observations.refinement, fmt::join(truths, ", "));
    }
  }
  if (needs.surrogate) {
    e.surrogate = from != nullptr && from->surrogate ? from->surrogate : read_surrogate(e.request);
    check_match(*e.surrogate, *e.data, e.request.weights_path(), !config.case_name.empty());
    if (needs.members) check_members(*e.surrogate, *e.data, e.request.weights_path());
    e.weights = checksum(models::content(*e.surrogate));
  }
  if (e.fine_truths == (shared ? from->fine_truths : "")) return e;
  if (!read) read_again();
  if (!truths.empty()) use_fine_truths(config, truths, e.request.out / "truths.safetensors", *read);
  e.data = read;
  return e;
}

}  // namespace levda::experiments
