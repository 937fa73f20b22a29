#include "da/ld_ensf.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <map>

#include "autodiff/error.h"
#include "autodiff/streams.h"

namespace levda::da {

using autodiff::DType;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

constexpr double resolution = 1e-6;  // of a frame, of a cell

}  // namespace

Gain gain(const LdEnsfSettings& settings) {
  Gain result = gain(settings.diffusion, settings.error);
  result.noise /= settings.scaling;
  return result;
}

LdEnsf::LdEnsf(const models::TrainedEncoder& encoder, const models::Description& about, LdEnsfSettings settings)
    : encoder_(encoder), grid_(about.grid), interval_(about.frame_interval), settings_(settings) {
  if (!(settings.scaling > 0) || !std::isfinite(settings.scaling))
    throw Error(fmt::format("ld_ensf: a scaling of {}", settings.scaling));
  gain(settings);
  if (grid_.listed()) throw Error("ld_ensf: the encoder's sensors are on a grid, the surrogate's points are not");
  if (encoder.channel_names != about.channel_names)
    throw Error("ld_ensf: the encoder's channels are not the surrogate's");
  const std::int64_t values = static_cast<std::int64_t>(encoder.cells.size()) * about.channels();
  if (encoder.net.architecture().observed != values)
    throw Error(fmt::format("ld_ensf: an encoder of {} values, its sensors have {}",
                            encoder.net.architecture().observed, values));
}

/// Frames after the control vector, and the values there in the encoder's order.
std::map<std::int64_t, std::vector<double>> LdEnsf::sequence_of(const Observations& o) const {
  const auto channels = static_cast<std::int64_t>(encoder_.channel_names.size());
  std::map<std::int64_t, std::int64_t> sensor_of_cell;
  for (std::size_t k = 0; k < encoder_.cells.size(); ++k)
    sensor_of_cell[encoder_.cells[k]] = static_cast<std::int64_t>(k);
  constexpr double missing = std::numeric_limits<double>::quiet_NaN();
  std::map<std::int64_t, std::vector<double>> frames;
  for (const std::int64_t i : o.in_window(0, std::numeric_limits<double>::infinity())) {
    const double time = o.time[i] / interval_;
    if (!(std::abs(time - std::round(time)) <= resolution))
      throw Error(
          fmt::format("ld_ensf: observation {} at a time of {:.6g} frames; the encoder sees whole frames", i, time));
    if (o.op[i] != "value")
      throw Error(fmt::format("ld_ensf: observation {} is a {}; the encoder sees values", i, o.op[i]));
    const std::int64_t c = o.channel[i];
    const double x = (o.x[i] - grid_.x0) / grid_.dx - grid_.offset_x[c];
    const double y = (o.y[i] - grid_.y0) / grid_.dy - grid_.offset_y[c];
    const bool node = std::abs(x - std::round(x)) <= resolution && std::abs(y - std::round(y)) <= resolution &&
                      std::round(x) >= 0 && std::round(x) < static_cast<double>(grid_.nx);
    const auto found = node ? sensor_of_cell.find(std::llround(y) * grid_.nx + std::llround(x)) : sensor_of_cell.end();
    if (found == sensor_of_cell.end())
      throw Error(fmt::format("ld_ensf: observation {} at ({}, {}) is at none of the encoder's {} sensors", i, o.x[i],
                              o.y[i], encoder_.cells.size()));
    std::vector<double>& values = frames[std::llround(time)];
    values.resize(encoder_.cells.size() * static_cast<std::size_t>(channels), missing);
    double& value = values[static_cast<std::size_t>(found->second * channels + c)];
    if (!std::isnan(value))
      throw Error(fmt::format("ld_ensf: observation {} is the second one of its sensor, channel and frame", i));
    value = o.value[i];
  }
  if (frames.empty()) throw Error("ld_ensf: there are no observations to be assimilated");
  // In a cold experiment the control vector lies one frame before frame 0.
  std::int64_t expected = encoder_.sequences.experiment == "cold" ? 1 : 0;
  for (const auto& [frame, values] : frames) {
    if (frame != expected)
      throw Error(
          fmt::format("ld_ensf: observations {} frames after the start, where the encoder, made for {} analyses "
                      "and every {} frames, needs those {} after it",
                      frame, encoder_.sequences.experiment, encoder_.sequences.every, expected));
    expected += encoder_.sequences.every;
    for (std::size_t k = 0; k < values.size(); ++k)
      if (std::isnan(values[k]))
        throw Error(
            fmt::format("ld_ensf: {} frames after the start sensor {}, channel {}, was not observed; the "
                        "encoder needs all of them",
                        frame, static_cast<std::int64_t>(k) / channels,
                        encoder_.channel_names[k % static_cast<std::size_t>(channels)]));
  }
  return frames;
}

Analysis LdEnsf::assimilate(const Problem& p) const {
  check(p);
  const models::EncoderArchitecture& a = encoder_.net.architecture();
  if (a.outputs() != p.model.controls())
    throw Error(fmt::format("ld_ensf: an encoder of {} controls for a model of {}", a.outputs(), p.model.controls()));
  const std::map<std::int64_t, std::vector<double>> sequence = sequence_of(p.observations);
  const Gain own = gain(settings_);
  Analysis analysis{
      .ensembles = {},
      .diagnostics = {
          {"gain_forecast", {own.forecast}}, {"gain_observation", {own.observation}}, {"gain_noise", {own.noise}}}};
  const Vars weights = encoder_.net.parameters().constants();
  models::ObservationEncoder::State memory;
  Tensor members = p.prior.members();
  double now = 0;
  const auto advance_to = [&](double time) {
    if (std::abs(time - now) > resolution * interval_) members = p.model.forecast(members, time - now);
    now = time;
  };
  auto next = sequence.begin();
  const auto assimilate_until = [&](double end) {
    for (; next != sequence.end(); ++next) {
      const double time = static_cast<double>(next->first) * interval_;
      if (time > end + resolution * interval_) return;
      advance_to(time);
      const std::vector<double> observed = encoder_.normal_observations(next->second);
      const Var input(Tensor::from(std::span<const double>(observed), {1, a.observed}, DType::float32));
      std::vector<double> encoded = encoder_.net.step(weights, input, memory).value().to_vector();
      for (double& value : encoded) value *= settings_.scaling;
      std::vector<double> kappa = members.to_vector();
      for (double& value : kappa) value *= settings_.scaling;
      Random random(p.seed, streams::ld_ensf_samples, static_cast<std::uint32_t>(next->first));
      for (std::size_t k = 0; k < kappa.size(); k += encoded.size())
        sample_linear(settings_.diffusion, settings_.error, encoded, random,
                      std::span(kappa).subspan(k, encoded.size()));
      for (double& value : kappa) value /= settings_.scaling;
      members = Tensor::from(std::span<const double>(kappa), members.shape());
    }
  };
  for (const double time : p.times) {
    assimilate_until(time);
    advance_to(time);
    analysis.ensembles.emplace_back(members);
  }
  return analysis;
}

}  // namespace levda::da
