#pragma once

/// The stages of a run and the files between them. In the folder of a run:
///   data.nc (data.safetensors in a build without NetCDF, which stops before the observations) ->
///   weights.safetensors (-> encoder-EXPERIMENT.safetensors) -> observations/EXPERIMENT-NN.nc ->
///   analysis/EXPERIMENT-NN.nc, .json -> results.json -> report.html, pictures/EXPERIMENT-CHANNEL.png
/// compare/ holds a comparison: scores/EXPERIMENT-TRUTH-DRAW-METHOD.json -> results.json, table.md, report.html

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiments/data/dataset_file.h"
#include "experiments/study/comparison.h"
#include "experiments/study/results.h"
#include "nn/folder_lock.h"

namespace levda::experiments {

struct RunOptions {
  Config config;
  std::filesystem::path out;
  std::filesystem::path data;          ///< empty: dataset_name() in out
  std::filesystem::path weights;       ///< empty: the shipped ones where they fit (run only), else those in out
  std::filesystem::path observations;  ///< assimilate this file only; empty: all of the twin experiments
  std::string experiment;  ///< of that file, or to be compared, warm or cold; empty: as the file says, or warm
  bool retrain = false;
  std::string command;         ///< as typed, for provenance
  std::function<bool()> stop;  ///< asked in long work: whether to leave; may be empty
  int threads = 1;
  std::vector<std::string> methods;               ///< to be compared
  bool validation = false;                        ///< a comparison on validation trajectories
  std::int64_t seeds = 1;                         ///< draws of the observation errors in a comparison
  std::string over;                               ///< what a sweep goes over, NAME=a,b,c
  std::int64_t batch = 0;                         ///< truths assimilated together; 0: one on the CPU, all on a GPU
  autodiff::Backend* backend = &autodiff::cpu();  ///< computes with the surrogate
};

class Pipeline {
 public:
  /// Throws InputError when the configuration contradicts itself, `out` cannot be written to or another run uses it.
  explicit Pipeline(RunOptions options);

  // Each stage does its work anew, but goes on where the same stage of the same configuration was interrupted. Throws
  // Interrupted when told to stop.
  void generate();
  void train();
  void encode();
  void observe();
  void assimilate();
  void calibrate();
  void report();
  /// Methods beside each other, from the data and weights of run: OUT/compare/.
  void compare();
  /// compare along one quantity: OUT/sweep/NAME/, a comparison for each value in a folder of its own.
  void sweep();
  /// All stages but encode, calibrate, compare and sweep; those whose outputs match the configuration are skipped.
  void run();

 private:
  std::filesystem::path data_path() const;
  std::filesystem::path weights_path() const;
  std::filesystem::path observation_path(const std::string& experiment, std::int64_t truth) const;
  std::filesystem::path analysis_path(const std::string& experiment, std::int64_t truth, const char* extension) const;
  std::string assimilation_fingerprint();
  std::string weights_checksum();
  /// Observations of a truth of this configuration. Throws InputError when the file is of another one.
  ObservationFile read_twin(const std::string& experiment, std::int64_t truth);
  /// Where no weights were given: those in `out` if they are of this configuration, else the shipped ones if these are.
  /// False when neither is.
  bool use_shipped_weights();
  /// For twin experiments: settles what the configuration leaves to the data. Throws InputError for a set that is not
  /// gridded or has missing values.
  void prepare_twin();
  /// The data set with the truths of both experiments from a finer solver, where the configuration wants them; from
  /// then on data() is that one. After prepare_twin, and after a training.
  void take_truths();
  /// For stages on their own: the shipped weights where there are none in `out`.
  void find_weights();
  /// See read_dataset.
  Dataset read_data(std::int64_t pool, Keep keep) const;
  /// With at least these fields in memory; where there is no training.pool, and so memory enough, with all. A larger
  /// need than before reads the set again: references to it end.
  const Dataset& data(Keep need = Keep::none);
  const models::Surrogate& surrogate();
  /// Per experiment and truth.
  using Finished = std::vector<std::vector<std::optional<TruthScores>>>;
  /// Scores of all truths, as far as they are there for this configuration.
  Finished finished_scores();
  /// Where the training trajectories are not in memory, for the truths that have no scores yet.
  std::optional<TrainingTable> training_table(const Finished& finished);
  /// The same; throws InputError when one is missing.
  std::vector<std::vector<TruthScores>> all_scores();
  void assimilate_one_file();
  /// What run begins with: data, settled configuration, weights.
  void provide();
  /// LD-EnSF's encoder of an experiment, from a folder, or trained into it where that is of another configuration.
  models::TrainedEncoder encoder_in(const std::filesystem::path& folder, const std::string& experiment);
  /// The comparison of this configuration, its table and results in a folder.
  Comparison compare_into(const std::filesystem::path& folder);

  RunOptions options_;
  nn::FolderLock lock_;
  std::optional<Dataset> data_;
  Keep kept_ = Keep::none;  // of data_
  std::optional<models::Surrogate> surrogate_;
  std::string weights_checksum_;
  std::string truths_taken_;  ///< which fine truths data() has; empty: none
};

/// Folder of the shipped weights: LEVDA_PRETRAINED of the environment, or where the program was built or installed
/// from.
std::filesystem::path pretrained_folder();

}  // namespace levda::experiments
