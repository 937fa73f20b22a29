#include "experiments/study/report_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "experiments/config/version.h"
#include "experiments/report/figures.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

using autodiff::Tensor;

namespace {

/// The unit in which times are shown, and its length in the data set's time unit.
struct TimeUnit {
  std::string name;
  double length;
};

TimeUnit shown_time_unit(const models::Description& about) {
  if (about.time_unit == "s" && about.frame_interval >= 60) return {"h", 3600};
  return {about.time_unit == "1" ? "" : about.time_unit, 1};
}

/// Values of a truth's analysis that are shown.
struct Shown {
  std::int64_t times = 1;   ///< at most; evenly spaced from the first to the last
  std::int64_t stride = 1;  ///< between nodes, in x and y
  bool prior_and_spread = true;
};

/// Moments of an analysis by (stride, time): maps and movie share them.
using Decoded = std::map<std::pair<std::int64_t, std::int64_t>, da::FieldMoments>;

/// Maps of one channel without times: grid, and sensors with their shares of the degrees of freedom for signal.
FieldMaps empty_maps(const models::Description& about, const ShownTruth& one, std::int64_t stride, std::int64_t k) {
  const models::Grid& grid = about.grid;
  const bool metres = about.place_unit == "m" && grid.geometry != models::Geometry::sphere;
  const double scale = metres ? 1e-3 : 1;
  FieldMaps map;
  map.channel = about.channel_names[k];
  map.unit = about.channel_units[k];
  map.nx = (grid.nx + stride - 1) / stride;
  map.ny = (grid.ny + stride - 1) / stride;
  map.x_min = grid.x0 * scale;
  map.x_max = (grid.x0 + static_cast<double>((map.nx - 1) * stride) * grid.dx) * scale;
  map.y_min = grid.y0 * scale;
  map.y_max = (grid.y0 + static_cast<double>((map.ny - 1) * stride) * grid.dy) * scale;
  map.length_unit = metres ? "km" : about.place_unit;
  map.geometry = grid.geometry;
  std::map<std::pair<double, double>, double> places;
  const da::Observations& o = one.observations.observations;
  const std::vector<double>& share = one.analysis.details.share;
  const bool shares = share.size() == static_cast<std::size_t>(o.size());
  for (std::int64_t i = 0; i < o.size(); ++i)
    if (o.channel[i] == k && o.qc[i] == da::used)
      places[{o.x[i] * scale, o.y[i] * scale}] += shares ? share[static_cast<std::size_t>(i)] : 0;
  for (const auto& [place, sum] : places) {
    map.sensors.push_back(place);
    if (shares) map.shares.push_back(sum);
  }
  return map;
}

std::vector<FieldMaps> make_maps(const models::Surrogate& s, const Dataset& data, const ShownTruth& one,
                                 const Shown& shown, Decoded& decoded) {
  const models::Grid& grid = s.about.grid;
  const Tensor points = models::grid_points(grid, shown.stride);
  const auto times = static_cast<std::int64_t>(one.analysis.times.size());
  const Truth& truth = one.observations.truth.value();
  const TimeUnit time = shown_time_unit(s.about);
  // Labels have two digits of a frame's length.
  const int decimals =
      std::clamp(static_cast<int>(std::ceil(0.5 - std::log10(s.about.frame_interval / time.length))), 0, 9);
  std::vector<FieldMaps> maps;
  for (std::int64_t k = 0; k < s.about.channels(); ++k) maps.push_back(empty_maps(s.about, one, shown.stride, k));
  const auto channel = [&](const std::vector<float>& fields, std::size_t k) {
    const auto begin = fields.begin() + static_cast<std::int64_t>(k) * maps[k].nx * maps[k].ny;
    return std::vector<float>(begin, begin + maps[k].nx * maps[k].ny);
  };
  const std::int64_t columns = std::min(shown.times, times);
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t t = columns == 1 ? 0 : column * (times - 1) / (columns - 1);
    const auto [entry, fresh] = decoded.try_emplace({shown.stride, t});
    if (fresh) entry->second = field_moments(s, one.analysis.ensembles[t], points);
    const da::FieldMoments& analysis = entry->second;
    const std::span<const float> field = data.frame(truth.member, truth.first_frame() + t);
    for (std::size_t k = 0; k < maps.size(); ++k) {
      maps[k].times.push_back(fmt::format("t = {:.{}f} {}", one.analysis.times[t] / time.length, decimals, time.name));
      std::vector<float>& values = maps[k].truth.emplace_back();
      for (std::int64_t j = 0; j < grid.ny; j += shown.stride)
        for (std::int64_t i = 0; i < grid.nx; i += shown.stride)
          values.push_back(field[(static_cast<std::int64_t>(k) * grid.ny + j) * grid.nx + i]);
      maps[k].analysis_mean.push_back(channel(analysis.mean, k));
    }
    if (!shown.prior_and_spread) continue;
    const da::FieldMoments prior = field_moments(s, one.analysis.prior[t], points);
    for (std::size_t k = 0; k < maps.size(); ++k) {
      maps[k].prior_mean.push_back(channel(prior.mean, k));
      maps[k].spread.push_back(channel(analysis.spread, k));
    }
  }
  return maps;
}

