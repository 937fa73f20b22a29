#include "experiments/data/cases.h"

#include <fmt/format.h>

#include "autodiff/error.h"

namespace levda::experiments {

const std::vector<Case>& cases() {
  static const std::vector<Case> all{tsunami_case(), kolmogorov_case(), atmosphere_case()};
  return all;
}

std::int64_t step_of_frame(const DataConfig& data, std::int64_t frame) {
  return (frame + data.first_frame) * data.steps_per_frame;
}

DataConfig refined(const DataConfig& data, std::int64_t times) {
  DataConfig fine = data;
  fine.nodes *= times;
  fine.steps_per_frame *= times;
  fine.refinement = times;
  return fine;
}

const Case& find_case(const std::string& name) {
  std::string known;
  for (const Case& system : cases()) {
    if (system.name == name) return system;
    known += (known.empty() ? "" : ", ") + system.name;
  }
  throw InputError("CASE", name, fmt::format("unknown; there are {}", known));
}

}  // namespace levda::experiments
