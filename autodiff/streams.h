#pragma once

/// The streams of random numbers of all rooms: the second argument of autodiff::Random. There is one list for each kind
/// of seed, and the streams of a list are distinct. "+ n" marks a first stream; the n-th user of it adds n.
///
/// Seeds of two kinds may be equal: all three seeds of a configuration are 1 unless it says otherwise. Then two streams
/// of the same number draw the same numbers, for example data.seed and training.seed at stream 1: the parameters of the
/// trajectories and the first weights of the dynamics. Nothing compares those draws with one another, and the shipped
/// data and weights depend on them, so their numbers stay.

#include <cstdint>

namespace levda::streams {

/// A stream that is used with a seed written in the code.
inline constexpr std::uint32_t operator_probe = 71;

/// Seeds of the models: KolmogorovSettings and AtmosphereSettings.
inline constexpr std::uint32_t atmosphere_eddies = 0;
inline constexpr std::uint32_t kolmogorov_noise = 0x4b01;
inline constexpr std::uint32_t kolmogorov_phases = 0x4b02;

/// data.seed.
inline constexpr std::uint32_t uniform_parameters = 0;  // step: member
inline constexpr std::uint32_t even_parameters = 1;
inline constexpr std::uint32_t between_frames = 2;  // step: member

/// training.seed.
inline constexpr std::uint32_t dynamics_weights = 1;
inline constexpr std::uint32_t decoder_weights = 2;
inline constexpr std::uint32_t fourier_features = 3;
inline constexpr std::uint32_t training_pool = 90;    // step: member
inline constexpr std::uint32_t training_order = 100;  // step: epoch
inline constexpr std::uint32_t points_once = 101;     // step: member and frame
inline constexpr std::uint32_t points_between_once = 102;
inline constexpr std::uint32_t batch_points = 1000;  // + group; step: step of the training

/// encoder.seed.
inline constexpr std::uint32_t encoder_weights = 0;
inline constexpr std::uint32_t encoder_noise = 1000;        // + member; step: step of the training
inline constexpr std::uint32_t encoder_starts = 2'000'000;  // + member; step: step of the training

/// The seed of the twin experiments. The position of the experiment (warm, cold) is added; step: truth.
inline constexpr std::uint32_t truth_order = 10;
inline constexpr std::uint32_t start_frame = 20;
inline constexpr std::uint32_t observation_noise = 30;  // + further_draw draw
inline constexpr std::uint32_t prior_members = 40;
inline constexpr std::uint32_t score_members = 50;  // + 10 for warm + method; step: truth and time
inline constexpr std::uint32_t sensor_places = 70;
inline constexpr std::uint32_t gross_errors = 80;  // + further_draw draw
inline constexpr std::uint32_t candidate_members = 90;

/// Distances between streams of the twin experiments.
inline constexpr std::uint32_t further_draw = 1000;       // of the observation errors
inline constexpr std::uint32_t forecast_scores = 100000;  // from scores of analyses to those of forecasts

/// The seed of a problem (da::Problem).
inline constexpr std::uint32_t window_draws = 60;
inline constexpr std::uint32_t filter_draws = 61;
inline constexpr std::uint32_t parameter_walk = 62;
inline constexpr std::uint32_t ld_ensf_samples = 64;  // step: frame

/// A seed that EnSF draws at each analysis.
inline constexpr std::uint32_t ensf_probe = 62;
inline constexpr std::uint32_t ensf_members = 63;  // step: member

}  // namespace levda::streams
