#include "experiments/data/observation_csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>

#include "autodiff/error.h"

namespace levda::experiments {

namespace {

constexpr std::array other_columns{"channel", "qc", "op"};

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
  Parser(const std::string& source, const models::Description& about) : source_(source), about_(about) {}

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
  [[noreturn]] void fail(std::string_view column, const std::string& message) const {
    throw InputError(source_, std::string(column), fmt::format("line {}: {}", line_, message));
  }

  void read_header(const std::vector<std::string_view>& fields) {
    const auto is_known = [](std::string_view name) {
      return std::find(other_columns.begin(), other_columns.end(), name) != other_columns.end() ||
             std::any_of(number_columns.begin(), number_columns.end(),
                         [&](const NumberColumn& column) { return column.name == name; });
    };
    for (std::size_t i = 0; i < fields.size(); ++i)
      if (is_known(fields[i]) && !position_.emplace(fields[i], i).second) fail(fields[i], "the column stands twice");
    const auto require = [&](const char* name) {
      if (!position_.contains(name)) fail(name, "no such column; time, x, y, channel, value, error_std are needed");
    };
    require("channel");
    for (const NumberColumn& column : number_columns)
      if (is_needed(column, about_)) require(column.name);
    width_ = fields.size();
  }

  void read_row(const std::vector<std::string_view>& fields) {
    if (fields.size() != width_)
      throw InputError(source_, fmt::format("line {}", line_),
                       fmt::format("{} fields, where the first line names {}", fields.size(), width_));
    const auto text_of = [&](const char* column) -> std::optional<std::string_view> {
      const auto found = position_.find(column);
      return found == position_.end() ? std::nullopt : std::optional(fields[found->second]);
    };
    const auto number_of = [&]<typename T>(const char* column, T without, const char* kind) {
      const auto text = text_of(column);
      const std::optional<T> value = text ? number<T>(*text) : without;
      if (!value) fail(column, fmt::format("\"{}\" is not {}", *text, kind));
      return *value;
    };
    da::Observations& o = observations_;
    for (const NumberColumn& column : number_columns)
      (o.*column.values).push_back(number_of(column.name, 0.0, "a number"));
    o.channel.push_back(
        channel_of(*text_of("channel"), about_, source_, "channel", true, fmt::format("line {}: ", line_)));
    o.qc.push_back(number_of("qc", static_cast<std::int32_t>(da::used), "a whole number"));
    o.op.emplace_back(text_of("op").value_or("value"));
  }

  const std::string& source_;
  const models::Description& about_;
  std::map<std::string, std::size_t, std::less<>> position_;  // of the columns that there are
  std::size_t width_ = 0;                                     // fields of a line; 0 before the header
  std::size_t line_ = 0;
  da::Observations observations_;
};

}  // namespace

bool is_needed(const NumberColumn& column, const models::Description& about) {
  return column.needed && !(column.values == &da::Observations::y && about.grid.height() == 0);
}

std::int64_t channel_of(std::string_view text, const models::Description& about, const std::string& source,
                        const char* field, bool positions, const std::string& before) {
  const auto known = std::find(about.channel_names.begin(), about.channel_names.end(), text);
  if (known != about.channel_names.end()) return known - about.channel_names.begin();
  const auto position = positions ? number<std::int64_t>(text) : std::nullopt;
  if (!position || *position < 0 || *position >= about.channels())
    throw InputError(source, field,
                     fmt::format("{}\"{}\" is not a channel of the surrogate ({})", before, text,
                                 fmt::join(about.channel_names, ", ")));
  return *position;
}

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
