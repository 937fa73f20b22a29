#include "experiments/data/notes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <set>

#include "nn/progress.h"

namespace levda::experiments {

void note(const std::string& source, const std::string& message) {
  static std::set<std::string> said;
  std::string line = fmt::format("note: {}: {}", source, message);
  for (char& c : line)  // it may quote the file
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = ' ';
  if (said.insert(line).second) nn::write_note(stderr, line + '\n');
}

std::string lower_case(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

bool looks_like_flags(const std::string& name) {
  constexpr std::array parts{"qc", "flag", "quality", "qualif", "reject", "blacklist", "status", "usage"};
  return std::any_of(parts.begin(), parts.end(),
                     [plain = lower_case(name)](const char* part) { return plain.find(part) != std::string::npos; });
}

}  // namespace levda::experiments
