#include "experiments/data/generate.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "autodiff/error.h"
#include "autodiff/random.h"
#include "autodiff/streams.h"
#include "models/interpolation.h"

namespace levda::experiments {

namespace {

/// Steps of the d-dimensional additive recurrence with the generalised golden ratio (Roberts 2018, R_d): 1/g, 1/g^2, ..
/// with g^(d + 1) = g + 1.
std::vector<double> kronecker_steps(std::int64_t d) {
  double g = 2;
  for (int i = 0; i < 64; ++i) g = std::pow(1 + g, 1 / static_cast<double>(d + 1));
  std::vector<double> steps;
  for (std::int64_t i = 1; i <= d; ++i) steps.push_back(1 / std::pow(g, static_cast<double>(i)));
  return steps;
}

/// Draws a time in each interval between frames, on a solver step, and places; values are left 0.
BetweenFrames draw_between(const DataConfig& data, const models::Description& about, std::int64_t first,
                           std::int64_t last) {
  BetweenFrames between;
  if (data.between == 0 || data.steps_per_frame < 2) return between;
  between.points = data.between;
  const models::Grid& grid = about.grid;
  for (std::int64_t member = first; member < last; ++member) {
    autodiff::Random random(static_cast<std::uint64_t>(data.seed), streams::between_frames,
                            static_cast<std::uint32_t>(member));
    for (std::int64_t interval = 0; interval + 1 < data.frames; ++interval) {
      const std::int64_t step = 1 + random.below(data.steps_per_frame - 1);
      between.fraction.push_back(static_cast<double>(step) / static_cast<double>(data.steps_per_frame));
      for (std::int64_t k = 0; k < data.between; ++k) {
        between.x.push_back(
            static_cast<float>(grid.x0 + static_cast<double>(grid.nx - 1) * grid.dx * random.uniform()));
        between.y.push_back(
            static_cast<float>(grid.y0 + static_cast<double>(grid.ny - 1) * grid.dy * random.uniform()));
      }
    }
  }
  between.values.resize(between.x.size() * static_cast<std::size_t>(about.channels()));
  return between;
}

/// One trajectory into its place of the data set.
void simulate(const Solver& solver, const DataConfig& data, std::int64_t member, Dataset& set) {
  const models::Grid& grid = set.about.grid;
  const std::int64_t c = set.about.channels();
  const auto size = static_cast<std::size_t>(set.frame_size());
  BetweenFrames& between = set.between;
  const std::int64_t intervals = data.frames - 1;
  std::vector<std::int64_t> steps;  // frame, between, frame, .., frame
  for (std::int64_t frame = 0; frame < data.frames; ++frame) {
    if (frame > 0 && between.points > 0) {
      const double fraction = between.fraction[static_cast<std::size_t>(member * intervals + frame - 1)];
      steps.push_back(step_of_frame(data, frame - 1) +
                      std::llround(fraction * static_cast<double>(data.steps_per_frame)));
    }
    steps.push_back(step_of_frame(data, frame));
  }
  std::vector<float> states(steps.size() * size);
  solver(set.parameters_of(member), steps, states);
  const std::size_t stride = between.points > 0 ? 2 : 1;
  for (std::int64_t frame = 0; frame < data.frames; ++frame)
    std::copy_n(states.data() + stride * size * static_cast<std::size_t>(frame), size,
                set.fields.data() + size * static_cast<std::size_t>(member * data.frames + frame));
  if (between.points == 0) return;
  for (std::int64_t interval = 0; interval < intervals; ++interval) {
    const std::span<const float> state = std::span(states).subspan((2 * interval + 1) * size, size);
    const std::int64_t first = (member * intervals + interval) * between.points;
    for (std::int64_t k = first; k < first + between.points; ++k)
      for (std::int64_t channel = 0; channel < c; ++channel)
        between.values[k * c + channel] = static_cast<float>(
            models::interpolate(state, grid, channel, between.x[k] + grid.offset_x[channel] * grid.dx,
                                between.y[k] + grid.offset_y[channel] * grid.dy));
  }
}

}  // namespace

Generator::Generator(const Config& config)
    : data_(config.data),
      outline_{.about = find_case(config.case_name).describe(data_),
               .train = data_.train,
               .valid = data_.valid,
               .test = data_.test,
               .varying = false,
               .parameters = {},
               .fields = {},
               .between = {},
               .fingerprint = fingerprint(config, {"data"})} {
  const models::Description& about = outline_.about;
  const std::int64_t p = about.parameters();
  const auto seed = static_cast<std::uint64_t>(data_.seed);
  const std::vector<double> steps = kronecker_steps(p);
  for (std::int64_t member = 0; member < outline_.members(); ++member) {
    // A member's parameters do not depend on how many others there are.
    const bool even = member < data_.train && data_.design == Design::even;
    autodiff::Random random =
        even ? autodiff::Random(seed, streams::even_parameters)
             : autodiff::Random(seed, streams::uniform_parameters, static_cast<std::uint32_t>(member));
    for (std::int64_t i = 0; i < p; ++i) {
      const double drawn = random.uniform();
      const double place = even ? std::fmod(drawn + static_cast<double>(member) * steps[i], 1.0) : drawn;
      const double low = about.parameter_min[i];
      outline_.parameters.push_back(low + (about.parameter_max[i] - low) * place);
    }
  }
  constexpr double most = 1e10;  // values, 40 GB
  const double size = static_cast<double>(outline_.members()) * static_cast<double>(data_.frames) *
                      static_cast<double>(outline_.frame_size());
  if (size > most)
    throw InputError("configuration", "data.frames",
                     fmt::format("a data set of {:.1e} values, at most {:.0e} are possible", size, most));
  solver_ = find_case(config.case_name).solver(data_);
}

Dataset Generator::members(std::int64_t first, std::int64_t last, const std::function<void()>& finished) const {
  const auto within = [&](std::int64_t begin, std::int64_t end) {
    return std::max<std::int64_t>(0, std::min(last, end) - std::max(first, begin));
  };
  const std::int64_t p = outline_.about.parameters();
  Dataset set{.about = outline_.about,
              .train = within(0, outline_.train),
              .valid = within(outline_.train, outline_.first_test()),
              .test = within(outline_.first_test(), outline_.members()),
              .varying = false,
              .parameters = {outline_.parameters.begin() + first * p, outline_.parameters.begin() + last * p},
              .fields = {},
              .between = draw_between(data_, outline_.about, first, last),
              .fingerprint = outline_.fingerprint};
  set.fields.resize(static_cast<std::size_t>(set.members() * data_.frames * set.frame_size()));
  std::mutex mutex;
  oneapi::tbb::parallel_for(std::int64_t{0}, set.members(), [&](std::int64_t member) {
    simulate(solver_, data_, member, set);
    const std::lock_guard lock(mutex);
    if (finished) finished();
  });
  return set;
}

Dataset generate_dataset(const Config& config, const std::function<void(std::int64_t)>& finished) {
  const Generator generator(config);
  std::int64_t done = 0;
  return generator.members(0, generator.outline().members(), [&] {
    ++done;
    if (finished) finished(done);
  });
}

}  // namespace levda::experiments
