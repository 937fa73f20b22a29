#include "experiments/data/dataset_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>
#include <optional>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"
#include "experiments/config/version.h"
#include "experiments/data/dataset_tensors.h"
#include "experiments/data/netcdf_file.h"

namespace levda::experiments {

namespace {

constexpr const char* format_name = "levda-dataset-1";
constexpr const char* shard_format_name = "levda-shard-1";
constexpr const char* fingerprint_name = "levda_configuration";
constexpr const char* geometry_name = "geometry";
constexpr const char* first_member_name = "first_member";
constexpr const char* checksum_name = "checksum";
constexpr std::array interpolation_names{"leave_one_out", "leave_one_out_first_frame", "leave_one_out_last_frame"};
constexpr const char* shards_name = "shard";
constexpr const char* shard_members_name = "shard_members";

bool holds_tensors(const std::filesystem::path& path) { return path.extension() == ".safetensors"; }

std::vector<double> axis(double first, double step, std::int64_t count) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(first + static_cast<double>(i) * step);
  return values;
}

/// A NetCDF file of a data set; complaints name file and variable.
class File : public NetcdfReader {
 public:
  explicit File(const std::filesystem::path& path) : NetcdfReader(path), path_(path) {}

  [[noreturn]] void fail(const std::string& field, const std::string& message) const {
    throw InputError(path_.string(), field, message);
  }

  template <typename T>
  std::vector<T> finite(const std::string& name, const std::vector<std::int64_t>& shape) const {
    require_shape(name, shape);
    std::vector<T> values = read_unpacked<T>(name);
    for (const T value : values)
      if (!std::isfinite(value)) fail(name, "holds a value that is not finite");
    return values;
  }

 private:
  std::filesystem::path path_;
};

void read_between(const File& file, Dataset& part) {
  const models::Description& about = part.about;
  if (!file.has_variable("between_field")) return;
  const std::int64_t members = part.members();
  const std::int64_t intervals = about.frames - 1;
  BetweenFrames& between = part.between;
  between.points = file.dimension("place");
  between.fraction = file.finite<double>("between_fraction", {members, intervals});
  for (const double fraction : between.fraction)
    if (!(fraction > 0 && fraction < 1))
      file.fail("between_fraction", fmt::format("{} is not between 0 and 1", fraction));
  between.x = file.finite<float>("between_x", {members, intervals, between.points});
  between.y = file.finite<float>("between_y", {members, intervals, between.points});
  between.values = file.finite<float>("between_field", {members, intervals, between.points, about.channels()});
  for (const float place : between.x)
    if (!about.grid.contains_x(place)) file.fail("between_x", fmt::format("{} is outside the domain", place));
  for (const float place : between.y)
    if (!about.grid.contains_y(place)) file.fail("between_y", fmt::format("{} is outside the domain", place));
}

/// The values of a file's members, of which the first is number `first` of the set that is outlined.
Dataset values_of(const File& file, const Dataset& outline, std::int64_t first, std::int64_t members) {
  const models::Description& about = outline.about;
  Dataset part{.about = about,
               .train = members,
               .valid = 0,
               .test = 0,
               .varying = outline.varying,
               .parameters = {},
               .fields = {},
               .between = {},
               .fingerprint = {}};
  part.fields = file.read_unpacked<float>("field");
  if (std::any_of(part.fields.begin(), part.fields.end(), [](float value) { return std::isinf(value); }))
    file.fail("field", "holds a value that is not finite");
  read_between(file, part);
  if (file.has_attribute("levda_format") && file.has_variable(checksum_name)) {
    file.require_shape(checksum_name, {members});
    const std::vector<std::int64_t> expected = file.read<std::int64_t>(checksum_name);
    const std::vector<std::int64_t> found = member_checksums(part);
    const auto damaged = std::mismatch(expected.begin(), expected.end(), found.begin()).first;
    if (damaged != expected.end())
      file.fail(checksum_name, fmt::format("the values of member {} are damaged; levda generate makes them anew",
                                           first + (damaged - expected.begin())));
  }
  return part;
}

/// Reads a file piece by piece; every complaint names the variable.
class Reader {
 public:
  Reader(const std::filesystem::path& path, std::int64_t pool, std::int64_t seed, Keep keep)
      : path_(path), file_(path), pool_(pool), seed_(seed), keep_(keep) {
    if (file_.has_attribute("levda_format") && file_.text("levda_format") != format_name)
      fail("levda_format", fmt::format("not a data set (\"{}\" expected)", format_name));
    sharded_ = !file_.has_variable("field") && file_.has_attribute("levda_format") && file_.has_variable(shards_name);
    if (sharded_) {
      dimensions_ = {"member", "time", "channel", "y", "x"};
      for (const std::string& name : dimensions_) shape_.push_back(file_.dimension(name));
    } else {
      if (!file_.has_variable("field")) fail("field", "no such variable: not a data set");
      dimensions_ = file_.dimensions("field");
      shape_ = file_.shape("field");
    }
    if (dimensions_ != std::vector<std::string>{"member", "time", "channel", "y", "x"} &&
        dimensions_ != std::vector<std::string>{"member", "time", "channel", "point"})
      fail("field",
           fmt::format("dimensions ({}), where (member, time, channel, y, x) or (member, time, channel, point) "
                       "is needed",
                       fmt::join(dimensions_, ", ")));
    double size = 1;
    for (const std::int64_t extent : shape_) {
      if (extent < 1) fail("field", "is empty");
      size *= static_cast<double>(extent);
    }
    constexpr double most = 1e10;  // values, 40 GB
    if (size > most) fail("field", fmt::format("{:.1e} values, at most {:.0e} are possible", size, most));
  }