/// The largest movies that keep a page below a megabyte or two: fewer frames, then fewer nodes. On a sphere the stride
/// divides the number of longitudes.
Shown movie_extent(const models::Description& about, std::int64_t experiments) {
  constexpr std::int64_t most = 2'000'000;  // values; each takes about half a byte
  const models::Grid& grid = about.grid;
  const std::int64_t fields = experiments * about.channels() * 3;  // truth, analysis, error
  Shown shown{.times = std::clamp<std::int64_t>(most / (fields * grid.cells()), 12, 20), .prior_and_spread = false};
  const auto fits = [&] {
    const auto nodes = [&](std::int64_t n) { return (n + shown.stride - 1) / shown.stride; };
    return nodes(grid.nx) * nodes(grid.ny) * fields * shown.times <= most &&
           (grid.geometry != models::Geometry::sphere || grid.nx % shown.stride == 0);
  };
  while (shown.stride < grid.nx && !fits()) ++shown.stride;
  return shown;
}

/// Parameter k of all members, in physical units.
std::vector<double> parameter_members(const models::Surrogate& s, const da::Ensemble& ensemble, std::int64_t k) {
  const std::vector<double> all = physical_parameters(s, ensemble);
  std::vector<double> values;
  for (auto i = static_cast<std::size_t>(k); i < all.size(); i += static_cast<std::size_t>(s.about.parameters()))
    values.push_back(all[i]);
  return values;
}

Convergence convergence_of(const std::vector<da::Iteration>& iterations) {
  Convergence c;
  for (const da::Iteration& one : iterations) {
    if (one.window != 0) break;
    c.factor.push_back(one.factor);
    c.cost_background.push_back(one.cost_background);
    c.cost_observations.push_back(one.cost_observations);
    c.gradient.push_back(one.gradient_norm);
    c.gradient_difference.push_back(one.gradient_difference);
  }
  return c;
}

std::string describe(const std::string& experiment, const AssimilationConfig& a) {
  if (experiment == "cold")
    return fmt::format(
        "Every member starts before the first frame at the latent state 0; only the parameters are unknown. "
        "{} frames are observed.",
        a.frames);
  return fmt::format(
      "The truth starts at an unknown frame between {} and {}; members are latent states of {} other "
      "trajectories at random frames of that range. State and parameters are estimated jointly from {} "
      "observed frames.",
      a.start_min, a.start_max, a.members, a.frames);
}

/// The score table of the page: its first column holds the methods.
void show(ExperimentReport& experiment, const ScoreTable& table) {
  experiment.score_columns.assign(table.columns.begin() + 1, table.columns.end());
  for (const std::vector<std::string>& row : table.rows)
    experiment.score_rows.emplace_back(row.front(), std::vector<std::string>(row.begin() + 1, row.end()));
}

/// Title and facts.
Report outline(const Config& config, const models::Surrogate& s, const Dataset& data, const Summary& summary,
               const std::string& subject) {
  const auto provenance = [&](const std::string& key) {
    const auto entry = s.provenance.find(key);
    return entry == s.provenance.end() ? std::string("unknown") : entry->second;
  };
  Report report{.title = fmt::format("{}, preset {}{}", s.about.case_name, config.preset, subject),
                .facts = {},
                .experiments = {}};
  report.facts = {
      {"Surrogate", fmt::format("LDNet of {} weights, relative RMSE {} on {} test trajectories",
                                s.net.parameters().count(), provenance("test_rel_rmse"), data.test)},
      {"Trained",
       fmt::format("{} s on {}, {}", provenance("train_seconds"), provenance("machine"), provenance("trained"))},
      {"Data", fmt::format("{} training and {} test trajectories", data.train, data.test)},
      {"Observations", fmt::format("{}, every {} frame(s), error {} standard deviations", config.observations.sensors,
                                   config.observations.every, config.observations.sigma)},
      {"Ensemble", fmt::format("{} members, windows of {} frames shifted by {}", config.assimilation.members,
                               config.assimilation.window, config.assimilation.shift)},
      {"Truths", fmt::format("{} {} trajectories, seed {}", summary.truths, summary.validation ? "validation" : "test",
                             config.seed)},
      {"Program", fmt::format("levda {} on {}, {}", version(), machine(), timestamp())}};
  for (const MethodSummary& m : summary.methods) report.facts.emplace_back(m.key, m.help);
  return report;
}

