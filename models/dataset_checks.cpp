#include "models/dataset_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "autodiff/error.h"

namespace levda::models {

namespace {

template <typename T>
std::string checksum_of(const std::vector<T>& values) {
  Checksum sum;
  sum.add(std::span<const T>(values));
  return sum.text();
}

/// Everything that a training on the set depends on. fields: the checksum of set.fields.
std::string content(const Dataset& set, const Checksum& fields) {
  const Description& about = set.about;
  const Grid& g = about.grid;
  const BetweenFrames& between = set.between;
  std::string text =
      fmt::format("{} {} {} {}{} {} {} {} {} {} {} {} {}\n", about.frames, about.first_time, about.frame_interval,
                  about.time_unit, about.place_unit, g.nx, g.ny, g.x0, g.y0, g.dx, g.dy, set.varying, between.points);
  text += fmt::format("{} {} {}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n", set.train, set.valid, set.test, about.channel_names,
                      about.channel_units, about.parameter_names, about.parameter_units, about.parameter_min,
                      about.parameter_max, g.offset_x, g.offset_y);
  if (g.geometry != Geometry::plane) text += fmt::format("{}\n", name_of(g.geometry));
  if (!(about.place_unit_y + about.time_reference + about.calendar).empty())
    text += fmt::format("{}\n{}\n{}\n", about.place_unit_y, about.time_reference, about.calendar);
  for (const std::vector<double>* values : {&set.parameters, &g.x, &g.y, &between.fraction})
    text += checksum_of(*values);
  text += fields.text();
  for (const std::vector<float>* values : {&between.x, &between.y, &between.values}) text += checksum_of(*values);
  return fmt::format("data = {}\n", checksum(text));
}

/// Fills in and checks one part of an outline after the other.
class Outline {
 public:
  Outline(Dataset& set, std::int64_t members, std::int64_t channels, const std::string& source)
      : set_(set), about_(set.about), members_(members), channels_(channels), source_(source) {}

  void settle() {
    settle_split();
    settle_times();
    settle_names(about_.channel_names, about_.channel_units, channels_, "channel");
    settle_grid();
    settle_parameters();
  }

 private:
  [[noreturn]] void fail(const std::string& field, const std::string& message) const {
    throw InputError(source_, field, message);
  }

  void settle_split() {
    if (set_.members() == 0) {
      set_.valid = set_.test = std::max<std::int64_t>(1, std::llround(0.15 * static_cast<double>(members_)));
      set_.train = members_ - 2 * set_.valid;
    }
    if (set_.train < 2)
      fail("member", fmt::format("{} members leave {} for training, where 2 are needed", members_, set_.train));
    if (set_.valid < 1 || set_.test < 1)
      fail("member",
           fmt::format("{} validation and {} test members, at least 1 of each is needed", set_.valid, set_.test));
    if (set_.members() != members_)
      fail("member", fmt::format("{} members, where train, valid and test say {}", members_, set_.members()));
  }

  void settle_times() const {
    if (about_.frames < 2 || !(about_.frame_interval > 0) || !std::isfinite(about_.first_time + about_.frame_interval))
      fail("time",
           fmt::format("{} frames from {} on, {} apart", about_.frames, about_.first_time, about_.frame_interval));
  }

  void settle_grid() {
    Grid& grid = about_.grid;
    if (!grid.listed() && (grid.nx < 2 || grid.ny < 2 || !(grid.dx > 0 && grid.dy > 0) ||
                           !std::isfinite(grid.x0 + grid.width() + grid.y0 + grid.height())))
      fail("x", fmt::format("a grid of {} x {} nodes, {} and {} apart", grid.nx, grid.ny, grid.dx, grid.dy));
    if (grid.listed()) settle_list();
    if (const std::string fault = grid.fault(); !fault.empty()) fail("geometry", fault);
    for (const auto& [field, offsets] :
         {std::pair{"offset_x", &grid.offset_x}, std::pair{"offset_y", &grid.offset_y}}) {
      if (offsets->empty()) offsets->assign(static_cast<std::size_t>(channels_), 0.0);
      if (static_cast<std::int64_t>(offsets->size()) != channels_)
        fail(field, fmt::format("{} numbers for {} channels", offsets->size(), channels_));
      for (const double value : *offsets)
        if (!(std::abs(value) <= 1)) fail(field, fmt::format("{} is more than a cell", value));
    }
    const double size =
        static_cast<double>(members_) * static_cast<double>(about_.frames) * static_cast<double>(set_.frame_size());
    constexpr double most = 1e10;  // values, 40 GB
    if (size > most) fail("field", fmt::format("{:.1e} values, at most {:.0e} are possible", size, most));
  }