  Dataset read() {
    about_.case_name = file_.has_attribute("case") ? file_.text("case") : path_.stem().string();
    read_members();
    read_times();
    read_places();
    read_channels();
    read_parameters();
    if (file_.has_attribute(fingerprint_name)) set_.fingerprint = file_.text(fingerprint_name);
    set_.about = about_;
    read_values();
    check_channels();
    if (!file_.has_attribute(fingerprint_name)) set_.fingerprint = content();
    read_interpolation();
    return std::move(set_);
  }

 private:
  [[noreturn]] void fail(const std::string& field, const std::string& message) const { file_.fail(field, message); }

  template <typename T>
  static std::string_view bytes_of(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
  }

  /// What a training on the set depends on.
  std::string content() const {
    const models::Grid& g = about_.grid;
    const BetweenFrames& between = set_.between;
    std::string text = fmt::format("{} {} {} {}{} {} {} {} {} {} {} {} {}\n", about_.frames, about_.first_time,
                                   about_.frame_interval, about_.time_unit, about_.place_unit, g.nx, g.ny, g.x0, g.y0,
                                   g.dx, g.dy, set_.varying, between.points);
    text += fmt::format("{} {} {}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n", set_.train, set_.valid, set_.test,
                        about_.channel_names, about_.channel_units, about_.parameter_names, about_.parameter_units,
                        about_.parameter_min, about_.parameter_max, g.offset_x, g.offset_y);
    if (g.geometry != models::Geometry::plane) text += fmt::format("{}\n", name_of(g.geometry));
    for (const std::vector<double>* values : {&set_.parameters, &g.x, &g.y, &between.fraction})
      text += checksum(bytes_of(*values));
    text += fields_.text();
    for (const std::vector<float>* values : {&between.x, &between.y, &between.values})
      text += checksum(bytes_of(*values));
    return fmt::format("data = {}\n", checksum(text));
  }

  std::vector<double> numbers(const std::string& name, const std::vector<std::int64_t>& shape) const {
    return file_.finite<double>(name, shape);
  }

