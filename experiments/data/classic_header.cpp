#include "experiments/data/classic_header.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <vector>

#include "autodiff/error.h"

namespace levda::experiments {

namespace {

constexpr std::array<std::uint64_t, 12> bytes_of_type{0, 1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8};

class Header {
 public:
  explicit Header(const std::filesystem::path& path)
      : file_(path, std::ios::binary), size_(std::filesystem::file_size(path)) {}

  /// Throws Error with the fault.
  void check() {
    const std::uint64_t magic = integer(4);
    version_ = magic & 0xff;
    if (magic >> 8 != 0x434446 || (version_ != 1 && version_ != 2 && version_ != 5))
      throw Error("not a NetCDF file of a kind that is known");
    records_ = count();
    if (records_ == (version_ == 5 ? ~std::uint64_t{0} : 0xffffffff))
      throw Error("the number of records was never written");
    for (std::uint64_t i = list(0x0a); i > 0; --i) read_dimension();
    attributes();
    std::vector<Variable> variables;
    for (std::uint64_t i = list(0x0b); i > 0; --i) variables.push_back(read_variable());
    check_ends(variables);
  }

 private:
  struct Variable {
    std::string name;
    bool recorded = false;
    std::uint64_t bytes = 0;  // of all values, or of those of one record
    std::uint64_t begin = 0;
  };

  [[noreturn]] static void damaged(const std::string& what) { throw Error("a damaged header: " + what); }

  std::uint64_t integer(int bytes) {
    std::array<unsigned char, 8> read{};
    file_.read(reinterpret_cast<char*>(read.data()), bytes);
    if (!file_) throw Error("truncated within its header");
    at_ += static_cast<std::uint64_t>(bytes);
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value = value << 8 | read[i];
    return value;
  }
  std::uint64_t count() { return integer(version_ == 5 ? 8 : 4); }

  /// Entries of a list; there are no more than bytes.
  std::uint64_t list(std::uint64_t wanted) {
    const std::uint64_t tag = integer(4);
    const std::uint64_t entries = count();
    if ((tag != wanted && tag != 0) || (tag == 0 && entries != 0)) damaged(fmt::format("a list with the tag {}", tag));
    if (entries > size_) throw Error("truncated within its header");
    return entries;
  }

  void skip(std::uint64_t bytes) {
    const std::uint64_t padded = bytes + (4 - bytes % 4) % 4;
    if (bytes > size_ || padded > size_ - at_) throw Error("truncated within its header");
    file_.seekg(static_cast<std::streamoff>(padded), std::ios::cur);
    at_ += padded;
  }

  std::string name() {
    const std::uint64_t length = count();
    if (length == 0 || length > 256) damaged(fmt::format("a name of {} letters", length));
    std::string text(static_cast<std::size_t>(length), '\0');
    for (char& letter : text) letter = static_cast<char>(integer(1));
    while (at_ % 4 != 0) integer(1);
    if (text.find('\0') != std::string::npos || text.find('/') != std::string::npos) damaged("a name that is none");
    return text;
  }

  std::uint64_t type() {
    const std::uint64_t found = integer(4);
    if (found < 1 || found > (version_ == 5 ? 11U : 6U)) damaged(fmt::format("a type of number {}", found));
    return found;
  }

  void read_dimension() {
    name();
    dimensions_.push_back(count());
    if (dimensions_.back() == 0 && recorded_ >= 0) damaged("two unlimited dimensions");
    if (dimensions_.back() == 0) recorded_ = static_cast<std::int64_t>(dimensions_.size()) - 1;
  }

  void attributes() {
    for (std::uint64_t i = list(0x0c); i > 0; --i) {
      name();
      const std::uint64_t bytes = bytes_of_type[type()];
      const std::uint64_t values = count();
      if (values > size_) throw Error("truncated within its header");
      skip(values * bytes);
    }
  }

  Variable read_variable() {
    Variable variable{.name = name()};
    const std::uint64_t rank = count();
    if (rank > 1024) damaged(fmt::format("{} dimensions of {}", rank, variable.name));
    std::uint64_t values = 1;
    for (std::uint64_t i = 0; i < rank; ++i) {
      const std::uint64_t id = count();
      if (id >= dimensions_.size()) damaged(fmt::format("a dimension of {} that is not there", variable.name));
      const bool unlimited = static_cast<std::int64_t>(id) == recorded_;
      if (unlimited && i > 0) damaged(fmt::format("the unlimited dimension of {} is not its first", variable.name));
      variable.recorded = variable.recorded || unlimited;
      if (!unlimited) values = product(values, dimensions_[static_cast<std::size_t>(id)]);
    }
    attributes();
    variable.bytes = product(values, bytes_of_type[type()]);
    count();  // its size, which follows from the others and may be wrong for large ones
    variable.begin = integer(version_ == 1 ? 4 : 8);
    return variable;
  }

  std::uint64_t product(std::uint64_t a, std::uint64_t b) const {
    if (b != 0 && a > size_ / b) throw Error("truncated: it is shorter than its header says");
    return a * b;
  }

  void check_ends(const std::vector<Variable>& variables) const {
    std::uint64_t record = 0;  // bytes, each variable padded unless it is alone
    std::uint64_t alone = 0;
    for (const Variable& variable : variables)
      if (variable.recorded) {
        record += variable.bytes + (4 - variable.bytes % 4) % 4;
        ++alone;
        if (record > 2 * size_ + 4 && records_ > 0) throw Error("truncated: it is shorter than its header says");
      }
    for (const Variable& variable : variables) {
      const std::uint64_t stride = alone == 1 ? variable.bytes : record;
      const std::uint64_t others = variable.recorded && records_ > 1 ? product(records_ - 1, stride) : 0;
      const std::uint64_t last = variable.recorded && records_ == 0 ? 0 : variable.bytes;
      if (last == 0) continue;
      if (variable.begin < at_) damaged(fmt::format("{} lies within the header", variable.name));
      if (variable.begin > size_ || others > size_ - variable.begin || last > size_ - variable.begin - others)
        throw Error(fmt::format("truncated: {} bytes, where {} ends behind them", size_, variable.name));
    }
  }

  std::ifstream file_;
  std::uint64_t size_;
  std::uint64_t at_ = 0;
  std::uint64_t version_ = 0;
  std::uint64_t records_ = 0;
  std::int64_t recorded_ = -1;  // the unlimited dimension
  std::vector<std::uint64_t> dimensions_;
};

}  // namespace

std::string classic_fault(const std::filesystem::path& path) {
  try {
    Header(path).check();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace levda::experiments
