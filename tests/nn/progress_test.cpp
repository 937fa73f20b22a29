#include "nn/progress.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <stdlib.h>  // posix_openpt
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>

using levda::nn::Progress;

namespace {

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

std::string contents(std::FILE* file) {
  std::rewind(file);
  std::string text;
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  return text;
}

}  // namespace

TEST_CASE("progress: plain lines where there is no terminal, the last one always") {
  const std::unique_ptr<std::FILE, Close> out(std::tmpfile());
  REQUIRE(out != nullptr);
  {
    Progress progress("train", 1000, out.get());
    for (std::int64_t step = 1; step <= 1000; ++step) progress.update(step, "loss 0.5");
    CHECK(progress.seconds() >= 0);
  }
  const std::string text = contents(out.get());
  CHECK(text.find("train: 1000/1000") != std::string::npos);
  CHECK(text.ends_with("  loss 0.5\n"));
  CHECK(text.find('\r') == std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') <= 3);  // one every ten seconds
}

TEST_CASE("progress: null is silent") {
  Progress progress("train", 2, nullptr);
  progress.update(1);
  progress.update(2);
  CHECK(progress.seconds() >= 0);
}

TEST_CASE("progress: on a narrow terminal each line fits, without escape codes; a failure's text cannot break it") {
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return;  // a machine without pseudo-terminals
  for (const int width : {1, 20, 40, 200}) {
    const std::unique_ptr<std::FILE, Close> out(std::fopen(ptsname(master), "r+"));
    REQUIRE(out != nullptr);
    winsize size{.ws_row = 10, .ws_col = static_cast<unsigned short>(width), .ws_xpixel = 0, .ws_ypixel = 0};
    REQUIRE(ioctl(fileno(out.get()), TIOCSWINSZ, &size) == 0);
    {
      Progress progress("train", 1000, out.get());
      progress.update(1, "loss 0.5, a\nlong \x1b[31mfailure\r" + std::string(100, 'x') + "\u00e9");
      progress.update(1000);
    }
    std::string text;
    char block[4096];
    for (ssize_t n = 0; (n = read(master, block, sizeof(block))) > 0;) text.append(block, static_cast<std::size_t>(n));
    std::istringstream lines(text);
    int shown = 0;
    for (std::string line; std::getline(lines, line, '\r'); ++shown) {
      CAPTURE(line);
      line.erase(0, line.starts_with('\n') ? 1 : 0);
      CHECK(line.size() < static_cast<std::size_t>(std::max(width, 2)));
      CHECK(std::all_of(line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) >= ' '; }));
      if (width == 200 && !line.empty()) CHECK(line.find('[') != std::string::npos);  // the bar
    }
    CHECK(shown >= 3);
  }
  close(master);
}

TEST_CASE("progress: what cannot be written is dropped") {
  const std::unique_ptr<std::FILE, Close> full(std::fopen("/dev/full", "w"));
  if (full == nullptr) return;
  Progress progress("train", 2, full.get());
  CHECK_NOTHROW(progress.update(1, "details"));
  CHECK_NOTHROW(progress.update(2));
  CHECK_NOTHROW(levda::nn::write_note(full.get(), "1\n"));
  CHECK_NOTHROW(levda::nn::write_note(nullptr, "1\n"));
}
