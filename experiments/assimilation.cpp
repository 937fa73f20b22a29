#include "experiments/assimilation.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "autodiff/error.h"
#include "da/catalogue.h"
#include "da/latent_model.h"
#include "da/levda.h"
#include "experiments/netcdf_file.h"
#include "experiments/version.h"

namespace levda::experiments {

using autodiff::DType;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;

namespace {

constexpr const char* format_name = "levda-analysis-1";
constexpr std::uint32_t score_stream = 50;  // of the seed, one per experiment, then one per method

/// Error variance of the observations, and the surrogate's on top where one is given.
da::DiagonalCovariance covariance_of(const models::Surrogate& s, const ObservationFile& file,
                                     const SurrogateVariance* own) {
  std::vector<double> variance;
  const da::Observations& o = file.observations;
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const std::int64_t c = o.channel[i];
    const double deviation = s.field_std[c];
    // Entries that are not to be assimilated may hold anything.
    const bool used = o.qc[i] == da::used;
    const double error = used ? o.error_std[i] : deviation;
    const double model = used && own != nullptr ? own->at(o.time[i] / s.about.frame_interval, c) : 0;
    variance.push_back(error * error + model * deviation * deviation);
  }
  return da::DiagonalCovariance(std::move(variance));
}

da::Minimiser minimiser_of(const std::string& name) {
  if (name == "lbfgs") return da::Minimiser::lbfgs;
  if (name == "ensemble") return da::Minimiser::ensemble;
  return da::Minimiser::gauss_newton;
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Tensor states_of(const da::Ensemble& ensemble, std::int64_t d) {
  return autodiff::slice(Var(ensemble.members()), 1, 0, d).value();
}

/// Every stride-th node of a field (c, ny, nx), channels innermost, divided by the channels' standard deviations.
void thin(std::span<const float> field, const models::Grid& grid, std::int64_t stride,
          const std::vector<double>& deviation, float* out) {
  for (std::int64_t j = 0; j < grid.ny; j += stride)
    for (std::int64_t i = 0; i < grid.nx; i += stride)
      for (std::size_t c = 0; c < deviation.size(); ++c)
        *out++ =
            field[static_cast<std::int64_t>(c) * grid.cells() + j * grid.nx + i] / static_cast<float>(deviation[c]);
}

/// What the network made, channels innermost, in units of the channels' standard deviations.
void to_standard_units(const models::Surrogate& s, std::vector<float>& fields) {
  const std::size_t c = s.field_std.size();
  std::vector<float> offset;
  std::vector<float> scale;
  for (std::size_t k = 0; k < c; ++k) {
    offset.push_back(static_cast<float>(s.offset(k) / s.field_std[k]));
    scale.push_back(static_cast<float>(s.scale(k) / s.field_std[k]));  // 1 where it makes z-scores
  }
  for (std::size_t i = 0; i < fields.size(); ++i) fields[i] = offset[i % c] + scale[i % c] * fields[i];
}

}  // namespace

std::vector<double> physical_parameters(const models::Surrogate& s, const da::Ensemble& ensemble) {
  const std::int64_t d = s.net.architecture().latent;
  const std::int64_t p = s.net.architecture().parameters;
  return s.physical_parameters(autodiff::slice(Var(ensemble.members()), 1, d, p).value().to_vector());
}

FieldMoments field_moments(const models::Surrogate& s, const da::Ensemble& ensemble, const Tensor& points) {
  const std::vector<float> fields = decode_ensemble(s, ensemble, points);
  const std::int64_t c = s.about.channels();
  const std::int64_t n = ensemble.size();
  const std::int64_t cells = points.shape()[0];
  const std::int64_t values = cells * c;
  FieldMoments moments{std::vector<float>(static_cast<std::size_t>(values)),
                       std::vector<float>(static_cast<std::size_t>(values))};
  for (std::int64_t i = 0; i < values; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < n; ++k) sum += fields[k * values + i];
    const double mean = sum / static_cast<double>(n);
    double squares = 0;
    for (std::int64_t k = 0; k < n; ++k) squares += (fields[k * values + i] - mean) * (fields[k * values + i] - mean);
    const double deviation = s.field_std[i % c];
    moments.mean[i % c * cells + i / c] = static_cast<float>(mean * deviation);
    moments.spread[i % c * cells + i / c] =
        static_cast<float>(std::sqrt(squares / static_cast<double>(n - 1)) * deviation);
  }
  return moments;
}

