#include "da/observation_operators.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include "autodiff/derivatives.h"
#include "autodiff/error.h"
#include "autodiff/internal/isolation.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"
#include "da/internal/groups.h"
#include "models/spherical_harmonics.h"

namespace levda::da {

using autodiff::Tensor;
using autodiff::Var;
using autodiff::Vars;

namespace {

const std::string value_name = "value";

/// Euclidean length of two components. At zero its derivative is set to 0, the mean of its slopes in all directions.
Var length(const Var& u, const Var& v) {
  const Var squares = square(u) + square(v);
  const Var zero(Tensor::zeros({1}, squares.dtype(), squares.value().backend()));
  const Var moving = greater(squares.detach(), zero);
  return where(moving, sqrt(where(moving, squares, zero + 1.0)), zero);
}

/// Distance between neighbouring values along an axis; approximate for a list of points.
double spacing(const models::Grid& grid, bool along_x) {
  if (!grid.listed()) return along_x ? grid.dx : grid.dy;
  const double area = grid.width() * grid.height();
  const auto points = static_cast<double>(grid.nx);
  return area > 0 ? std::sqrt(area / points) : std::max(grid.width(), grid.height()) / points;
}

/// An ellipse with n rings of 4 n places: exact for polynomials up to degree 4 n - 1, n growing with its size in cells.
std::vector<WeightedPlace> disc_places(const Footprint& f) {
  if (!(f.extent_x > 0) || !(f.extent_y >= 0))
    throw Error(fmt::format("a disc of radius extent_x = {}, extent_y = {} (0: the same)", f.extent_x, f.extent_y));
  const double a = f.extent_x;
  const double b = f.extent_y > 0 ? f.extent_y : f.extent_x;
  const double cells = std::max(a / spacing(f.grid, true), b / spacing(f.grid, false));
  const auto rings = static_cast<std::int64_t>(std::clamp(std::ceil(cells / 2), 2.0, 6.0));
  const std::int64_t spokes = 4 * rings;
  const models::GaussRule rule = models::gauss_rule(rings);  // in the square of the radius
  std::vector<WeightedPlace> places;
  for (std::int64_t ring = 0; ring < rings; ++ring)
    for (std::int64_t spoke = 0; spoke < spokes; ++spoke) {
      const double radius = std::sqrt(0.5 * (1 + rule.abscissa[ring]));
      const double angle = 2 * std::numbers::pi * (static_cast<double>(spoke) + 0.5 * static_cast<double>(ring % 2)) /
                           static_cast<double>(spokes);
      const double east = a * radius * std::cos(angle);
      const double north = b * radius * std::sin(angle);
      WeightedPlace place{f.x + east, f.y + north, 0.5 * rule.weight[ring] / static_cast<double>(spokes)};
      if (f.grid.geometry == models::Geometry::sphere) {  // along the great circle, by degrees
        constexpr double degree = std::numbers::pi / 180;
        const double arc = std::hypot(east, north) * degree;
        const double latitude = f.y * degree;
        const double to_north = north * degree / arc;
        const double to_east = east * degree / arc;
        const double sine = std::sin(latitude) * std::cos(arc) + std::cos(latitude) * std::sin(arc) * to_north;
        place.y = std::asin(std::clamp(sine, -1.0, 1.0)) / degree;
        place.x = f.x + std::atan2(to_east * std::sin(arc),
                                   std::cos(latitude) * std::cos(arc) - std::sin(latitude) * std::sin(arc) * to_north) /
                            degree;
      }
      places.push_back(place);
    }
  return places;
}

/// Gauss-Legendre rule along a segment, with about one place per cell.
std::vector<WeightedPlace> line_places(const Footprint& f) {
  if (f.extent_x == 0 && f.extent_y == 0) throw Error("a line without extent: extent_x and extent_y are 0");
  const double cells = std::hypot(f.extent_x / spacing(f.grid, true), f.extent_y / spacing(f.grid, false));
  const models::GaussRule rule = models::gauss_rule(static_cast<std::int64_t>(std::clamp(std::ceil(cells), 4.0, 32.0)));
  std::vector<WeightedPlace> places;
  for (std::size_t k = 0; k < rule.abscissa.size(); ++k) {
    const double share = 0.5 * (1 + rule.abscissa[k]);
    places.push_back({f.x + share * f.extent_x, f.y + share * f.extent_y, 0.5 * rule.weight[k]});
  }
  return places;
}

Var average_of_channel(const Seen& s) { return s.average(s.field(0)); }

std::deque<NamedOperator>& table() {
  static std::deque<NamedOperator> rows{
      {.name = value_name, .help = "the channel at the place", .apply = average_of_channel},
      {.name = "speed",
       .help = "length of (u, v) at the place, of the channels of these names",
       .apply = [](const Seen& s) { return s.average(length(s.field(0), s.field(1))); },
       .channels = {"u", "v"}},
      {.name = "arctan",
       .help = "arc tangent of the channel's number at the place",
       .apply = [](const Seen& s) { return s.average(arctan(s.field(0))); }},
      {.name = "disc",
       .help = "mean of the channel over the disc of radius extent_x; where extent_y is not 0, an ellipse",
       .apply = average_of_channel,
       .places = disc_places},
      {.name = "line",
       .help = "mean of the channel from (x, y) straight to (x + extent_x, y + extent_y)",
       .apply = average_of_channel,
       .places = line_places}};
  return rows;
}

std::int64_t channel_of(const models::Description& about, const std::string& name, const std::string& op) {
  const auto known = std::find(about.channel_names.begin(), about.channel_names.end(), name);
  if (known == about.channel_names.end())
    throw Error(fmt::format("the operator {} needs a channel {}; there are {}", op, name,
                            fmt::join(about.channel_names, ", ")));
  return known - about.channel_names.begin();
}

const NamedOperator& operator_of(const Observations& o, std::int64_t i) {
  const NamedOperator* const op = find_operator(o.op[i]);
  if (op == nullptr) throw Error(fmt::format("\"{}\" is no operator ({})", o.op[i], fmt::join(operator_names(), ", ")));
  return *op;
}

/// The channels that an observation needs.
std::vector<std::int64_t> channels_of(const NamedOperator& op, const Observations& o, std::int64_t i,
                                      const models::Description& about) {
  if (op.channels.empty()) return {o.channel[i]};
  std::vector<std::int64_t> channels;
  for (const std::string& name : op.channels) channels.push_back(channel_of(about, name, op.name));
  return channels;
}

/// A model's operator for values, followed by the observation operators of other names.
class ThroughFootprints final : public ObservationOperator {
 public:
  ThroughFootprints(Footprints footprints, std::unique_ptr<ObservationOperator> values, std::int64_t size)
      : footprints_(std::move(footprints)), values_(std::move(values)), size_(size) {}

