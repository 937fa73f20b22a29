#include "autodiff/error.h"

#include <doctest/doctest.h>

using levda::InputError;

TEST_CASE("error: what a file is quoted with stays one line of bearable length") {
  CHECK(std::string(InputError("a", "b", "c").what()) == "a: b: c");
  CHECK(std::string(InputError("a", "", "c").what()) == "a: c");
  CHECK(std::string(InputError("a", "x\ny", "\x1b[1mtab\tnul\x7f, é").what()) == "a: x y:  [1mtab nul , é");
  const std::string page(100000, 'x');
  CHECK(std::string(InputError("a", page, page).what()).size() < 1000);
}
