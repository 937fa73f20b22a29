#pragma once

/// Twin experiments: truths from test trajectories, observations of them, prior ensembles that do not know them.
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

/// "cold" and "warm", in the order in which they run.
const std::vector<std::string>& experiment_names();

/// Random numbers of the configuration's seed: `stream` as in autodiff/streams.h.
autodiff::Random random_for(const Config& config, std::uint32_t stream, const std::string& experiment,
                            std::int64_t truth);

/// Distinct test trajectories, and for warm each its own start frame.
std::vector<Truth> draw_truths(const Config& config, const Dataset& data, const std::string& experiment);

/// All validation trajectories as truths, for what is fitted before any test trajectory is looked at. Their start
/// frames, noise and ensembles are others than the test truths'. Throws InputError when there are none.
std::vector<Truth> validation_truths(const Config& config, const Dataset& data, const std::string& experiment);

/// Times, from where the control vector lies, at which the truth is observed and the analysis wanted.
std::vector<double> analysis_times(const Config& config, const models::Description& about,
                                   const std::string& experiment);

/// The times after them to which an analysis is carried on.
std::vector<double> forecast_times(const Config& config, const models::Description& about,
                                   const std::string& experiment);

/// Observations of a truth with independent normal errors of sigma times the channel's training standard deviation.
/// "grid:NXxNY": all channels of the cells (i nx / NX, j ny / NY) at every so many-th frame. "random:N": the same of N
/// distinct random cells, on a sphere by area; they are those of the seed, one choice for all truths and times, and the
/// first N of any larger number. "scattered:N": N values in all, each of one random channel at a random place and
/// solver step, from the solver's own states there and not from frames. noise: 0, or the number of another draw of
/// errors (and of scattered places). With observations.gross_fraction some get a gross error on top. Throws InputError
/// when the sensors make no sense.
ObservationFile observe_truth(const Config& config, const Dataset& data, const Moments& moments, const Truth& truth,
                              const std::string& experiment, std::int64_t noise = 0);

/// Of what a method draws for a truth and a draw of the noise: no two have the same.
std::uint64_t method_seed(const Config& config, const Truth& truth, std::int64_t draw);

/// Throws InputError when the sensors make no sense on the grid.
void check_sensors(const Config& config, const models::Grid& grid);

/// Cells j nx + i of sensors that stay in place, in the order of their observations. Throws InputError when they are
/// scattered, make no sense, or the grid is a list of points.
std::vector<std::int64_t> sensor_cells(const Config& config, const models::Grid& grid);

/// Origins of the members for a truth: distinct ones of `trajectories` training trajectories, each at a random frame of
/// the experiment's range. Throws InputError when there are fewer trajectories.
std::vector<da::MemberOrigin> draw_members(const Config& config, std::int64_t trajectories,
                                           const std::string& experiment, std::int64_t truth);

/// Throws InputError naming `source` when the frames that the experiments need are more than there are, and when
/// frames, starts and windows contradict each other.
void check_frames(const Config& config, const models::Description& about, const std::string& source);

/// What observations depend on.
std::string observation_fingerprint(const Config& config, const Dataset& data);

}  // namespace levda::experiments
