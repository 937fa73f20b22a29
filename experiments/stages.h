#pragma once

/// The stages of a run. A stage that was interrupted goes on where it was, if the configuration is the same. All throw
/// InputError, and Interrupted when told to stop.

#include <string>
#include <vector>

#include "experiments/experiment.h"

namespace levda::experiments {

/// The solver's data set: OUT/data.*.
void generate(const Request& request);

/// The surrogate: OUT/weights.safetensors. data: null, or the data set in memory, which is
/// used unless there is a training.pool.
void train(const Request& request, const Dataset* data = nullptr);

/// LD-EnSF's encoders for both experiments: OUT/encoder-EXPERIMENT.safetensors.
void encode(const Experiment& experiment);

/// Twin observations of all truths: OUT/observations/.
void observe(const Experiment& experiment);

/// Assimilates all twin observations and scores them: OUT/analysis/, OUT/results.json. batch: truths assimilated
/// together; 0: one on the CPU, all on a GPU.
void assimilate(const Experiment& experiment, std::int64_t batch = 0);

/// Assimilates one file of observations; needs no data set: OUT/analysis.nc.
struct FileOptions {
  std::filesystem::path observations;
  std::string experiment;  ///< warm or cold; empty: as the file says, else warm
};
void assimilate_file(const Request& request, const FileOptions& options);

/// OUT/report.html and OUT/pictures/ of finished analyses; prints the score table.
void report(const Experiment& experiment);

/// Fits LEVDA's error variances on validation truths of an experiment (warm or cold); prints the keys to set.
void calibrate(const Request& request, const std::string& experiment);

struct CompareOptions {
  std::vector<std::string> methods;
  std::int64_t draws = 1;
  std::string experiment = "warm";
  bool validation = false;  ///< truths are validation trajectories, into OUT/validation/
};
/// Scores methods on the same truths and noise, with the data and weights of run: OUT/compare/.
void compare(const Request& request, const CompareOptions& options);

/// compare for each value of over, NAME=a,b,c: OUT/sweep/NAME/VALUE/.
void sweep(const Request& request, const CompareOptions& options, const std::string& over);

/// generate, train, observe, assimilate and report; stages whose outputs match the configuration are skipped. retrain:
/// trains instead of taking the shipped weights.
void run(const Request& request, bool retrain = false, std::int64_t batch = 0);

}  // namespace levda::experiments
