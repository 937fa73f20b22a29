#include "nn/progress.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
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
