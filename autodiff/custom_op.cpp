#include "autodiff/custom_op.h"

#include <fmt/format.h>

#include "autodiff/error.h"

namespace levda::autodiff {

namespace {

/// The result of a rule, if it has the shape, and the type and device of `like`.
Var checked(const std::string& op, const std::string& rule, Var result, const Shape& shape, const Var& like) {
  if (!result) throw Error(fmt::format("[{}] {} returned no value", op, rule));
  if (!(result.shape() == shape))
    throw Error(fmt::format("[{}] {} returned shape {}, not {}", op, rule, result.shape().text(), shape.text()));
  if (result.dtype() != like.dtype() || &result.value().backend() != &like.value().backend())
    throw Error(fmt::format("[{}] {} returned {} on {}, not {} on {}", op, rule, name(result.dtype()),
                            name(result.value().device()), name(like.dtype()), name(like.value().device())));
  return result;
}

/// The rules with checks, as a row for evaluate().
Op row_of(const CustomOp& user) {
  return {.name = user.name.c_str(),
          .shape = [&user](Inputs x, const Attributes&) { return user.shape ? user.shape(x) : Shape(); },
          .forward =
              [&user](Backend&, Inputs inputs, Attributes&, Tensor& y) {
                Vars x;
                for (const Var& input : inputs) x.push_back(input.detach());
                const Var result = user.value(x);
                if (result.tracked())
                  throw Error(fmt::format("[{}] value uses a variable that is not an input", user.name));
                const Shape shape = user.shape || !result ? y.shape() : result.shape();
                y = checked(user.name, "value", result, shape, x[0]).value();
              },
          .vjp =
              [&user](const Call& n, int i, const Var& w) {
                if (!user.vjp) throw Error(fmt::format("[{}] has no vjp", user.name));
                return checked(user.name, fmt::format("vjp of input {}", i), user.vjp(n, i, w), n.inputs[i].shape(), w);
              },
          .jvp =
              [&user](const Call& n, const Vars& v) {
                if (!user.jvp) throw Error(fmt::format("[{}] has no jvp", user.name));
                const Shape shape = n.output.shape().prepend(leading(v, n.inputs));
                return checked(user.name, "jvp", user.jvp(n, v), shape, n.output);
              }};
}

}  // namespace

Function custom_op(CustomOp op) {
  if (!op.value) throw Error(fmt::format("[{}] has no value", op.name));
  struct Held {
    CustomOp user;
    Op row;
    explicit Held(CustomOp own) : user(std::move(own)), row(row_of(user)) {}
  };
  const auto held = std::make_shared<const Held>(std::move(op));
  return [op = std::shared_ptr<const Op>(held, &held->row)](const Vars& inputs) {
    if (inputs.empty()) throw Error(fmt::format("[{}] no inputs", op->name));
    return evaluate(op, inputs);
  };
}

}  // namespace levda::autodiff