  std::int64_t size() const override { return size_; }
  Var operator()(const Var& v) const override { return footprints_.observe((*values_)(v)); }
  Tensor predict(const Tensor& v) const override {
    const Tensor values = flattened(values_->predict(v), 1);
    return footprints_.observe(Var(values)).value().reshaped(leading(v, 1, {size_}));
  }

  Linearisation linearise(const Tensor& v, const Tensor& directions) const override {
    const Linearisation values = values_->linearise(v, directions);
    autodiff::Tape tape;
    const Var x = tape.variable(flattened(values.value, 1));
    const Var y = footprints_.observe(x);
    const Var tangents = jvp(y, {x}, {transpose(Var(flattened(values.tangents, 2)), {1, 0, 2})});  // (k, points, m)
    return {y.value().reshaped(leading(v, 1, {size_})),
            transpose(tangents, {1, 0, 2}).value().reshaped(leading(directions, 1, {size_}))};
  }

 private:
  Footprints footprints_;
  std::unique_ptr<ObservationOperator> values_;
  std::int64_t size_;
};

bool all_values(const Observations& o) {
  return std::all_of(o.op.begin(), o.op.end(), [](const std::string& name) { return name == value_name; });
}

}  // namespace

Var Seen::field(std::int64_t k) const {
  const autodiff::Shape& shape = fields.shape();
  return reshape(slice(fields, 3, k, 1), {shape[0], shape[1], shape[2]});
}

Var Seen::average(const Var& at_places) const { return sum(at_places * weights, {2}); }

const std::deque<NamedOperator>& observation_operators() { return table(); }

std::vector<std::string> operator_names() {
  std::vector<std::string> names;
  for (const NamedOperator& row : table()) names.push_back(row.name);
  return names;
}

const NamedOperator* find_operator(const std::string& name) {
  const auto found = std::find_if(table().begin(), table().end(), [&](const auto& row) { return row.name == name; });
  return found == table().end() ? nullptr : &*found;
}

RegisteredOperator::RegisteredOperator(NamedOperator row) {
  if (row.name.empty() || !row.apply) throw Error("an observation operator without a name or a function");
  if (find_operator(row.name) != nullptr)
    throw Error(fmt::format("there is an observation operator \"{}\" already", row.name));
  table().push_back(std::move(row));
}

Var arctan(const Var& x) {
  const Var one(Tensor::full({1}, 1, x.dtype(), x.value().backend()));
  const Var large = greater(abs(x).detach(), one);
  Var z = where(large, one / where(large, x, one), x);
  constexpr int halvings = 2;
  for (int k = 0; k < halvings; ++k) z = z / (1.0 + sqrt(1.0 + square(z)));
  // |z| <= tan(pi / 16): the first term left out is below 1e-16 of the sum.
  const Var squares = square(z);
  constexpr int last = 10;
  Var series = scale(squares, 0, 1.0 / (2 * last + 1));
  for (int k = last - 1; k >= 0; --k) series = 1.0 / (2 * k + 1) - squares * series;
  const Var angle = std::ldexp(1.0, halvings) * (z * series);
  return where(large, 0.5 * std::numbers::pi * sign(x) - angle, angle);
}

std::vector<WeightedPlace> places_of(const Observations& o, std::int64_t i, const models::Description& about) {
  const NamedOperator& op = operator_of(o, i);
  const std::vector<std::int64_t> channels = channels_of(op, o, i, about);
  if (!op.places) return {{o.x[i], o.y[i], 1}};
  const models::Grid& grid = about.grid;
  std::vector<WeightedPlace> places = op.places({o.x[i], o.y[i], o.extent_x[i], o.extent_y[i], grid});
  for (const WeightedPlace& place : places)
    for (const std::int64_t c : channels)
      if (!grid.contains(c, place.x, place.y))
        throw Error(
            fmt::format("the operator {} reaches ({:.6g}, {:.6g}), outside the domain", op.name, place.x, place.y));
  return places;
}

Footprints::Footprints(const Observations& o, const models::Description& about) {
  if (all_values(o)) {
    values_ = o;
    return;
  }
  std::map<std::pair<const NamedOperator*, std::size_t>, std::size_t> found;
  std::vector<std::pair<std::size_t, std::int64_t>> where;  // group, position in it
  for (std::int64_t i = 0; i < o.size(); ++i) {
    std::vector<WeightedPlace> places;
    try {
      places = places_of(o, i, about);
    } catch (const Error& error) {
      throw Error(fmt::format("observation {}: {}", i, error.what()));
    }
    const NamedOperator& op = operator_of(o, i);
    const auto [entry, fresh] = found.emplace(std::pair(&op, places.size()), groups_.size());
    if (fresh) groups_.push_back({&op, static_cast<std::int64_t>(places.size()), {}, {}, {}, {}});
    Group& group = groups_[entry->second];
    where.emplace_back(entry->second, group.count());
    group.observations.push_back(i);
    const std::vector<std::int64_t> channels = channels_of(op, o, i, about);
    group.channels.insert(group.channels.end(), channels.begin(), channels.end());
    for (const WeightedPlace& place : places) {
      group.weights.push_back(place.weight);
      for (const std::int64_t c : channels) {
        group.index.push_back(values_.size());
        values_.add(o.time[i], place.x, place.y, c, 0, 1);
      }
    }
  }
  std::vector<std::int64_t> first;
  std::int64_t count = 0;
  for (const Group& group : groups_) {
    first.push_back(count);
    count += group.count();
  }
  std::vector<std::int64_t> order;
  for (const auto& [group, position] : where) order.push_back(first[group] + position);
  order_ = Tensor::indices(order);
}

Var Footprints::apply(const Group& group, const Var& fields, std::int64_t begin, std::int64_t end) {
  const std::int64_t count = end - begin;
  const auto weights =
      std::span(group.weights)
          .subspan(static_cast<std::size_t>(begin * group.places), static_cast<std::size_t>(count * group.places));
  const Var y = group.op->apply(
      {fields, Var(Tensor::from(weights, {count, group.places}, fields.dtype(), fields.value().backend()))});
  const autodiff::Shape wanted{fields.shape()[0], count};
  if (!(y.shape() == wanted))
    throw Error(fmt::format("the operator {} gave {}, where (rows, observations) are {}", group.op->name,
                            y.shape().text(), wanted.text()));
  return y;
}

Var Footprints::observe(const Var& values) const {
  if (plain()) return values;
  autodiff::Backend& backend = values.value().backend();
  Vars parts;
  for (const Group& group : groups_) {
    const Var fields = gather(values, 1, Tensor::indices(group.index, backend));
    parts.push_back(apply(group,
                          reshape(fields, {values.shape()[0], group.count(), group.places, group.channel_count()}), 0,
                          group.count()));
  }
  return gather(concat(parts, 1), 1, order_.to(backend));
}

std::vector<double> Footprints::error_variance(
    std::span<const double> mean, std::span<const double> deviation,
    const std::function<double(std::int64_t i, std::int64_t c)>& variance) const {
  std::vector<double> result(static_cast<std::size_t>(plain() ? values_.size() : order_.size()), 0.0);
  if (plain()) {
    for (std::int64_t i = 0; i < values_.size(); ++i) result[i] = variance(i, values_.channel[i]);
    return result;
  }
  constexpr std::int64_t pairs = 32;  // of fields, mean + z and mean - z
  constexpr std::int64_t some = 128;  // observations at once
  for (const Group& group : groups_) {
    const std::int64_t k = group.channel_count();
    if (group.op->name == value_name) {
      for (std::int64_t n = 0; n < group.count(); ++n)
        result[group.observations[n]] = variance(group.observations[n], group.channels[n]);
      continue;
    }
    std::vector<double> normal;
    autodiff::Random random(1, streams::operator_probe);
    for (std::int64_t s = 0; s < pairs * k; ++s) normal.push_back(random.normal());
    for (std::int64_t s = 0; s < pairs * k; ++s) normal.push_back(-normal[s]);
    for (std::int64_t begin = 0; begin < group.count(); begin += some) {
      const std::int64_t end = std::min(begin + some, group.count());
      std::vector<double> fields;
      for (std::int64_t s = 0; s < 2 * pairs; ++s)
        for (std::int64_t n = begin; n < end; ++n)
          for (std::int64_t p = 0; p < group.places; ++p)
            for (std::int64_t q = 0; q < k; ++q) {
              const std::int64_t c = group.channels[n * k + q];
              fields.push_back(mean[c] + deviation[c] * normal[s * k + q]);
            }
      const autodiff::Isolation own_tapes_only("operator");
      autodiff::Tape tape;
      const Var x =
          tape.variable(Tensor::from(std::span<const double>(fields), {2 * pairs, end - begin, group.places, k}));
      const std::vector<double> slope =
          sum(vjp(sum(apply(group, x, begin, end)), Var(Tensor::full({}, 1, autodiff::DType::float64)), {x})[0], {2})
              .value()
              .to_vector();  // (2 pairs, observations, channels)
      for (std::int64_t n = begin; n < end; ++n)
        for (std::int64_t q = 0; q < k; ++q) {
          double squares = 0;
          double count = 0;
          for (std::int64_t s = 0; s < 2 * pairs; ++s) {
            const double here = slope[(s * (end - begin) + n - begin) * k + q];
            if (!std::isfinite(here)) continue;
            squares += here * here;
            ++count;
          }
          const std::int64_t i = group.observations[n];
          if (count > 0) result[i] += squares / count * variance(i, group.channels[n * k + q]);
        }
    }
  }
  return result;
}

std::unique_ptr<ObservationOperator> observe_through(
    const Observations& observations, const models::Description& about,
    const std::function<std::unique_ptr<ObservationOperator>(const Observations& values)>& observe_values) {
  if (all_values(observations)) return observe_values(observations);
  Footprints footprints(observations, about);
  std::unique_ptr<ObservationOperator> values = observe_values(footprints.values());
  return std::make_unique<ThroughFootprints>(std::move(footprints), std::move(values), observations.size());
}

}  // namespace levda::da
