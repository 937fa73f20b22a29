#pragma once

/// The process: its standard streams, and the signals that stop it.

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <string_view>

#include "nn/progress.h"

namespace levda::experiments {

/// To be called once, first of all. Standard streams that are closed become /dev/null, so that no file of ours gets
/// their descriptors. A broken pipe and a limit of file sizes are errors of writing. SIGINT, SIGTERM and SIGHUP stop
/// the program: stop_signal() says so, and work that has not left one second later is ended with exit code 128 + signal
/// and without temporary files. A second signal ends it at once. An ignored SIGHUP (nohup) stays ignored. Throws
/// std::system_error where no thread can be made.
void prepare_process();

/// The signal that stops the program; 0: none came.
int stop_signal();

/// Work that saves itself when it is told to stop, and is waited for.
class SavesItself {
 public:
  SavesItself();
  ~SavesItself();
  SavesItself(const SavesItself&) = delete;
  SavesItself& operator=(const SavesItself&) = delete;
};

/// Says something about the work. Text that cannot be written is dropped; see nn::write_note.
template <typename... Args>
void tell(std::FILE* out, fmt::format_string<Args...> format, Args&&... args) {
  if (out != nullptr) nn::write_note(out, fmt::format(format, std::forward<Args>(args)...));
}

/// Prints a result to stdout, at once, with blanks for control characters. When that fails the work goes on.
void print_result(std::string_view text);

/// Why a result could not be printed; empty: all were.
std::string print_failure();

}  // namespace levda::experiments
