#include "experiments/study/score_files.h"

#include "autodiff/error.h"
#include "experiments/study/json_numbers.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

using Json = nlohmann::ordered_json;

namespace {

constexpr const char* format_name = "levda-scores-1";

/// Iterations as a list of objects.
Json convergence(const std::vector<da::Iteration>& iterations) {
  Json list = Json::array();
  for (const da::Iteration& one : iterations)
    list.push_back({{"window", one.window},
                    {"factor", json_number(one.factor)},
                    {"cost_background", json_number(one.cost_background)},
                    {"cost_observations", json_number(one.cost_observations)},
                    {"gradient_norm", json_number(one.gradient_norm)},
                    {"gradient_difference", json_number(one.gradient_difference)},
                    {"damping", json_number(one.damping)}});
  return list;
}

}  // namespace

void write_truth_scores(const std::filesystem::path& path, const TruthScores& scores, const std::string& fingerprint) {
  Json methods;
  for (const auto& [name, method] : scores.methods) {
    Json frames = Json::array();
    for (const da::FieldScores& frame : method.frames) frames.push_back(json_numbers(frame.pack()));
    Json parameters = Json::array();
    for (const da::ParameterScore& p : method.parameters)
      parameters.push_back({{"error", json_number(p.error)}, {"z", json_number(p.z)}});
    methods[name] = {{"frames", frames},
                     {"parameters", parameters},
                     {"seconds", method.seconds},
                     {"iterations", json_number(method.iterations.value_or(NAN))}};
    if (!method.forecast.empty()) {
      Json& forecast = methods[name]["forecast"] = Json::array();
      for (const da::FieldScores& frame : method.forecast) forecast.push_back(json_numbers(frame.pack()));
    }
    if (!method.failure.empty()) methods[name]["failure"] = method.failure;
    if (!method.convergence.empty()) methods[name]["convergence"] = convergence(method.convergence);
  }
  const Json all{
      {"format", format_name},
      {"configuration", fingerprint},
      {"truth", {{"index", scores.truth.index}, {"member", scores.truth.member}, {"start", scores.truth.start}}},
      {"methods", methods}};
  nn::write_text_file(path, all.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<TruthScores> read_truth_scores(const std::filesystem::path& path, const std::string& fingerprint,
                                             const std::vector<std::string>& methods) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  const Json all = Json::parse(nn::read_text_file(path), nullptr, false);
  try {
    if (all.at("format") != format_name) throw InputError(path.string(), "format", "not scores of levda");
    if (all.at("configuration") != fingerprint) return std::nullopt;
    TruthScores scores;
    const Json& truth = all.at("truth");
    scores.truth = {truth.at("index"), truth.at("member"), truth.at("start")};
    for (const auto& [name, entry] : all.at("methods").items()) {
      MethodScores& method = scores.methods[name];
      const auto read_frames = [](const Json& list, std::vector<da::FieldScores>& to) {
        for (const Json& frame : list) {
          std::vector<double> sums;
          for (const Json& sum : frame) sums.push_back(value_or_nan(sum));
          to.push_back(da::FieldScores::unpack(sums));
        }
      };
      read_frames(entry.at("frames"), method.frames);
      if (entry.contains("forecast")) read_frames(entry.at("forecast"), method.forecast);
      for (const Json& p : entry.at("parameters"))
        method.parameters.push_back({value_or_nan(p.at("error")), value_or_nan(p.at("z"))});
      method.seconds = entry.at("seconds");
      if (!entry.at("iterations").is_null()) method.iterations = entry.at("iterations").get<double>();
      if (entry.contains("convergence"))
        for (const Json& one : entry.at("convergence"))
          method.convergence.push_back({.window = one.at("window"),
                                        .factor = value_or_nan(one.at("factor")),
                                        .cost_background = value_or_nan(one.at("cost_background")),
                                        .cost_observations = value_or_nan(one.at("cost_observations")),
                                        .gradient_norm = value_or_nan(one.at("gradient_norm")),
                                        .gradient_difference = value_or_nan(one.at("gradient_difference")),
                                        .damping = value_or_nan(one.at("damping"))});
      if (entry.contains("failure")) method.failure = entry.at("failure");
    }
    for (const std::string& method : methods)
      if (const MethodScores& there = scores.methods[method]; there.frames.empty() && there.failure.empty())
        throw InputError(path.string(), method, "no scores");
    return scores;
  } catch (const InputError&) {
    throw;
  } catch (const std::exception&) {
    throw InputError(path.string(), "", "not a file of scores");
  }
}

}  // namespace levda::experiments
