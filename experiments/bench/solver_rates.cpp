/// Grid points x time steps per second of the solvers: best and median of some samples, on one thread and with one
/// trajectory on each of all threads. solver_rates.sh runs it beside jax-cfd.

#include <fmt/format.h>
#include <oneapi/tbb/info.h>
#include <oneapi/tbb/parallel_for.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "models/kolmogorov.h"
#include "models/tsunami.h"

namespace {

using namespace levda::models;

/// Advances a separate trajectory by one step.
using Trajectory = std::function<void()>;

struct Solver {
  std::string name;
  std::int64_t points;
  std::function<Trajectory()> start;
};

template <typename T>
Solver kolmogorov(std::int64_t nodes) {
  const auto model = std::make_shared<const Kolmogorov>(KolmogorovSettings{.nodes = nodes});
  return {fmt::format("kolmogorov {} {}", nodes, sizeof(T) == sizeof(float) ? "float32" : "float64"), nodes * nodes,
          [model] {
            std::vector<double> initial(static_cast<std::size_t>(model->state_size()));
            model->initial_state(initial);
            return [model, state = std::vector<T>(initial.begin(), initial.end()),
                    scratch = std::vector<T>(static_cast<std::size_t>(model->scratch_size()))]() mutable {
              model->step<T>(state, 1000, scratch);
            };
          }};
}

Solver tsunami(std::int64_t nodes) {
  const auto model = std::make_shared<const Tsunami>(TsunamiSettings{.nodes = nodes});
  return {fmt::format("tsunami {} float64", nodes), nodes * nodes, [model, nodes] {
            std::vector<double> state(static_cast<std::size_t>(model->state_size()));
            model->initial_state(std::array{0.3, 0.4}, state);
            return [model, state, scratch = std::vector<double>(static_cast<std::size_t>(3 * nodes))]() mutable {
              model->step(state, scratch);
            };
          }};
}

void measure(const Solver& solver, int threads, double seconds) {
  std::vector<Trajectory> trajectories;
  for (int k = 0; k < threads; ++k) trajectories.push_back(solver.start());
  const auto steps = std::max<std::int64_t>(10, 400'000 / solver.points);
  const auto all = [&] {
    oneapi::tbb::parallel_for(std::size_t{0}, trajectories.size(), [&](std::size_t k) {
      for (std::int64_t i = 0; i < steps; ++i) trajectories[k]();
    });
  };
  using Clock = std::chrono::steady_clock;
  std::vector<double> rates;
  all();
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (rates.size() < 3 || Clock::now() < end) {
    const auto start = Clock::now();
    all();
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    rates.push_back(static_cast<double>(solver.points * steps * threads) / took);
  }
  std::sort(rates.begin(), rates.end());
  fmt::print("{} {} best {:.4g} median {:.4g}\n", solver.name,
             threads == 1 ? "1 thread" : fmt::format("{} threads", threads), rates.back(), rates[rates.size() / 2]);
}

/// States that jax_cfd_rate.py compares: Kolmogorov's initial field and the field an outer step later, in float64.
void write_states(const std::string& file, std::int64_t nodes) {
  const Kolmogorov model({.nodes = nodes});
  std::vector<double> state(static_cast<std::size_t>(model.state_size()));
  std::vector<double> scratch(static_cast<std::size_t>(model.scratch_size()));
  model.initial_state(state);
  std::ofstream out(file, std::ios::binary);
  const auto write = [&] {
    out.write(reinterpret_cast<const char*>(state.data()), static_cast<std::streamsize>(state.size() * sizeof(double)));
  };
  write();
  for (std::int64_t k = 0; k < model.steps_per_outer(); ++k) model.step<double>(state, 1000, scratch);
  write();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Grid points x time steps per second of the solvers");
  double seconds = 1;
  std::string only;
  std::string states;
  std::int64_t nodes = 64;
  app.add_option("--seconds", seconds, "for the samples of one figure");
  app.add_option("--only", only, "solvers whose names begin so");
  app.add_option("--states", states, "write Kolmogorov's first and second state into a file, and measure nothing");
  app.add_option("--nodes", nodes, "of --states");
  CLI11_PARSE(app, argc, argv);
  if (!states.empty()) {
    write_states(states, nodes);
    return 0;
  }
  const int all = oneapi::tbb::info::default_concurrency();
  for (const std::int64_t n : {64, 150})
    for (const Solver& solver : {kolmogorov<double>(n), kolmogorov<float>(n), tsunami(n)}) {
      if (!solver.name.starts_with(only)) continue;
      measure(solver, 1, seconds);
      if (all > 1) measure(solver, all, seconds);
    }
}
