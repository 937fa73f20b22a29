#include "experiments/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "experiments/cases.h"
#include "experiments/netcdf_file.h"
#include "experiments/version.h"

namespace levda::experiments {

namespace {

constexpr const char* format_name = "levda-dataset-1";
constexpr const char* fingerprint_name = "levda_configuration";

// Streams of the data seed.
enum Stream : std::uint32_t { uniform_stream = 0, even_stream = 1 };

/// Steps of the d-dimensional additive recurrence with the generalised golden ratio (Roberts 2018, R_d): 1/g, 1/g^2, ..
/// with g^(d + 1) = g + 1.
std::vector<double> kronecker_steps(std::int64_t d) {
  double g = 2;
  for (int i = 0; i < 64; ++i) g = std::pow(1 + g, 1 / static_cast<double>(d + 1));
  std::vector<double> steps;
  for (std::int64_t i = 1; i <= d; ++i) steps.push_back(1 / std::pow(g, static_cast<double>(i)));
  return steps;
}

std::vector<double> axis(double first, double step, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(first + static_cast<double>(i) * step);
  return values;
}

}  // namespace

std::span<const double> Dataset::parameters_of(std::int64_t member) const {
  const auto p = static_cast<std::size_t>(about.parameters());
  return std::span(parameters).subspan(static_cast<std::size_t>(member) * p, p);
}

std::span<const float> Dataset::frame(std::int64_t member, std::int64_t frame) const {
  const auto size = static_cast<std::size_t>(frame_size());
  return std::span(fields).subspan(static_cast<std::size_t>(member * about.frames + frame) * size, size);
}

Dataset generate_dataset(const Config& config, const std::function<void(std::int64_t)>& finished) {
  const Case& system = find_case(config.case_name);
  const DataConfig& data = config.data;
  Dataset set{.about = system.describe(data),
              .train = data.train,
              .valid = data.valid,
              .test = data.test,
              .parameters = {},
              .fields = {},
              .fingerprint = fingerprint(config, {"data"})};
  const std::int64_t p = set.about.parameters();
  const auto seed = static_cast<std::uint64_t>(data.seed);
  const std::vector<double> steps = kronecker_steps(p);
  for (std::int64_t member = 0; member < set.members(); ++member) {
    // A member's parameters do not depend on how many others there are.
    const bool even = member < data.train && data.design == "even";
    autodiff::Random random = even ? autodiff::Random(seed, even_stream)
                                   : autodiff::Random(seed, uniform_stream, static_cast<std::uint32_t>(member));
    for (std::int64_t i = 0; i < p; ++i) {
      const double drawn = random.uniform();
      const double place = even ? std::fmod(drawn + static_cast<double>(member) * steps[i], 1.0) : drawn;
      const double low = set.about.parameter_min[i];
      set.parameters.push_back(low + (set.about.parameter_max[i] - low) * place);
    }
  }
  constexpr double most = 1e10;  // values, 40 GB
  const double size =
      static_cast<double>(set.members()) * static_cast<double>(data.frames) * static_cast<double>(set.frame_size());
  if (size > most)
    throw InputError("configuration", "data.frames",
                     fmt::format("a data set of {:.1e} values, at most {:.0e} are possible", size, most));
  set.fields.resize(static_cast<std::size_t>(set.members() * data.frames * set.frame_size()));
  system.simulate(data, set.parameters, set.fields, finished);
  return set;
}

Moments field_moments(const Dataset& data) {
  const std::int64_t c = data.about.channels();
  const std::int64_t cells = data.about.grid.cells();
  const std::int64_t frames = data.train * data.about.frames;
  Moments moments;
  for (std::int64_t channel = 0; channel < c; ++channel) {
    double sum = 0;
    double squares = 0;
    for (std::int64_t frame = 0; frame < frames; ++frame) {
      const float* values = data.fields.data() + (frame * c + channel) * cells;
      double part = 0;
      double part_squares = 0;
      for (std::int64_t i = 0; i < cells; ++i) {
        part += values[i];
        part_squares += static_cast<double>(values[i]) * values[i];
      }
      sum += part;
      squares += part_squares;
    }
    const auto n = static_cast<double>(frames * cells);
    moments.mean.push_back(sum / n);
    moments.deviation.push_back(std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n))));
    if (!(moments.deviation.back() > 0))
      throw Error(fmt::format("channel {} of the data set is constant", data.about.channel_names[channel]));
  }
  return moments;
}

