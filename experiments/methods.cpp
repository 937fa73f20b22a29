#include "experiments/methods.h"

#include <fmt/format.h>

#include <algorithm>

#include "autodiff/error.h"
#include "da/levda.h"

namespace levda::experiments {

namespace {

using Made = std::unique_ptr<da::Method>;

da::LevdaSettings levda_settings(const Config& config) {
  const AssimilationConfig& a = config.assimilation;
  const auto minimiser = [&] {
    if (a.minimiser == "lbfgs") return da::Minimiser::lbfgs;
    if (a.minimiser == "ensemble") return da::Minimiser::ensemble;
    return da::Minimiser::gauss_newton;
  };
  return {.minimiser = minimiser(),
          .starts = a.starts,
          .annealing = a.annealing,
          .iterations = a.iterations,
          .keep_ratio = a.keep_ratio,
          .mixed_precision = a.precision == "mixed"};
}

Made make_levda(const Config& config) { return std::make_unique<da::Levda>(levda_settings(config)); }

Made make_latent_4denvar(const Config& config) {
  da::LevdaSettings settings = levda_settings(config);
  settings.minimiser = da::Minimiser::ensemble;
  return std::make_unique<da::Levda>(settings);
}

Made make_free(const Config&) { return std::make_unique<da::FreeRun>(); }

}  // namespace

const std::vector<MethodRow>& methods() {
  static const std::vector<MethodRow> all{
      {"levda", "latent ensemble-variational smoother, the method of this program", SpaceName::latent, make_levda},
      {"free", "the prior ensemble without observations", SpaceName::latent, make_free},
      {"latent_4denvar", "4DEnVar in latent space: the members' own predictions instead of derivatives",
       SpaceName::latent, make_latent_4denvar},
  };
  return all;
}

const MethodRow& find_method(const std::string& key) {
  std::string known;
  for (const MethodRow& row : methods()) {
    if (row.key == key) return row;
    known += (known.empty() ? "" : ", ") + row.key;
  }
  throw InputError("--methods", key, fmt::format("unknown; there are {}", known));
}

}  // namespace levda::experiments
