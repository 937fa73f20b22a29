/// The conventions of the twin experiments, on a data set that is the surrogate's own: then all errors are zero.

#include "experiments/twin/twin.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "autodiff/error.h"
#include "da/latent_model.h"
#include "experiments/study/calibration.h"
#include "experiments/twin/assimilation.h"
#include "experiments/twin/control_space.h"
#include "experiments/twin/scorer.h"

using namespace levda;
using namespace levda::experiments;
using autodiff::DType;
using autodiff::Tensor;
using autodiff::Var;

namespace {

struct World {
  Config config;
  models::Surrogate surrogate;
  Dataset data;
};

World make_world() {
  Config config = load_preset("tsunami", "small");
  config.surrogate.latent = 3;
  config.surrogate.dynamics_width = config.surrogate.decoder_width = 8;
  config.surrogate.dynamics_depth = config.surrogate.decoder_depth = 2;
  config.surrogate.fourier_features = 3;
  config.surrogate.latent_dt = 0.3;
  config.data.nodes = 12;
  config.data.frames = 14;
  config.data.train = 6;
  config.data.valid = 1;
  config.data.test = 3;
  config.observations.truths = 3;
  config.observations.sensors = "grid:3x3";
  config.observations.sigma = 1e-6;
  config.assimilation.members = 5;
  config.assimilation.frames = 6;
  config.assimilation.window = config.assimilation.shift = 6;
  config.assimilation.start_min = 2;
  config.assimilation.start_max = 8;
  config.assimilation.score_stride = 1;

  // 12 x 9 nodes, staggered channels; fields are decoded from the surrogate's trajectories.
  models::Description about{
      .case_name = "tsunami",
      .parameter_names = {"a", "b"},
      .parameter_units = {"1", "1"},
      .parameter_min = {0, -1},
      .parameter_max = {0.5, 2},
      .channel_names = {"u", "v", "eta"},
      .channel_units = {"m s-1", "m s-1", "m"},
      .grid =
          {.nx = 12, .ny = 9, .x0 = -5, .y0 = 2, .dx = 1, .dy = 0.5, .offset_x = {0.5, 0, 0}, .offset_y = {0, 0.5, 0}},
      .frames = 14,
      .first_time = 10,
      .frame_interval = 10};
  World world{
      .config = config,
      .surrogate = {.about = about,
                    .net = models::Ldnet(config.surrogate, 5),
                    .field_mean = {0.3, -0.1, 2},
                    .field_std = {0.2, 0.1, 0.4},
                    .training_parameters = {},
                    .training_latents = {},
                    .error_variance = Tensor::full({14, 3}, 1e-10, DType::float64),
                    .between_variance = Tensor::full({13, 3}, 1e-10, DType::float64),
                    .provenance = {}},
      .data = {
          .about = about, .train = 6, .valid = 1, .test = 3, .parameters = {}, .fields = {}, .fingerprint = "own"}};
  models::Surrogate& s = world.surrogate;
  autodiff::Random random(1);
  for (int m = 0; m < 10; ++m) {
    world.data.parameters.push_back(0.5 * random.uniform());
    world.data.parameters.push_back(-1 + 3 * random.uniform());
  }
  const std::vector<double> u = s.normal_parameters(world.data.parameters);
  const Tensor latents = models::latent_trajectories(s.net, u, 10, 14);
  s.training_parameters = Tensor::from(std::span<const double>(world.data.parameters).first(12), {6, 2});
  s.training_latents = latents.rows(0, 6).clone();
  const std::vector<float> decoded =
      models::decode_states(s.net, latents.reshaped({140, 3}), models::grid_points(about.grid, 1)).to_floats();
  const std::int64_t cells = about.grid.cells();
  world.data.fields.resize(decoded.size());
  for (std::int64_t frame = 0; frame < 140; ++frame)
    for (std::int64_t i = 0; i < cells; ++i)
      for (std::int64_t c = 0; c < 3; ++c)
        world.data.fields[(frame * 3 + c) * cells + i] =
            static_cast<float>(s.field_mean[c] + s.field_std[c] * decoded[(frame * cells + i) * 3 + c]);
  return world;
}

}  // namespace

