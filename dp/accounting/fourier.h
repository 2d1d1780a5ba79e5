#pragma once

#include <complex>
#include <cstddef>
#include <memory>
#include <vector>

namespace cloister::dp {

// The least even size of at least `size` and 16 that factors into 2, 3 and 5 and can be halved
// once.
std::size_t FourierSize(std::size_t size);

// Discrete Fourier transforms of `size` real values, a FourierSize: the terms 0 to size/2, the
// others being their conjugates; and back. By kissfft, in double.
class Fourier {
 public:
  explicit Fourier(std::size_t size);
  ~Fourier();

  std::vector<std::complex<double>> Transform(const std::vector<double>& values) const;
  std::vector<double> Inverse(const std::vector<std::complex<double>>& terms) const;

 private:
  struct Plan;
  std::unique_ptr<const Plan> plan_;
};

// Either transform's error in the Euclidean norm, over the norm of its exact result, is at most
// this: Higham's bound (Accuracy and Stability of Numerical Algorithms, theorem 24.2) with twiddle
// factors of 6 units in the last place, and the passes of real values counted as two stages.
double TransformError(std::size_t size);

}  // namespace cloister::dp
