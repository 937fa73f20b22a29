#include "experiments/data/shards.h"

#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <mutex>
#include <optional>
#include <set>

#include "autodiff/error.h"
#include "experiments/data/dataset_file.h"
#include "experiments/data/generate.h"
#include "experiments/data/leave_one_out.h"
#include "experiments/data/netcdf_file.h"
#include "experiments/process.h"
#include "nn/atomic_file.h"
#include "nn/progress.h"

namespace levda::experiments {

namespace fs = std::filesystem;

namespace {

std::string bytes_text(double bytes) {
  return bytes >= 1e9 ? fmt::format("{:.1f} GB", bytes / 1e9) : fmt::format("{:.1f} MB", bytes / 1e6);
}

std::string time_text(double seconds) {
  if (seconds < 100) return fmt::format("{:.0f} s", seconds);
  if (seconds < 6000) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

class Generation {
 public:
  Generation(const Config& config, const fs::path& path, const GenerateOptions& options)
      : path_(path),
        options_(options),
        generator_(config),
        outline_(generator_.outline()),
        leave_one_out_(outline_),
        training_pool_(config.training.pool) {
    const models::Description& about = outline_.about;
    const std::int64_t places =
        config.data.steps_per_frame > 1 ? (about.frames - 1) * config.data.between : 0;  // between frames
    const std::int64_t values = about.frames * outline_.frame_size() + places * (2 + about.channels());
    member_bytes_ = static_cast<double>(values) * sizeof(float);
    const double fitting = std::floor(config.shard_megabytes * 1e6 / member_bytes_);
    per_shard_ = has_netcdf()
                     ? static_cast<std::int64_t>(std::clamp(fitting, 1.0, static_cast<double>(outline_.members())))
                     : outline_.members();
    together_ = shards_at_once();
  }

  void run() {
    announce();
    if (per_shard_ == outline_.members())
      in_one();
    else
      in_shards();
  }

 private:
  template <typename... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) const {
    tell(options_.progress, format, std::forward<Args>(args)...);
  }

  /// The smallest number that leaves threads idle for at most a twentieth of the time, if all members take equally
  /// long.
  std::int64_t shards_at_once() const {
    const std::int64_t threads = options_.threads;
    const auto idle = [&](std::int64_t shards) {
      const std::int64_t members = shards * per_shard_;
      const std::int64_t rounds = (members + threads - 1) / threads;
      return 1 - static_cast<double>(members) / static_cast<double>(rounds * threads);
    };
    const std::int64_t fewest = (threads + per_shard_ - 1) / per_shard_;
    std::int64_t best = fewest;
    for (std::int64_t shards = fewest; idle(best) > 0.05 && shards <= 4 * fewest; ++shards)
      if (idle(shards) < idle(best)) best = shards;
    return best;
  }
  std::int64_t first_of(std::int64_t shard) const { return shard * per_shard_; }
  std::int64_t members_of(std::int64_t shard) const {
    return std::min(per_shard_, outline_.members() - first_of(shard));
  }
  std::string name_of(std::int64_t shard) const { return fmt::format("{}/{:04}.nc", path_.stem().string(), shard); }
  fs::path path_of(std::int64_t shard) const { return path_.parent_path() / name_of(shard); }

  void announce() const {
    const models::Description& about = outline_.about;
    const double bytes = member_bytes_ * static_cast<double>(outline_.members());
    // One group is computed while another is written; a member in work also holds a state between each two frames.
    const double memory =
        std::min(2.0 * static_cast<double>(together_ * per_shard_), static_cast<double>(outline_.members())) *
            member_bytes_ +
        2.0 * options_.threads * member_bytes_ + leave_one_out_.bytes();
    // A pool holds nodes and values of the training frames; the batches hold both once more.
    const std::int64_t pool = training_pool_ < about.grid.cells() ? training_pool_ : 0;
    const double pooled =
        static_cast<double>(outline_.train * about.frames * pool) *
        (static_cast<double>(2 * about.channels()) * sizeof(float) + sizeof(std::int32_t) + 2 * sizeof(float));
    say("generate: {} members x {} frames x {} channels x {} nodes, {} before compression; {} of memory, about {} to "
        "train on them\n",
        outline_.members(), about.frames, about.channels(), about.grid.cells(), bytes_text(bytes), bytes_text(memory),
        bytes_text(pool > 0 ? pooled + 4 * member_bytes_ : 2 * bytes));
  }

  void in_one() {
    nn::Progress progress("generate", outline_.members(), options_.progress);
    std::int64_t done = 0;
    Dataset set = generator_.members(0, outline_.members(), [&] { progress.update(++done); });
    leave_one_out_.add(set, 0);
    set.interpolation = interpolation();
    write_dataset(path_, set);
    remove_others(0);
  }

  void in_shards() {
    const std::int64_t shards = (outline_.members() + per_shard_ - 1) / per_shard_;
    std::vector<std::int64_t> open;
    for (std::int64_t shard = 0; shard < shards; ++shard)
      if (!take(shard)) open.push_back(shard);
    // An index must not exist while the set is incomplete.
    if (!open.empty()) fs::remove(nn::link_target(path_));
    make(open);
    Dataset outline = outline_;
    outline.interpolation = interpolation();
    std::vector<Shard> index;
    for (std::int64_t shard = 0; shard < shards; ++shard)
      index.push_back({.name = name_of(shard), .members = members_of(shard)});
    write_index(path_, outline, index);
    remove_others(shards);
  }

  /// Takes an existing shard; false where there is none, or none that is intact.
  bool take(std::int64_t shard) {
    try {
      if (fingerprint_of(path_of(shard)) != outline_.fingerprint) return false;
      leave_one_out_.add(read_shard(path_of(shard), outline_, first_of(shard), members_of(shard)), first_of(shard));
      return true;
    } catch (const InputError& error) {
      say("generate: {}; made anew\n", error.what());
      return false;
    }
  }

  /// Computes shards in groups, so that all threads have work. Each group is computed while this thread writes the
  /// group before.
  void make(const std::vector<std::int64_t>& open) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point begin = Clock::now();
    std::int64_t left = 0;
    for (const std::int64_t shard : open) left += members_of(shard);
    std::int64_t done = outline_.members() - left;
    if (done > 0) say("generate: {} of {} members are there\n", done, outline_.members());
    std::optional<nn::Progress> progress;
    const auto show = [&] { progress.emplace("generate", outline_.members(), options_.progress, done); };
    show();
    std::mutex mutex;
    const auto simulate = [&](std::int64_t from) {
      const std::int64_t count = std::min(together_, static_cast<std::int64_t>(open.size()) - from);
      std::vector<Dataset> parts(static_cast<std::size_t>(count));
      oneapi::tbb::parallel_for(std::int64_t{0}, count, [&](std::int64_t i) {
        const std::int64_t shard = open[from + i];
        parts[i] = generator_.members(first_of(shard), first_of(shard) + members_of(shard), [&] {
          const std::lock_guard lock(mutex);
          progress->update(++done);
        });
      });
      return parts;
    };
    const auto start = [&](std::int64_t from) { return std::async(std::launch::async, simulate, from); };
    if (open.empty()) return;
    std::future<std::vector<Dataset>> running = start(0);
    std::int64_t written = 0;
    double bytes = 0;
    for (std::int64_t from = 0; from < static_cast<std::int64_t>(open.size()); from += together_) {
      const std::vector<Dataset> parts = running.get();
      const bool last = from + together_ >= static_cast<std::int64_t>(open.size());
      const bool leave = options_.stop && options_.stop();
      if (!last && !leave && from > 0) running = start(from + together_);
      for (std::size_t i = 0; i < parts.size(); ++i) {
        const std::int64_t shard = open[from + static_cast<std::int64_t>(i)];
        write_shard(path_of(shard), parts[i], first_of(shard));
        leave_one_out_.add(parts[i], first_of(shard));
        written += members_of(shard);
        bytes += static_cast<double>(fs::file_size(path_of(shard)));
      }
      if (last) return;
      if (leave)
        throw Interrupted(fmt::format("stopped after {} of {} members; the same command goes on from there",
                                      outline_.members() - left + written, outline_.members()));
      if (from > 0) continue;
      // After the first group, time and disk space of the others are known before they begin.
      const double ratio = static_cast<double>(left - written) / static_cast<double>(written);
      progress.reset();
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      say("generate: the other {} members will take about {} and {} of disk\n", left - written,
          time_text(ratio * seconds), bytes_text(ratio * bytes));
      const auto available = static_cast<double>(fs::space(path_of(0).parent_path()).available);
      if (ratio * bytes > available)
        throw InputError(path_.string(), "",
                         fmt::format("{} more are needed for the data set, {} are free", bytes_text(ratio * bytes),
                                     bytes_text(available)));
      show();
      running = start(from + together_);
    }
  }

