#pragma once

/// Training of LD-EnSF's observation encoder, for a trained surrogate.

#include "experiments/training/training.h"
#include "models/encoder.h"

namespace levda::experiments {

/// The frames of an experiment's sequences, of which the encoder sees every observations.every-th: for cold, whole
/// trajectories from frame 0 on, as published; for warm, assimilation.frames frames from a start in start_min ..
/// start_max on, where the LSTM begins without a memory. Throws InputError where there are too few frames.
models::SequenceFrames sequence_frames(const Config& config, const models::Description& about,
                                       const std::string& experiment);

/// Trains the encoder of an experiment as in Xiao et al. (LD-EnSF, arXiv 2411.19305): the loss is the
/// mean squared error of the surrogate's latent state and the normalised parameters at every time of a sequence, in
/// units of their standard deviations; each step of Adam has one sequence of each training trajectory. Unlike the
/// published training, the learning rate falls to 0 along a cosine; with encoder.noise > 0 every step draws new normal
/// errors of the observations; for warm every step draws new start frames. The sensors are observations.sensors and
/// stay in place.
///
/// Its provenance has, over validation and test trajectories, encoder_errors without and with noise of
/// observations.sigma, which are printed too; its network is on the CPU. options.placement is not used. Throws
/// Interrupted when told to stop, after a checkpoint, and InputError: scattered sensors, a list of points, missing
/// values at a sensor, a surrogate that was trained on other trajectories, a checkpoint of another configuration.
models::TrainedEncoder train_encoder(const Config& config, const Dataset& data, const models::Surrogate& surrogate,
                                     const std::string& experiment, const TrainingOptions& options);

/// Everything that the encoder depends on.
std::string encoder_fingerprint(const Config& config, const Dataset& data, const models::Surrogate& surrogate,
                                const std::string& experiment);

struct EncoderErrors {
  double latent = 0;     ///< root of (mean squared error / mean square) of the latent states
  double parameter = 0;  ///< root mean squared error, in prior ranges
};

/// Over members [first, last), one sequence of each, against the surrogate's latent states from s = 0 with the true
/// parameters. Member i starts at the i-th of the possible frames, cyclically. Observations have normal
/// errors of `noise` standard deviations of their channel, drawn from the seed.
EncoderErrors encoder_errors(const models::TrainedEncoder& encoder, const models::Surrogate& surrogate,
                             const Dataset& data, std::int64_t first, std::int64_t last, double noise,
                             std::int64_t seed);

/// Reads an encoder of this surrogate. Throws InputError.
models::TrainedEncoder read_encoder(const std::filesystem::path& path, const models::Surrogate& surrogate);

}  // namespace levda::experiments
