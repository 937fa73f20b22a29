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
#include "experiments/data/dataset_places.h"
#include "experiments/data/dataset_tensors.h"
#include "experiments/data/dataset_values.h"
#include "experiments/data/observation_csv.h"
#include "models/dataset_checks.h"

namespace levda::experiments {

namespace {

/// A file with the values of some members.
struct ShardFile {
  std::filesystem::path path;
  std::int64_t first = 0;  // member
  std::int64_t members = 0;
};

/// Reads a file variable by variable; every complaint names the variable.
class Reader {
 public:
  Reader(const std::filesystem::path& path, std::int64_t pool, std::int64_t seed, Keep keep)
      : path_(path), file_(path), pool_(pool), seed_(seed), keep_(keep) {
    if (file_.has_attribute("levda_format") && file_.text("levda_format") != dataset_format)
      fail("levda_format", fmt::format("not a data set (\"{}\" expected)", dataset_format));
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
    for (const std::int64_t extent : shape_)
      if (extent < 1) fail("field", "is empty");
  }

  Dataset read() {
    about_.case_name = file_.has_attribute("case") ? file_.text("case") : path_.stem().string();
    read_split();
    read_times(file_, shape_[1], about_);
    const bool listed = dimensions_.back() == "point";
    Places places = read_places(file_, shape_, listed, about_);
    turn_x_ = places.turn_x;
    turn_y_ = places.turn_y;
    about_.grid = std::move(places.grid);
    about_.channel_names = names({"channel_name", "channel"}, shape_[2], false);
    read_channel_units();
    read_parameters();
    models::settle_outline(set_, shape_[0], shape_[2], file_.source());
    if (file_.has_attribute(fingerprint_name)) set_.fingerprint = file_.text(fingerprint_name);
    read_values();
    read_interpolation();
    note_unread(file_.source(), file_.unread());
    return std::move(set_);
  }

 private:
  [[noreturn]] void fail(const std::string& field, const std::string& message) const { file_.fail(field, message); }

  std::vector<double> numbers(const std::string& name, const std::vector<std::int64_t>& shape) const {
    return file_.finite<double>(name, shape);
  }

  /// Strings of the first of these variables that is there; empty where none is.
  std::vector<std::string> names(std::initializer_list<const char*> variables, std::int64_t count, bool units) const {
    for (const char* variable : variables) {
      if (!file_.has_variable(variable) || !file_.holds_strings(variable)) continue;
      std::vector<std::string> found = file_.read_strings(variable);
      models::check_names(found, count, units, file_.source(), variable);
      return found;
    }
    return {};
  }

  /// One for each channel, or one for the whole field.
  void read_channel_units() {
    about_.channel_units = names({"channel_units"}, shape_[2], true);
    if (about_.channel_units.empty() && !sharded_ && file_.has_attribute("field", "units"))
      about_.channel_units.assign(static_cast<std::size_t>(shape_[2]), file_.text("field", "units"));
    if (about_.channel_units.empty()) about_.unsaid_units.emplace_back("channel");
  }

  void read_split() {
    const auto count = [&](const std::string& name) {
      const double value = file_.number(name);
      if (!(value >= 1 && value <= 1e9) || value != std::floor(value)) fail(name, fmt::format("{} members", value));
      return static_cast<std::int64_t>(value);
    };
    if (!file_.has_attribute("train") && !file_.has_attribute("valid") && !file_.has_attribute("test")) return;
    set_.train = count("train");
    set_.valid = count("valid");
    set_.test = count("test");
  }

  void read_parameters() {
    if (!file_.has_variable("parameters")) fail("parameters", "no such variable");
    const std::int64_t members = shape_[0];
    const std::vector<std::string> dimensions = file_.dimensions("parameters");
    set_.varying = dimensions == std::vector<std::string>{"member", "time", "parameter"};
    if (!set_.varying && dimensions != std::vector<std::string>{"member", "parameter"})
      fail("parameters",
           fmt::format("dimensions ({}), where (member, parameter) or (member, time, parameter) is needed",
                       fmt::join(dimensions, ", ")));
    const std::int64_t p = file_.shape("parameters").back();
    about_.parameter_names = names({"parameter_name", "parameter"}, p, false);
    about_.parameter_units = names({"parameter_units"}, p, true);
    if (about_.parameter_units.empty() && file_.has_attribute("parameters", "units"))
      about_.parameter_units.assign(static_cast<std::size_t>(p), file_.text("parameters", "units"));
    set_.parameters = numbers("parameters", set_.varying ? std::vector<std::int64_t>{members, about_.frames, p}
                                                         : std::vector<std::int64_t>{members, p});
    if (file_.has_variable("parameter_min")) about_.parameter_min = numbers("parameter_min", {p});
    if (file_.has_variable("parameter_max")) about_.parameter_max = numbers("parameter_max", {p});
  }

