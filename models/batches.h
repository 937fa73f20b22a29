#pragma once

/// The data of a training step: whole trajectories at random nodes, and at random places between frames.

#include <optional>

#include "models/dataset.h"
#include "models/surrogate.h"
#include "models/training_settings.h"

namespace levda::models {

/// Normalised values at network coordinates, in groups that share a latent state.
struct Samples {
  autodiff::Tensor x;                    ///< (groups, points, 2)
  autodiff::Tensor y;                    ///< (groups, points, c)
  std::optional<autodiff::Tensor> mask;  ///< as y: 0 where a value is missing

  /// Values that are there. Waits for the mask.
  double count() const;
};

/// Groups are (frame, trajectory) or (interval, trajectory), the trajectory innermost.
struct Batch {
  autodiff::Tensor u;  ///< (times, trajectories, p); one time where parameters do not change
  Samples frames;
  autodiff::Tensor fraction;       ///< (intervals x trajectories, 1), of the interval
  std::optional<Samples> between;  ///< nullopt where the data have no such values
};

/// Where the training fields lie: on the device that trains, or in the host's memory, from which the batches are sent.
enum class Placement : std::uint8_t { automatic, resident, streamed };

/// Batches of the steps of a training. A batch depends on the seed and the step alone, bit for bit, on any placement.
class Batches {
 public:
  /// For a training on `device`. automatic: resident where the fields and the memory of a training fit there.
  Batches(const TrainingSettings& settings, const Dataset& data, const Surrogate& surrogate, autodiff::Backend& device,
          Placement placement = Placement::automatic);

  /// The host's part: chooses the trajectories of a step and stores the choice in tensors that stay in place.
  void select(std::int64_t step);
  /// The batch of the selected step, on the device, by operations of its backend alone: may be recorded.
  Batch batch() const { return streamed_ ? sent_ : assemble(); }
  /// (groups of frames), on the device, in place: member x frames + frame of each in the selected step.
  const autodiff::Tensor& states() const { return states_; }

  bool streamed() const { return streamed_; }
  /// Values are missing: batches have masks.
  bool missing() const { return missing_; }

 private:
  /// Values of all (member, time), `places` rows each, and which of them a step draws.
  struct Table {
    autodiff::Tensor x;                    // (places, 2) of all (member, time), or (rows, 2)
    autodiff::Tensor y;                    // (rows, c)
    std::optional<autodiff::Tensor> mask;  // (rows, c)
    std::int64_t places = 0;
    std::int64_t times = 0;
    std::int64_t points = 0;   // drawn in each group
    std::uint32_t stream = 0;  // of the first group
    std::uint32_t once_stream = 0;
    autodiff::Tensor base;       // (groups): first row of a group's (member, time)
    autodiff::Tensor base_of_x;  // the same in x
    autodiff::Tensor rows;       // (groups x points): drawn by the host; none where draw() draws
    autodiff::Tensor rows_of_x;
  };

  bool fits() const;
  Table frame_table(const Surrogate& surrogate) const;
  Table between_table(const Surrogate& surrogate) const;
  Batch assemble() const;
  Samples draw(const Table& table) const;
  void draw_once(const std::vector<std::int64_t>& states, Table& table) const;

  TrainingSettings settings_;
  const Dataset& data_;
  bool missing_;
  autodiff::Backend& device_;
  bool streamed_;
  autodiff::Backend& home_;          // of the tables
  autodiff::Tensor step_;            // int64 (1)
  autodiff::Tensor parameters_;      // (members x times, p)
  autodiff::Tensor parameter_rows_;  // (times x trajectories)
  autodiff::Tensor states_;
  Table frames_;
  std::optional<Table> between_;
  autodiff::Tensor fractions_;      // (members x intervals, 1)
  autodiff::Tensor fraction_rows_;  // (intervals x trajectories)
  Batch sent_;                      // streamed: the batch on the device
};

}  // namespace levda::models
