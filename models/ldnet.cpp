#include "models/ldnet.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <utility>

#include "autodiff/streams.h"
#include "autodiff/tiled_sum.h"
#include "models/rollout.h"

namespace levda::models {

using autodiff::Inputs;
using autodiff::Random;
using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

nn::Mlp make_dynamics(nn::Parameters& parameters, const LdnetArchitecture& a, std::uint64_t seed) {
  Random random(seed, streams::dynamics_weights);
  return nn::Mlp::make(parameters, "dynamics", a.parameters + a.latent, a.dynamics_width, a.dynamics_depth, a.latent,
                       random, a.dynamics_layers);
}

/// Distinct half-integer wave vectors, rounded from normal entries: sin and cos of 2 pi B x have period 2 in x. Only
/// one of k and -k is needed.
Tensor periodic_frequencies(std::int64_t count, double scale, Random& random) {
  std::vector<double> halves;
  std::set<std::pair<double, double>> known{{0, 0}};
  constexpr double least = 0.5;  // a smaller spread rounds all entries to 0
  for (std::int64_t rejected = 0; static_cast<std::int64_t>(halves.size()) < 2 * count;) {
    // There may be too few vectors of the wanted length.
    const double spread = std::max(2 * scale, least) * (1 + 0.01 * static_cast<double>(rejected));
    const double k = std::round(spread * random.normal());
    const double l = std::round(spread * random.normal());
    if (known.count({k, l}) > 0 || known.count({-k, -l}) > 0) {
      ++rejected;
      continue;
    }
    known.insert({k, l});
    halves.push_back(k / 2);
    halves.push_back(l / 2);
  }
  return Tensor::from(std::span<const double>(halves), {count, 2}, autodiff::DType::float32);
}

std::optional<nn::FourierFeatures> make_fourier(nn::Parameters& parameters, const LdnetArchitecture& a,
                                                std::uint64_t seed) {
  if (a.fourier_features == 0) return std::nullopt;
  Random random(seed, streams::fourier_features);
  const char* name = "decoder.frequencies";
  if (a.geometry == Geometry::torus)
    return nn::FourierFeatures{
        parameters.add(name, periodic_frequencies(a.fourier_features, a.fourier_scale, random), a.fourier_trainable)};
  const std::int64_t coordinates = a.geometry == Geometry::sphere ? 3 : 2;
  return nn::FourierFeatures::make(parameters, name, a.fourier_features, coordinates, a.fourier_scale, random,
                                   a.fourier_init, a.fourier_trainable);
}

/// The place on the unit sphere with longitude / 180 and latitude / 90, in degrees: (rows, 2) -> (rows, 3).
Var on_sphere(const Var& x) {
  const Var longitude = std::numbers::pi * slice(x, 1, 0, 1);
  const Var latitude = 0.5 * std::numbers::pi * slice(x, 1, 1, 1);
  return autodiff::concat({cos(latitude) * cos(longitude), cos(latitude) * sin(longitude), sin(latitude)}, 1);
}

/// The place on a torus in four dimensions with coordinates of period 2: (rows, 2) -> (rows, 4).
Var on_torus(const Var& x) {
  const Var angle = std::numbers::pi * x;
  return autodiff::concat({cos(angle), sin(angle)}, 1);
}

nn::Mlp make_decoder(nn::Parameters& parameters, const LdnetArchitecture& a, std::uint64_t seed) {
  Random random(seed, streams::decoder_weights);
  return nn::Mlp::make(parameters, "decoder", a.features() + a.latent, a.decoder_width, a.decoder_depth, a.channels,
                       random, a.decoder_layers);
}

}  // namespace

Ldnet::Ldnet(const LdnetArchitecture& architecture, std::uint64_t seed)
    : architecture_(architecture),
      dynamics_(make_dynamics(parameters_, architecture, seed)),
      fourier_(make_fourier(parameters_, architecture, seed)),
      decoder_(make_decoder(parameters_, architecture, seed)) {}

Var Ldnet::rate(Inputs w, const Var& u, const Var& s) const { return dynamics_(w, autodiff::concat({u, s}, -1)); }

Var Ldnet::step(Inputs w, const Var& u, const Var& s, double fraction) const {
  return s + fraction * architecture_.latent_dt * rate(w, u, s);
}

