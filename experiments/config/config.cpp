#include "experiments/config/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "experiments/config/presets.h"
#include "models/checksum.h"
#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

/// Sets a key from a TOML value.
class Assignment {
 public:
  Assignment(const std::string& source, const Key& key, const toml::node& node)
      : source_(source), key_(key), node_(node) {
    std::visit([&](const auto& target) { set(target); }, key.value);
  }

 private:
  [[noreturn]] void fail(const std::string& message) const { throw InputError(source_, key_.name, message); }

  double in_range(double value) const {
    if (!(value >= key_.minimum && value <= key_.maximum))
      fail(fmt::format("{} is not in {} .. {}", value, key_.minimum, key_.maximum));
    return value;
  }
  void set(std::int64_t* target) const {
    const auto value = node_.value_exact<std::int64_t>();
    if (!value) fail("a whole number is needed");
    in_range(static_cast<double>(*value));
    *target = *value;
  }
  void set(bool* target) const {
    auto value = static_cast<std::int64_t>(*target);
    set(&value);
    *target = value == 1;
  }
  void set(double* target) const { *target = number(node_); }
  void set(std::string* target) const { *target = text(); }
  void set(const EnumSetting& target) const {
    if (!target.set(text())) fail(fmt::format("\"{}\" is none of {}", text(), target.names));
  }
  void set(std::vector<double>* target) const {
    const toml::array* list = node_.as_array();
    if (list == nullptr || (list->empty() && !key_.may_be_empty)) fail("a list of numbers is needed");
    std::vector<double> values;
    for (const toml::node& entry : *list) values.push_back(number(entry));
    *target = std::move(values);
  }
  std::string text() const {
    const auto value = node_.value_exact<std::string>();
    if (!value) fail("a text is needed");
    return *value;
  }
  double number(const toml::node& node) const {
    const auto value = node.value<double>();
    if (!value || node.is_boolean()) fail("a number is needed");
    return in_range(*value);
  }

  const std::string& source_;
  const Key& key_;
  const toml::node& node_;
};

void apply_table(Config& config, const toml::table& table, const std::string& source) {
  const std::vector<Key> all = keys(config);
  const auto apply = [&](const std::string& name, const toml::node& node) {
    const auto key = std::find_if(all.begin(), all.end(), [&](const Key& k) { return k.name == name; });
    if (key == all.end()) throw InputError(source, name, "unknown key; levda keys lists them");
    Assignment(source, *key, node);
  };
  for (const auto& [name, node] : table) {
    if (const toml::table* section = node.as_table()) {
      for (const auto& [inner, value] : *section) apply(fmt::format("{}.{}", name.str(), inner.str()), value);
    } else {
      apply(std::string(name.str()), node);
    }
  }
}

toml::table parse(const std::string& text, const std::string& source) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw InputError(source, fmt::format("line {}", error.source().begin.line), std::string(error.description()));
  }
}

}  // namespace

Config own_config() {
  Config config;
  config.preset = "own";
  config.observations.truths = 0;
  return config;
}

Config load_preset(const std::string& case_name, const std::string& preset) {
  const std::string name = case_name + "-" + preset;
  for (const Preset& known : presets()) {
    if (known.name != name) continue;
    Config config;
    config.case_name = case_name;
    config.preset = preset;
    apply_table(config, parse(known.toml, name + ".toml"), name + ".toml");
    return config;
  }
  std::vector<std::string> systems;  // the first part of the presets' names
  std::vector<std::string> known;
  for (const Preset& own : presets()) {
    const std::size_t dash = own.name.find('-');
    const std::string system = own.name.substr(0, dash);
    if (systems.empty() || systems.back() != system) systems.push_back(system);
    if (system == case_name) known.push_back(own.name.substr(dash + 1));
  }
  if (known.empty())
    throw InputError("CASE", case_name, fmt::format("unknown; there are {}", fmt::join(systems, ", ")));
  throw InputError("--preset", preset, fmt::format("unknown; {} has {}", case_name, fmt::join(known, ", ")));
}

void apply_file(Config& config, const std::filesystem::path& path) {
  apply_table(config, parse(nn::read_text_file(path), path.string()), path.string());
}

