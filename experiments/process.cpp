#include "experiments/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <semaphore.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <thread>

#include "nn/atomic_file.h"

namespace levda::experiments {

namespace {

struct Stop {
  int signal;
  const char* name;
};
constexpr std::array stops{Stop{SIGINT, "SIGINT"}, Stop{SIGTERM, "SIGTERM"}, Stop{SIGHUP, "SIGHUP"}};

using Milliseconds = std::int64_t;
constexpr Milliseconds grace = 1000;  // for work that does not save itself
constexpr Milliseconds echo = 200;    // timeout(1), shells and sudo pass the same signal on a second time

// All of them are lock-free: the handler uses them.
std::atomic<int> first_signal = 0;
std::atomic<Milliseconds> first_time = 0;
std::atomic<bool> again = false;
std::atomic<int> saving = 0;
sem_t told;
int failure = 0;  // errno of the first result that was not printed

Milliseconds now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<Milliseconds>(time.tv_sec) * 1000 + time.tv_nsec / 1000000;
}

void on_signal(int signal) {
  const int saved = errno;
  Milliseconds never = 0;
  first_time.compare_exchange_strong(never, now());
  int none = 0;
  if (!first_signal.compare_exchange_strong(none, signal) && now() - first_time > echo && again.exchange(true))
    _exit(128 + signal);  // the third time, whatever the watcher does
  sem_post(&told);
  errno = saved;
}

/// Waits for a signal, then for the work to leave, and ends the process where it does not.
void watch() {
  while (sem_wait(&told) != 0) continue;
  for (Milliseconds begin = now(); !again && now() - begin < grace;) {
    if (saving > 0) begin = now();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  nn::abandon_files();
  const int signal = first_signal;
  const auto* stop = std::find_if(stops.begin(), stops.end(), [&](const Stop& s) { return s.signal == signal; });
  const std::string message = fmt::format("{}levda: stopped by {}; files that are finished stay\n",
                                          isatty(STDERR_FILENO) != 0 ? "\n" : "", stop->name);
  // Not through stderr: the work may hold it, stuck in a pipe that nobody reads.
  pollfd ready{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (poll(&ready, 1, 0) == 1) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, message.data(), message.size());
  }
  _exit(128 + signal);
}

}  // namespace

void prepare_process() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    // It gets the lowest free descriptor. Writing to it fails, as to a closed stream.
    if (fcntl(stream, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0) break;
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  sem_init(&told, 0, 0);
  std::thread(watch).detach();
  for (const Stop& stop : stops)
    if (std::signal(stop.signal, on_signal) == SIG_IGN && stop.signal == SIGHUP) std::signal(SIGHUP, SIG_IGN);
}

int stop_signal() { return first_signal; }

SavesItself::SavesItself() { ++saving; }
SavesItself::~SavesItself() { --saving; }

void print_result(std::string_view text) {
  std::string shown(text);
  for (char& c : shown)
    if ((static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t') || c == 0x7f) c = ' ';
  const bool written = std::fwrite(shown.data(), 1, shown.size(), stdout) == shown.size();
  if ((!written || std::fflush(stdout) != 0) && failure == 0) failure = errno;
}

std::string print_failure() { return failure == 0 ? "" : std::strerror(failure); }

}  // namespace levda::experiments