TEST_CASE("truths are distinct test members; warm ones start in the range, each from its own frame") {
  const World w = make_world();
  for (const std::string& experiment : experiment_names()) {
    const std::vector<Truth> truths = draw_truths(w.config, w.data, experiment);
    REQUIRE(truths.size() == 3);
    std::set<std::int64_t> members;
    for (const Truth& truth : truths) {
      members.insert(truth.member);
      CHECK(truth.member >= w.data.first_test());
      CHECK(truth.member < w.data.members());
      if (experiment == "cold") CHECK(truth.start == -1);
      if (experiment == "warm") CHECK((truth.start >= 2 && truth.start <= 8));
    }
    CHECK(members.size() == 3);
  }
  Config many = w.config;
  many.observations.truths = 4;
  CHECK_THROWS_AS(draw_truths(many, w.data, "warm"), InputError);
}

TEST_CASE(
    "a warm member is the latent of a training frame in the range, a cold one is 0; all come from other trajectories") {
  const World w = make_world();
  const std::vector<double> u = w.surrogate.normal_parameters(w.surrogate.training_parameters.to_vector());
  const std::vector<double> latents = w.surrogate.training_latents.to_vector();
  for (const std::string& experiment : experiment_names())
    for (std::int64_t truth = 0; truth < 3; ++truth) {
      const da::Ensemble prior = LatentSpace(w.config, w.surrogate).prior(experiment, truth);
      const std::vector<double> v = prior.members().to_vector();
      std::set<std::int64_t> used;
      for (std::size_t k = 0; k < 5; ++k) {
        const double* member = v.data() + 5 * k;
        std::int64_t from = -1;
        for (std::int64_t m = 0; m < 6; ++m)
          if (member[3] == u[2 * m] && member[4] == u[2 * m + 1]) from = m;
        REQUIRE(from >= 0);
        used.insert(from);
        if (experiment == "cold") {
          for (int i = 0; i < 3; ++i) CHECK(member[i] == 0);
        } else {
          bool found = false;
          for (std::int64_t frame = 2; frame <= 8; ++frame)
            found = found || std::equal(member, member + 3, latents.data() + (from * 14 + frame) * 3);
          CHECK(found);
        }
      }
      CHECK(used.size() == 5);
    }
}

TEST_CASE(
    "candidates are training states at frames of the range, of any number; cold ones differ by parameters alone") {
  const World w = make_world();
  const std::vector<double> u = w.surrogate.normal_parameters(w.surrogate.training_parameters.to_vector());
  const std::vector<double> latents = w.surrogate.training_latents.to_vector();
  for (const std::string& experiment : experiment_names()) {
    const bool cold = experiment == "cold";
    const da::Ensemble candidates = *LatentSpace(w.config, w.surrogate).candidates(experiment, 0, 13);
    REQUIRE(candidates.size() == (cold ? 6 : 13));
    const std::vector<double> v = candidates.members().to_vector();
    std::set<std::int64_t> used;
    for (std::int64_t k = 0; k < candidates.size(); ++k) {
      const double* candidate = v.data() + 5 * k;
      bool found = false;
      for (std::int64_t m = 0; m < 6; ++m) {
        if (candidate[3] != u[2 * m] || candidate[4] != u[2 * m + 1]) continue;
        used.insert(m);
        for (std::int64_t frame = 2; frame <= 8; ++frame)
          found = found || std::equal(candidate, candidate + 3, latents.data() + (m * 14 + frame) * 3);
      }
      CHECK(found == !cold);
      if (cold) CHECK(std::all_of(candidate, candidate + 3, [](double s) { return s == 0; }));
    }
    CHECK(used.size() == 6);
  }
}

