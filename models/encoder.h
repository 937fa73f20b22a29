#pragma once

/// The observation encoder of LD-EnSF (Xiao et al., arXiv 2411.19305): it turns all observations up to a time into a
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
/// [-1, 1]. mean and deviation are those of the training targets, per component. They are frozen weights, which the
/// published encoder does not have; latent states are far from unit variance.
class ObservationEncoder {
 public:
  /// Random weights from the seed; mean 0, deviation 1.
  ObservationEncoder(const EncoderArchitecture& architecture, std::uint64_t seed);

  const EncoderArchitecture& architecture() const { return architecture_; }
  const nn::Parameters& parameters() const { return parameters_; }
  nn::Parameters& parameters() { return parameters_; }
  /// Both (d + p), deviation > 0.
  void set_targets(const std::vector<double>& mean, const std::vector<double>& deviation);

  /// The memory of a sequence; empty before its first step.
  using State = nn::Lstm::State;
  /// The next step: y_t (rows, m) -> [s_t; u] (rows, d + p). `w` is the list of weights, from Parameters::on or
  /// constants.
  autodiff::Var step(autodiff::Inputs w, const autodiff::Var& observed, State& state) const;
  /// Whole sequences: (times, rows, m) -> (times, rows, d + p). The bits are those of step by step.
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

/// The frames of a sequence: every `every`-th of `frames` frames, from a first frame in first_start .. last_start on.
struct SequenceFrames {
  std::string experiment;  ///< cold: from frame 0; warm: from an unknown frame
  std::int64_t first_start = 0;
  std::int64_t last_start = 0;
  std::int64_t frames = 0;
  std::int64_t every = 1;

  std::int64_t times() const { return (frames + every - 1) / every; }
  std::int64_t starts() const { return last_start - first_start + 1; }
  friend bool operator==(const SequenceFrames&, const SequenceFrames&) = default;
};

/// A trained encoder and the meaning of its inputs: the contents of its file. The values of a time are ordered like
/// those of twin experiments: sensors outermost, channels innermost.
struct TrainedEncoder {
  ObservationEncoder net;
  SequenceFrames sequences;         ///< frames that it was trained for
  std::vector<std::int64_t> cells;  ///< sensors: j nx + i on the grid, each with all channels
  std::vector<std::string> channel_names;
  std::vector<double> field_mean;  ///< per channel, physical units
  std::vector<double> field_std;
  std::string surrogate;                          ///< checksum of the surrogate of the latent states
  std::map<std::string, std::string> provenance;  ///< command, seed, version, time, machine, figures

  /// Values of any number of times, physical units, in the order of the sensors -> (value - mean) / deviation.
  std::vector<double> normal_observations(std::span<const double> physical) const;
};

/// Format "levda-encoder-2". Both throw InputError naming the file and the field; the network is loaded on the CPU.
void save_encoder(const std::filesystem::path& path, const TrainedEncoder& encoder);
TrainedEncoder load_encoder(const std::filesystem::path& path);

/// Throws InputError naming `source` and the field unless the encoder was trained for this surrogate, which has the
/// given checksum.
void check_fits(const TrainedEncoder& encoder, const std::string& source, const Surrogate& surrogate,
                const std::string& checksum);

}  // namespace levda::models
