#include "autodiff/streams.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

// The header is read as text, so that a stream that somebody adds is checked too.
TEST_CASE("the streams of random numbers of one kind of seed are distinct") {
  std::ifstream file(LEVDA_STREAMS);
  REQUIRE(file);
  std::vector<std::vector<unsigned long>> lists(1);
  std::string line;
  std::size_t streams = 0;
  while (std::getline(file, line)) {
    if (line.starts_with("///")) lists.emplace_back();
    if (!line.starts_with("inline constexpr std::uint32_t ")) continue;
    std::string number = line.substr(line.find("= ") + 2);
    std::erase(number, '\'');
    lists.back().push_back(std::stoul(number, nullptr, 0));
    ++streams;
  }
  CHECK(streams >= 30);
  for (std::vector<unsigned long>& list : lists) {
    std::sort(list.begin(), list.end());
    CHECK(std::adjacent_find(list.begin(), list.end()) == list.end());
  }
  static_assert(levda::streams::operator_probe != levda::streams::sensor_places);
}