TEST_CASE("from the true control vector the model predicts the observations: times, places and start frames agree") {
  const World w = make_world();
  const da::LatentModel model(w.surrogate);
  const Moments moments = field_moments(w.data);
  for (const std::string& experiment : experiment_names())
    for (const Truth& truth : draw_truths(w.config, w.data, experiment)) {
      const ObservationFile file = observe_truth(w.config, w.data, moments, truth, experiment);
      CHECK(file.observations.size() == 6 * 9 * 3);
      const std::vector<double> u = w.surrogate.normal_parameters(w.data.parameters_of(truth.member));
      std::vector<double> v(3, 0.0);
      if (experiment == "warm") {
        const std::vector<double> own = models::latent_trajectories(w.surrogate.net, u, 1, 14).to_vector();
        std::copy_n(own.begin() + 3 * truth.start, 3, v.begin());
      }
      v.insert(v.end(), u.begin(), u.end());
      const Tensor control = Tensor::from(std::span<const double>(v), {1, 5});
      const std::vector<double> predicted = model.observe(file.observations)->predict(control).to_vector();
      // Fields are float32 of size 2; the observations' errors are 1e-6 standard deviations.
      for (std::size_t i = 0; i < predicted.size(); ++i)
        CHECK(std::abs(predicted[i] - file.observations.value[i]) <= 5e-6);
      // The lookup's start and the scores' floor count frames in the same way: a surrogate without error scores 0.
      const LatentAnalysis analysis = assimilate(w.config, w.surrogate, {&file, 1}).front();
      const TruthScores scores = score(w.config, w.surrogate, w.data, file, analysis);
      da::FieldScores floor;
      for (const da::FieldScores& frame : scores.methods.at("floor").frames) floor += frame;
      CHECK(floor.relative_rmse() <= 1e-5);
      CHECK(scores.methods.at("levda").frames.size() == 6);
      CHECK(scores.methods.at("climatology").frames[0].relative_rmse() > 1e-3);
    }
}

TEST_CASE("random sensors stay where they are, for all truths; fewer are among more; every one counts once") {
  World w = make_world();
  const Moments moments = field_moments(w.data);
  const auto places = [&](const char* sensors, std::size_t truth, std::int64_t noise) {
    w.config.observations.sensors = sensors;
    w.config.observations.every = 2;
    const da::Observations o =
        observe_truth(w.config, w.data, moments, draw_truths(w.config, w.data, "warm")[truth], "warm", noise)
            .observations;
    std::set<std::pair<double, double>> all;
    for (std::int64_t i = 0; i < o.size(); ++i)
      if (o.channel[i] == 2) all.emplace(o.x[i], o.y[i]);
    CHECK(o.size() == static_cast<std::int64_t>(3 * 3 * all.size()));  // frames 0, 2, 4; three channels
    return all;
  };
  const auto seven = places("random:7", 0, 0);
  CHECK(seven.size() == 7);
  CHECK(places("random:7", 2, 3) == seven);
  const auto more = places("random:20", 1, 0);
  CHECK(more.size() == 20);
  CHECK(std::includes(more.begin(), more.end(), seven.begin(), seven.end()));
  CHECK(places("random:108", 0, 0).size() == 108);
  CHECK_THROWS_AS(places("random:109", 0, 0), InputError);
  CHECK_THROWS_AS(places("random:0", 0, 0), InputError);
  w.config.seed = 2;
  CHECK(places("random:7", 0, 0) != seven);
}

TEST_CASE("draws of the noise: number 0 is the one of the run, others are new") {
  World w = make_world();
  w.config.observations.sigma = 1;
  const Moments moments = field_moments(w.data);
  const Truth truth = draw_truths(w.config, w.data, "cold")[0];
  const auto values = [&](std::int64_t noise) {
    return observe_truth(w.config, w.data, moments, truth, "cold", noise).observations.value;
  };
  CHECK(values(0) == observe_truth(w.config, w.data, moments, truth, "cold").observations.value);
  CHECK(values(1) != values(0));
  CHECK(values(1) != values(2));
  CHECK(values(2) == values(2));
}

