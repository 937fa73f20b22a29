#pragma once

/// The generator behind autodiff/random.h, for the host and for devices.

#include <Random123/philox.h>

#include <cstdint>

#ifdef __CUDACC__
#define LEVDA_PHILOX_HOST_DEVICE __host__ __device__
#else
#define LEVDA_PHILOX_HOST_DEVICE
#endif

namespace levda::autodiff {

/// Words 4 block .. 4 block + 3 of a sequence: Philox4x32-10 (Salmon et al., SC'11).
LEVDA_PHILOX_HOST_DEVICE inline r123::Philox4x32::ctr_type philox(std::uint64_t seed, std::uint32_t stream,
                                                                  std::uint32_t step, std::uint64_t block) {
  const r123::Philox4x32::ctr_type counter = {
      {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), stream, step}};
  const r123::Philox4x32::key_type key = {{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  return r123::Philox4x32()(counter, key);
}

}  // namespace levda::autodiff