std::vector<float> decode_ensemble(const models::Surrogate& s, const da::Ensemble& ensemble, const Tensor& points) {
  const Tensor states = states_of(ensemble, s.net.architecture().latent).to(DType::float32);
  std::vector<float> fields = models::decode_states(s.net, states, points).to_floats();
  to_standard_units(s, fields);
  return fields;
}

std::vector<LatentAnalysis> assimilate(const Config& config, const models::Surrogate& s,
                                       std::span<const ObservationFile> files) {
  const AssimilationConfig& a = config.assimilation;
  const da::LatentModel model(s);
  const auto count = static_cast<double>(files.size());
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  std::vector<da::Ensemble> priors;
  std::vector<da::DiagonalCovariance> covariances;
  for (const ObservationFile& file : files) {
    priors.push_back(draw_prior(config, s, file.experiment, file.truth ? file.truth->index : 0));
    const SurrogateVariance own = surrogate_variance(config, s, file.experiment);
    covariances.push_back(covariance_of(s, file, &own));
  }
  std::vector<da::Problem> problems;
  for (std::size_t i = 0; i < files.size(); ++i)
    problems.push_back({.prior = priors[i],
                        .model = model,
                        .observations = files[i].observations,
                        .covariance = covariances[i],
                        .times = analysis_times(config, s.about, files[i].experiment),
                        .windows = {.length = a.window, .shift = a.shift}});
  const da::Levda levda({.minimiser = minimiser_of(a.minimiser),
                         .starts = a.starts,
                         .annealing = a.annealing,
                         .iterations = a.iterations,
                         .keep_ratio = a.keep_ratio,
                         .mixed_precision = a.precision == "mixed"});
  std::vector<da::Analysis> analyses = levda.assimilate_all(problems);
  const double seconds = seconds_since(begin) / count;
  const Clock::time_point free_begin = Clock::now();
  std::vector<da::Analysis> free = da::FreeRun().assimilate_all(problems);
  const double seconds_free = seconds_since(free_begin) / count;
  std::vector<LatentAnalysis> results;
  for (std::size_t i = 0; i < files.size(); ++i)
    results.push_back({.times = problems[i].times,
                       .prior = std::move(free[i].ensembles),
                       .ensembles = std::move(analyses[i].ensembles),
                       .diagnostics = std::move(analyses[i].diagnostics),
                       .seconds = seconds,
                       .seconds_free = seconds_free});
  return results;
}

