#pragma once

/// Twin experiments: truths from test trajectories, observations of them, prior ensembles from training trajectories.
///
/// cold: every member starts at the latent state 0, before frame 0, and only the parameters are unknown.
/// warm: the truth starts at an unknown frame; members are latent states of other trajectories at random frames.

#include <string>
#include <vector>

#include "autodiff/random.h"
#include "da/latent_control.h"
#include "experiments/data/dataset.h"
#include "experiments/data/observation_file.h"
#include "models/surrogate.h"

namespace levda::experiments {

/// "cold" and "warm", in running order.
const std::vector<std::string>& experiment_names();

/// Random numbers from the configuration's seed; `stream` from autodiff/streams.h.
autodiff::Random random_for(const Config& config, std::uint32_t stream, const std::string& experiment,
                            std::int64_t truth);

/// Distinct test trajectories; in a warm experiment each has a random start frame.
std::vector<Truth> draw_truths(const Config& config, const Dataset& data, const std::string& experiment);

/// All validation trajectories as truths, for fits that must not use test trajectories. Their start frames, noise and
/// ensembles differ from those of the test truths. Throws InputError when there are none.
std::vector<Truth> validation_truths(const Config& config, const Dataset& data, const std::string& experiment);

/// Times of the observations and of the analysis, counted from the control vector.
std::vector<double> analysis_times(const Config& config, const models::Description& about,
                                   const std::string& experiment);

/// Later times, to which a forecast continues the analysis.
std::vector<double> forecast_times(const Config& config, const models::Description& about,
                                   const std::string& experiment);

/// Observations of a truth with independent normal errors of sigma times the channel's training standard deviation.
/// "grid:NXxNY": all channels of the cells (i nx / NX, j ny / NY) at every observations.every-th frame. "random:N": all
/// channels of N distinct random cells, on a sphere by area; the seed gives one choice for all truths and times, and a
/// larger N adds cells. "scattered:N": N values in all, each of one random channel at a random place and solver step,
/// from the solver's states there. noise: 0, or the number of another draw of errors (and of scattered places). With
/// observations.gross_fraction some values get an additional gross error. Throws InputError when the sensors are not
/// valid.
ObservationFile observe_truth(const Config& config, const Dataset& data, const Moments& moments, const Truth& truth,
                              const std::string& experiment, std::int64_t noise = 0);

/// The seed of a method for a truth and a draw of the noise; all are different.
std::uint64_t method_seed(const Config& config, const Truth& truth, std::int64_t draw);

/// Throws InputError when the sensors are not valid on the grid.
void check_sensors(const Config& config, const models::Grid& grid);

/// Cells j nx + i of sensors that stay in place, in the order of their observations. Throws InputError when the sensors
/// are scattered or not valid, or the grid is a list of points.
std::vector<std::int64_t> sensor_cells(const Config& config, const models::Grid& grid);

/// Origins of the members for a truth: distinct trajectories out of `trajectories`, each at a random frame of the
/// experiment's range. Throws InputError when there are fewer trajectories than members.
std::vector<da::MemberOrigin> draw_members(const Config& config, std::int64_t trajectories,
                                           const std::string& experiment, std::int64_t truth);

/// Throws InputError naming `source` when the experiments need more frames than the data set has, and when frames,
/// starts and windows contradict each other.
void check_frames(const Config& config, const models::Description& about, const std::string& source);

/// Identifies everything that observations depend on.
std::string observation_fingerprint(const Config& config, const Dataset& data);

}  // namespace levda::experiments
