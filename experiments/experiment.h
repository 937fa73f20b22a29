#pragma once

/// The folder of a run, and the experiment that its stages share: settled configuration, data set, surrogate. Files in
/// the folder:
///   data.nc (data.safetensors in a build without NetCDF, which stops before the observations) ->
///   weights.safetensors (-> encoder-EXPERIMENT.safetensors) -> observations/EXPERIMENT-NN.nc ->
///   analysis/EXPERIMENT-NN.nc, .json -> results.json -> report.html, pictures/EXPERIMENT-CHANNEL.png
/// compare/ holds a comparison: scores/EXPERIMENT-TRUTH-DRAW-METHOD.json -> results.json, table.md, report.html

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "experiments/data/dataset_file.h"
#include "models/surrogate.h"
#include "nn/folder_lock.h"

namespace levda::experiments {

/// Settings that every stage gets.
struct Request {
  Config config;
  std::filesystem::path out;
  std::filesystem::path data;       ///< empty: dataset_name() in out
  std::filesystem::path weights;    ///< empty: weights.safetensors in out, see open
  std::string command = {};         ///< as typed, for provenance
  std::function<bool()> stop = {};  ///< long work calls it and leaves when it is true; may be empty
  int threads = 1;
  autodiff::Backend* backend = &autodiff::cpu();  ///< computes with the surrogate

  std::filesystem::path data_path() const;
  std::filesystem::path weights_path() const;
  std::filesystem::path observation_path(const std::string& experiment, std::int64_t truth) const;
  std::filesystem::path analysis_path(const std::string& experiment, std::int64_t truth, const char* extension) const;
  bool stopped() const { return stop && stop(); }
};

/// Parts of an experiment that a stage needs.
struct Needs {
  /// Fields of the data set that stay in memory. Without a training.pool there is enough memory, and all stay.
  Keep keep = Keep::none;
  bool surrogate = true;
  /// Twin experiments: a complete gridded data set, with a settled configuration and finer truths where
  /// observations.refinement asks for them.
  bool twin = true;
  bool members = false;  ///< the surrogate was trained on this data set's trajectories
};

/// An experiment that open() has checked as a whole. It is immutable; copies share data set and surrogate.
struct Experiment {
  Request request;  ///< with the settled configuration and the weights that were found
  Needs needs;
  std::shared_ptr<const Dataset> data;
  std::string fine_truths;  ///< which test trajectories a finer solver has made; empty: none
  std::shared_ptr<const models::Surrogate> surrogate;
  std::string weights;  ///< checksum of the surrogate's contents

  const Config& config() const { return request.config; }
};

/// Reads and checks everything once. Where the folder has no weights and none are given, the shipped ones are taken if
/// they are of this configuration. The data set and the surrogate of `from` are shared where they suffice. Throws
/// InputError naming the file and the field: data and weights that do not match, a configuration that contradicts the
/// data set.
Experiment open(Request request, const Needs& needs, const Experiment* from = nullptr);

/// The device with this name, cpu or cuda, set to products in this precision. Throws InputError when this machine does
/// not have them.
autodiff::Backend& choose_device(const std::string& device, const std::string& matmul);

/// The data set of the request. Throws InputError when it is of another case; see read_dataset.
Dataset read_data(const Request& request, std::int64_t pool, Keep keep);

/// The surrogate of the request, on its device.
std::shared_ptr<const models::Surrogate> read_surrogate(const Request& request);

/// The folder of a run, locked. Files that a killed run left unfinished are removed. Throws InputError when the folder
/// cannot be written to or another run uses it.
class RunFolder {
 public:
  explicit RunFolder(const std::filesystem::path& out);

 private:
  nn::FolderLock lock_;
};

/// Takes the weights in the folder if they are of this configuration and data set, else the shipped ones if these are.
/// Returns false when neither are. Given weights are not checked here.
bool choose_weights(Request& request, const Dataset& data);

/// The configuration in the metadata of weights or of an encoder; "" where the file is missing.
std::string trained_configuration(const std::filesystem::path& path);

/// Folder of the shipped weights: LEVDA_PRETRAINED of the environment, or where the program was built or installed
/// from.
std::filesystem::path pretrained_folder();

}  // namespace levda::experiments
