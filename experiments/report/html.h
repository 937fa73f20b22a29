#pragma once

#include <string>
#include <string_view>

namespace levda::experiments {

/// The files page.css and page.js, compiled in.
std::string_view page_css();
std::string_view page_js();

/// Text for HTML, also inside a quoted attribute.
inline std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&': html += "&amp;"; break;
      case '<': html += "&lt;"; break;
      case '>': html += "&gt;"; break;
      case '"': html += "&quot;"; break;
      case '\'': html += "&#39;"; break;
      default: html += c;
    }
  }
  return html;
}

}  // namespace levda::experiments
