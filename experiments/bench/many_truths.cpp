#include "experiments/bench/many_truths.h"

#include <cmath>
#include <vector>

#include "experiments/data/generate.h"
#include "experiments/experiment.h"
#include "experiments/twin/assimilation.h"
#include "experiments/twin/twin.h"
#include "models/surrogate.h"

namespace levda::bench {

using namespace levda::experiments;
using Json = nlohmann::ordered_json;

Json many_truths(std::int64_t truths, autodiff::Backend& backend) {
  constexpr std::int64_t all = 256;
  Config config = load_preset("tsunami", "small");
  config.data.train = 2;
  config.data.valid = 1;
  config.data.test = all;
  config.data.between = 0;
  config.data.seed = 256;  // other trajectories than the training's
  config.observations.truths = all;
  models::Surrogate surrogate = models::load_surrogate(pretrained_folder() / "tsunami-small.safetensors");
  const Dataset data = generate_dataset(config, {});
  const Moments moments{surrogate.field_mean, surrogate.field_std};
  std::vector<ObservationFile> files;
  for (const Truth& truth : draw_truths(config, data, "warm"))
    if (truth.index < truths) files.push_back(observe_truth(config, data, moments, truth, "warm"));
  surrogate.net.parameters().move(backend);

  std::vector<LatentAnalysis> analyses;
  const bool on_cpu = backend.device() == autodiff::Device::cpu;  // where there is nothing to warm up but one
  for (const std::size_t count : {on_cpu ? std::size_t{1} : files.size(), files.size()})
    analyses = assimilate(config, surrogate, std::span(files).first(count));
  double seconds = 0;
  Json posterior = Json::array();
  for (const LatentAnalysis& analysis : analyses) {
    seconds += analysis.seconds;
    const da::Ensemble& last = analysis.ensembles.back();
    const std::vector<double> u = physical_parameters(surrogate, last);
    const auto p = static_cast<std::size_t>(surrogate.about.parameters());
    for (std::size_t k = 0; k < p; ++k) {
      double mean = 0;
      double squares = 0;
      const auto n = static_cast<double>(last.size());
      for (std::size_t i = k; i < u.size(); i += p) mean += u[i] / n;
      for (std::size_t i = k; i < u.size(); i += p) squares += (u[i] - mean) * (u[i] - mean);
      posterior.push_back({mean, std::sqrt(squares / (n - 1))});
    }
  }
  return {{"truths", truths}, {"seconds", seconds}, {"peak_bytes", backend.memory().peak}, {"posterior", posterior}};
}

}  // namespace levda::bench