TEST_CASE("gross errors: a share of the values, of random sign, on top of the same noise") {
  World w = make_world();
  const Moments moments = field_moments(w.data);
  const Truth truth = draw_truths(w.config, w.data, "warm")[1];
  const ObservationFile clean = observe_truth(w.config, w.data, moments, truth, "warm");
  CHECK(clean.gross.empty());
  w.config.observations.gross_fraction = 0.2;
  w.config.observations.gross_size = 30;
  const ObservationFile file = observe_truth(w.config, w.data, moments, truth, "warm");
  CHECK(file.fingerprint != clean.fingerprint);
  const da::Observations& o = file.observations;
  REQUIRE(file.gross.size() == static_cast<std::size_t>(o.size()));
  std::int64_t wrong = 0;
  std::int64_t positive = 0;
  for (std::int64_t i = 0; i < o.size(); ++i) {
    const double excess = (o.value[i] - clean.observations.value[i]) / o.error_std[i];
    wrong += file.gross[i];
    positive += excess > 0 ? 1 : 0;
    // Values of order 1, errors of 1e-7: the excess keeps eight digits.
    CHECK(std::abs(std::abs(excess) - (file.gross[i] == 1 ? 30 : 0)) <= 1e-6);
  }
  const auto expected = 0.2 * static_cast<double>(o.size());  // binomial: four standard deviations
  CHECK(std::abs(static_cast<double>(wrong) - expected) <= 4 * std::sqrt(0.8 * expected));
  CHECK(positive > wrong / 4);
  CHECK(positive < wrong - wrong / 4);
}

TEST_CASE("bounded and positive parameters: the same members, analyses within; free ones are the model itself") {
  World w = make_world();
  const LatentSpace free(w.config, w.surrogate);
  const da::Ensemble members = free.prior("warm", 0);
  CHECK(free.natural(members).members().to_vector() == members.members().to_vector());
  CHECK(free.walk(0).empty());
  w.config.assimilation.parameters = da::ParameterRange::bounded;
  const LatentSpace bounded(w.config, w.surrogate);
  const std::vector<double> back = bounded.natural(bounded.prior("warm", 0)).members().to_vector();
  for (std::size_t i = 0; i < back.size(); ++i) CHECK(std::abs(back[i] - members.members().to_vector()[i]) <= 1e-14);
  const std::vector<double> walk = bounded.walk(0.1);
  CHECK(walk[0] == 0);
  CHECK(std::abs(walk[4] - 0.1 * 2 * 4 / 2.2) <= 1e-15);
  const ObservationFile file =
      observe_truth(w.config, w.data, field_moments(w.data), draw_truths(w.config, w.data, "warm")[0], "warm");
  const LatentAnalysis analysis = assimilate(w.config, w.surrogate, {&file, 1}).front();
  for (const da::Ensemble& ensemble : analysis.ensembles) {
    const std::vector<double> values = ensemble.members().to_vector();
    for (std::size_t i = 0; i < values.size(); ++i)
      if (i % 5 >= 3) CHECK(std::abs(values[i]) <= 1.1);
  }
  CHECK(analysis.details.qc == file.observations.qc);
  CHECK(analysis.details.share.size() == file.observations.qc.size());
  CHECK_FALSE(analysis.details.iterations.empty());
  w.config.assimilation.parameters = da::ParameterRange::positive;  // the range of b is -1 .. 2
  CHECK_THROWS_AS(LatentSpace(w.config, w.surrogate), InputError);
  w.surrogate.about.parameter_min = {0.1, 0.2};
  CHECK(std::abs(LatentSpace(w.config, w.surrogate).walk(0.1)[3] - 0.2 / (1 + 2 * 0.1 / 0.4)) <= 1e-14);
}

