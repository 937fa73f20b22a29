#include "experiments/data/info.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "autodiff/error.h"
#include "da/observation_operators.h"
#include "experiments/data/dataset_file.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/data/notes.h"
#include "experiments/data/observation_csv.h"
#include "experiments/data/shown_number.h"
#include "models/encoder.h"
#include "nn/atomic_file.h"
#include "nn/safetensors.h"

namespace levda::experiments {

namespace {

/// Lines of "label: value", labels aligned.
class Lines {
 public:
  template <typename... Args>
  void add(const std::string& label, fmt::format_string<Args...> format, Args&&... args) {
    text_ += fmt::format("{:<22} {}\n", label + ":", fmt::format(format, std::forward<Args>(args)...));
  }
  /// "key = value" lines of a configuration, indented.
  void add_configuration(const std::string& configuration) {
    if (configuration.empty()) return;
    text_ += "made by:\n";
    std::size_t begin = 0;
    while (begin < configuration.size()) {
      const std::size_t end = std::min(configuration.find('\n', begin), configuration.size());
      text_ += "  " + configuration.substr(begin, end - begin) + "\n";
      begin = end + 1;
    }
  }
  std::string text() const { return text_; }

 private:
  std::string text_;
};

void add_description(Lines& lines, const models::Description& about) {
  const models::Grid& g = about.grid;
  lines.add("case", "{}", about.case_name);
  for (std::size_t c = 0; c < about.channel_names.size(); ++c)
    lines.add("channel " + about.channel_names[c], "{}, at ({}, {}) cells from its node", about.channel_units[c],
              g.offset_x[c], g.offset_y[c]);
  for (std::size_t i = 0; i < about.parameter_names.size(); ++i)
    lines.add("parameter " + about.parameter_names[i], "{} .. {} {}", about.parameter_min[i], about.parameter_max[i],
              about.parameter_units[i]);
  const std::string& m = about.place_unit;
  if (g.listed())
    lines.add("points", "{}, x {:g} .. {:g} {}, y {:g} .. {:g} {}", g.nx, g.x0, g.x0 + g.width(), m, g.y0,
              g.y0 + g.height(), about.unit_y());
  else if (about.unit_y() == m)
    lines.add("grid", "{} x {} nodes from ({:g}, {:g}) {} every ({:.6g}, {:.6g}) {}", g.nx, g.ny, g.x0, g.y0, m, g.dx,
              g.dy, m);
  else
    lines.add("grid", "{} x {} nodes from ({:g} {}, {:g} {}) every ({:.6g}, {:.6g})", g.nx, g.ny, g.x0, m, g.y0,
              about.unit_y(), g.dx, g.dy);
  if (g.geometry != models::Geometry::plane) lines.add("geometry", "{}", name_of(g.geometry));
  if (!g.never.empty())
    lines.add("without values", "{} of {} places of channels, as on land",
              std::count(g.never.begin(), g.never.end(), 1), g.never.size());
  if (!about.unsaid_units.empty()) lines.add("units not said", "{}", fmt::join(about.unsaid_units, ", "));
  if (!about.time_reference.empty())
    lines.add("times since", "{}{}{}", about.time_reference, about.calendar.empty() ? "" : ", calendar ",
              about.calendar);
  lines.add("frames", "{}, the first at {:g} {}, then every {:g} {}", about.frames, about.first_time, about.time_unit,
            about.frame_interval, about.time_unit);
}

void add_dataset(Lines& lines, const Dataset& set, const std::string& source) {
  lines.add("file", "data set, for levda train --data");
  add_description(lines, set.about);
  lines.add("trajectories", "{} for training, {} for validation, {} for tests{}", set.train, set.valid, set.test,
            set.varying ? ", parameters change in time" : "");
  if (set.between.points > 0) lines.add("between frames", "{} places at one time in each interval", set.between.points);
  if (has_missing(set))
    lines.add("missing", "{:.1f}% of the values",
              100.0 *
                  static_cast<double>(std::count_if(set.fields.begin(), set.fields.end(),
                                                    [](float value) { return std::isnan(value); })) /
                  static_cast<double>(set.fields.size()));
  const Moments moments = field_moments(set);
  for (std::size_t c = 0; c < moments.mean.size(); ++c)
    lines.add("values of " + set.about.channel_names[c], "mean {:.4g}, standard deviation {:.4g} {}", moments.mean[c],
              moments.deviation[c], set.about.channel_units[c]);
  if (set.interpolation)
    lines.add("interpolation", "leave-one-out error {:.4f} (first frame {:.4f}, last frame {:.4f})",
              set.interpolation->all, set.interpolation->first, set.interpolation->last);
  lines.add("source", "{}", source);
  lines.add_configuration(set.fingerprint);
}

/// The entries of a training's provenance: these keys, then how it was done.
void add_provenance(Lines& lines, const std::map<std::string, std::string>& provenance, std::vector<const char*> keys) {
  for (const char* key : {"train_seconds", "command", "seed", "version", "machine", "device", "trained"})
    keys.push_back(key);
  for (const char* key : keys)
    if (const auto entry = provenance.find(key); entry != provenance.end()) lines.add(key, "{}", entry->second);
  if (const auto entry = provenance.find("levda_configuration"); entry != provenance.end())
    lines.add_configuration(entry->second);
}

std::string describe_weights(const std::filesystem::path& path) {
  const models::Surrogate s = models::load_surrogate(path);
  const models::LdnetArchitecture& a = s.net.architecture();
  Lines lines;
  lines.add("file", "weights of a surrogate, for levda assimilate --weights");
  add_description(lines, s.about);
  lines.add("latent variables", "{}, a latent step of {} per frame", a.latent, a.latent_dt);
  lines.add("dynamics", "{} hidden layers of {}, {}", a.dynamics_depth, a.dynamics_width, name_of(a.dynamics_layers));
  lines.add("decoder", "{} hidden layers of {}, {}; {} Fourier features{}", a.decoder_depth, a.decoder_width,
            name_of(a.decoder_layers), a.fourier_features, a.fourier_trainable ? ", trained" : "");
  lines.add("trainable weights", "{}", s.net.parameters().count());
  for (std::size_t c = 0; s.scaling && c < s.about.channel_names.size(); ++c)
    lines.add("scaling of " + s.about.channel_names[c], "{:g} .. {:g} {} as -1 .. 1", s.offset(c) - s.scale(c),
              s.offset(c) + s.scale(c), s.about.channel_units[c]);
  lines.add("prior", "{} training trajectories", s.training_latents.shape()[0]);
  for (std::size_t c = 0; c < s.about.channel_names.size(); ++c) {
    double sum = 0;
    const std::vector<double> variance = s.error_variance.to_vector();
    for (std::size_t i = c; i < variance.size(); i += s.about.channel_names.size()) sum += variance[i];
    lines.add("error of " + s.about.channel_names[c],
              "{:.4f} standard deviations ({:.4g} {}) on validation trajectories",
              std::sqrt(sum / static_cast<double>(s.about.frames)),
              std::sqrt(sum / static_cast<double>(s.about.frames)) * s.field_std[c], s.about.channel_units[c]);
  }
  add_provenance(lines, s.provenance, {"test_rel_rmse", "test_rel_rmse_between"});
  return lines.text();
}

std::string describe_encoder(const std::filesystem::path& path) {
  const models::TrainedEncoder encoder = models::load_encoder(path);
  const models::EncoderArchitecture& a = encoder.net.architecture();
  Lines lines;
  lines.add("file", "observation encoder of LD-EnSF");
  const models::SequenceFrames& sequences = encoder.sequences;
  lines.add("experiment", "{}: {} frames from one on in {} .. {}", sequences.experiment, sequences.frames,
            sequences.first_start, sequences.last_start);
  lines.add("sensors", "{}, each with {} at every {}", encoder.cells.size(), fmt::join(encoder.channel_names, ", "),
            sequences.every == 1 ? "frame" : fmt::format("{} frames", sequences.every));
  lines.add("LSTM", "{} hidden units; {} latent variables and {} parameters", a.hidden, a.latent, a.parameters);
  lines.add("trainable weights", "{}", encoder.net.parameters().count());
  lines.add("surrogate", "{} (checksum of its contents)", encoder.surrogate);
  add_provenance(lines, encoder.provenance,
                 {"noise", "sigma", "validation_latent_error", "validation_latent_error_with_noise",
                  "validation_parameter_error", "validation_parameter_error_with_noise", "test_latent_error",
                  "test_latent_error_with_noise", "test_parameter_error", "test_parameter_error_with_noise"});
  return lines.text();
}

std::string describe_safetensors(const std::filesystem::path& path) {
  const nn::TensorFile file = nn::read_safetensors(path);
  const auto entry = [&](const char* key) {
    const auto found = file.metadata.find(key);
    return found == file.metadata.end() ? std::string() : found->second;
  };
  if (entry("format").starts_with("levda-surrogate-")) return describe_weights(path);
  if (entry("format").starts_with("levda-encoder-")) return describe_encoder(path);
  Lines lines;
  if (entry("format").starts_with("levda-dataset-")) {
    add_dataset(lines, read_dataset(path), entry("source"));
    return lines.text();
  }
  if (entry("format").starts_with("levda-truths-")) {
    lines.add("file", "truths by a solver on a finer grid, at the nodes of the data set");
    lines.add("trajectories", "{}", file.tensors.size());
    lines.add_configuration(entry("levda_configuration"));
    return lines.text();
  }
  if (!entry("steps").empty() && !entry("levda_configuration").empty()) {
    lines.add("file", "checkpoint of a training; the same command goes on from it");
    lines.add("steps", "{}", entry("steps"));
    lines.add("seconds", "{}", entry("seconds"));
    lines.add_configuration(entry("levda_configuration"));
    return lines.text();
  }
  lines.add("file", "tensors, not of this program");
  for (const auto& [key, value] : file.metadata) lines.add(key, "{}", value);
  for (const auto& [name, tensor] : file.tensors)
    lines.add(name, "{} {}", autodiff::name(tensor.dtype()), tensor.shape().text());
  return lines.text();
}

std::string describe_netcdf(const std::filesystem::path& path) {
  const NetcdfReader file(path);
  const std::string format = file.has_attribute("levda_format") ? file.text("levda_format") : "";
  const auto text = [&](const char* name) {
    return file.has_attribute(name) ? file.text(name) : std::string("unknown");
  };
  Lines lines;
  if (format.starts_with("levda-dataset-") || (format.empty() && file.has_variable("field"))) {
    // A set in shards need not fit into memory, and has no missing values.
    add_dataset(lines, read_dataset(path, file.has_variable("shard") ? 1 : 0), text("source"));
  } else if (format.starts_with("levda-shard-")) {
    const double first = file.number("first_member");
    lines.add("file", "shard of a data set, which its index beside the folder stands for");
    lines.add("trajectories", "members {} .. {}", first, first + static_cast<double>(file.dimension("member") - 1));
    lines.add("source", "{}", text("source"));
    lines.add_configuration(text("levda_configuration"));
  } else if (format.starts_with("levda-observations-")) {
    lines.add("file", "observations, for levda assimilate --observations");
    lines.add("experiment", "{}", text("experiment"));
    const std::vector<double> time = file.read<double>("time");
    const std::vector<std::int64_t> channel = file.read<std::int64_t>("channel");
    const std::vector<std::int32_t> qc = file.read<std::int32_t>("qc");
    lines.add("values", "{}, of which {} are used", time.size(), std::count(qc.begin(), qc.end(), 0));
    if (!time.empty()) {
      const auto [first, last] = std::minmax_element(time.begin(), time.end());
      lines.add("times", "{:g} .. {:g} {} after the start of the assimilation", *first, *last,
                file.has_attribute("time", "units") ? file.text("time", "units") : "s");
    }
    const std::vector<std::string> names = file.read_strings("channel_name");
    for (std::size_t c = 0; c < names.size(); ++c)
      lines.add("channel " + names[c], "{} values",
                std::count(channel.begin(), channel.end(), static_cast<std::int64_t>(c)));
    if (file.has_variable("op")) {
      std::map<std::string, std::int64_t> operators;
      for (const std::string& name : file.read_strings("op")) ++operators[name];
      for (const auto& [name, count] : operators) {
        const da::NamedOperator* const known = da::find_operator(name);
        lines.add("operator " + name, "{} values: {}", count, known != nullptr ? known->help : "not in this program");
      }
    }
    if (file.has_attribute("truth_member"))
      lines.add("truth", "number {}, member {} of the data set, from frame {}", file.number("truth_index"),
                file.number("truth_member"), file.number("truth_start_frame"));
    lines.add("source", "{}", text("source"));
  } else if (format.starts_with("levda-analysis-")) {
    lines.add("file", "analysis");
    lines.add("experiment", "{}", text("experiment"));
    lines.add("members", "{} at {} times", file.dimension("member"), file.dimension("time"));
    const std::vector<std::string> names = file.read_strings("parameter_name");
    const std::vector<double> parameters = file.read<double>("parameters");
    const auto p = static_cast<std::int64_t>(names.size());
    const std::int64_t members = file.dimension("member");
    for (std::int64_t k = 0; k < p; ++k) {
      double mean = 0;
      const auto last = static_cast<std::int64_t>(parameters.size()) - members * p;
      for (std::int64_t i = 0; i < members; ++i) mean += parameters[last + i * p + k] / static_cast<double>(members);
      double squares = 0;
      for (std::int64_t i = 0; i < members; ++i) squares += std::pow(parameters[last + i * p + k] - mean, 2);
      lines.add("parameter " + names[k], "{} (posterior mean and standard deviation)",
                shown_number(mean, std::sqrt(squares / static_cast<double>(members - 1))));
    }
    for (const char* name : {"diagnostic_cost", "diagnostic_iterations", "diagnostic_degrees_of_freedom"})
      if (file.has_attribute(name)) lines.add(name, "{:.6g}", fmt::join(file.numbers(name), ", "));
    lines.add("source", "{}", text("source"));
  } else if (file.has_group("ObsValue") || file.has_variable("value")) {
    lines.add("file", "observations of others{}, for levda assimilate --observations",
              file.has_group("ObsValue") ? " (IODA)" : "");
    lines.add("variables", "{}", fmt::join(file.variables(), ", "));
  } else {
    lines.add("file", "NetCDF, not of this program");
  }
  return lines.text();
}

/// The relative errors of results.json, below its member "experiments".
void add_scores(Lines& lines, const nlohmann::ordered_json& experiments, const std::string& value) {
  for (const auto& [experiment, result] : experiments.items())
    for (const auto& [method, scores] : result.at("methods").items())
      if (const auto& error = scores.at("rel_rmse"); error.is_number())  // null where a method failed
        lines.add(experiment + " " + method, "{}rel. RMSE {:.4f}", value, error.get<double>());
}

/// Results of schema 2, and of schema 1, where a sweep has no schema and its methods hold lists.
void add_results(Lines& lines, const nlohmann::ordered_json& all) {
  const std::string kind = all.value("kind", "run");
  lines.add("file", "{}", kind == "sweep" ? "a sweep of comparisons" : "results of a " + kind);
  for (const char* key : {"case", "preset", "version"}) lines.add(key, "{}", all.at(key).get<std::string>());
  if (all.contains("truths")) lines.add("truths", "{}", all.at("truths").get<int>());
  if (kind != "sweep") return add_scores(lines, all.at("experiments"), "");
  lines.add("over", "{}", all.at("over").get<std::string>());
  for (std::size_t i = 0; i < all.at("values").size(); ++i) {
    const std::string value =
        fmt::format("{} {}: ", all.at("over").get<std::string>(), all.at("values").at(i).get<std::string>());
    if (all.contains("studies")) {
      add_scores(lines, all.at("studies").at(i).at("experiments"), value);
      continue;
    }
    for (const auto& [method, scores] : all.at("methods").items())
      if (const auto& error = scores.at("rel_rmse").at(i); error.is_number())
        lines.add(method, "{}rel. RMSE {:.4f}", value, error.get<double>());
  }
}

std::string describe_json(const std::filesystem::path& path) {
  const auto all = nlohmann::ordered_json::parse(nn::read_text_file(path), nullptr, false);
  Lines lines;
  try {
    if (all.contains("schema") || all.value("kind", "") == "sweep") {
      add_results(lines, all);
    } else {
      lines.add("file", "scores of one truth, from which levda assimilate goes on");
      lines.add("member", "{}", all.at("truth").at("member").get<std::int64_t>());
      lines.add_configuration(all.at("configuration").get<std::string>());
    }
  } catch (const nlohmann::json::exception&) {
    throw InputError(path.string(), "", "not a file of levda");
  }
  return lines.text();
}

/// What the lines of a text say by themselves; whether they fit a surrogate is seen when they are assimilated.
std::string describe_csv(const std::string& text, const std::string& source) {
  const CsvTable table = read_csv_table(text, source);
  Lines lines;
  lines.add("file", "text, for levda assimilate --observations if it has the columns of observations");
  lines.add("columns", "{}", fmt::join(table.names, ", "));
  lines.add("values", "{}", table.rows.size());
  std::map<std::string_view, std::int64_t> channels;
  if (const std::int64_t column = table.column("channel"); column >= 0)
    for (const auto& row : table.rows) ++channels[row[static_cast<std::size_t>(column)]];
  for (const auto& [name, count] : channels) lines.add(fmt::format("channel {}", name), "{} values", count);
  return lines.text();
}

}  // namespace

std::string describe_file(const std::filesystem::path& path) {
  const std::string bytes = nn::read_text_file(path);
  if (bytes.starts_with("\x89HDF") || bytes.starts_with("CDF")) return describe_netcdf(path);
  if (bytes.starts_with("{")) return describe_json(path);
  if (lower_case(path.extension().string()) == ".csv") return describe_csv(bytes, path.string());
  // A safetensors file begins with the length of its header, 8 bytes, and a brace.
  if (bytes.size() < 9 || bytes[8] != '{')
    throw InputError(path.string(), "", "neither NetCDF, CSV by its name, JSON nor safetensors");
  return describe_safetensors(path);
}

}  // namespace levda::experiments
