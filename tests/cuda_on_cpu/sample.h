#pragma once

/// A small backend in the manner of the project's, to test the stand-in with. Device memory by RAII; every error throws
/// levda::Error.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sample {

/// float32 numbers on the device.
class Buffer {
 public:
  explicit Buffer(std::size_t count);
  explicit Buffer(const std::vector<float>& host);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  std::vector<float> download() const;
  float* data() const { return data_; }
  std::size_t size() const { return count_; }

 private:
  float* data_ = nullptr;
  std::size_t count_;
};

/// y = a x + y, by fewer threads than there are elements.
void axpy(float a, const Buffer& x, Buffer& y);
/// Sum of x: blocks of 128 in shared memory, then one block over their sums.
float sum(const Buffer& x);
/// y = a x + y, `times` times, from one capture.
void axpy_replayed(float a, const Buffer& x, Buffer& y, int times);
/// y = x w + bias, for row-major x (rows, inner) and w (inner, cols).
void affine(const Buffer& x, const Buffer& w, const Buffer& bias, Buffer& y, std::uint64_t rows, std::uint64_t inner,
            std::uint64_t cols);

/// x reversed within blocks of 64, through shared memory; without its barrier the result depends on the order.
void reverse_blocks(const Buffer& x, Buffer& y, bool with_barrier);
/// Every thread of two-dimensional blocks of a three-dimensional grid writes its number: y[i] = i.
void number(Buffer& y);
/// The number of threads (of n) that got a distinct number by an atomic operation; n if atomics work.
int tickets(int n);

// Errors that the stand-in must find:
void write_beyond(Buffer& y);  ///< one element after the end
void return_before_barrier();  ///< of half the threads
void wait_at_two_barriers();   ///< half the threads at one, half at another
void launch(unsigned blocks, unsigned threads, std::size_t shared_bytes);

}  // namespace sample
