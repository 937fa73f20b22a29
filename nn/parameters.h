#pragma once

/// The weights of a model: named tensors in a fixed order.

#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tape.h"

namespace levda::nn {

/// Layers hold positions in this list; formulas see it as a list of Vars in the same order.
class Parameters {
 public:
  /// Position of the new entry. Frozen entries are constants of the model. Throws Error on a name that exists.
  std::size_t add(std::string name, autodiff::Tensor value, bool trainable = true);

  std::size_t size() const { return names_.size(); }
  const std::string& name(std::size_t i) const { return names_[i]; }
  bool trainable(std::size_t i) const { return trainable_[i]; }
  const autodiff::Tensor& operator[](std::size_t i) const { return values_[i]; }
  autodiff::Tensor& operator[](std::size_t i) { return values_[i]; }
  /// Replaces a value. Throws Error when the shape differs.
  void set(std::size_t i, autodiff::Tensor value);
  /// Whether an entry is trained from here on. Optimisers that were made before do not know of it.
  void set_trainable(std::size_t i, bool trainable) { trainable_[i] = trainable; }
  /// Moves all values to a device, the frozen ones too. What shares their storage stays where it was.
  void move(autodiff::Backend& backend);
  /// Number of trainable scalars.
  std::int64_t count() const;

  /// All as variables of a tape, the frozen ones as constants.
  autodiff::Vars on(autodiff::Tape& tape) const;
  /// All as constants, in another type where asked.
  autodiff::Vars constants(autodiff::DType dtype = autodiff::DType::float32) const;

 private:
  std::vector<std::string> names_;
  std::vector<autodiff::Tensor> values_;
  std::vector<bool> trainable_;
};

}  // namespace levda::nn
