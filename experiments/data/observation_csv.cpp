#include "experiments/data/observation_csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "autodiff/error.h"

namespace levda::experiments {

namespace {

constexpr std::array<const char*, 10> column_names{"time",      "x",  "y",  "channel",  "value",
                                                   "error_std", "qc", "op", "extent_x", "extent_y"};

enum Column : std::size_t {
  time_column,
  x_column,
  y_column,
  channel_column,
  value_column,
  error_column,
  qc_column,  // from here on they may be left out
  op_column,
  extent_x_column,
  extent_y_column
};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r";
  const std::size_t first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

/// The fields of a line; a comma inside double quotes does not end one.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  std::size_t begin = 0;
  bool quoted = false;
  for (std::size_t i = 0; i <= line.size(); ++i) {
    if (i < line.size() && line[i] == '"') quoted = !quoted;
    if (i < line.size() && (line[i] != ',' || quoted)) continue;
    std::string_view field = trimmed(line.substr(begin, i - begin));
    if (field.size() >= 2 && field.front() == '"' && field.back() == '"') field = field.substr(1, field.size() - 2);
    fields.push_back(field);
    begin = i + 1;
  }
  return fields;
}

template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

class Parser {
 public:
  Parser(const std::string& source, const models::Description& about) : source_(source), about_(about) {
    position_.fill(absent);
  }

  void add_line(std::string_view line) {
    ++line_;
    if (line_ == 1 && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);  // byte order mark of spreadsheets
    line = trimmed(line);
    if (line.empty() || line.starts_with('#')) return;
    const std::vector<std::string_view> fields = fields_of(line);
    if (width_ == 0)
      read_header(fields);
    else
      read_row(fields);
  }

  da::Observations finish() {
    if (width_ == 0) throw InputError(source_, "", "is empty: the first line names the columns");
    return std::move(observations_);
  }

 private:
  static constexpr std::size_t absent = static_cast<std::size_t>(-1);

  [[noreturn]] void fail(Column column, const std::string& message) const {
    throw InputError(source_, column_names[column], fmt::format("line {}: {}", line_, message));
  }

  void read_header(const std::vector<std::string_view>& fields) {
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const auto known = std::find(column_names.begin(), column_names.end(), fields[i]);
      if (known == column_names.end()) continue;
      std::size_t& position = position_[known - column_names.begin()];
      if (position != absent) fail(static_cast<Column>(known - column_names.begin()), "the column stands twice");
      position = i;
    }
    for (std::size_t c = 0; c < qc_column; ++c)
      if (position_[c] == absent && !(c == y_column && about_.grid.height() == 0))
        fail(static_cast<Column>(c),
             fmt::format("no such column; {} are needed",
                         fmt::join(column_names.begin(), column_names.begin() + qc_column, ", ")));
    width_ = fields.size();
  }

  void read_row(const std::vector<std::string_view>& fields) {
    if (fields.size() != width_)
      throw InputError(source_, fmt::format("line {}", line_),
                       fmt::format("{} fields, where the first line names {}", fields.size(), width_));
    const auto real = [&](Column column) {
      const std::string_view text = fields[position_[column]];
      const auto value = number<double>(text);
      if (!value) fail(column, fmt::format("\"{}\" is not a number", text));
      return *value;
    };
    std::int32_t quality = da::used;
    if (position_[qc_column] != absent) {
      const std::string_view text = fields[position_[qc_column]];
      const auto value = number<std::int32_t>(text);
      if (!value) fail(qc_column, fmt::format("\"{}\" is not a whole number", text));
      quality = *value;
    }
    const auto real_or_0 = [&](Column column) { return position_[column] == absent ? 0 : real(column); };
    const std::string op(position_[op_column] == absent ? "value" : fields[position_[op_column]]);
    observations_.add(real(time_column), real(x_column), real_or_0(y_column),
                      channel_of(fields[position_[channel_column]]), real(value_column), real(error_column), quality,
                      op, real_or_0(extent_x_column), real_or_0(extent_y_column));
  }

  std::int64_t channel_of(std::string_view text) const {
    const auto known = std::find(about_.channel_names.begin(), about_.channel_names.end(), text);
    if (known != about_.channel_names.end()) return known - about_.channel_names.begin();
    const auto position = number<std::int64_t>(text);
    if (!position || *position < 0 || *position >= about_.channels())
      fail(channel_column,
           fmt::format("\"{}\" is not a channel of the surrogate ({})", text, fmt::join(about_.channel_names, ", ")));
    return *position;
  }

  const std::string& source_;
  const models::Description& about_;
  std::array<std::size_t, column_names.size()> position_{};
  std::size_t width_ = 0;  // fields of a line; 0 before the header
  std::size_t line_ = 0;
  da::Observations observations_;
};

}  // namespace

da::Observations parse_observations_csv(std::string_view text, const std::string& source,
                                        const models::Description& about) {
  Parser parser(source, about);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    parser.add_line(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parser.finish();
}

}  // namespace levda::experiments