void write_analysis(const std::filesystem::path& path, const Config& config, const models::Surrogate& s,
                    const ObservationFile& observations, const LatentAnalysis& analysis,
                    const std::string& fingerprint) {
  const models::Grid& grid = s.about.grid;
  const std::int64_t stride = grid.listed() ? 1 : config.assimilation.score_stride;
  const Tensor points = models::grid_points(grid, stride);
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
  const auto axis = [&](const std::string& name, const std::string& letter, const std::vector<double>& values) {
    file.variable(name, Type::Float64, {grid.listed() ? "point" : name},
                  {{"units", s.about.place_unit}, {"axis", letter}});
    file.write(name, values);
  };
  std::vector<double> x;
  std::vector<double> y;
  for (std::int64_t i = 0; i < nx; ++i) x.push_back(grid.node_x(i * stride));
  for (std::int64_t i = 0; i < (grid.listed() ? nx : ny); ++i)
    y.push_back(grid.listed() ? grid.y[i] : grid.node_y(0, i * stride));
  axis("y", "Y", y);
  axis("x", "X", x);
  file.write_strings("channel_name", "channel", s.about.channel_names);
  file.write_strings("channel_units", "channel", s.about.channel_units);
  file.write_strings("parameter_name", "parameter", s.about.parameter_names);
  file.write_strings("parameter_units", "parameter", s.about.parameter_units);

  const auto write_ensembles = [&](const std::string& prefix, const std::string& of,
                                   const std::vector<da::Ensemble>& ensembles) {
    std::vector<double> latent;
    std::vector<double> parameter;
    for (const da::Ensemble& ensemble : ensembles) {
      const std::vector<double> states = states_of(ensemble, d).to_vector();
      const std::vector<double> u = physical_parameters(s, ensemble);
      latent.insert(latent.end(), states.begin(), states.end());
      parameter.insert(parameter.end(), u.begin(), u.end());
    }
    file.variable(prefix + "latents", Type::Float64, {"time", "member", "latent"},
                  {{"long_name", "latent state, " + of}, {"units", "1"}});
    file.write(prefix + "latents", latent);
    file.variable(prefix + "parameters", Type::Float64, {"time", "member", "parameter"},
                  {{"long_name", "parameters, " + of + "; units in parameter_units"}});
    file.write(prefix + "parameters", parameter);
  };
  write_ensembles("", "analysis", analysis.ensembles);
  write_ensembles("prior_", "free run of the prior ensemble", analysis.prior);

  std::vector<float> mean;
  std::vector<float> spread;
  for (const da::Ensemble& ensemble : analysis.ensembles) {
    const FieldMoments moments = field_moments(s, ensemble, points);
    mean.insert(mean.end(), moments.mean.begin(), moments.mean.end());
    spread.insert(spread.end(), moments.spread.begin(), moments.spread.end());
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
  read_ensembles("", analysis.ensembles);
  read_ensembles("prior_", analysis.prior);
  return analysis;
}

TruthScores score(const Config& config, const models::Surrogate& s, const Dataset& data, const ObservationFile& file,
                  const LatentAnalysis& analysis) {
  using Clock = std::chrono::steady_clock;
  const Truth& truth = file.truth.value();
  const models::Grid& grid = s.about.grid;
  const std::int64_t stride = config.assimilation.score_stride;
  const Tensor points = models::grid_points(grid, stride);
  const std::int64_t c = s.about.channels();
  const std::int64_t p = s.about.parameters();
  if (truth.member >= data.members() ||
      truth.first_frame() + static_cast<std::int64_t>(analysis.times.size()) > data.about.frames)
    throw InputError("observations", "truth_member",
                     fmt::format("member {} from frame {} is not in the data set", truth.member, truth.first_frame()));
  const std::vector<double> areas = models::grid_areas(grid, stride);
  const std::int64_t values = points.shape()[0] * c;
  const auto frames = static_cast<std::int64_t>(analysis.times.size());
  const bool cold = file.experiment == "cold";
  const std::int64_t first_frame = truth.first_frame();
  const std::vector<double> own_error = surrogate_variance(config, s, file.experiment).at_frames;
  const std::vector<double> no_error(static_cast<std::size_t>(c), 0.0);
  // Of the last analysed frame, where they change in time.
  const std::span<const double> true_parameters = data.parameters_at(truth.member, first_frame + frames - 1);

  std::vector<float> true_fields(static_cast<std::size_t>(frames * values));
  for (std::int64_t t = 0; t < frames; ++t)
    thin(data.frame(truth.member, first_frame + t), grid, stride, s.field_std, true_fields.data() + t * values);

  // members(t): (N, points, c) of a method at an analysis time.
  std::uint32_t method_number = 0;
  const auto score_frames = [&](const auto& members, const std::vector<double>& error) {
    std::vector<da::FieldScores> scores(static_cast<std::size_t>(frames));
    const std::uint32_t stream = score_stream + 10 * (cold ? 0U : 1U) + method_number++;
    for (std::int64_t t = 0; t < frames; ++t) {
      const std::vector<float> fields = members(t);
      Random random(static_cast<std::uint64_t>(config.seed), stream,
                    static_cast<std::uint32_t>(truth.index * frames + t));
      scores[t].add(fields, std::span(true_fields).subspan(t * values, values), error, random, areas);
    }
    return scores;
  };
  const auto score_parameters = [&](const std::vector<double>& members) {  // (N, p), physical units
    std::vector<da::ParameterScore> scores;
    for (std::int64_t k = 0; k < p; ++k) {
      std::vector<double> one;
      for (std::size_t i = static_cast<std::size_t>(k); i < members.size(); i += static_cast<std::size_t>(p))
        one.push_back(members[i]);
      scores.push_back(
          da::score_parameter(one, true_parameters[k], s.about.parameter_max[k] - s.about.parameter_min[k]));
    }
    return scores;
  };

  TruthScores result{.truth = truth, .methods = {}};
  const auto latent_method = [&](const std::vector<da::Ensemble>& ensembles) {
    return MethodScores{
        .frames = score_frames([&](std::int64_t t) { return decode_ensemble(s, ensembles[t], points); }, own_error),
        .parameters = score_parameters(physical_parameters(s, ensembles.back())),
        .seconds = 0,
        .iterations = std::nullopt};
  };
  MethodScores& levda = result.methods["levda"] = latent_method(analysis.ensembles);
  levda.seconds = analysis.seconds;
  levda.iterations = 0;
  for (const double window : analysis.diagnostics.at("iterations")) *levda.iterations += window;
  MethodScores& free = result.methods["free"] = latent_method(analysis.prior);
  free.seconds = analysis.seconds_free;

  const std::vector<double> u = s.normal_parameters(data.parameters_of(truth.member));
  const Tensor latents = models::latent_trajectories(s.net, u, 1, s.about.frames);
  const auto decode_floor = [&](std::int64_t t) {
    const std::int64_t frame = first_frame + t;
    std::vector<float> fields =
        models::decode_states(s.net, latents.reshaped({s.about.frames, latents.shape()[2]}).rows(frame, frame + 1),
                              points)
            .to_floats();
    to_standard_units(s, fields);
    return fields;
  };
  result.methods["floor"].frames = score_frames(decode_floor, no_error);

  const auto training_fields = [&](std::int64_t first, std::int64_t last, std::int64_t frame) {
    std::vector<float> fields(static_cast<std::size_t>((last - first) * values));
    oneapi::tbb::parallel_for(first, last, [&](std::int64_t member) {
      thin(data.frame(member, frame), grid, stride, s.field_std, fields.data() + (member - first) * values);
    });
    return fields;
  };
  MethodScores& climatology = result.methods["climatology"];
  climatology.frames =
      score_frames([&](std::int64_t t) { return training_fields(0, data.train, first_frame + t); }, no_error);
  std::vector<double> training_parameters;
  for (std::int64_t member = 0; member < data.train; ++member) {
    const std::span<const double> own = data.parameters_at(member, first_frame + frames - 1);
    training_parameters.insert(training_parameters.end(), own.begin(), own.end());
  }
  climatology.parameters = score_parameters(training_parameters);

  const Clock::time_point begin = Clock::now();
  const da::Catalogue catalogue(
      data.about,
      std::span(data.fields).first(static_cast<std::size_t>(data.train * data.about.frames * data.frame_size())));
  const da::DiagonalCovariance covariance = covariance_of(s, file, nullptr);  // no surrogate is used
  const std::vector<std::int64_t> used = file.observations.in_window(0, std::numeric_limits<double>::infinity());
  const da::Catalogue::Fit fit =
      catalogue.best_fit(file.observations.part(used), *covariance.part(used, std::vector<double>(used.size(), 1.0)),
                         cold ? -1 : config.assimilation.start_min, cold ? -1 : config.assimilation.start_max);
  MethodScores& lookup = result.methods["lookup"];
  lookup.seconds = seconds_since(begin);
  lookup.frames = score_frames(
      [&](std::int64_t t) { return training_fields(fit.member, fit.member + 1, (cold ? 0 : fit.start) + t); },
      no_error);
  const std::span<const double> found = data.parameters_at(fit.member, (cold ? 0 : fit.start) + frames - 1);
  lookup.parameters = score_parameters({found.begin(), found.end()});
  return result;
}

}  // namespace levda::experiments
