#include "experiments/study/score_files.h"

#include "autodiff/error.h"
#include "experiments/data/notes.h"
#include "experiments/study/json_numbers.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

using Json = nlohmann::ordered_json;

namespace {

constexpr const char* format_name = "levda-scores-1";

/// Numbers of an iteration by their key.
constexpr std::pair<const char*, double da::Iteration::*> iteration_numbers[]{
    {"factor", &da::Iteration::factor},
    {"cost_background", &da::Iteration::cost_background},
    {"cost_observations", &da::Iteration::cost_observations},
    {"gradient_norm", &da::Iteration::gradient_norm},
    {"gradient_difference", &da::Iteration::gradient_difference},
    {"damping", &da::Iteration::damping}};

Json json_of(const std::vector<da::FieldScores>& frames) {
  Json list = Json::array();
  for (const da::FieldScores& frame : frames) list.push_back(json_numbers(frame.pack()));
  return list;
}

std::vector<da::FieldScores> frames_of(const Json& list) {
  std::vector<da::FieldScores> frames;
  for (const Json& frame : list) {
    std::vector<double> sums;
    for (const Json& sum : frame) sums.push_back(value_or_nan(sum));
    frames.push_back(da::FieldScores::unpack(sums));
  }
  return frames;
}

Json json_of(const MethodScores& method) {
  Json parameters = Json::array();
  for (const da::ParameterScore& p : method.parameters)
    parameters.push_back({{"error", json_number(p.error)}, {"z", json_number(p.z)}});
  Json json{{"frames", json_of(method.frames)},
            {"parameters", parameters},
            {"seconds", method.seconds},
            {"iterations", json_number(method.iterations.value_or(NAN))}};
  if (!method.forecast.empty()) json["forecast"] = json_of(method.forecast);
  if (!method.failure.empty()) json["failure"] = method.failure;
  for (const da::Iteration& one : method.convergence) {
    Json& entry = json["convergence"].emplace_back(Json{{"window", one.window}});
    for (const auto& [key, number] : iteration_numbers) entry[key] = json_number(one.*number);
  }
  return json;
}

MethodScores scores_of(const Json& json) {
  MethodScores method{.frames = frames_of(json.at("frames"))};
  if (json.contains("forecast")) method.forecast = frames_of(json.at("forecast"));
  for (const Json& p : json.at("parameters"))
    method.parameters.push_back({value_or_nan(p.at("error")), value_or_nan(p.at("z"))});
  method.seconds = json.at("seconds");
  if (!json.at("iterations").is_null()) method.iterations = json.at("iterations").get<double>();
  for (const Json& entry : json.value("convergence", Json::array())) {
    da::Iteration& one = method.convergence.emplace_back(da::Iteration{.window = entry.at("window")});
    for (const auto& [key, number] : iteration_numbers) one.*number = value_or_nan(entry.at(key));
  }
  method.failure = json.value("failure", "");
  return method;
}

}  // namespace

void write_truth_scores(const std::filesystem::path& path, const TruthScores& scores, const std::string& fingerprint) {
  Json methods;
  for (const auto& [name, method] : scores.methods) methods[name] = json_of(method);
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
    if (all.at("format") != format_name)
      throw InputError(path.string(), "format", "not scores of levda; they are made where there is no such file");
    if (all.at("configuration") != fingerprint) return std::nullopt;
    TruthScores scores;
    const Json& truth = all.at("truth");
    scores.truth = {truth.at("index"), truth.at("member"), truth.at("start")};
    for (const auto& [name, entry] : all.at("methods").items()) scores.methods[name] = scores_of(entry);
    for (const std::string& method : methods)
      if (const MethodScores& there = scores.methods[method]; there.frames.empty() && there.failure.empty())
        throw Error("no scores of " + method);
    return scores;
  } catch (const InputError&) {
    throw;
  } catch (const std::exception&) {
    note(path.string(), "damaged; the scores are made anew");
    return std::nullopt;
  }
}

}  // namespace levda::experiments
