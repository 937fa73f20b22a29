#include "experiments/methods.h"

#include <fmt/format.h>

#include <algorithm>

#include "autodiff/error.h"
#include "da/etkf.h"
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

Made make_levda(const MethodParts& parts) { return std::make_unique<da::Levda>(levda_settings(parts.config)); }

Made make_latent_4denvar(const MethodParts& parts) {
  da::LevdaSettings settings = levda_settings(parts.config);
  settings.minimiser = da::Minimiser::ensemble;
  return std::make_unique<da::Levda>(settings);
}

Made make_free(const MethodParts&) { return std::make_unique<da::FreeRun>(); }

da::Inflation inflation(const MethodParts& parts) {
  const AssimilationConfig& a = parts.config.assimilation;
  return {.factor = a.inflation, .relaxation = a.relaxation};
}

Made make_etkf(const MethodParts& parts) { return std::make_unique<da::Etkf>(inflation(parts)); }

}  // namespace

const std::vector<MethodRow>& methods() {
  constexpr SpaceName latent = SpaceName::latent;
  constexpr SpaceName full = SpaceName::full;
  static const std::vector<MethodRow> all{
      {"levda", "latent ensemble-variational smoother, the method of this program", latent, make_levda},
      {"free", "the prior ensemble without observations", latent, make_free},
      {"latent_4denvar", "4DEnVar, a smoother: the members' own predictions instead of derivatives", latent,
       make_latent_4denvar},
      {"latent_etkf", "ensemble transform Kalman filter", latent, make_etkf},
      {"full_free", "the prior ensemble of full states without observations", full, make_free},
      {"etkf", "ensemble transform Kalman filter", full, make_etkf},
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
