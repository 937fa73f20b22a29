#pragma once

/// Settings of a surrogate's networks and of their training.

#include <vector>

#include "models/ldnet.h"

namespace levda {

namespace models {

/// The form in which the decoder gets coordinates.
enum class Embedding : std::uint8_t {
  natural,  ///< on a sphere the place in space, otherwise functions that are periodic where the domain is
  plane     ///< the coordinates as they are
};

enum class OptimiserChoice : std::uint8_t { adam, soap };

/// Course of the learning rate.
enum class RateSchedule : std::uint8_t {
  cosine,  ///< falls to 0 along half a cosine
  step     ///< is multiplied by `decay` every `decay_epochs`
};

/// When the points of a frame are drawn.
enum class PointDraw : std::uint8_t {
  afresh,  ///< at each step
  once     ///< once for each (trajectory, frame)
};

/// The networks. parameters, channels and, with Embedding::natural, geometry are those of the data set.
struct NetworkSettings : LdnetArchitecture {
  NetworkSettings() { latent_dt = 0; }  ///< 0: 4 / frames

  Embedding embedding = Embedding::natural;
  std::vector<double> field_min = {};  ///< (c): these values become -1 and 1 for the network; empty: z-scores
  std::vector<double> field_max = {};
};

struct TrainingSettings {
  std::int64_t seed = 1;  ///< of weights and batches
  OptimiserChoice optimiser = OptimiserChoice::soap;
  std::int64_t steps = 20000;
  std::int64_t trajectories = 8;  ///< of a step, with all their frames
  std::int64_t points = 16;       ///< of each frame in a step
  std::int64_t between = 16;      ///< points of each time between frames, where the data have such times
  double rate = 3e-3;             ///< learning rate at the start
  double clip = 1;                ///< largest global norm of the gradient
  std::int64_t tile = 16;         ///< frames decoded together in one thread's cache
  std::int64_t validate_every = 500;
  RateSchedule schedule = RateSchedule::cosine;
  double decay = 0.5;
  std::int64_t decay_epochs = 200;  ///< an epoch visits each trajectory once
  PointDraw draw = PointDraw::afresh;
  std::int64_t finetune_steps = 0;  ///< further steps of the decoder alone
  double finetune_rate = 1e-4;      ///< falls to 0 along a cosine
};

/// All settings, one "key = value" per line.
std::string text_of(const NetworkSettings& network, const TrainingSettings& settings);

}  // namespace models

template <>
inline constexpr std::array choices<nn::FourierFeatures::Draw>{Choice{nn::FourierFeatures::Draw::normal, "normal"},
                                                               Choice{nn::FourierFeatures::Draw::uniform, "uniform"}};
template <>
inline constexpr std::array choices<models::Embedding>{Choice{models::Embedding::natural, "natural"},
                                                       Choice{models::Embedding::plane, "plane"}};
template <>
inline constexpr std::array choices<models::OptimiserChoice>{Choice{models::OptimiserChoice::adam, "adam"},
                                                             Choice{models::OptimiserChoice::soap, "soap"}};
template <>
inline constexpr std::array choices<models::RateSchedule>{Choice{models::RateSchedule::cosine, "cosine"},
                                                          Choice{models::RateSchedule::step, "step"}};
template <>
inline constexpr std::array choices<models::PointDraw>{Choice{models::PointDraw::afresh, "afresh"},
                                                       Choice{models::PointDraw::once, "once"}};

}  // namespace levda
