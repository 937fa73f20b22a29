/// levda_parity CASES.json ANSWERS.json: levda's side of the comparison with PyTorch (compare.py runs it). Writes the
/// names of all operations and, for every case and draw, the answers in float64 and float32.

#include <exception>
#include <fstream>
#include <iostream>

#include "autodiff/op.h"
#include "tests/parity/graph.h"

int main(int argc, char** argv) {
  using nlohmann::json;
  using namespace levda;
  if (argc != 3) {
    std::cerr << "usage: levda_parity CASES.json ANSWERS.json\n";
    return 2;
  }
  std::string at = argv[1];
  try {
    json result{{"operations", json::array()}, {"answers", json::array()}};
    for (const autodiff::Op* op : autodiff::operations()) result["operations"].push_back(op->name);
    std::ifstream in(argv[1]);
    for (const json& parity_case : json::parse(in)) {
      at = parity_case.at("name");
      json draws = json::array();
      for (const json& draw : parity_case.at("draws"))
        draws.push_back({{"float64", testing::answer(parity_case, draw, autodiff::DType::float64)},
                         {"float32", testing::answer(parity_case, draw, autodiff::DType::float32)}});
      result["answers"].push_back(std::move(draws));
    }
    at = argv[2];
    std::ofstream out(argv[2]);
    out << result;
    if (!out.flush()) throw std::runtime_error("cannot be written");
  } catch (const std::exception& error) {
    std::cerr << at << ": " << error.what() << '\n';
    return 1;
  }
  return 0;
}
