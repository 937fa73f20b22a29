#include "experiments/data/observation_csv.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "autodiff/error.h"
#include "experiments/data/notes.h"

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

/// Names a file that is not lines of UTF-8; empty where it may be.
std::string dialect_fault(std::string_view text) {
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) return "is UTF-16, where UTF-8 is needed";
  if (text.substr(0, 4096).find('\0') != std::string_view::npos) return "is not text (UTF-16 without its mark?)";
  if (text.find('\n') == std::string_view::npos && text.find('\r') != std::string_view::npos)
    return "has lines that end with CR, where LF or CR LF is needed";
  return "";
}

/// What stands between the names of columns in place of commas; empty where nothing does.
std::string separator_fault(std::string_view header) {
  if (header.find(',') != std::string_view::npos) return "";
  for (const auto& [letter, name] : {std::pair{';', "semicolons"}, {'\t', "tabs"}, {'|', "bars"}, {' ', "blanks"}})
    if (header.find(letter) != std::string_view::npos)
      return fmt::format("the first line has {}, where commas are needed", name);
  return "";
}

/// Makes entries of the fields of rows.
class Parser {
 public:
  Parser(const CsvTable& table, const std::string& source, const models::Description& about)
      : table_(table), source_(source), about_(about) {
    check_case(source, table.names);
    const auto require = [&](const char* name) {
      if (table.column(name) < 0)
        throw InputError(
            source, name,
            fmt::format("line {}: no such column; time, x, y, channel, value, error_std are needed", table.header));
    };
    require("channel");
    for (const NumberColumn& column : number_columns)
      if (is_needed(column, about)) require(column.name);
  }

  da::Observations all() {
    for (row_ = 0; row_ < table_.rows.size(); ++row_) add_row();
    return std::move(observations_);
  }

 private:
  void add_row() {
    const std::vector<std::string_view>& fields = table_.rows[row_];
    const std::string line = fmt::format("line {}: ", table_.lines[row_]);
    const auto text_of = [&](const char* column) -> std::optional<std::string_view> {
      const std::int64_t found = table_.column(column);
      return found < 0 ? std::nullopt : std::optional(fields[static_cast<std::size_t>(found)]);
    };
    const auto number_of = [&]<typename T>(const char* column, T without, const char* kind) {
      const auto text = text_of(column);
      const std::optional<T> value = text ? number<T>(*text) : without;
      if (!value) throw InputError(source_, column, fmt::format("{}\"{}\" is not {}", line, *text, kind));
      return *value;
    };
    da::Observations& o = observations_;
    for (const NumberColumn& column : number_columns)
      (o.*column.values).push_back(number_of(column.name, 0.0, "a number"));
    o.channel.push_back(channel_of(*text_of("channel"), about_, source_, "channel", true, line));
    o.qc.push_back(number_of("qc", static_cast<std::int32_t>(da::used), "a whole number"));
    o.op.emplace_back(text_of("op").value_or("value"));
  }

  const CsvTable& table_;
  const std::string& source_;
  const models::Description& about_;
  std::size_t row_ = 0;
  da::Observations observations_;
};

bool is_known(std::string_view name) {
  return std::find(other_columns.begin(), other_columns.end(), name) != other_columns.end() ||
         std::any_of(number_columns.begin(), number_columns.end(),
                     [&](const NumberColumn& column) { return column.name == name; });
}

}  // namespace

const std::string& unit_of_axis(const models::Description& about, char axis) {
  return axis == 't' ? about.time_unit : axis == 'y' ? about.unit_y() : about.place_unit;
}

void check_case(const std::string& source, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string known = lower_case(name);
    if (known != name && is_known(known) && std::find(names.begin(), names.end(), known) == names.end())
      throw InputError(source, name, fmt::format("differs from the name that is read only by case; name it {}", known));
  }
}

void note_unread(const std::string& source, std::vector<std::string> names) {
  const auto others = std::stable_partition(names.begin(), names.end(), [](const std::string& name) {
    return name.find(':') == std::string::npos && looks_like_flags(name);
  });
  const std::vector<std::string> flags(names.begin(), others);
  names.erase(names.begin(), others);
  if (!flags.empty())
    note(source,
         fmt::format("not read: {}, which {} like quality flags: flags are read by the name of qc, and 0 is good",
                     fmt::join(flags, ", "), flags.size() == 1 ? "looks" : "look"));
  if (!names.empty()) note(source, fmt::format("not read: {}", fmt::join(names, ", ")));
}

std::int64_t CsvTable::column(std::string_view name) const {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? -1 : found - names.begin();
}

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

CsvTable read_csv_table(std::string_view text, const std::string& source) {
  if (const std::string fault = dialect_fault(text); !fault.empty()) throw InputError(source, "", fault);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte order mark of spreadsheets
  CsvTable table;
  for (std::int64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.starts_with('#')) continue;
    const std::vector<std::string_view> fields = fields_of(line);
    if (table.names.empty()) {
      if (const std::string fault = separator_fault(line); !fault.empty()) throw InputError(source, "", fault);
      table.header = number;
      for (const std::string_view name : fields) {
        if (is_known(name) && table.column(name) >= 0)
          throw InputError(source, std::string(name), fmt::format("line {}: the column stands twice", number));
        table.names.emplace_back(name);
      }
      continue;
    }
    if (fields.size() != table.names.size())
      throw InputError(source, fmt::format("line {}", number),
                       fmt::format("{} fields, where the first line names {}", fields.size(), table.names.size()));
    table.rows.push_back(fields);
    table.lines.push_back(number);
  }
  if (table.names.empty()) throw InputError(source, "", "is empty: the first line names the columns");
  return table;
}

da::Observations parse_observations_csv(std::string_view text, const std::string& source,
                                        const models::Description& about, std::vector<std::int64_t>* lines) {
  CsvTable table = read_csv_table(text, source);
  da::Observations observations = Parser(table, source, about).all();
  std::erase_if(table.names, [](const std::string& name) { return is_known(name); });
  note_unread(source, table.names);
  if (lines != nullptr) *lines = std::move(table.lines);
  return observations;
}

}  // namespace levda::experiments
