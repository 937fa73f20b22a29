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

TEST_CASE("settings that a method cannot honour are refused; other methods' settings are left to those") {
  Config config = load_preset("tsunami", "small");  // it sets candidates
  REQUIRE(config.assimilation.candidates == 200);
  const auto refusal = [&](const std::string& text) {
    try {
      choose_method(config, text);
    } catch (const InputError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  for (const MethodRow& row : methods()) CHECK(refusal(row.key).empty());
  CHECK(refusal("etkf:annealing=[1]") ==
        "--methods: etkf:annealing=[1]: etkf does not read annealing, but inflation, relaxation");
  CHECK(refusal("free:inflation=2") == "--methods: free:inflation=2: free has no settings");
  CHECK(refusal("fourdenvar:parameter_walk=0.1").find("does not read parameter_walk") != std::string::npos);
  CHECK(refusal("levda:parameter_walk=0.1:gross_error=4:candidates=0").empty());
  config.assimilation.gross_error = 4;
  CHECK(refusal("levda").empty());
  CHECK(refusal("free").empty());
  CHECK(refusal("latent_etkf") ==
        "--methods: latent_etkf: cannot honour assimilation.gross_error = 4; give it to methods that can: "
        "levda:gross_error=4");
  config.assimilation.gross_error = 0;
  config.assimilation.parameter_walk = 0.1;
  CHECK(refusal("latent_ienks").empty());
  CHECK(refusal("ienks").find("cannot honour assimilation.parameter_walk = 0.1") != std::string::npos);
}

TEST_CASE("the keys that methods read are keys of the configuration") {
  Config config;
  std::set<std::string> known;
  for (const Key& key : keys(config)) known.insert(key.name);
  for (const MethodRow& row : methods())
    for (const std::string& name : row.reads) CHECK_MESSAGE(known.contains("assimilation." + name), name);
}

TEST_CASE("a method's settings; settings of all methods are refused") {
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
