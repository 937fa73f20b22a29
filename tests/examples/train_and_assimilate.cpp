// From trajectories in memory to an analysis: a surrogate learns 40 puffs that drift at different speeds; then 60
// observations tell where an unseen puff is and how fast it drifts.

#include <cmath>
#include <cstdio>
#include <filesystem>

#include "da/latent_control.h"
#include "da/levda.h"
#include "models/ldnet_training.h"

using namespace levda;
double puff(double x, double speed, double time) { return std::exp(-8 * std::pow(x - 0.6 - speed * time, 2)); }

int main() {
  // Trajectories: 40 members, 16 frames, one channel, 32 nodes on a line; the speed is the parameter.
  std::vector<double> x;
  for (int i = 0; i < 32; ++i) x.push_back(0.1 * i);
  models::Dataset arrays{.about = {.frames = 16, .frame_interval = 0.1}};
  arrays.about.grid = models::Grid::of_points(x, std::vector<double>(32, 0.0), 1);
  for (int member = 0; member < 40; ++member) {
    arrays.parameters.push_back(0.5 + 0.025 * (member * 17 % 40));
    for (int frame = 0; frame < 16; ++frame)
      for (const double place : x)
        arrays.fields.push_back(static_cast<float>(puff(place, arrays.parameters.back(), 0.1 * frame)));
  }
  const models::Dataset data = models::make_dataset(std::move(arrays), 40);
  // Train a small network, save it, load it. Training can report its progress and can be stopped and continued.
  models::NetworkSettings network;
  network.latent = 3;
  network.dynamics_width = network.decoder_width = 32;
  network.decoder_depth = 3;
  const auto path = std::filesystem::temp_directory_path() / "train_and_assimilate.safetensors";
  models::save_surrogate(path, models::train_surrogate(data, network, {.steps = 1000}, {.progress = stdout}));
  const models::Surrogate surrogate = models::load_surrogate(path);
  // Observe a puff of speed 0.83 that starts, unknown to us, at frame 4. One observation is badly wrong.
  autodiff::Random random(1);
  da::Observations seen;
  for (int k = 0; k < 60; ++k) {
    const double time = 0.8 * random.uniform(), place = 3 * random.uniform();
    seen.add(time, place, 0, 0, puff(place, 0.83, 0.4 + time) + (k == 7 ? 1 : 0.02 * random.normal()), 0.02);
  }
  // Assimilate: members are states of training trajectories at unknown start frames. `times` are those of the analysis.
  const da::LatentControl control(surrogate, {.last_start = 7, .frames = 9});
  const da::Ensemble prior = control.prior(20, random);
  const auto errors = control.covariance(seen);
  const da::Levda levda({}, {.gross_error = 4});
  const da::Analysis analysis = levda.assimilate({prior, control.model(), seen, *errors, {0, 0.4, 0.8}});
  // Mean and spread of the fields, parameters, quality codes; then the forecast, which is the prior of the next window.
  const da::Ensemble& last = analysis.ensembles.back();
  const da::FieldMoments field = control.moments(last, control.grid_points());
  const da::Ensemble speeds(autodiff::Tensor::from(control.parameters(last), {20, 1}));
  const double speed = speeds.mean().item();
  std::printf("speed %.3f +- %.3f, truth 0.83\n", speed, speeds.spread()[0]);
  std::printf("field at x = 1.6: %.3f +- %.3f, truth %.3f\n", field.mean[16], field.spread[16], puff(1.6, 0.83, 1.2));
  std::printf("observation 7 has quality code %d\n", analysis.qc[7]);
  const da::Ensemble next(control.model().forecast(last.members(), 0.2));
  std::printf("spread of the first latent variable: now %.3f, forecast %.3f\n", last.spread()[0], next.spread()[0]);
  return std::abs(speed - 0.83) < 0.05 && analysis.qc[7] == da::outlier ? 0 : 1;
}