TEST_CASE("calibration: R whose parameters are as sure as they should be, and a spread that is the error") {
  World w = make_world();
  w.config.observations.sigma = 0.1;
  w.data.valid = 3;
  w.data.test = 1;
  w.config.assimilation.members = 6;  // more than controls
  // The surrogate's first parameter is not that of the truths.
  for (std::size_t m = 6; m < 9; ++m) w.data.parameters[2 * m] += 0.25;
  // The stated error of the surrogate is three times that of the instruments, although its fields are perfect.
  w.surrogate.error_variance = Tensor::full({14, 3}, 0.09, DType::float64);
  for (const Truth& truth : validation_truths(w.config, w.data, "warm")) {
    CHECK(truth.member >= 6);
    CHECK(truth.member < 9);
    CHECK(truth.start >= 2);
    CHECK(truth.start <= 8);
  }
  const Calibration fitted = calibrate(w.config, w.surrogate, w.data, "warm", {});
  REQUIRE(fitted.trials.size() >= 2);
  CHECK(fitted.trials[0].error_factor == 1);
  CHECK(std::abs(fitted.trials[1].error_factor - std::pow(fitted.trials[0].scores.param_z_rms.value, 2)) <= 1e-12);
  CHECK(fitted.surrogate_factor < 1);
  const auto distance = [](const CalibrationTrial& trial) {
    return std::abs(std::log(trial.scores.param_z_rms.value));
  };
  const auto chosen = std::find_if(fitted.trials.begin(), fitted.trials.end(),
                                   [&](const auto& trial) { return trial.error_factor == fitted.error_factor; });
  REQUIRE(chosen != fitted.trials.end());
  for (const CalibrationTrial& trial : fitted.trials) CHECK(distance(trial) >= distance(*chosen));
  CHECK(text_of(fitted).find("assimilation.error_factor = ") != std::string::npos);

  // With both factors the validation truths' spread is their error.
  w.config.assimilation.error_factor = fitted.error_factor;
  w.config.assimilation.surrogate_factor = fitted.surrogate_factor;
  w.config.assimilation.surrogate_trend = fitted.surrogate_trend;
  const LatentSpace space(w.config, w.surrogate);
  da::FieldScores pooled;
  for (const Truth& truth : validation_truths(w.config, w.data, "warm")) {
    const ObservationFile file = observe_truth(w.config, w.data, field_moments(w.data), truth, "warm");
    Config plain = w.config;
    plain.assimilation.error_factor = 1;
    const double before = LatentSpace(plain, w.surrogate).covariance(file)->variance()[0];
    CHECK(std::abs(space.covariance(file)->variance()[0] - fitted.error_factor * before) <= 1e-12 * before);
    const LatentAnalysis analysis = assimilate(w.config, w.surrogate, {&file, 1}).front();
    const MethodScores scores =
        Scorer(w.config, w.surrogate, w.data, file)
            .score([&](std::int64_t t) { return analysis.fields[t]; },
                   space.model_error("warm", analysis.ensembles.back()), space.parameters(analysis.ensembles.back()));
    for (const da::FieldScores& frame : scores.frames) pooled += frame;
  }
  CHECK((fitted.surrogate_factor == 0 || std::abs(pooled.spread_skill() - 1) <= 1e-9));
}