  /// The attribute `units` of a variable: "hours since ..." is hours.
  std::string unit_of(const std::string& variable, const std::string& otherwise) const {
    if (!file_.has_attribute(variable, "units")) return otherwise;
    const std::string unit = file_.text(variable, "units");
    return unit.substr(0, unit.find(" since "));
  }

  /// Strings of the first of these variables that is there; `otherwise` + number where none is.
  std::vector<std::string> names(std::initializer_list<const char*> variables, std::int64_t count,
                                 const std::string& otherwise, bool numbered) const {
    for (const char* variable : variables) {
      if (!file_.has_variable(variable) || !file_.holds_strings(variable)) continue;
      std::vector<std::string> found = file_.read_strings(variable);
      if (static_cast<std::int64_t>(found.size()) != count)
        fail(variable, fmt::format("{} names, where {} are needed", found.size(), count));
      for (std::size_t i = 0; i < found.size(); ++i) {
        const std::string& name = found[i];
        if (name.find(',') != std::string::npos) fail(variable, fmt::format("\"{}\" holds a comma", name));
        if (!numbered) continue;  // units
        if (name.empty()) fail(variable, fmt::format("name {} is empty", i));
        if (std::find(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(i), name) !=
            found.begin() + static_cast<std::ptrdiff_t>(i))
          fail(variable, fmt::format("\"{}\" stands twice", name));
      }
      return found;
    }
    std::vector<std::string> made;
    for (std::int64_t i = 0; i < count; ++i) made.push_back(numbered ? fmt::format("{}{}", otherwise, i) : otherwise);
    return made;
  }

  void read_members() {
    const std::int64_t members = shape_[0];
    const bool said = file_.has_attribute("train") || file_.has_attribute("valid") || file_.has_attribute("test");
    const auto count = [&](const std::string& name) {
      const double value = file_.number(name);
      if (!(value >= 1 && value <= 1e9) || value != std::floor(value)) fail(name, fmt::format("{} members", value));
      return static_cast<std::int64_t>(value);
    };
    if (said) {
      set_.train = count("train");
      set_.valid = count("valid");
      set_.test = count("test");
    } else {
      set_.valid = set_.test = std::max<std::int64_t>(1, std::llround(0.15 * static_cast<double>(members)));
      set_.train = members - 2 * set_.valid;
    }
    if (set_.train < 2)
      fail("member", fmt::format("{} members leave {} for training, where 2 are needed", members, set_.train));
    if (set_.members() != members)
      fail("member", fmt::format("{} members, where train, valid and test say {}", members, set_.members()));
  }

  void read_times() {
    about_.frames = shape_[1];
    about_.time_unit = unit_of("time", about_.time_unit);
    const std::vector<double> times = numbers("time", {about_.frames});
    const std::optional<double> step = even_step(times);
    if (!step || !(*step > 0)) fail("time", "is not evenly spaced and increasing, in at least two frames");
    about_.first_time = times[0];
    about_.frame_interval = *step;
    // Exact where the file says it: a difference of times loses the last digit.
    if (file_.has_attribute("first_time") && file_.has_attribute("frame_interval")) {
      const double first = file_.number("first_time");
      const double interval = file_.number("frame_interval");
      if (!(std::abs(first - about_.first_time) + std::abs(interval - about_.frame_interval) <= 1e-6 * interval))
        fail("frame_interval", "contradicts time");
      about_.first_time = first;
      about_.frame_interval = interval;
    }
  }