void apply_setting(Config& config, const std::string& setting) {
  const std::size_t sign = setting.find('=');
  if (sign == std::string::npos) throw InputError("--set", setting, "section.key=value is needed");
  const std::string key = setting.substr(0, sign);
  const std::string value = setting.substr(sign + 1);
  toml::table table;
  try {
    table = toml::parse(fmt::format("{} = {}", key, value));
  } catch (const toml::parse_error&) {
    try {
      table = toml::parse(fmt::format("{} = '''{}'''", key, value));
    } catch (const toml::parse_error& error) {
      throw InputError("--set", setting, std::string(error.description()));
    }
  }
  apply_table(config, table, "--set");
}

namespace {

[[noreturn]] void fail(const char* key, const std::string& message) { throw InputError("configuration", key, message); }

}  // namespace

void check(const Config& config) {
  const AssimilationConfig& a = config.assimilation;
  const models::NetworkSettings& s = config.surrogate;
  if (s.field_min.size() != s.field_max.size())
    fail("surrogate.field_max", "needs as many numbers as surrogate.field_min");
  for (std::size_t i = 0; i < s.field_min.size(); ++i)
    if (!(std::isfinite(s.field_max[i] - s.field_min[i]) && s.field_max[i] > s.field_min[i]))
      fail("surrogate.field_max", fmt::format("{} is not above {}", s.field_max[i], s.field_min[i]));
  if (a.start_max >= 0 && a.start_max < a.start_min) fail("assimilation.start_max", "is below start_min");
  if (a.window > 0 && a.shift > a.window) fail("assimilation.shift", "is above the window");
  if (a.annealing.back() != 1) fail("assimilation.annealing", "the last factor of R must be 1");
  if (config.case_name.empty() && config.observations.refinement > 1)
    fail("observations.refinement", "needs a solver of this program");
}

void check_sections(const Config& config) {
  if (config.case_name.empty()) return;  // the data are not known here
  const AssimilationConfig& a = config.assimilation;
  const AssimilationConfig settled = resolve(a, config.data.frames, config.data.frames / 2);
  if (settled.start_max < settled.start_min ||
      settled.start_max + settled.frames + settled.forecast > config.data.frames)
    fail("assimilation.start_max",
         fmt::format("start frame {} and {} {} frames leave the {} of the data", settled.start_max,
                     settled.frames + settled.forecast, settled.forecast > 0 ? "observed and forecast" : "observed",
                     config.data.frames));
  if (a.members > config.data.train)
    fail("assimilation.members",
         fmt::format("{} members need as many training trajectories; there are {}", a.members, config.data.train));
  if (config.observations.truths > config.data.test)
    fail("observations.truths", fmt::format("{} truths need as many test trajectories; there are {}",
                                            config.observations.truths, config.data.test));
  if (config.training.trajectories > config.data.train)
    fail("training.trajectories", fmt::format("more than the {} training trajectories", config.data.train));
}

AssimilationConfig resolve(const AssimilationConfig& assimilation, std::int64_t frames, std::int64_t observed) {
  AssimilationConfig a = assimilation;
  if (a.frames == 0) a.frames = std::max<std::int64_t>(1, observed);
  if (a.window == 0) a.window = a.frames;
  if (a.shift == 0) a.shift = a.window;
  if (a.start_max < 0) a.start_max = frames - a.frames - a.forecast;
  return a;
}

std::string fingerprint(Config config, const std::vector<std::string>& sections) {
  std::string text = fmt::format("case = {}\n", config.case_name);
  Config original;
  const std::vector<Key> all = keys(config);
  const std::vector<Key> defaults = keys(original);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Key& key = all[i];
    const std::string section = key.name.substr(0, key.name.find('.'));
    if (std::find(sections.begin(), sections.end(), section) == sections.end()) continue;
    std::string value = text_of(key);
    // The contents of the file count, not its place.
    std::error_code missing;
    if (key.name == "data.initial" && std::filesystem::is_regular_file(value, missing))
      value = models::checksum(nn::read_text_file(value));
    if (key.later && value == text_of(defaults[i])) continue;
    text += fmt::format("{} = {}\n", key.name, value);
  }
  return text;
}

}  // namespace levda::experiments
