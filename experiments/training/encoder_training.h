#pragma once

/// Training of LD-EnSF's observation encoder, for a trained surrogate.

#include "experiments/training/training.h"
#include "models/encoder.h"

namespace levda::experiments {

/// The frames that an experiment's encoder sees, at every observations.every-th of them: of cold whole trajectories
/// from frame 0 on, as published; of warm assimilation.frames from one in start_min .. start_max on, where the LSTM
/// begins without a memory. Throws InputError where there are not so many.
models::SequenceFrames sequence_frames(const Config& config, const models::Description& about,
                                       const std::string& experiment);

/// Trains the encoder of an experiment as in Xiao et al. (LD-EnSF, arXiv 2411.19305): at every time of a sequence the
/// mean squared error of the surrogate's latent state and the normalised parameters, in units of their own standard
/// deviations, with a sequence of each training trajectory in each step of Adam. Ours: the learning rate falls to 0
/// along a cosine; with encoder.noise > 0 every step draws fresh normal errors for the observations (the published
/// encoder sees none); of warm every step draws fresh start frames. The sensors are observations.sensors that stay in
/// place.
///
/// Its provenance has, over validation and test trajectories, encoder_errors without and with noise of
/// observations.sigma, which are printed too; its network is on the CPU. options.placement is not used. Throws
/// Interrupted when told to stop, after a checkpoint, and InputError: scattered sensors, a list of points, missing
/// values at a sensor, a surrogate that was trained on other trajectories, a checkpoint of another configuration.
models::TrainedEncoder train_encoder(const Config& config, const Dataset& data, const models::Surrogate& surrogate,
                                     const std::string& experiment, const TrainingOptions& options);

/// What the encoder depends on.
std::string encoder_fingerprint(const Config& config, const Dataset& data, const models::Surrogate& surrogate,
                                const std::string& experiment);

struct EncoderErrors {
  double latent = 0;     ///< root of (mean squared error / mean square) of the latent states
  double parameter = 0;  ///< root mean squared error, in prior ranges
};

/// Over members [first, last), one sequence of each, against the surrogate's latent states from s = 0 with the true
/// parameters. Member i starts at the i-th of the possible frames, and so on round again. Observations have normal
/// errors of `noise` standard deviations of their channel, drawn from the seed.
EncoderErrors encoder_errors(const models::TrainedEncoder& encoder, const models::Surrogate& surrogate,
                             const Dataset& data, std::int64_t first, std::int64_t last, double noise,
                             std::int64_t seed);

/// Reads an encoder of this surrogate. Throws InputError.
models::TrainedEncoder read_encoder(const std::filesystem::path& path, const models::Surrogate& surrogate);

}  // namespace levda::experiments
