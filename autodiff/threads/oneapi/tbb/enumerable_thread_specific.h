#pragma once

/// See parallel_for.h. A thread has a place until it ends; then a later thread gets the place with its contents,
/// because loops here start new threads all the time. A look-up takes no lock: a lock would order what must count as
/// simultaneous.

#include <array>
#include <cstddef>
#include <cstdlib>
#include <mutex>

namespace oneapi::tbb {

namespace detail {

inline constexpr std::size_t places = 512;

class Place {
 public:
  Place() {
    const std::lock_guard<std::mutex> lock(mutex());
    while (taken()[index_]) {
      if (++index_ == places) std::abort();
    }
    taken()[index_] = true;
  }
  ~Place() {
    const std::lock_guard<std::mutex> lock(mutex());
    taken()[index_] = false;
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  static std::size_t own() {
    thread_local const Place place;
    return place.index_;
  }

 private:
  // Never destroyed: the main thread leaves its place after other static objects are destroyed.
  static std::mutex& mutex() {
    static std::mutex& one = *new std::mutex;
    return one;
  }
  static std::array<bool, places>& taken() {
    static std::array<bool, places> all{};
    return all;
  }
  std::size_t index_ = 0;
};

}  // namespace detail

template <typename T>
class enumerable_thread_specific {
 public:
  T& local() { return values_[detail::Place::own()]; }
  auto begin() { return values_.begin(); }
  auto end() { return values_.end(); }
  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }

 private:
  std::array<T, detail::places> values_{};
};

}  // namespace oneapi::tbb