void write_dataset(const std::filesystem::path& path, const Dataset& set) {
  const models::Description& about = set.about;
  const models::Grid& grid = about.grid;
  NetcdfWriter file(path);
  file.attribute("Conventions", "CF-1.10");
  file.attribute("title", about.case_name + " trajectories");
  file.attribute("source", "levda " + version());
  file.attribute("levda_format", format_name);
  file.attribute(fingerprint_name, set.fingerprint);
  file.attribute("case", about.case_name);
  file.attribute("train", set.train);
  file.attribute("valid", set.valid);
  file.attribute("test", set.test);
  file.attribute("first_time", about.first_time);
  file.attribute("frame_interval", about.frame_interval);

  file.dimension("member", set.members());
  file.dimension("time", about.frames);
  file.dimension("channel", about.channels());
  file.dimension("y", grid.ny);
  file.dimension("x", grid.nx);
  file.dimension("parameter", about.parameters());

  file.variable("time", Type::Float64, {"time"},
                {{"standard_name", "time"}, {"units", "s"}, {"long_name", "time after the initial condition"}});
  file.write("time", axis(about.first_time, about.frame_interval, about.frames));
  for (const auto& [name, first, step, count] :
       {std::tuple{"x", grid.x0, grid.dx, grid.nx}, std::tuple{"y", grid.y0, grid.dy, grid.ny}}) {
    file.variable(name, Type::Float64, {name},
                  {{"units", "m"}, {"axis", name == std::string("x") ? "X" : "Y"}, {"long_name", "position of nodes"}});
    file.write(name, axis(first, step, count));
  }
  file.write_strings("channel_name", "channel", about.channel_names);
  file.write_strings("channel_units", "channel", about.channel_units);
  file.variable("offset_x", Type::Float64, {"channel"},
                {{"units", "1"}, {"long_name", "place of the channel in a cell, in cells east of the node"}});
  file.write("offset_x", grid.offset_x);
  file.variable("offset_y", Type::Float64, {"channel"},
                {{"units", "1"}, {"long_name", "place of the channel in a cell, in cells north of the node"}});
  file.write("offset_y", grid.offset_y);
  file.write_strings("parameter_name", "parameter", about.parameter_names);
  file.write_strings("parameter_units", "parameter", about.parameter_units);
  file.variable("parameter_min", Type::Float64, {"parameter"}, {{"long_name", "prior range, lower end"}});
  file.write("parameter_min", about.parameter_min);
  file.variable("parameter_max", Type::Float64, {"parameter"}, {{"long_name", "prior range, upper end"}});
  file.write("parameter_max", about.parameter_max);
  file.variable("parameters", Type::Float64, {"member", "parameter"},
                {{"long_name", "parameters of the member, units in parameter_units"}});
  file.write("parameters", set.parameters);
  file.variable("field", Type::Float32, {"member", "time", "channel", "y", "x"},
                {{"long_name", "state, channels in channel_name, units in channel_units"}}, {});
  file.write("field", set.fields);
  file.commit();
}

