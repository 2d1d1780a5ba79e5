#pragma once

// The body of the score kernels, compiled once a tier, as row_kernels_lanes.h, whose rules hold
// here too.

#include <cstdint>

#include "trainer/networks/row_kernels_lanes.h"

namespace cloister::trainer {
namespace {

// x where the lane's number is below `seen`, else `other`.
Floats Seen(Floats x, std::int64_t seen, float other) {
  constexpr Words kLane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const Words count = Words{} + static_cast<std::uint32_t>(seen < kLanes ? seen : kLanes);
  return kLane < count ? x : Floats{} + other;
}

// A NaN among them is in the sum of exponentials, whatever this makes of it.
float MostSeen(const float* x, std::int64_t seen) {
  Floats most = Seen(Load(x), seen, x[0]);
  for (std::int64_t i = kLanes; i < seen; i += kLanes) {
    const Floats one = Seen(Load(x + i), seen - i, x[0]);
    most = one > most ? one : most;
  }
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t i = 0; i < half; ++i)
      most[i] = most[i] > most[i + half] ? most[i] : most[i + half];
  }
  return most[0];
}

void Zero(float* x, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i) x[i] = 0;
}

std::int64_t Fewer(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

// A scale below zero would make the least score the largest.
void Softmax(float* scores, std::int64_t stride, std::int64_t rows, std::int64_t seen,
             std::int64_t width, float scale, float* statistics) {
  for (std::int64_t row = 0; row < rows; ++row, scores += stride, statistics += 2) {
    const std::int64_t size = Fewer(seen + row, width);
    for (std::int64_t i = 0; i < size; i += kLanes) Store(scores + i, Load(scores + i) * scale);
    const float most = MostSeen(scores, size);
    Floats sum = {};
    for (std::int64_t i = 0; i < size; i += kLanes) {
      const Floats p = Seen(Exp(Load(scores + i) - most), size - i, 0);
      Store(scores + i, p);
      sum += p;
    }
    statistics[0] = most;
    statistics[1] = 1.0F / Sum(sum);
    for (std::int64_t i = 0; i < size; i += kLanes) {
      Store(scores + i, Load(scores + i) * statistics[1]);
    }
    Zero(scores, size, width);
  }
}

void SoftmaxBackward(float* scores, float* gradients, std::int64_t stride, std::int64_t rows,
                     std::int64_t seen, std::int64_t width, float scale, const float* statistics,
                     const float* inner) {
  for (std::int64_t row = 0; row < rows;
       ++row, scores += stride, gradients += stride, statistics += 2) {
    const std::int64_t size = Fewer(seen + row, width);
    for (std::int64_t i = 0; i < size; i += kLanes) {
      const Floats p = Exp(Load(scores + i) * scale - statistics[0]) * statistics[1];
      Store(scores + i, p);
      Store(gradients + i, p * (Load(gradients + i) - inner[row]) * scale);
    }
    Zero(scores, size, width);
    Zero(gradients, size, width);
  }
}

void InnerProducts(const float* x, std::int64_t x_stride, const float* y, std::int64_t y_stride,
                   std::int64_t rows, std::int64_t size, float* result) {
  for (std::int64_t row = 0; row < rows; ++row, x += x_stride, y += y_stride) {
    Floats sum = {};
    for (std::int64_t i = 0; i < size; i += kLanes)
      sum += Load(x + i, size - i) * Load(y + i, size - i);
    result[row] = Sum(sum);
  }
}

constexpr ScoreKernels kScores = {Softmax, SoftmaxBackward, InnerProducts};

}  // namespace
}  // namespace cloister::trainer
