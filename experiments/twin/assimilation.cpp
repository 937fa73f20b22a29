#include "experiments/twin/assimilation.h"

#include <fmt/format.h>

#include <chrono>
#include <limits>
#include <tuple>

#include "autodiff/error.h"
#include "experiments/config/version.h"
#include "experiments/data/netcdf_file.h"

namespace levda::experiments {

using autodiff::Tensor;
using autodiff::Var;

namespace {

constexpr const char* format_name = "levda-analysis-1";

Tensor states_of(const da::Ensemble& ensemble, std::int64_t d) {
  return autodiff::slice(Var(ensemble.members()), 1, 0, d).value();
}

/// Places of every stride-th node.
void write_axes(NetcdfWriter& file, const models::Description& about, std::int64_t stride) {
  const models::Grid& grid = about.grid;
  std::vector<double> x;
  std::vector<double> y;
  for (std::int64_t i = 0; i < grid.nx; i += stride) x.push_back(grid.node_x(i));
  for (std::int64_t i = 0; i < (grid.listed() ? grid.nx : grid.ny); i += stride)
    y.push_back(grid.listed() ? grid.y[i] : grid.node_y(0, i));
  for (const auto& [name, letter, places] : {std::tuple{"y", "Y", &y}, std::tuple{"x", "X", &x}}) {
    file.variable(name, Type::Float64, {grid.listed() ? "point" : name},
                  {{"units", *letter == 'Y' ? about.unit_y() : about.place_unit}, {"axis", letter}});
    file.write(name, *places);
  }
}

/// Latent states and parameters of all members at all times.
void write_ensembles(NetcdfWriter& file, const models::Surrogate& s, const std::string& prefix,
                     const std::string& meaning, const std::vector<da::Ensemble>& ensembles) {
  std::vector<double> latent;
  std::vector<double> parameter;
  for (const da::Ensemble& ensemble : ensembles) {
    const std::vector<double> states = states_of(ensemble, s.net.architecture().latent).to_vector();
    const std::vector<double> u = da::physical_parameters(s, ensemble);
    latent.insert(latent.end(), states.begin(), states.end());
    parameter.insert(parameter.end(), u.begin(), u.end());
  }
  file.variable(prefix + "latents", Type::Float64, {"time", "member", "latent"},
                {{"long_name", "latent state, " + meaning}, {"units", "1"}});
  file.write(prefix + "latents", latent);
  file.variable(prefix + "parameters", Type::Float64, {"time", "member", "parameter"},
                {{"long_name", "parameters, " + meaning + "; units in parameter_units"}});
  file.write(prefix + "parameters", parameter);
}

}  // namespace

std::vector<MethodAnalysis> run_method(const Config& config, const MethodRow& method, const ControlSpace& space,
                                       const models::Description& about, std::span<const ObservationFile> files,
                                       std::int64_t draw, const models::TrainedEncoder* encoder) {
  const AssimilationConfig& a = config.assimilation;
  std::vector<da::Ensemble> priors;
  std::vector<std::unique_ptr<const da::ErrorCovariance>> covariances;
  MethodParts parts{.config = config,
                    .about = about,
                    .controls = space.model().controls(),
                    .walk = space.walk(a.parameter_walk),
                    .encoder = encoder};
  for (const ObservationFile& file : files) {
    const std::int64_t truth = file.truth ? file.truth->index : 0;
    priors.push_back(space.prior(file.experiment, truth));
    if (auto candidates = space.candidates(file.experiment, truth, a.candidates))
      parts.candidates.push_back(*std::move(candidates));
    covariances.push_back(space.covariance(file));
  }
  std::vector<da::Problem> problems;
  for (std::size_t i = 0; i < files.size(); ++i)
    problems.push_back({.prior = priors[i],
                        .model = space.model(),
                        .observations = files[i].observations,
                        .covariance = *covariances[i],
                        .times = analysis_times(config, about, files[i].experiment),
                        .seed = method_seed(config, files[i].truth.value_or(Truth{}), draw)});
  const std::unique_ptr<da::Method> made = method.make(parts);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  std::vector<da::Analysis> analyses = made->assimilate_all(problems);
  const double seconds =
      std::chrono::duration<double>(Clock::now() - begin).count() / static_cast<double>(files.size());
  std::vector<MethodAnalysis> results;
  for (std::size_t i = 0; i < files.size(); ++i) {
    results.push_back({.times = problems[i].times, .analysis = std::move(analyses[i]), .seconds = seconds});
    MethodAnalysis& own = results.back();
    std::vector<da::Ensemble>& ensembles = own.analysis.ensembles;
    for (const double time : forecast_times(config, about, files[i].experiment)) {
      ensembles.emplace_back(space.model().forecast(ensembles.back().members(), time - own.times.back()));
      own.times.push_back(time);
    }
  }
  return results;
}

std::vector<LatentAnalysis> assimilate(const Config& config, const models::Surrogate& s,
                                       std::span<const ObservationFile> files) {
  const LatentSpace space(config, s);
  std::vector<MethodAnalysis> analyses = run_method(config, find_method("levda"), space, s.about, files);
  std::vector<MethodAnalysis> free = run_method(config, find_method("free"), space, s.about, files);
  const Tensor points = models::grid_points(s.about.grid, config.assimilation.score_stride);
  std::vector<LatentAnalysis> results;
  for (std::size_t i = 0; i < files.size(); ++i) {
    da::Analysis& own = analyses[i].analysis;
    LatentAnalysis& result = results.emplace_back(LatentAnalysis{.times = std::move(analyses[i].times),
                                                                 .prior = {},
                                                                 .ensembles = {},
                                                                 .fields = {},
                                                                 .diagnostics = own.diagnostics,
                                                                 .details = details_of(own),
                                                                 .seconds = analyses[i].seconds,
                                                                 .seconds_free = free[i].seconds});
    for (const da::Ensemble& one : free[i].analysis.ensembles) result.prior.push_back(space.natural(one));
    for (const da::Ensemble& one : own.ensembles) result.ensembles.push_back(space.natural(one));
    for (const da::Ensemble& one : result.ensembles) result.fields.push_back(da::decode_ensemble(s, one, points));
  }
  return results;
}

void write_analysis(const std::filesystem::path& path, const Config& config, const models::Surrogate& s,
                    const ObservationFile& observations, const LatentAnalysis& analysis,
                    const std::string& fingerprint) {
  const models::Grid& grid = s.about.grid;
  const std::int64_t stride = grid.listed() ? 1 : config.assimilation.score_stride;
  const std::int64_t nx = (grid.nx + stride - 1) / stride;
  const std::int64_t ny = (grid.ny + stride - 1) / stride;
  const std::int64_t c = s.about.channels();
  const auto times = static_cast<std::int64_t>(analysis.times.size());
  const std::int64_t members = analysis.ensembles[0].size();
  const std::int64_t d = s.net.architecture().latent;
  const std::int64_t p = s.net.architecture().parameters;

  NetcdfWriter file(path);
  file.attribute("Conventions", "CF-1.10");
  file.attribute("title", s.about.case_name + " analysis by LEVDA");
  file.attribute("source", "levda " + version());
  file.attribute("levda_format", format_name);
  file.attribute("levda_configuration", fingerprint);
  file.attribute("experiment", observations.experiment);
  for (const auto& [name, values] : analysis.diagnostics) file.attribute("diagnostic_" + name, values);
  file.dimension("time", times);
  file.dimension("member", members);
  file.dimension("latent", d);
  file.dimension("parameter", p);
  file.dimension("channel", c);
  const std::vector<std::string> places =
      grid.listed() ? std::vector<std::string>{"point"} : std::vector<std::string>{"y", "x"};
  if (grid.listed()) {
    file.dimension("point", nx);
  } else {
    file.dimension("y", ny);
    file.dimension("x", nx);
  }
  std::vector<std::string> field_dimensions{"time", "channel"};
  field_dimensions.insert(field_dimensions.end(), places.begin(), places.end());
  file.variable("time", Type::Float64, {"time"},
                {{"units", s.about.time_unit}, {"long_name", "time after the start of the assimilation"}});
  file.write("time", analysis.times);
  write_axes(file, s.about, stride);
  file.write_strings("channel_name", "channel", s.about.channel_names);
  file.write_strings("channel_units", "channel", s.about.channel_units);
  file.write_strings("parameter_name", "parameter", s.about.parameter_names);
  file.write_strings("parameter_units", "parameter", s.about.parameter_units);

  write_details(file, observations.observations, s.about, analysis.details);
  write_ensembles(file, s, "", "analysis", analysis.ensembles);
  write_ensembles(file, s, "prior_", "free run of the prior ensemble", analysis.prior);

  std::vector<float> mean;
  std::vector<float> spread;
  for (const std::vector<float>& fields : analysis.fields) {
    const da::FieldMoments moments = da::field_moments(s, fields, members);
    mean.insert(mean.end(), moments.mean.begin(), moments.mean.end());
    spread.insert(spread.end(), moments.spread.begin(), moments.spread.end());
  }
  // The decoder gives numbers where the data set never has any, as on land.
  if (!grid.never.empty())
    for (std::size_t i = 0; i < mean.size(); ++i) {
      const auto point = static_cast<std::int64_t>(i) % (nx * ny);
      const std::int64_t channel = static_cast<std::int64_t>(i) / (nx * ny) % c;
      const std::int64_t cell = point / nx * stride * grid.nx + point % nx * stride;
      if (grid.never[static_cast<std::size_t>(channel * grid.cells() + cell)] != 0)
        mean[i] = spread[i] = std::numeric_limits<float>::quiet_NaN();
    }
  file.variable("field_mean", Type::Float32, field_dimensions,
                {{"long_name", "ensemble mean of the analysis, units in channel_units"}});
  file.write("field_mean", mean);
  file.variable("field_spread", Type::Float32, field_dimensions,
                {{"long_name", "ensemble standard deviation of the analysis, units in channel_units"}});
  file.write("field_spread", spread);
  file.commit();
}

LatentAnalysis read_analysis(const std::filesystem::path& path, const models::Surrogate& s) {
  const NetcdfReader file(path);
  if (!file.has_attribute("levda_format") || file.text("levda_format") != format_name)
    throw InputError(path.string(), "levda_format", fmt::format("not an analysis (\"{}\" expected)", format_name));
  const std::int64_t times = file.dimension("time");
  const std::int64_t members = file.dimension("member");
  const std::int64_t d = s.net.architecture().latent;
  const std::int64_t p = s.net.architecture().parameters;
  LatentAnalysis analysis;
  analysis.times = file.read<double>("time");
  const auto read_ensembles = [&](const std::string& prefix, std::vector<da::Ensemble>& ensembles) {
    file.require_shape(prefix + "latents", {times, members, d});
    file.require_shape(prefix + "parameters", {times, members, p});
    const std::vector<double> latent = file.read<double>(prefix + "latents");
    const std::vector<double> parameter = s.normal_parameters(file.read<double>(prefix + "parameters"));
    for (std::int64_t t = 0; t < times; ++t) {
      const Tensor states = Tensor::from(std::span(latent).subspan(t * members * d, members * d), {members, d});
      const Tensor u = Tensor::from(std::span(parameter).subspan(t * members * p, members * p), {members, p});
      ensembles.emplace_back(autodiff::concat({Var(states), Var(u)}, 1).value());
    }
  };
  analysis.details = read_details(file);
  read_ensembles("", analysis.ensembles);
  read_ensembles("prior_", analysis.prior);
  return analysis;
}

TruthScores score(const Config& config, const models::Surrogate& s, const Dataset& data, const ObservationFile& file,
                  const LatentAnalysis& analysis, const TrainingTable* table) {
  const Scorer scorer(config, s, data, file, table);
  Config natural = config;  // an analysis has [s; u], also with bounded parameters
  natural.assimilation.parameters = da::ParameterRange::free;
  const LatentSpace space(natural, s);
  const auto ensemble = [&](const Scorer::Fields& fields, const da::Ensemble& last, Draws draws) {
    return scorer.score(fields, space.model_error(file.experiment, last), space.parameters(last), draws);
  };
  TruthScores result{.truth = file.truth.value(), .methods = {}};
  MethodScores& levda = result.methods["levda"] =
      ensemble([&](std::int64_t t) { return analysis.fields[t]; }, analysis.ensembles.back(), Draws::levda);
  levda.seconds = analysis.seconds;
  levda.iterations = 0;
  levda.convergence = analysis.details.iterations;
  for (const double window : analysis.diagnostics.at("iterations")) *levda.iterations += window;
  MethodScores& free = result.methods["free"] =
      ensemble([&](std::int64_t t) { return space.fields(analysis.prior[t]); }, analysis.prior.back(), Draws::free);
  free.seconds = analysis.seconds_free;
  result.methods["floor"] = scorer.floor();
  result.methods["climatology"] = scorer.climatology();
  result.methods["lookup"] = scorer.lookup();
  return result;
}

}  // namespace levda::experiments
