#pragma once

/// The observation encoder of LD-EnSF (Xiao et al., arXiv 2411.19305): what the sensors have seen up to now, as a
/// latent state and parameters of the surrogate.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "models/surrogate.h"
#include "nn/lstm.h"

namespace levda::models {

struct EncoderArchitecture {
  std::int64_t observed = 0;  ///< values at a time, m
  std::int64_t hidden = 128;
  std::int64_t latent = 0;      ///< d
  std::int64_t parameters = 0;  ///< p

  std::int64_t outputs() const { return latent + parameters; }
  friend bool operator==(const EncoderArchitecture&, const EncoderArchitecture&) = default;
};

/// One LSTM layer and a linear layer at every step:
///   h_t = LSTM(y_t, h_{t-1}),  [s_t; u] = mean + deviation (V h_t + b)
/// y_t (m) are normalised observations, s_t (d) the surrogate's latent state at their time, u (p) the parameters in
/// [-1, 1]. mean and deviation are those of the targets over training, per component: ours, since latents are far from
/// unit variance. They are frozen weights.
class ObservationEncoder {
 public:
  /// Random weights from the seed; mean 0, deviation 1.
  ObservationEncoder(const EncoderArchitecture& architecture, std::uint64_t seed);

  const EncoderArchitecture& architecture() const { return architecture_; }
  const nn::Parameters& parameters() const { return parameters_; }
  nn::Parameters& parameters() { return parameters_; }
  /// Both (d + p), deviation > 0.
  void set_targets(const std::vector<double>& mean, const std::vector<double>& deviation);

  /// The memory of a sequence; an empty one is that before its first step.
  using State = nn::Lstm::State;
  /// The next step: y_t (rows, m) -> [s_t; u] (rows, d + p). `w` is the list of weights, from Parameters::on or
  /// constants.
  autodiff::Var step(autodiff::Inputs w, const autodiff::Var& observed, State& state) const;
  /// Whole sequences: (times, rows, m) -> (times, rows, d + p). The same bits as step by step.
  autodiff::Var encode(autodiff::Inputs w, const autodiff::Var& observed) const;
  /// The sum of ((encode(observed) - target) / deviation)^2, a scalar; target (times, rows, d + p).
  autodiff::Var squared_error(autodiff::Inputs w, const autodiff::Var& observed, const autodiff::Var& target) const;

 private:
  EncoderArchitecture architecture_;
  nn::Parameters parameters_;
  nn::Lstm lstm_;
  nn::Linear output_;
  std::size_t mean_;
  std::size_t deviation_;
};

/// nx x ny sensors at the cells (i nx_grid / nx, j ny_grid / ny) of a grid, where all channels are observed.
struct SensorGrid {
  std::int64_t nx = 0;
  std::int64_t ny = 0;

  /// Positions j nx_grid + i of the sensors' cells, x innermost.
  std::vector<std::int64_t> cells(const Grid& grid) const;
};

/// A trained encoder with what its inputs mean: the contents of its file. The values of a time are ordered sensors
/// outermost (y, then x), channels innermost, as those of twin experiments on a grid of sensors are. The first time of
/// a sequence is frame 0 of a trajectory, and every frame is seen.
struct TrainedEncoder {
  ObservationEncoder net;
  SensorGrid sensors;
  std::vector<std::string> channel_names;
  std::vector<double> field_mean;  ///< per channel, physical units
  std::vector<double> field_std;
  std::string surrogate;                          ///< checksum of the one that the latent states are of
  std::map<std::string, std::string> provenance;  ///< command, seed, version, time, machine, figures

  /// Values of any number of times, physical units, in the order of the sensors -> (value - mean) / deviation.
  std::vector<double> normal_observations(std::span<const double> physical) const;
};

/// Format "levda-encoder-1". Both throw InputError naming the file and the field; the network is loaded on the CPU.
void save_encoder(const std::filesystem::path& path, const TrainedEncoder& encoder);
TrainedEncoder load_encoder(const std::filesystem::path& path);

/// Throws InputError naming `source` and the field unless the encoder is one of this surrogate, whose checksum is
/// given.
void check_fits(const TrainedEncoder& encoder, const std::string& source, const Surrogate& surrogate,
                const std::string& checksum);

}  // namespace levda::models