  void read_places() {
    about_.place_unit = unit_of("x", about_.place_unit);
    const std::int64_t c = shape_[2];
    try {
      if (dimensions_.back() == "point") {
        const std::vector<double> x = numbers("x", {shape_[3]});
        const std::vector<double> y =
            file_.has_variable("y") ? numbers("y", {shape_[3]}) : std::vector<double>(x.size(), 0.0);
        about_.grid = models::Grid::of_points(x, y, c);
        return;
      }
      const std::vector<double> y = numbers("y", {shape_[3]});
      const std::vector<double> x = numbers("x", {shape_[4]});
      const std::optional<double> dy = even_step(y);
      const std::optional<double> dx = even_step(x);
      if (dx && dy && *dx != 0 && *dy != 0) {
        turn_x_ = *dx < 0;
        turn_y_ = *dy < 0;
        about_.grid = {.nx = shape_[4],
                       .ny = shape_[3],
                       .x0 = std::min(x.front(), x.back()),
                       .y0 = std::min(y.front(), y.back()),
                       .dx = std::abs(*dx),
                       .dy = std::abs(*dy),
                       .offset_x = offsets("offset_x", turn_x_),
                       .offset_y = offsets("offset_y", turn_y_),
                       .x = {},
                       .y = {},
                       .geometry = geometry()};
        if (const std::string fault = about_.grid.fault(); !fault.empty()) fail(geometry_name, fault);
        return;
      }
      if (file_.has_variable("offset_x") || file_.has_variable("offset_y"))
        fail("x", "is not evenly spaced, which staggered channels need");
      std::vector<double> all_x;
      std::vector<double> all_y;
      for (const double row : y)
        for (const double column : x) {
          all_x.push_back(column);
          all_y.push_back(row);
        }
      about_.grid = models::Grid::of_points(std::move(all_x), std::move(all_y), c);
    } catch (const InputError&) {
      throw;
    } catch (const Error& error) {
      fail("x", error.what());
    }
  }

  /// As the file says, else a plane.
  models::Geometry geometry() const {
    if (!file_.has_attribute(geometry_name)) return models::Geometry::plane;
    const std::string text = file_.text(geometry_name);
    const std::optional<models::Geometry> geometry = choice_of<models::Geometry>(text);
    if (!geometry) fail(geometry_name, fmt::format("\"{}\" is none of {}", text, choice_names<models::Geometry>()));
    return *geometry;
  }

  std::vector<double> offsets(const std::string& name, bool turned) const {
    const std::int64_t c = shape_[2];
    if (!file_.has_variable(name)) return std::vector<double>(static_cast<std::size_t>(c), 0.0);
    std::vector<double> values = numbers(name, {c});
    for (double& value : values) {
      if (!(std::abs(value) <= 1)) fail(name, fmt::format("{} is more than a cell", value));
      if (turned) value = -value;
    }
    return values;
  }

  /// The step of an evenly spaced axis of at least two values, of either sign; they may be float32.
  static std::optional<double> even_step(const std::vector<double>& values) {
    if (values.size() < 2) return std::nullopt;
    const double step = (values.back() - values.front()) / static_cast<double>(values.size() - 1);
    // Half a unit in the last place of a float32 for the value itself and for each end.
    const double rounding =
        1.5 * std::numeric_limits<float>::epsilon() * std::max(std::abs(values.front()), std::abs(values.back()));
    const double slack = std::max(1e-6 * std::abs(step), std::min(rounding, 1e-2 * std::abs(step)));
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!(std::abs(values[i] - values[0] - static_cast<double>(i) * step) <= slack)) return std::nullopt;
    return step;
  }

  void read_channels() {
    about_.channel_names = names({"channel_name", "channel"}, shape_[2], "channel_", true);
    about_.channel_units = names({"channel_units"}, shape_[2], "1", false);
  }