TEST_CASE(
    "the surrogate's error variance may grow with the parameters: slopes that stand out, at the ensemble's mean") {
  // y = 3 + 0.7 a + 0 b and a little that is neither's.
  std::vector<double> x;
  std::vector<double> y;
  for (int i = 0; i < 20; ++i) {
    const double a = -1 + 0.1 * i;
    x.push_back(a);
    x.push_back(std::cos(2.0 * i));
    y.push_back(3 + 0.7 * a + 0.01 * (i % 2 == 0 ? 1 : -1));
  }
  const std::vector<double> slopes = significant_slopes(x, y);
  REQUIRE(slopes.size() == 2);
  CHECK(std::abs(slopes[0] - 0.7) <= 0.01);  // the rest is at most 0.01
  CHECK(slopes[1] == 0);
  CHECK(significant_slopes(std::span(x).first(6), std::span(y).first(3)) == std::vector<double>{0, 0});

  World w = make_world();
  const LatentSpace space(w.config, w.surrogate);
  const da::Ensemble prior = space.prior("warm", 0);
  const std::vector<double> before = space.model_error("warm", prior);
  w.config.assimilation.surrogate_trend = {0.4, -2};
  double growth = 0;
  const std::vector<double> u = w.surrogate.normal_parameters(space.parameters(prior));
  for (std::size_t i = 0; i < u.size(); i += 2)
    growth += (0.4 * u[i] - 2 * u[i + 1]) / static_cast<double>(prior.size());
  for (std::size_t c = 0; c < before.size(); ++c)
    CHECK(std::abs(space.model_error("warm", prior)[c] - std::exp(growth) * before[c]) <= 1e-12 * before[c]);
  w.config.assimilation.surrogate_trend = {0.4};
  CHECK_THROWS_AS(LatentSpace(w.config, w.surrogate), InputError);
}

TEST_CASE("R_sur is the mean over the frames that an experiment can observe") {
  World w = make_world();
  std::vector<double> variance;
  for (int frame = 0; frame < 14; ++frame)
    for (int c = 0; c < 3; ++c) variance.push_back(frame + 100 * c);
  w.surrogate.error_variance = Tensor::from(std::span<const double>(variance), {14, 3});
  // cold: frames 0 .. 5; warm: 2 .. 8 + 5.
  CHECK(LatentSpace(w.config, w.surrogate).of("cold").surrogate_variance().at_frames[1] ==
        doctest::Approx(102.5).epsilon(1e-14));
  CHECK(LatentSpace(w.config, w.surrogate).of("warm").surrogate_variance().at_frames[0] ==
        doctest::Approx(7.5).epsilon(1e-14));
  // Between frames the variance measured there counts: cold intervals 0 .. 4, warm 2 .. 12.
  std::vector<double> between;
  for (int interval = 0; interval < 13; ++interval)
    for (int c = 0; c < 3; ++c) between.push_back(1000 + interval);
  w.surrogate.between_variance = Tensor::from(std::span<const double>(between), {13, 3});
  const da::SurrogateVariance cold = LatentSpace(w.config, w.surrogate).of("cold").surrogate_variance();
  CHECK(cold.between[2] == doctest::Approx(1002).epsilon(1e-14));
  CHECK(LatentSpace(w.config, w.surrogate).of("warm").surrogate_variance().between[2] ==
        doctest::Approx(1007).epsilon(1e-14));
  CHECK(cold.at(3, 1) == cold.at_frames[1]);
  CHECK(cold.at(3 + 1e-9, 1) == cold.at_frames[1]);
  CHECK(cold.at(2.9, 1) == cold.between[1]);
  w.config.assimilation.frames = 1;  // no interval to be observed
  CHECK(LatentSpace(w.config, w.surrogate).of("cold").surrogate_variance().between[1] ==
        doctest::Approx(100).epsilon(1e-14));
}

TEST_CASE("an experiment that needs more frames than there are is refused") {
  World w = make_world();
  CHECK_NOTHROW(check_frames(w.config, w.data.about, "data.nc"));
  w.config.assimilation.start_max = 9;
  CHECK_THROWS_WITH_AS(check_frames(w.config, w.data.about, "data.nc"),
                       "data.nc: frames: 14, but assimilation.start_max = 9 and assimilation.frames = 6 need 15",
                       InputError);
}