  /// Extent and spacing of a list follow from its places, as when a weights file is read.
  void settle_list() {
    Grid& grid = about_.grid;
    if (grid.geometry != Geometry::plane) fail("geometry", "a list of points lies on a plane");
    for (const auto& [field, places] : {std::pair{"x", &grid.x}, std::pair{"y", &grid.y}})
      for (const double place : *places)
        if (!std::isfinite(place)) fail(field, fmt::format("{} is not a place", place));
    if (grid.nx != static_cast<std::int64_t>(grid.x.size()) || grid.ny != 1)
      fail("x", fmt::format("{} places, where the grid has {} x {} nodes", grid.x.size(), grid.nx, grid.ny));
    try {
      Grid list = Grid::of_points(grid.x, grid.y, channels_);
      list.offset_x = std::move(grid.offset_x);
      list.offset_y = std::move(grid.offset_y);
      grid = std::move(list);
    } catch (const Error& error) {
      fail("x", error.what());
    }
  }

  void settle_names(std::vector<std::string>& names, std::vector<std::string>& units, std::int64_t count,
                    const std::string& what) {
    if (names.empty())
      for (std::int64_t i = 0; i < count; ++i) names.push_back(fmt::format("{}_{}", what, i));
    if (units.empty()) units.assign(names.size(), "1");
    check_names(names, count, false, source_, what + "_name");
    check_names(units, count, true, source_, what + "_units");
  }

  void settle_parameters() {
    const std::int64_t rows = members_ * (set_.varying ? about_.frames : 1);
    const auto size = static_cast<std::int64_t>(set_.parameters.size());
    if (size % rows != 0) fail("parameters", fmt::format("{} values, no multiple of {}", size, rows));
    const std::int64_t p = size / rows;
    if (p < 1 || p > 4096) fail("parameters", fmt::format("{} parameters, at least 1 and at most 4096", p));
    settle_names(about_.parameter_names, about_.parameter_units, p, "parameter");
    const auto columns = static_cast<std::size_t>(p);
    std::vector<double> low(columns, std::numeric_limits<double>::infinity());
    std::vector<double> high(columns, -std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < set_.parameters.size(); ++i) {
      const double value = set_.parameters[i];
      if (!std::isfinite(value)) fail("parameters", "holds a value that is not finite");
      low[i % columns] = std::min(low[i % columns], value);
      high[i % columns] = std::max(high[i % columns], value);
    }
    for (const auto& [field, range, values] : {std::tuple{"parameter_min", &about_.parameter_min, &low},
                                               std::tuple{"parameter_max", &about_.parameter_max, &high}}) {
      if (range->empty()) *range = *values;
      if (range->size() != columns) fail(field, fmt::format("{} numbers for {} parameters", range->size(), p));
    }
    for (std::size_t i = 0; i < columns; ++i) {
      const std::string& name = about_.parameter_names[i];
      const double least = about_.parameter_min[i];
      const double most = about_.parameter_max[i];
      if (!(least < most))
        fail("parameters",
             fmt::format("{} is the same everywhere: its prior range {} .. {} is empty", name, least, most));
      if (low[i] < least || high[i] > most)
        fail("parameters", fmt::format("{} has values from {} to {}, outside its prior range {} .. {}", name, low[i],
                                       high[i], least, most));
    }
  }