  void read_parameters() {
    if (!file_.has_variable("parameters")) fail("parameters", "no such variable");
    const std::int64_t members = set_.members();
    const std::vector<std::string> dimensions = file_.dimensions("parameters");
    set_.varying = dimensions == std::vector<std::string>{"member", "time", "parameter"};
    if (!set_.varying && dimensions != std::vector<std::string>{"member", "parameter"})
      fail("parameters",
           fmt::format("dimensions ({}), where (member, parameter) or (member, time, parameter) is needed",
                       fmt::join(dimensions, ", ")));
    const std::int64_t p = file_.shape("parameters").back();
    if (p < 1 || p > 4096) fail("parameters", fmt::format("{} parameters, at least 1 and at most 4096", p));
    about_.parameter_names = names({"parameter_name", "parameter"}, p, "parameter_", true);
    about_.parameter_units = names({"parameter_units"}, p, "1", false);
    set_.parameters = numbers("parameters", set_.varying ? std::vector<std::int64_t>{members, about_.frames, p}
                                                         : std::vector<std::int64_t>{members, p});
    const auto columns = static_cast<std::size_t>(p);
    std::vector<double> low(columns, std::numeric_limits<double>::infinity());
    std::vector<double> high(columns, -std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < set_.parameters.size(); ++i) {
      low[i % columns] = std::min(low[i % columns], set_.parameters[i]);
      high[i % columns] = std::max(high[i % columns], set_.parameters[i]);
    }
    about_.parameter_min = file_.has_variable("parameter_min") ? numbers("parameter_min", {p}) : low;
    about_.parameter_max = file_.has_variable("parameter_max") ? numbers("parameter_max", {p}) : high;
    for (std::size_t i = 0; i < columns; ++i) {
      const std::string& name = about_.parameter_names[i];
      if (!(about_.parameter_min[i] < about_.parameter_max[i]))
        fail("parameters", fmt::format("{} is the same everywhere: its prior range {} .. {} is empty", name,
                                       about_.parameter_min[i], about_.parameter_max[i]));
      if (low[i] < about_.parameter_min[i] || high[i] > about_.parameter_max[i])
        fail("parameters", fmt::format("{} has values from {} to {}, outside its prior range {} .. {}", name, low[i],
                                       high[i], about_.parameter_min[i], about_.parameter_max[i]));
    }
  }

