#include "experiments/twin/analysis_details.h"

namespace levda::experiments {

namespace {

struct Column {
  const char* name;
  const char* meaning;
  double da::Iteration::*value;
};

constexpr Column columns[]{
    {"iteration_factor", "factor of R", &da::Iteration::factor},
    {"iteration_cost_background", "J_b", &da::Iteration::cost_background},
    {"iteration_cost_observations", "J_o", &da::Iteration::cost_observations},
    {"iteration_gradient_norm", "norm of the cost's gradient", &da::Iteration::gradient_norm},
    {"iteration_gradient_difference", "norm of the exact gradient less that of the ensemble's own sensitivities",
     &da::Iteration::gradient_difference},
    {"iteration_damping", "Levenberg-Marquardt damping", &da::Iteration::damping}};

}  // namespace

AnalysisDetails details_of(const da::Analysis& analysis) {
  AnalysisDetails details{.qc = analysis.qc, .share = {}, .sensitivity = {}, .iterations = analysis.iterations};
  if (!analysis.impact.empty()) {
    details.share.assign(analysis.qc.size(), 0.0);
    details.sensitivity.assign(analysis.qc.size(), 0.0);
  }
  for (const da::Impact& impact : analysis.impact) {
    details.share[impact.observation] += impact.share;
    details.sensitivity[impact.observation] = impact.sensitivity;
  }
  return details;
}

void write_details(NetcdfWriter& file, const da::Observations& o, const models::Description& about,
                   const AnalysisDetails& details) {
  file.dimension("observation", o.size());
  const auto column = [&](const std::string& name, Type type, const Attributes& attributes, const auto& values) {
    file.variable("observation_" + name, type, {"observation"}, attributes);
    file.write("observation_" + name, values);
  };
  column("time", Type::Float64, {{"units", about.time_unit}, {"long_name", "time after the start of the assimilation"}},
         o.time);
  column("x", Type::Float64, {{"units", about.place_unit}}, o.x);
  column("y", Type::Float64, {{"units", about.unit_y()}}, o.y);
  column("channel", Type::Int64, {{"long_name", "position in channel_name"}}, o.channel);
  column("value", Type::Float64, {{"long_name", "observed value, in the channel's unit"}}, o.value);
  column("qc", Type::Int32,
         {{"long_name", "quality control, as the analysis decided"},
          {"comment", "0 used, 4 operator failed, 5 not to be assimilated, 6 rejected before, 7 outlier"}},
         details.qc.empty() ? o.qc : details.qc);
  if (!details.share.empty()) {
    column("share", Type::Float64,
           {{"long_name", "share of the degrees of freedom for signal"},
            {"comment", "diagonal of R^-1/2 Y H^-1 Y' R^-1/2, summed over windows; the sum is tr(H K)"}},
           details.share);
    column("sensitivity", Type::Float64,
           {{"long_name", "slope of the least cost with the observed value, per unit of the channel"}},
           details.sensitivity);
  }
  if (details.iterations.empty()) return;
  file.dimension("iteration", static_cast<std::int64_t>(details.iterations.size()));
  std::vector<std::int64_t> windows;
  for (const da::Iteration& one : details.iterations) windows.push_back(one.window);
  file.variable("iteration_window", Type::Int64, {"iteration"}, {{"long_name", "window, the first is 0"}});
  file.write("iteration_window", windows);
  for (const Column& of : columns) {
    std::vector<double> values;
    for (const da::Iteration& one : details.iterations) values.push_back(one.*of.value);
    file.variable(of.name, Type::Float64, {"iteration"}, {{"long_name", of.meaning}});
    file.write(of.name, values);
  }
}

AnalysisDetails read_details(const NetcdfReader& file) {
  AnalysisDetails details;
  if (file.has_variable("observation_qc")) details.qc = file.read<std::int32_t>("observation_qc");
  if (file.has_variable("observation_share")) {
    const std::vector<std::int64_t> shape{file.dimension("observation")};
    for (const char* name : {"observation_qc", "observation_share", "observation_sensitivity"})
      file.require_shape(name, shape);
    details.share = file.read<double>("observation_share");
    details.sensitivity = file.read<double>("observation_sensitivity");
  }
  if (!file.has_variable("iteration_window")) return details;
  file.require_shape("iteration_window", {file.dimension("iteration")});
  const std::vector<std::int64_t> windows = file.read<std::int64_t>("iteration_window");
  details.iterations.resize(windows.size());
  for (std::size_t i = 0; i < windows.size(); ++i) details.iterations[i].window = windows[i];
  for (const Column& of : columns) {
    file.require_shape(of.name, {static_cast<std::int64_t>(windows.size())});
    const std::vector<double> values = file.read<double>(of.name);
    for (std::size_t i = 0; i < windows.size(); ++i) details.iterations[i].*of.value = values[i];
  }
  return details;
}

}  // namespace levda::experiments
