#include "experiments/study/results.h"

#include <cstdlib>

#include "experiments/config/version.h"
#include "experiments/study/json_numbers.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

using Json = nlohmann::ordered_json;

/// Adds KEY and KEY_error.
void add(Json& to, const std::string& key, const Figure& figure) {
  to[key] = json_number(figure.value);
  to[key + "_error"] = json_number(figure.error);
}

void add(Json& to, const FieldFigures& f) {
  add(to, "rel_rmse", f.rel_rmse);
  to["rel_rmse_worst"] = json_number(f.rel_rmse_worst);
  to["rel_rmse_per_truth"] = json_numbers(f.rel_rmse_per_truth);
  to["rel_rmse_per_time"] = json_numbers(f.rel_rmse_per_time);
  to["rel_spread_per_time"] = json_numbers(f.rel_spread_per_time);
  add(to, "ssr", f.ssr);
  add(to, "ssr_without_model_error", f.ssr_without_model_error);
  add(to, "crps", f.crps);
  add(to, "coverage90", f.coverage90);
}

Json json_of(const MethodSummary& m) {
  Json json{{"space", m.space}};
  add(json, m.analysis);
  add(json, "param_error", m.param_error);
  add(json, "param_z_rms", m.param_z_rms);
  add(json, "seconds", m.seconds);
  add(json, "iterations", m.iterations);
  if (m.forecast) add(json["forecast"], *m.forecast);
  for (const std::vector<double>& costs : m.costs) json["cost_per_iteration"].push_back(json_numbers(costs));
  json["failures"] = m.failures;
  if (m.failures > 0) json["failure"] = m.failure;
  return json;
}

/// experiment -> methods -> scores.
Json json_of(const std::vector<Summary>& summaries) {
  Json experiments;
  for (const Summary& summary : summaries)
    for (const MethodSummary& m : summary.methods) experiments[summary.experiment]["methods"][m.key] = json_of(m);
  return experiments;
}

Json header(const std::string& kind, const Config& config, const models::Surrogate& s, const Summary& summary) {
  const auto provenance = [&](const std::string& key) {
    const auto entry = s.provenance.find(key);
    return json_number(entry == s.provenance.end() ? no_value : std::strtod(entry->second.c_str(), nullptr));
  };
  return {{"schema", 2},
          {"kind", kind},
          {"case", s.about.case_name},
          {"preset", config.preset},
          {"seed", config.seed},
          {"version", version()},
          {"surrogate",
           {{"parameters", s.net.parameters().count()},
            {"train_seconds", provenance("train_seconds")},
            {"test_rel_rmse", provenance("test_rel_rmse")}}},
          {"truths", summary.truths},
          {"truths_from", summary.validation ? "validation" : "test"},
          {"draws", summary.draws},
          {"sensors", config.observations.sensors},
          {"every", config.observations.every},
          {"sigma", config.observations.sigma},
          {"members", config.assimilation.members},
          {"window", config.assimilation.window},
          {"shift", config.assimilation.shift}};
}

void write(const std::filesystem::path& path, const Json& json) {
  nn::write_text_file(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

void write_results(const std::filesystem::path& path, const std::string& kind, const Config& config,
                   const models::Surrogate& surrogate, const std::vector<Summary>& summaries) {
  Json json = header(kind, config, surrogate, summaries.at(0));
  json["experiments"] = json_of(summaries);
  write(path, json);
}

void write_results(const std::filesystem::path& path, const Config& config, const models::Surrogate& surrogate,
                   const SweepResult& result) {
  Json json = header("sweep", config, surrogate, result.summaries.at(0));
  json["over"] = result.sweep.name;
  json["values"] = result.sweep.values;
  json["x"] = json_numbers(result.sweep.x);
  for (const Summary& summary : result.summaries) json["studies"].push_back({{"experiments", json_of({summary})}});
  const SweepFigures figures = figures_of(result);
  for (const ScalingCurve& curve : figures.error.curves)
    json["exponents"][curve.method]["rel_rmse"] = json_number(curve.exponent);
  for (const ScalingCurve& curve : figures.seconds.curves)
    json["exponents"][curve.method]["seconds"] = json_number(curve.exponent);
  write(path, json);
}

}  // namespace levda::experiments
