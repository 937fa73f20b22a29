#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "experiments/data/notes.h"
#include "experiments/data/observation_csv.h"
#include "experiments/data/observation_reading.h"

namespace levda::experiments {

namespace {

/// Names of the variables of a group.
std::vector<std::string> members_of(const NetcdfReader& file, const std::string& group) {
  std::vector<std::string> names;
  for (const std::string& name : file.variables())
    if (name.starts_with(group + "/")) names.push_back(name.substr(group.size() + 1));
  return names;
}

/// PreQC: 0 is good; a flag that is missing is not.
std::vector<std::int32_t> flags_of(const NetcdfReader& file, const std::string& source, const std::string& variable) {
  std::vector<std::int32_t> flags;
  for (const double flag : file.read_unpacked<double>(variable)) {
    if (!std::isnan(flag) && flag != std::floor(flag))
      throw InputError(source, variable, fmt::format("row {}: {} is not a whole number", flags.size(), flag));
    flags.push_back(flag == 0 ? da::used : da::incoming_rejected);
  }
  return flags;
}

}  // namespace

bool is_ioda(const NetcdfReader& file) { return file.has_group("ObsValue"); }

RawObservations read_ioda(const NetcdfReader& file, const std::string& source, const models::Description& about) {
  std::vector<std::string> known;
  for (const std::string& name : members_of(file, "ObsValue"))
    if (std::find(about.channel_names.begin(), about.channel_names.end(), name) != about.channel_names.end())
      known.push_back(name);
  if (known.empty())
    throw InputError(source, "ObsValue",
                     fmt::format("has {}, of which none is a channel of the surrogate ({})",
                                 fmt::join(members_of(file, "ObsValue"), ", "), fmt::join(about.channel_names, ", ")));
  const auto needed = [&](const std::string& variable) {
    if (!file.has_variable(variable)) throw InputError(source, variable, "no such variable");
    return variable;
  };
  const std::vector<std::int64_t> shape{file.dimension("Location")};
  UnitReader units(file, source, about);
  const auto column = [&](const std::string& variable, char axis) {
    file.require_shape(needed(variable), shape);
    std::vector<double> values = file.read_unpacked<double>(variable);
    if (axis != 0) units.convert(variable, axis, false, values);
    return values;
  };
  const std::vector<double> time = column("MetaData/dateTime", 't');
  const std::vector<double> x = column("MetaData/longitude", 'x');
  const std::vector<double> y =
      about.grid.height() == 0 ? std::vector<double>(x.size(), 0.0) : column("MetaData/latitude", 'y');
  RawObservations raw;
  std::int64_t missing = 0;
  for (const std::string& name : known) {
    const std::int64_t channel = channel_of(name, about, source, "ObsValue");
    da::Observations o{.time = time, .x = x, .y = y};
    o.value = column("ObsValue/" + name, 0);
    o.error_std = column("ObsError/" + name, 0);
    const std::size_t rows = o.value.size();
    o.channel.assign(rows, channel);
    o.qc.assign(rows, da::used);
    if (const std::string flags = "PreQC/" + name; file.has_variable(flags)) {
      file.require_shape(flags, shape);
      o.qc = flags_of(file, source, flags);
    }
    o.op.assign(rows, "value");
    o.extent_x.assign(rows, 0.0);
    o.extent_y = o.extent_x;
    units.convert_values("ObsValue/" + name, "ObsError/" + name, o);
    for (std::size_t i = 0; i < rows; ++i) {
      if (std::isnan(o.value[i] + o.error_std[i] + o.time[i] + o.x[i] + o.y[i])) {
        ++missing;
        continue;
      }
      raw.content.observations.add(o.time[i], o.x[i], o.y[i], channel, o.value[i], o.error_std[i], o.qc[i]);
    }
  }
  units.finish();
  if (missing > 0) note(source, fmt::format("{} values are missing, or their error, time or place is", missing));
  std::vector<std::string> unread = file.unread();
  std::erase(unread, "Location");
  note_unread(source, unread);
  return raw;
}

}  // namespace levda::experiments
