#include "experiments/twin/methods.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "autodiff/error.h"
#include "da/enkf.h"
#include "da/ensf.h"
#include "da/etkf.h"
#include "da/four_d_en_var.h"
#include "da/four_d_var.h"
#include "da/ienks.h"
#include "da/ld_ensf.h"
#include "da/letkf.h"
#include "da/levda.h"

namespace levda::experiments {

namespace {

using Made = std::unique_ptr<da::Method>;

da::Inflation inflation(const MethodParts& parts) {
  const AssimilationConfig& a = parts.config.assimilation;
  return {.factor = a.inflation, .relaxation = a.relaxation};
}

da::WindowSettings windows(const MethodParts& parts) {
  const AssimilationConfig& a = parts.config.assimilation;
  return {.length = a.window, .shift = a.shift, .gross_error = a.gross_error, .walk = parts.walk};
}

Made levda_over(da::Control control, const MethodParts& parts) {
  const AssimilationConfig& a = parts.config.assimilation;
  const bool searching = control == da::Control::weights && a.minimiser != da::Minimiser::ensemble;
  return std::make_unique<da::Levda>(
      da::LevdaSettings{.control = control,
                        .minimiser = a.minimiser,
                        .starts = a.starts,
                        .candidates = searching ? parts.candidates : std::vector<da::Ensemble>{},
                        .annealing = a.annealing,
                        .iterations = a.iterations,
                        .keep_ratio = a.keep_ratio,
                        .precision = a.precision,
                        .parameters = parts.about.parameters(),
                        .inflation = inflation(parts)},
      windows(parts));
}

Made make_levda(const MethodParts& parts) { return levda_over(parts.config.assimilation.control, parts); }

Made make_levda_transform(const MethodParts& parts) { return levda_over(da::Control::transform, parts); }

Made make_free(const MethodParts&) { return std::make_unique<da::FreeRun>(); }

Made make_enkf(const MethodParts& parts) { return std::make_unique<da::Enkf>(inflation(parts)); }

/// Distance in widths of the domain, the shorter way around a sphere or a torus.
double distance(const models::Grid& grid, double x, double y, double to_x, double to_y) {
  constexpr double degree = std::numbers::pi / 180;
  if (grid.geometry == models::Geometry::sphere) {
    const double cosine = std::sin(y * degree) * std::sin(to_y * degree) +
                          std::cos(y * degree) * std::cos(to_y * degree) * std::cos((x - to_x) * degree);
    return std::acos(std::clamp(cosine, -1.0, 1.0)) / (2 * std::numbers::pi);
  }
  const auto along = [](double a, double b, double period) {
    const double d = std::abs(a - b);
    return period > 0 ? std::min(std::fmod(d, period), period - std::fmod(d, period)) : d;
  };
  const double width = grid.dx * static_cast<double>(grid.nx);
  const double height = grid.dy * static_cast<double>(grid.ny);
  return std::hypot(along(x, to_x, grid.periodic_x() ? width : 0), along(y, to_y, grid.periodic_y() ? height : 0)) /
         width;
}

/// All channels of a cell share one analysis.
Made make_letkf(const MethodParts& parts) {
  const models::Grid& grid = parts.about.grid;
  std::vector<std::int64_t> places(static_cast<std::size_t>(parts.controls), -1);
  for (std::int64_t i = 0; i < parts.about.channels() * grid.cells(); ++i) places[i] = i % grid.cells();
  return std::make_unique<da::Letkf>(
      da::LetkfSettings{.distance =
                            [&grid](std::int64_t control, const da::Observations& o, std::int64_t i) {
                              const std::int64_t cell = control % grid.cells();
                              return distance(grid, grid.node_x(cell % grid.nx),
                                              grid.node_y(cell % grid.nx, cell / grid.nx), o.x[i], o.y[i]);
                            },
                        .half_width = parts.config.assimilation.localisation,
                        .places = std::move(places),
                        .inflation = inflation(parts)});
}

/// The published settings, with more steps when directly observed controls of unit size need them.
Made make_ensf(const MethodParts& parts) {
  da::EnsfSettings settings;
  const double sigma = parts.config.observations.sigma;
  constexpr double most = 1e5;
  if (1 / (sigma * sigma) > most)
    throw InputError("configuration", "observations.sigma",
                     fmt::format("ensf needs {:.3g} steps at {}, more than {:.0g}", 1 / (sigma * sigma), sigma, most));
  settings.diffusion.steps =
      std::max(settings.diffusion.steps, static_cast<std::int64_t>(std::ceil(1 / (sigma * sigma))));
  settings.inflation = inflation(parts);
  return std::make_unique<da::Ensf>(settings);
}

Made make_ld_ensf(const MethodParts& parts) {
  if (parts.encoder == nullptr) throw InputError("--methods", "ldensf", "needs an encoder");
  if (parts.config.assimilation.parameters != da::ParameterRange::free)
    throw InputError("configuration", "assimilation.parameters", "ldensf's encoder gives free ones");
  da::LdEnsfSettings settings;
  if (parts.about.case_name == "tsunami") settings.diffusion.epsilon = 0.5;  // as published
  return std::make_unique<da::LdEnsf>(*parts.encoder, parts.about, settings);
}

Made make_fourdenvar(const MethodParts& parts) {
  return std::make_unique<da::FourDEnVar>(inflation(parts), windows(parts));
}

Made make_fourdvar(const MethodParts& parts) {
  return std::make_unique<da::FourDVar>(da::FourDVarSettings{}, windows(parts));
}

Made make_ienks(const MethodParts& parts) {
  return std::make_unique<da::Ienks>(da::IenksSettings{.inflation = inflation(parts)}, windows(parts));
}

Made make_etkf(const MethodParts& parts) { return std::make_unique<da::Etkf>(inflation(parts)); }

}  // namespace

const std::vector<MethodRow>& methods() {
  constexpr SpaceName latent = SpaceName::latent;
  constexpr SpaceName full = SpaceName::full;
  using Keys = std::vector<std::string>;
  const auto with = [](Keys keys, const Keys& more) {
    keys.insert(keys.end(), more.begin(), more.end());
    return keys;
  };
  const Keys inflated{"inflation", "relaxation"};
  const Keys windowed{"window", "shift", "gross_error"};
  const Keys walking = with(windowed, {"parameter_walk"});  // only parameters of the latent space can walk
  const Keys smoother = with(walking, inflated);
  static const std::vector<MethodRow> all{
      {"levda", "latent ensemble-variational smoother, the method of this program", latent,
       with(smoother,
            {"control", "minimiser", "precision", "starts", "candidates", "annealing", "keep_ratio", "iterations"}),
       make_levda},
      {"levda_transform",
       "the same over a full transform of the ensemble; its authors' settings are :window=5:shift=1:iterations=50",
       latent, with(smoother, {"iterations"}), make_levda_transform},
      {"free", "the prior ensemble without observations", latent, {}, make_free},
      {"latent_fourdenvar", "4DEnVar, a smoother: the members' own predictions instead of derivatives", latent,
       smoother, make_fourdenvar},
      {"latent_fourdvar", "strong-constraint 4D-Var with the prior ensemble's covariance", latent, walking,
       make_fourdvar},
      {"latent_ienks", "iterative ensemble Kalman smoother", latent, smoother, make_ienks},
      {"latent_etkf", "ensemble transform Kalman filter", latent, inflated, make_etkf},
      {"latent_enkf", "stochastic ensemble Kalman filter", latent, inflated, make_enkf},
      {"ldensf",
       "ensemble score filter on encoded observations, as published; its encoder is trained first",
       latent,
       {},
       make_ld_ensf},
      {"full_free", "the prior ensemble of full states without observations", full, {}, make_free},
      {"fourdenvar", "4DEnVar, a smoother: the members' own predictions instead of derivatives", full,
       with(windowed, inflated), make_fourdenvar},
      {"ienks", "iterative ensemble Kalman smoother", full, with(windowed, inflated), make_ienks},
      {"etkf", "ensemble transform Kalman filter", full, inflated, make_etkf},
      {"enkf", "stochastic ensemble Kalman filter", full, inflated, make_enkf},
      {"ensf", "ensemble score filter, as published", full, inflated, make_ensf},
      {"letkf", "local ensemble transform Kalman filter", full, with(inflated, {"localisation"}), make_letkf},
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

std::vector<std::string> split_methods(const std::string& text) {
  std::vector<std::string> names{""};
  int depth = 0;
  for (const char letter : text) {
    depth += letter == '[' ? 1 : letter == ']' ? -1 : 0;
    if (letter == ',' && depth <= 0)
      names.emplace_back();
    else
      names.back() += letter;
  }
  if (depth != 0) throw InputError("--methods", text, "a bracket is without its other one");
  return names;
}

ChosenMethod choose_method(const Config& config, const std::string& text) {
  std::size_t end = std::min(text.find(':'), text.size());
  ChosenMethod chosen{.name = text, .row = &find_method(text.substr(0, end)), .config = config};
  const MethodRow& row = *chosen.row;
  const auto reads = [&](const std::string& name) {
    return std::find(row.reads.begin(), row.reads.end(), name) != row.reads.end();
  };
  while (end < text.size()) {
    const std::size_t begin = end + 1;
    end = std::min(text.find(':', begin), text.size());
    const std::string setting = text.substr(begin, end - begin);
    const std::string name = setting.substr(0, setting.find('='));
    Config trial = config;
    apply_setting(trial, "assimilation." + setting);  // refuses unknown keys and values
    if (!reads(name))
      throw InputError("--methods", text,
                       row.reads.empty()
                           ? fmt::format("{} has no settings", row.key)
                           : fmt::format("{} does not read {}, but {}", row.key, name, fmt::join(row.reads, ", ")));
    apply_setting(chosen.config, "assimilation." + setting);
  }
  check(chosen.config);
  const AssimilationConfig& a = config.assimilation;
  const bool observes = row.key != "free" && row.key != "full_free";
  const auto honour = [&](const char* name, double value) {
    if (observes && value != 0 && !reads(name))
      throw InputError("--methods", text,
                       fmt::format("cannot honour assimilation.{} = {}; give it to methods that can: levda:{}={}", name,
                                   value, name, value));
  };
  honour("gross_error", a.gross_error);
  honour("parameter_walk", a.parameter_walk);
  return chosen;
}

}  // namespace levda::experiments