  std::optional<InterpolationError> interpolation() const {
    const std::optional<InterpolationError> error = leave_one_out_.error();
    if (error)
      say("data: leave-one-out interpolation error {:.4f} (first frame {:.4f}, last frame {:.4f}): what cubics in "
          "the parameters make of the training trajectories, for comparison with a surrogate\n",
          error->all, error->first, error->last);
    return error;
  }

  /// Removes shards of another set, or of the same set divided differently.
  void remove_others(std::int64_t shards) const {
    std::error_code ignored;
    const fs::path folder = path_of(0).parent_path();
    std::set<fs::path> own;
    for (std::int64_t shard = 0; shard < shards; ++shard) own.insert(path_of(shard).filename());
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const fs::path name = entry.path().filename();
      const bool numbered = name.stem().string().find_first_not_of("0123456789") == std::string::npos;
      if (name.extension() == ".nc" && numbered && !own.contains(name)) fs::remove(entry.path(), ignored);
    }
    if (own.empty() && fs::is_empty(folder, ignored)) fs::remove(folder, ignored);
  }

  fs::path path_;
  const GenerateOptions& options_;
  Generator generator_;
  const Dataset& outline_;
  LeaveOneOut leave_one_out_;
  std::int64_t training_pool_;
  double member_bytes_ = 0;
  std::int64_t per_shard_ = 1;
  std::int64_t together_ = 1;  // shards that are computed at once
};

}  // namespace

void generate_files(const Config& config, const fs::path& path, const GenerateOptions& options) {
  try {
    Generation(config, path, options).run();
  } catch (const fs::filesystem_error& error) {
    throw InputError(error.path1().string(), "", error.code().message());
  }
}

}  // namespace levda::experiments
