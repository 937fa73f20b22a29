#pragma once

/// gnuplot as a process.

#include <string>
#include <string_view>

namespace levda::experiments {

/// Runs a script, which must set a terminal but no output, and returns what the terminal wrote. The user's
/// own start-up files are not read. Throws Error: gnuplot is missing, or its first complaint when it fails.
std::string run_gnuplot(std::string_view script);

/// A string literal of gnuplot in which nothing is expanded; control characters become spaces.
std::string gnuplot_literal(std::string_view text);

}  // namespace levda::experiments