  void read_values() {
    moments_.emplace(about_);
    any_valid_.assign(about_.channel_names.size(), false);
    if (pool_ < about_.grid.cells()) set_.pool.points = pool_;
    const auto drawn = static_cast<std::size_t>(set_.train * about_.frames * set_.pool.points);
    set_.pool.nodes.reserve(drawn);
    set_.pool.values.reserve(drawn * about_.channel_names.size());
    set_.in_memory = set_.pool.points > 0 ? set_.train : 0;
    if (sharded_ && keep_ != Keep::all) set_.in_memory = keep_ == Keep::tests ? set_.first_test() : set_.members();
    if (!sharded_) {
      Dataset all = values_of(file_, set_, 0, set_.members());
      turn(all.fields);
      add(std::move(all));
    } else {
      const std::vector<std::string> names = file_.read_strings(shards_name);
      file_.require_shape(shard_members_name, {static_cast<std::int64_t>(names.size())});
      const std::vector<std::int64_t> counts = file_.read<std::int64_t>(shard_members_name);
      std::int64_t first = 0;
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (counts[i] < 1 || counts[i] > set_.members() - first)
          fail(shard_members_name, "does not add up to the members");
        set_.shards.push_back({path_.parent_path() / names[i], first, counts[i]});
        add(read_shard(set_.shards.back().path, set_, first, counts[i]));
        first += counts[i];
      }
      if (first != set_.members()) fail(shard_members_name, "does not add up to the members");
    }
    if (!any_value_) fail("field", "holds no value at all");
  }

  void turn(std::vector<float>& fields) const {
    if (!turn_x_ && !turn_y_) return;
    const std::int64_t ny = shape_[3];
    const std::int64_t nx = shape_[4];
    for (auto plane = fields.begin(); plane != fields.end(); plane += nx * ny) {
      if (turn_x_)
        for (std::int64_t j = 0; j < ny; ++j) std::reverse(plane + j * nx, plane + (j + 1) * nx);
      if (turn_y_)
        for (std::int64_t j = 0; j < ny / 2; ++j)
          std::swap_ranges(plane + j * nx, plane + (j + 1) * nx, plane + (ny - 1 - j) * nx);
    }
  }

  /// The next members.
  void add(Dataset part) {
    any_value_ =
        any_value_ || std::any_of(part.fields.begin(), part.fields.end(), [](float v) { return !std::isnan(v); });
    if (set_.fingerprint.empty()) fields_.add(std::span<const float>(part.fields));
    const std::int64_t first = added_;
    added_ += part.members();
    const auto before = [&](std::int64_t end) { return std::clamp<std::int64_t>(end - first, 0, part.members()); };
    const std::int64_t left = before(set_.in_memory);
    for (std::int64_t i = 0; i < part.members(); ++i) {
      const std::int64_t member = first + i;
      if (i < left && member < set_.train) add_training(part, i, member);
      if (member >= set_.train && member < set_.first_test()) look_at_validation(part, i);
    }
    const auto values =
        std::span(part.fields)
            .first(part.fields.size() / static_cast<std::size_t>(part.members()) * static_cast<std::size_t>(left));
    set_.left_missing =
        set_.left_missing || std::any_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
    // So many members at first, of all that are kept.
    const auto append = [&]<typename T>(std::vector<T>& all, std::vector<T>& more, std::int64_t left_out,
                                        std::int64_t members) {
      const std::size_t each = more.size() / static_cast<std::size_t>(part.members());
      if (left_out == 0 && part.members() == members) {
        all = std::move(more);
        return;
      }
      if (all.empty()) all.reserve(each * static_cast<std::size_t>(members));
      all.insert(all.end(), more.begin() + static_cast<std::ptrdiff_t>(each) * left_out, more.end());
    };
    const std::int64_t members = set_.members();
    append(set_.fields, part.fields, left, members - set_.in_memory);
    if (part.between.points == 0) return;
    set_.between.points = part.between.points;
    append(set_.between.fraction, part.between.fraction, 0, members);
    append(set_.between.x, part.between.x, 0, members);
    append(set_.between.y, part.between.y, 0, members);
    append(set_.between.values, part.between.values, 0, members);
  }

  /// Of a training trajectory that is not kept: moments and pool.
  void add_training(const Dataset& part, std::int64_t i, std::int64_t member) {
    autodiff::Random random(static_cast<std::uint64_t>(seed_), streams::training_pool,
                            static_cast<std::uint32_t>(member));
    const std::int64_t cells = about_.grid.cells();
    for (std::int64_t frame = 0; frame < about_.frames; ++frame) {
      const std::span<const float> field = part.frame(i, frame);
      moments_->add(field);
      for (std::int64_t k = 0; k < set_.pool.points; ++k) {
        const std::int64_t node = random.below(cells);
        set_.pool.nodes.push_back(static_cast<std::int32_t>(node));
        for (std::int64_t channel = 0; channel < about_.channels(); ++channel)
          set_.pool.values.push_back(field[channel * cells + node]);
      }
    }
  }

  void look_at_validation(const Dataset& part, std::int64_t i) {
    const std::int64_t cells = about_.grid.cells();
    for (std::int64_t channel = 0; channel < about_.channels(); ++channel)
      for (std::int64_t frame = 0; frame < about_.frames && !any_valid_[channel]; ++frame)
        for (const float value : part.frame(i, frame).subspan(channel * cells, cells))
          any_valid_[channel] = any_valid_[channel] || !std::isnan(value);
  }

  void read_interpolation() {
    std::vector<double> values;
    for (const char* name : interpolation_names)
      if (file_.has_attribute(name)) values.push_back(file_.number(name));
    if (values.size() == 3) set_.interpolation = {.all = values[0], .first = values[1], .last = values[2]};
  }

  /// Training normalises by a channel's moments, and takes its error from the validation members.
  void check_channels() {
    try {
      set_.moments = set_.in_memory > 0 ? moments_->moments() : field_moments(set_);
    } catch (const Error& error) {
      fail("field", error.what());
    }
    for (std::size_t channel = 0; channel < any_valid_.size(); ++channel)
      if (!any_valid_[channel])
        fail("field", fmt::format("{} has no value in the validation members", about_.channel_names[channel]));
  }

  std::filesystem::path path_;
  File file_;
  std::int64_t pool_;
  std::int64_t seed_;
  Keep keep_;
  bool sharded_ = false;
  std::int64_t added_ = 0;  // members whose values are read
  bool any_value_ = false;
  std::vector<bool> any_valid_;          // per channel: a validation member has a value
  Checksum fields_;                      // of a foreign set
  std::optional<MomentSums> moments_;    // of the training trajectories where they are not kept
  std::vector<std::string> dimensions_;  // of field
  std::vector<std::int64_t> shape_;
  bool turn_x_ = false;
  bool turn_y_ = false;
  models::Description about_;
  Dataset set_;
};

