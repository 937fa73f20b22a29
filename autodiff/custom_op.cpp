#include "autodiff/custom_op.h"

#include <fmt/format.h>

#include "autodiff/error.h"
#include "autodiff/internal/sweep.h"

namespace levda::autodiff {

namespace {

/// The rules as a row for evaluate(). Sweeps check what they return.
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
                check_result(user.name.c_str(), "value returned", result, shape, x[0]);
                // The user may keep the tensor, or return an input.
                y = result.value().unique() ? result.value() : result.value().clone();
              },
          .vjp =
              [&user](const Call& n, int i, const Var& w) {
                if (!user.vjp) throw Error(fmt::format("[{}] has no vjp", user.name));
                return user.vjp(n, i, w);
              },
          .jvp =
              [&user](const Call& n, const Vars& v) {
                if (!user.jvp) throw Error(fmt::format("[{}] has no jvp", user.name));
                return user.jvp(n, v);
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