Vars Ldnet::rollout(Inputs w, const Var& u, const Var& s0, std::int64_t steps) const {
  return rollout(w, Vars(static_cast<std::size_t>(steps), u), s0);
}

Vars Ldnet::rollout(Inputs w, const Vars& u, const Var& s0) const {
  Vars states{s0};
  for (const Var& own : u) states.push_back(step(w, own, states.back()));
  return states;
}

Var Ldnet::trajectory(Inputs w, const Vars& u, const Var& s0) const {
  const auto way = s0.value().backend().prefers_large_batches() ? models::rollout : rollout_by_steps;
  return way(dynamics_, w, u, s0, architecture_.latent_dt);
}

Var Ldnet::features(Inputs w, const Var& x) const {
  const Var place = architecture_.geometry == Geometry::sphere ? on_sphere(x) : x;
  if (fourier_) return (*fourier_)(w, place);
  return architecture_.geometry == Geometry::torus ? on_torus(x) : place;
}

Var Ldnet::decode(Inputs w, const Var& q, const Var& s) const { return decoder_(w, autodiff::concat({q, s}, -1)); }

Var Ldnet::decode_all(Inputs w, const Var& q, const Var& s) const {
  const std::int64_t states = s.shape()[0];
  const std::int64_t points = q.shape()[0];
  const std::int64_t d = architecture_.latent;
  const std::int64_t f = q.shape()[1];
  const Var all_q = reshape(expand(q, {states, points, f}), {states * points, f});
  const Var all_s = reshape(expand(reshape(s, {states, 1, d}), {states, points, d}), {states * points, d});
  return reshape(decode(w, all_q, all_s), {states, points, architecture_.channels});
}

Var Ldnet::decode_groups(Inputs w, const Var& s, const Var& x) const {
  const std::int64_t groups = s.shape()[0];
  const std::int64_t points = x.shape()[1];
  const std::int64_t d = architecture_.latent;
  const Var states = reshape(expand(reshape(s, {groups, 1, d}), {groups, points, d}), {groups * points, d});
  const Var q = features(w, reshape(x, {groups * points, x.shape()[2]}));
  return reshape(decode(w, q, states), {groups, points, architecture_.channels});
}

std::int64_t Ldnet::decoder_weights() const {
  std::int64_t count = parameters_[decoder_.output.weight].size();
  for (const nn::Linear& layer : decoder_.hidden) count += parameters_[layer.weight].size();
  return count;
}

namespace {

/// The number of equal parts into which a group of points is cut: the smallest for parts of at most 256 points.
std::int64_t parts_of(std::int64_t points) {
  constexpr std::int64_t most = 256;
  if (points <= most) return 1;
  for (std::int64_t parts = (points + most - 1) / most; parts <= points / 64; ++parts)
    if (points % parts == 0) return parts;
  return 1;
}

/// Groups (groups, points, n) as (groups x parts, points / parts, n).
Var cut(const Var& x, std::int64_t parts) {
  if (parts == 1) return x;
  const autodiff::Shape& shape = x.shape();
  return reshape(x, {shape[0] * parts, shape[1] / parts, shape[2]});
}

}  // namespace

Var decoding_error(const Ldnet& net, const Vars& w, const Var& s, const Var& x, const Var& y, std::int64_t tile,
                   const std::optional<Tensor>& mask) {
  const std::int64_t groups = s.shape()[0];
  const std::int64_t d = s.shape()[1];
  const std::int64_t parts = y.value().backend().prefers_large_batches() ? 1 : parts_of(y.shape()[1]);
  const Var states =
      parts == 1 ? s : reshape(expand(reshape(s, {groups, 1, d}), {groups, parts, d}), {groups * parts, d});
  Vars rows{states, cut(x, parts), cut(y, parts)};
  double count = static_cast<double>(y.shape().size());
  if (mask) {
    rows.push_back(cut(Var(*mask), parts));
    count = std::max(1.0, sum(Var(*mask)).value().item());
  }
  const Var total = tiled_sum(
      [&net](const Vars& weights, const Vars& part) {
        const Var error = net.decode_groups(weights, part[0], part[1]) - part[2];
        return sum(square(part.size() > 3 ? error * part[3] : error));
      },
      w, rows, tile);
  return total * (1.0 / count);
}

}  // namespace levda::models