/// All but the values.
void write_outline(NetcdfWriter& file, const Dataset& set, const char* format) {
  const models::Description& about = set.about;
  const models::Grid& grid = about.grid;
  file.attribute("Conventions", "CF-1.10");
  file.attribute("title", about.case_name + " trajectories");
  file.attribute("source", "levda " + version());
  file.attribute("levda_format", format);
  file.attribute(fingerprint_name, set.fingerprint);
  file.attribute("case", about.case_name);
  file.attribute(geometry_name, std::string(name_of(grid.geometry)));
  file.attribute("first_time", about.first_time);
  file.attribute("frame_interval", about.frame_interval);

  file.dimension("member", set.members());
  file.dimension("time", about.frames);
  file.dimension("channel", about.channels());
  file.dimension("y", grid.ny);
  file.dimension("x", grid.nx);
  file.dimension("parameter", about.parameters());

  file.variable(
      "time", Type::Float64, {"time"},
      {{"standard_name", "time"}, {"units", about.time_unit}, {"long_name", "time after the initial condition"}});
  file.write("time", axis(about.first_time, about.frame_interval, about.frames));
  for (const auto& [name, first, step, count] :
       {std::tuple{"x", grid.x0, grid.dx, grid.nx}, std::tuple{"y", grid.y0, grid.dy, grid.ny}}) {
    file.variable(name, Type::Float64, {name},
                  {{"units", about.place_unit},
                   {"axis", name == std::string("x") ? "X" : "Y"},
                   {"long_name", "position of nodes"}});
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
}

void write_values(NetcdfWriter& file, const Dataset& set) {
  const models::Description& about = set.about;
  const models::Grid& grid = about.grid;
  // A chunk is a frame. Of smooth fields in float32 the exponents' bytes compress, and higher levels gain nothing.
  file.variable("field", Type::Float32, {"member", "time", "channel", "y", "x"},
                {{"long_name", "state, channels in channel_name, units in channel_units"}},
                {.deflate = 1, .chunk = {1, 1, about.channels(), grid.ny, grid.nx}});
  file.write("field", set.fields);
  if (const BetweenFrames& between = set.between; between.points > 0) {
    file.dimension("interval", about.frames - 1);
    file.dimension("place", between.points);
    file.variable("between_fraction", Type::Float64, {"member", "interval"},
                  {{"units", "1"}, {"long_name", "time between frames: share of the interval after frame `interval`"}});
    file.write("between_fraction", between.fraction);
    file.variable(
        "between_x", Type::Float32, {"member", "interval", "place"},
        {{"units", about.place_unit}, {"long_name", "place of the node; channels lie at offset_x, offset_y from it"}});
    file.write("between_x", between.x);
    file.variable(
        "between_y", Type::Float32, {"member", "interval", "place"},
        {{"units", about.place_unit}, {"long_name", "place of the node; channels lie at offset_x, offset_y from it"}});
    file.write("between_y", between.y);
    file.variable("between_field", Type::Float32, {"member", "interval", "place", "channel"},
                  {{"long_name", "state between frames and between nodes, units in channel_units"}});
    file.write("between_field", between.values);
  }
  file.variable(checksum_name, Type::Int64, {"member"},
                {{"long_name", "FNV-1a of the member's bytes: field, then between_fraction, _x, _y, _field"}});
  file.write(checksum_name, member_checksums(set));
}

void write_members(NetcdfWriter& file, const Dataset& set) {
  file.attribute("train", set.train);
  file.attribute("valid", set.valid);
  file.attribute("test", set.test);
  if (!set.interpolation) return;
  const InterpolationError& error = *set.interpolation;
  const std::array values{error.all, error.first, error.last};
  for (std::size_t i = 0; i < values.size(); ++i) file.attribute(interpolation_names[i], values[i]);
}

}  // namespace