  Dataset& set_;
  Description& about_;
  std::int64_t members_;
  std::int64_t channels_;
  const std::string& source_;
};

}  // namespace

void check_names(const std::vector<std::string>& names, std::int64_t count, bool units, const std::string& source,
                 const std::string& field) {
  const auto fail = [&](const std::string& message) { throw InputError(source, field, message); };
  if (static_cast<std::int64_t>(names.size()) != count)
    fail(fmt::format("{} names, where {} are needed", names.size(), count));
  for (auto name = names.begin(); name != names.end(); ++name) {
    if (name->find(',') != std::string::npos) fail(fmt::format("\"{}\" holds a comma", *name));
    if (units) continue;
    if (name->empty()) fail(fmt::format("name {} is empty", name - names.begin()));
    if (std::find(names.begin(), name, *name) != name) fail(fmt::format("\"{}\" stands twice", *name));
  }
}

void settle_outline(Dataset& outline, std::int64_t members, std::int64_t channels, const std::string& source) {
  Outline(outline, members, channels, source).settle();
}

void check_between(const BetweenFrames& between, const Description& about, std::int64_t members,
                   const std::string& source) {
  const auto check = [&](const char* field, const auto& values, std::int64_t size, const auto& accepted,
                         const char* message) {
    if (static_cast<std::int64_t>(values.size()) != size)
      throw InputError(source, field, fmt::format("{} values, where {} are needed", values.size(), size));
    for (const auto value : values) {
      if (!std::isfinite(value)) throw InputError(source, field, "holds a value that is not finite");
      if (!accepted(value)) throw InputError(source, field, fmt::format("{} {}", value, message));
    }
  };
  const std::int64_t intervals = between.points > 0 ? members * (about.frames - 1) : 0;
  const std::int64_t places = intervals * between.points;
  check(
      "between_fraction", between.fraction, intervals, [](double value) { return value > 0 && value < 1; },
      "is not between 0 and 1");
  const char* outside = "is outside the domain";
  check(
      "between_x", between.x, places, [&](float place) { return about.grid.contains_x(place); }, outside);
  check(
      "between_y", between.y, places, [&](float place) { return about.grid.contains_y(place); }, outside);
  check(
      "between_field", between.values, places * about.channels(), [](float) { return true; }, "");
}

MomentSums::MomentSums(const Description& about)
    : names_(about.channel_names),
      areas_(grid_areas(about.grid, 1)),
      sum_(names_.size(), 0.0),
      squares_(sum_),
      count_(sum_) {}

void MomentSums::add(std::span<const float> frame) {
  const std::size_t cells = areas_.size();
  for (std::size_t channel = 0; channel < sum_.size(); ++channel) {
    const float* values = frame.data() + channel * cells;
    double part = 0;
    double part_squares = 0;
    for (std::size_t i = 0; i < cells; ++i) {
      if (std::isnan(values[i])) continue;
      part += areas_[i] * values[i];
      part_squares += areas_[i] * static_cast<double>(values[i]) * values[i];
      count_[channel] += areas_[i];
    }
    sum_[channel] += part;
    squares_[channel] += part_squares;
  }
}

Moments MomentSums::moments() const {
  Moments moments;
  for (std::size_t channel = 0; channel < sum_.size(); ++channel) {
    const double mean = sum_[channel] / count_[channel];
    moments.mean.push_back(mean);
    moments.deviation.push_back(std::sqrt(std::max(0.0, squares_[channel] / count_[channel] - mean * mean)));
    if (!(moments.deviation.back() > 0))
      throw Error(fmt::format("channel {} of the data set is constant, or has no values", names_[channel]));
  }
  return moments;
}

FieldSummary::FieldSummary(Dataset& set)
    : set_(set), moments_(set.about), any_valid_(set.about.channel_names.size(), false) {}

void FieldSummary::add(std::span<const float> fields, const std::string& source) {
  if (std::any_of(fields.begin(), fields.end(), [](float value) { return std::isinf(value); }))
    throw InputError(source, "field", "holds a value that is not finite");
  const auto some = [](std::span<const float> values) {
    return std::any_of(values.begin(), values.end(), [](float value) { return !std::isnan(value); });
  };
  any_value_ = any_value_ || some(fields);
  if (never_.empty()) never_.assign(static_cast<std::size_t>(set_.frame_size()), 1);
  for (std::size_t begin = 0; begin < fields.size() && std::count(never_.begin(), never_.end(), 1) > 0;
       begin += never_.size())
    for (std::size_t i = 0; i < never_.size(); ++i)
      if (!std::isnan(fields[begin + i])) never_[i] = 0;
  if (set_.fingerprint.empty()) checksum_.add(fields);
  const auto cells = static_cast<std::size_t>(set_.about.grid.cells());
  for (std::size_t channel = 0; channel < any_valid_.size(); ++channel)
    for (std::size_t begin = channel * cells;
         member_ >= set_.train && member_ < set_.first_test() && begin < fields.size() && !any_valid_[channel];
         begin += any_valid_.size() * cells)
      any_valid_[channel] = some(fields.subspan(begin, cells));
  const auto size = static_cast<std::size_t>(set_.frame_size());
  for (std::size_t begin = 0; member_ < set_.train && begin < fields.size(); begin += size)
    moments_.add(fields.subspan(begin, size));
  ++member_;
}

void FieldSummary::finish(const std::string& source) {
  if (!any_value_) throw InputError(source, "field", "holds no value at all");
  try {
    set_.moments = moments_.moments();
  } catch (const Error& error) {
    throw InputError(source, "field", error.what());
  }
  for (std::size_t channel = 0; channel < any_valid_.size(); ++channel)
    if (!any_valid_[channel])
      throw InputError(source, "field",
                       fmt::format("{} has no value in the validation members", set_.about.channel_names[channel]));
  if (std::count(never_.begin(), never_.end(), 1) > 0) set_.about.grid.never = std::move(never_);
  if (set_.fingerprint.empty()) set_.fingerprint = content(set_, checksum_);
}

}  // namespace levda::models