/// The scores of one experiment, without maps.
ExperimentReport scores_of(const Config& config, const models::Description& about, const Summary& summary) {
  const TimeUnit time = shown_time_unit(about);
  const ScoreTable table = score_table(summary);
  ExperimentReport experiment;
  experiment.name = summary.experiment;
  experiment.description = describe(summary.experiment, config.assimilation) + " " + explained(summary);
  experiment.time_unit = time.name;
  for (const double t : analysis_times(config, about, summary.experiment)) experiment.times.push_back(t / time.length);
  if (summary.forecast > 0) experiment.forecast_from = experiment.times.back();
  for (const double t : forecast_times(config, about, summary.experiment)) experiment.times.push_back(t / time.length);
  experiment.floor = summary.method("floor").analysis.rel_rmse.value;
  for (const MethodSummary& m : summary.methods) {
    if (m.key == "floor") continue;
    MethodCurve& curve = experiment.curves.emplace_back(
        MethodCurve{m.key, m.analysis.rel_rmse_per_time, m.analysis.rel_spread_per_time});
    if (!m.forecast) continue;
    const FieldFigures& f = *m.forecast;
    curve.error.insert(curve.error.end(), f.rel_rmse_per_time.begin(), f.rel_rmse_per_time.end());
    curve.spread.insert(curve.spread.end(), f.rel_spread_per_time.begin(), f.rel_spread_per_time.end());
  }
  show(experiment, table);
  return experiment;
}

/// Maps, movie, parameters and convergence of one truth.
void add_truth(ExperimentReport& experiment, const Config& config, const models::Surrogate& s, const Dataset& data,
               const ShownTruth& one, std::int64_t experiments) {
  const Truth& truth = one.observations.truth.value();
  const std::int64_t last_frame = truth.first_frame() + config.assimilation.frames - 1;
  Decoded decoded;
  experiment.truth_label =
      fmt::format("truth {} (test trajectory {}{}), the one with the median error", truth.index,
                  truth.member - data.first_test(), truth.start < 0 ? "" : fmt::format(", from frame {}", truth.start));
  experiment.maps = make_maps(s, data, one, {.times = 5}, decoded);
  experiment.frames = make_maps(s, data, one, movie_extent(s.about, experiments), decoded);
  experiment.convergence = convergence_of(one.analysis.details.iterations);
  for (std::int64_t k = 0; k < s.about.parameters(); ++k)
    experiment.parameters.push_back({.name = s.about.parameter_names[k],
                                     .unit = s.about.parameter_units[k],
                                     .minimum = s.about.parameter_min[k],
                                     .maximum = s.about.parameter_max[k],
                                     .truth = data.parameters_at(truth.member, last_frame)[k],
                                     .prior = parameter_members(s, one.analysis.prior.back(), k),
                                     .posterior = parameter_members(s, one.analysis.ensembles.back(), k)});
}

}  // namespace

Report make_report(const Config& config, const models::Surrogate& s, const Dataset& data,
                   const std::vector<Summary>& summaries, const std::vector<ShownTruth>& shown) {
  Report report = outline(config, s, data, summaries.at(0), shown.empty() ? ": methods compared" : "");
  for (std::size_t e = summaries.size(); e-- > 0;) {
    ExperimentReport experiment = scores_of(config, s.about, summaries[e]);
    if (!shown.empty()) {
      add_truth(experiment, config, s, data, shown[e], static_cast<std::int64_t>(summaries.size()));
      experiment.ranks = summaries[e].method("levda").analysis.ranks;
    }
    report.experiments.push_back(std::move(experiment));
  }
  return report;
}

void write_sweep_report(const std::filesystem::path& folder, const Config& config, const models::Surrogate& s,
                        const Dataset& data, const SweepResult& result) {
  const Summary& first = result.summaries.front();
  const SweepFigures figures = figures_of(result);
  Report report = outline(config, s, data, first, ": over " + result.sweep.name);
  ExperimentReport& experiment = report.experiments.emplace_back();
  experiment.name = first.experiment;
  experiment.description = fmt::format(
      "{} truths, {} draw(s) of the observation errors each; all but {} is as above. The table has "
      "relative errors.",
      first.truths, first.draws, result.sweep.name);
  experiment.scalings = {figures.error, figures.seconds};
  show(experiment, table_of(figures.error, result.sweep));
  write_report(folder / "report.html", report);
  nn::write_text_file(folder / "error.png", scaling_picture(figures.error));
  nn::write_text_file(folder / "seconds.png", scaling_picture(figures.seconds));
}

}  // namespace levda::experiments