std::string dataset_name() { return has_netcdf() ? "data.nc" : "data.safetensors"; }

void write_dataset(const std::filesystem::path& path, const Dataset& set) {
  if (holds_tensors(path)) return write_dataset_tensors(path, set);
  if (set.about.grid.listed() || set.varying)
    throw InputError(path.string(), "", "only gridded sets with constant parameters");
  NetcdfWriter file(path);
  write_outline(file, set, format_name);
  write_members(file, set);
  write_values(file, set);
  file.commit();
}

void write_shard(const std::filesystem::path& path, const Dataset& part, std::int64_t first) {
  NetcdfWriter file(path);
  write_outline(file, part, shard_format_name);
  file.attribute(first_member_name, first);
  write_values(file, part);
  file.commit();
}

Dataset read_shard(const std::filesystem::path& path, const Dataset& outline, std::int64_t first,
                   std::int64_t members) {
  const File file(path);
  if (!file.has_attribute("levda_format") || file.text("levda_format") != shard_format_name)
    file.fail("levda_format", fmt::format("not a shard of a data set (\"{}\" expected)", shard_format_name));
  if (!file.has_attribute(fingerprint_name) || file.text(fingerprint_name) != outline.fingerprint)
    file.fail(fingerprint_name, "of another data set");
  if (!file.has_attribute(first_member_name) || file.number(first_member_name) != static_cast<double>(first))
    file.fail(first_member_name, fmt::format("is not {}", first));
  const models::Description& about = outline.about;
  file.require_shape("field", {members, about.frames, about.channels(), about.grid.ny, about.grid.nx});
  return values_of(file, outline, first, members);
}

void write_index(const std::filesystem::path& path, const Dataset& outline, const std::vector<Shard>& shards) {
  NetcdfWriter file(path);
  write_outline(file, outline, format_name);
  write_members(file, outline);
  std::vector<std::string> names;
  std::vector<std::int64_t> members;
  for (const Shard& shard : shards) {
    names.push_back(shard.name);
    members.push_back(shard.members);
  }
  file.dimension(shards_name, static_cast<std::int64_t>(shards.size()));
  file.write_strings(shards_name, shards_name, names);
  file.variable(shard_members_name, Type::Int64, {shards_name},
                {{"long_name", "members in the file `shard`, which lies beside this one"}});
  file.write(shard_members_name, members);
  file.commit();
}

Dataset read_dataset(const std::filesystem::path& path, std::int64_t pool, std::int64_t seed, Keep keep) {
  if (pool > 0 && holds_tensors(path))
    throw InputError(path.string(), "", "a pool of nodes, training.pool, is drawn from NetCDF files only");
  try {
    return holds_tensors(path) ? read_dataset_tensors(path) : Reader(path, pool, seed, keep).read();
  } catch (const std::bad_alloc&) {
    throw InputError(path.string(), "", "does not fit into memory");
  }
}

std::string fingerprint_of(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return "";
  if (holds_tensors(path)) return fingerprint_of_tensors(path);
  const NetcdfReader file(path);
  return file.has_attribute(fingerprint_name) ? file.text(fingerprint_name) : "";
}

}  // namespace levda::experiments
