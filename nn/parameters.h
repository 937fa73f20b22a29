#pragma once

/// The weights of a model: named tensors in a fixed order.

#include <string>
#include <string_view>
#include <vector>

#include "autodiff/tape.h"

namespace levda::nn {

/// A tensor that an optimiser changes in place. A copy of it, and so a copy of Parameters or of an optimiser, has
/// storage of its own.
class OwnTensor : public autodiff::Tensor {
 public:
  /// Takes the tensor over if nothing else shares its storage, else a copy.
  OwnTensor(autodiff::Tensor x)  // NOLINT(google-explicit-constructor)
      : Tensor(!x || x.unique() ? std::move(x) : x.clone()) {}
  OwnTensor(const OwnTensor& x) : OwnTensor(static_cast<const autodiff::Tensor&>(x)) {}
  OwnTensor(OwnTensor&&) noexcept = default;
  OwnTensor& operator=(const OwnTensor& x) { return *this = OwnTensor(x); }
  OwnTensor& operator=(OwnTensor&&) noexcept = default;
  ~OwnTensor() = default;
};

/// A list of weights. Layers hold positions in this list; formulas get it as a list of Vars in the same order. A copy
/// has weights of its own. Every function throws Error for a position that is not in the list.
class Parameters {
 public:
  /// Adds an entry and returns its position. An entry that is not trainable is a constant of the model. Throws Error
  /// when the name exists, or the value is empty or of integers.
  std::size_t add(std::string name, autodiff::Tensor value, bool trainable = true);

  std::size_t size() const { return names_.size(); }
  const std::string& name(std::size_t i) const { return names_[at(i)]; }
  bool trainable(std::size_t i) const { return trainable_[at(i)]; }
  const autodiff::Tensor& operator[](std::size_t i) const { return values_[at(i)]; }
  OwnTensor& operator[](std::size_t i) { return values_[at(i)]; }
  /// Replaces a value; the type and the device may change. Throws Error when the shape differs.
  void set(std::size_t i, autodiff::Tensor value);
  /// Sets whether an entry is trained. Optimisers that already exist do not notice the change.
  void set_trainable(std::size_t i, bool trainable) { trainable_[at(i)] = trainable; }
  /// Moves all values to a device. Other tensors that shared their storage stay where they are.
  void move(autodiff::Backend& backend);
  /// Number of trainable scalars.
  std::int64_t count() const;

  /// The trainable entries as variables of a tape, the others as constants.
  autodiff::Vars on(autodiff::Tape& tape) const;
  /// All entries as constants of a type.
  autodiff::Vars constants(autodiff::DType dtype = autodiff::DType::float32) const;

 private:
  std::size_t at(std::size_t i) const;

  std::vector<std::string> names_;
  std::vector<OwnTensor> values_;
  std::vector<bool> trainable_;
};

}  // namespace levda::nn
