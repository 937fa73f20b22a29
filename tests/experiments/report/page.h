#pragma once

/// Pieces of HTML text.

#include <string>
#include <utility>

namespace levda::testing {

inline std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

/// The value of an attribute in double quotes, the first of that name.
inline std::string attribute(const std::string& html, const std::string& name) {
  const std::size_t begin = html.find(name + "=\"") + name.size() + 2;
  std::string value = html.substr(begin, html.find('"', begin) - begin);
  for (const auto& [code, text] :
       {std::pair{"&lt;", "<"}, {"&gt;", ">"}, {"&quot;", "\""}, {"&#39;", "'"}, {"&amp;", "&"}})
    for (std::size_t at = 0; (at = value.find(code, at)) != std::string::npos; ++at)
      value.replace(at, std::string(code).size(), text);
  return value;
}

}  // namespace levda::testing
