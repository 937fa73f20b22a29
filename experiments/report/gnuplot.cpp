#include "experiments/report/gnuplot.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <sstream>

#include "autodiff/error.h"

namespace levda::experiments {

namespace {

/// A nameless temporary file. The three streams of the process are files, not pipes: nothing can block or be
/// killed by SIGPIPE, however much either side writes.
class Stream {
 public:
  Stream() : file_(std::tmpfile(), &std::fclose) {
    if (!file_) throw Error(fmt::format("gnuplot: no temporary file: {}", std::strerror(errno)));
  }
  int descriptor() const { return fileno(file_.get()); }

  void write(std::string_view text) {
    const bool written = std::fwrite(text.data(), 1, text.size(), file_.get()) == text.size();
    if (!written || std::fflush(file_.get()) != 0)
      throw Error(fmt::format("gnuplot: its script cannot be written: {}", std::strerror(errno)));
    std::rewind(file_.get());
  }

  std::string read() {
    std::rewind(file_.get());
    std::string text;
    char block[1 << 16];
    while (const std::size_t n = std::fread(block, 1, sizeof block, file_.get())) text.append(block, n);
    return text;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

/// "line 12: undefined function: f" where gnuplot says so, else its first line that is not blank.
std::string first_complaint(const std::string& messages) {
  std::istringstream lines(messages);
  std::string first;
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, line.find_first_not_of(" \t"));
    constexpr std::string_view place = "\"/dev/stdin\" ";
    if (line.starts_with(place) && line.find("warning:") == std::string::npos) return line.substr(place.size());
    if (first.empty()) first = line;
  }
  return first;
}

}  // namespace

std::string run_gnuplot(std::string_view script) {
  Stream in;
  Stream out;
  Stream messages;
  in.write(script);

  posix_spawn_file_actions_t streams;
  posix_spawn_file_actions_init(&streams);
  posix_spawn_file_actions_adddup2(&streams, in.descriptor(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&streams, out.descriptor(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&streams, messages.descriptor(), STDERR_FILENO);
  char name[] = "gnuplot";
  char no_start_up_files[] = "-d";
  char script_file[] = "/dev/stdin";  // as a file it is read in blocks, else byte by byte
  char* arguments[] = {name, no_start_up_files, script_file, nullptr};
  pid_t process = 0;
  const int error = posix_spawnp(&process, name, &streams, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&streams);
  if (error == ENOENT) throw Error("gnuplot: not found; install gnuplot-nox");
  if (error != 0) throw Error(fmt::format("gnuplot: cannot be started: {}", std::strerror(error)));

  int status = 0;
  while (waitpid(process, &status, 0) < 0)
    if (errno != EINTR) throw Error(fmt::format("gnuplot: lost: {}", std::strerror(errno)));
  if (WIFSIGNALED(status)) throw Error(fmt::format("gnuplot: killed by signal {}", WTERMSIG(status)));
  if (WEXITSTATUS(status) != 0) {
    const std::string complaint = first_complaint(messages.read());
    throw Error("gnuplot: " + (complaint.empty() ? fmt::format("exit status {}", WEXITSTATUS(status)) : complaint));
  }
  return out.read();
}

std::string gnuplot_literal(std::string_view text) {
  std::string literal = "'";
  for (const char c : text) {
    if (c == '\'') literal += '\'';
    literal += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return literal + "'";
}

}  // namespace levda::experiments