  void read_values() {
    summary_.emplace(set_);
    if (pool_ < about_.grid.cells()) set_.pool.points = pool_;
    const auto drawn = static_cast<std::size_t>(set_.train * about_.frames * set_.pool.points);
    set_.pool.nodes.reserve(drawn);
    set_.pool.values.reserve(drawn * about_.channel_names.size());
    set_.in_memory = set_.pool.points > 0 ? set_.train : 0;
    if (sharded_ && keep_ != Keep::all) set_.in_memory = keep_ == Keep::tests ? set_.first_test() : set_.members();
    if (sharded_) {
      read_shards();
    } else {
      Dataset all = values_of(file_, set_, 0, set_.members());
      turn(all.fields);
      add(std::move(all), file_.source());
    }
    summary_->finish(file_.source());
  }

  void read_shards() {
    const std::vector<std::string> names = file_.read_strings(shards_name);
    file_.require_shape(shard_members_name, {static_cast<std::int64_t>(names.size())});
    const std::vector<std::int64_t> counts = file_.read<std::int64_t>(shard_members_name);
    std::vector<ShardFile> shards;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (counts[i] < 1 || counts[i] > set_.members() - first)
        fail(shard_members_name, "does not add up to the members");
      shards.push_back({path_.parent_path() / names[i], first, counts[i]});
      add(read_shard(shards.back().path, set_, first, counts[i]), shards.back().path.string());
      first += counts[i];
    }
    if (first != set_.members()) fail(shard_members_name, "does not add up to the members");
    Dataset outline{.about = about_, .varying = set_.varying, .fingerprint = set_.fingerprint};
    set_.read = [outline = std::move(outline), shards = std::move(shards)](std::int64_t from, std::int64_t to,
                                                                           const models::MemberVisitor& f) {
      for (const ShardFile& shard : shards) {
        const std::int64_t end = std::min(to, shard.first + shard.members);
        if (from >= end) continue;
        const Dataset part = read_shard(shard.path, outline, shard.first, shard.members);
        part.each_member(from - shard.first, end - shard.first,
                         [&](std::int64_t i, std::span<const float> fields) { f(shard.first + i, fields); });
        from = end;
      }
    };
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

  /// Adds the members of the next file.
  void add(Dataset part, const std::string& source) {
    part.each_member(0, part.members(),
                     [&](std::int64_t, std::span<const float> fields) { summary_->add(fields, source); });
    const std::int64_t first = added_;
    added_ += part.members();
    const std::int64_t left = std::clamp<std::int64_t>(set_.in_memory - first, 0, part.members());
    for (std::int64_t i = 0; i < left && first + i < set_.train; ++i) draw_pool(part, i, first + i);
    const auto values =
        std::span(part.fields)
            .first(part.fields.size() / static_cast<std::size_t>(part.members()) * static_cast<std::size_t>(left));
    set_.left_missing =
        set_.left_missing || std::any_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
    // `members` is the number of all members that are kept.
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

  /// Draws the nodes that are kept of a training trajectory, number i of the part.
  void draw_pool(const Dataset& part, std::int64_t i, std::int64_t member) {
    autodiff::Random random(static_cast<std::uint64_t>(seed_), streams::training_pool,
                            static_cast<std::uint32_t>(member));
    const std::int64_t cells = about_.grid.cells();
    for (std::int64_t frame = 0; frame < about_.frames; ++frame) {
      const std::span<const float> field = part.frame(i, frame);
      for (std::int64_t k = 0; k < set_.pool.points; ++k) {
        const std::int64_t node = random.below(cells);
        set_.pool.nodes.push_back(static_cast<std::int32_t>(node));
        for (std::int64_t channel = 0; channel < about_.channels(); ++channel)
          set_.pool.values.push_back(field[channel * cells + node]);
      }
    }
  }

  void read_interpolation() {
    std::vector<double> values;
    for (const char* name : interpolation_names)
      if (file_.has_attribute(name)) values.push_back(file_.number(name));
    if (values.size() == 3) set_.interpolation = {.all = values[0], .first = values[1], .last = values[2]};
  }

  std::filesystem::path path_;
  DatasetFile file_;
  std::int64_t pool_;
  std::int64_t seed_;
  Keep keep_;
  bool sharded_ = false;
  std::int64_t added_ = 0;  // members whose values are read
  std::optional<models::FieldSummary> summary_;
  std::vector<std::string> dimensions_;  // of field
  std::vector<std::int64_t> shape_;
  bool turn_x_ = false;
  bool turn_y_ = false;
  Dataset set_;
  models::Description& about_ = set_.about;
};

}  // namespace

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
