/// The registry of methods.

#include "experiments/twin/methods.h"

#include <doctest/doctest.h>

#include <set>

#include "autodiff/error.h"

using namespace levda::experiments;
using levda::InputError;

TEST_CASE("keys of methods are distinct, and each makes its method where it needs no more than settings") {
  const Config config = load_preset("tsunami", "small");
  const levda::models::Description about = {};
  std::set<std::string> keys;
  for (const MethodRow& row : methods()) {
    CAPTURE(row.key);
    CHECK(keys.insert(row.key).second);
    CHECK(&find_method(row.key) == &row);
    if (row.key != "letkf" && row.key != "ldensf") CHECK(row.make({.config = config, .about = about}) != nullptr);
  }
  CHECK_THROWS_WITH_AS(find_method("ldensf").make({.config = config, .about = about}),
                       "--methods: ldensf: needs an encoder", InputError);
}

TEST_CASE("a method's own settings; what all methods share is refused") {
  const Config config = load_preset("tsunami", "small");
  const ChosenMethod plain = choose_method(config, "etkf");
  CHECK(plain.row->key == "etkf");
  CHECK(plain.config.assimilation.relaxation == 0);
  const ChosenMethod own = choose_method(config, "letkf:relaxation=0.5:localisation=0.05");
  CHECK(own.row->key == "letkf");
  CHECK(own.name == "letkf:relaxation=0.5:localisation=0.05");
  CHECK(own.config.assimilation.relaxation == 0.5);
  CHECK(own.config.assimilation.localisation == 0.05);
  CHECK_NOTHROW(choose_method(config, "levda:window=5:shift=2"));
  const std::vector<std::string> names = split_methods("etkf,levda:annealing=[30,5,1]:starts=2,free");
  CHECK(names == std::vector<std::string>{"etkf", "levda:annealing=[30,5,1]:starts=2", "free"});
  CHECK_THROWS_AS(split_methods("levda:annealing=[30,etkf"), InputError);
  CHECK(choose_method(config, names[1]).config.assimilation.annealing == std::vector<double>{30, 5, 1});
  for (const char* text :
       {"levda:members=5", "levda:window=5", "levda:magic=1", "levda:", "magic", "etkf:relaxation=2"})
    CHECK_THROWS_AS_MESSAGE(choose_method(config, text), InputError, text);
}