Dataset read_dataset(const std::filesystem::path& path) {
  const NetcdfReader file(path);
  if (!file.has_attribute("levda_format") || file.text("levda_format") != format_name)
    throw InputError(path.string(), "levda_format", fmt::format("not a data set (\"{}\" expected)", format_name));
  const auto finite = [&](const std::string& name, const auto& values) {
    for (const auto value : values)
      if (!std::isfinite(value)) throw InputError(path.string(), name, "holds a value that is not finite");
  };
  const auto numbers = [&](const std::string& name, const std::vector<std::int64_t>& shape) {
    file.require_shape(name, shape);
    std::vector<double> values = file.read<double>(name);
    finite(name, values);
    return values;
  };
  const auto count = [&](const std::string& name) {
    const double value = file.number(name);
    if (!(value >= 0 && value <= 1e9)) throw InputError(path.string(), name, fmt::format("{} members", value));
    return static_cast<std::int64_t>(value);
  };
  /// First value and step of an evenly spaced axis.
  const auto even = [&](const std::string& name, std::int64_t size) {
    const std::vector<double> values = numbers(name, {size});
    if (size < 2) throw InputError(path.string(), name, "at least two values are needed");
    const double step = (values.back() - values.front()) / static_cast<double>(size - 1);
    if (!(step > 0)) throw InputError(path.string(), name, "does not increase");
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!(std::abs(values[i] - values[0] - static_cast<double>(i) * step) <= 1e-6 * step))
        throw InputError(path.string(), name, "is not evenly spaced");
    return std::pair(values[0], step);
  };
  Dataset set{.about = {},
              .train = count("train"),
              .valid = count("valid"),
              .test = count("test"),
              .parameters = {},
              .fields = {},
              .fingerprint = {}};
  models::Description& about = set.about;
  const std::int64_t c = file.dimension("channel");
  const std::int64_t p = file.dimension("parameter");
  if (set.members() != file.dimension("member"))
    throw InputError(
        path.string(), "member",
        fmt::format("{} members, where train, valid and test say {}", file.dimension("member"), set.members()));
  about.case_name = file.text("case");
  about.frames = file.dimension("time");
  std::tie(about.first_time, about.frame_interval) = even("time", about.frames);
  // Exact where the file says it: a difference of times loses the last digit.
  if (file.has_attribute("first_time") && file.has_attribute("frame_interval")) {
    const double first = file.number("first_time");
    const double interval = file.number("frame_interval");
    if (!(std::abs(first - about.first_time) + std::abs(interval - about.frame_interval) <= 1e-6 * interval))
      throw InputError(path.string(), "frame_interval", "contradicts time");
    about.first_time = first;
    about.frame_interval = interval;
  }
  about.grid.nx = file.dimension("x");
  about.grid.ny = file.dimension("y");
  std::tie(about.grid.x0, about.grid.dx) = even("x", about.grid.nx);
  std::tie(about.grid.y0, about.grid.dy) = even("y", about.grid.ny);
  about.grid.offset_x = numbers("offset_x", {c});
  about.grid.offset_y = numbers("offset_y", {c});
  about.channel_names = file.read_strings("channel_name");
  about.channel_units = file.read_strings("channel_units");
  about.parameter_names = file.read_strings("parameter_name");
  about.parameter_units = file.read_strings("parameter_units");
  about.parameter_min = numbers("parameter_min", {p});
  about.parameter_max = numbers("parameter_max", {p});
  for (std::int64_t i = 0; i < p; ++i)
    if (!(about.parameter_min[i] < about.parameter_max[i]))
      throw InputError(path.string(), "parameter_max", "not above parameter_min");
  set.parameters = numbers("parameters", {set.members(), p});
  file.require_shape("field", {set.members(), about.frames, c, about.grid.ny, about.grid.nx});
  set.fields = file.read<float>("field");
  finite("field", set.fields);
  set.fingerprint = file.has_attribute(fingerprint_name)
                        ? file.text(fingerprint_name)
                        : fmt::format("data = {}\n", checksum({reinterpret_cast<const char*>(set.fields.data()),
                                                               set.fields.size() * sizeof(float)}));
  return set;
}

std::string checksum(std::string_view bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

std::string fingerprint_of(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return "";
  const NetcdfReader file(path);
  return file.has_attribute(fingerprint_name) ? file.text(fingerprint_name) : "";
}

}  // namespace levda::experiments
