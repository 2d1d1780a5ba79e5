#pragma once

#include <complex>
#include <cstddef>
#include <vector>

namespace cloister::dp {

// The least even size of at least `size` and 16 that factors into 2, 3 and 5 and can be halved
// once.
std::size_t FourierSize(std::size_t size);

// The discrete Fourier transform of `values` (of a FourierSize): its terms 0 to size/2, the others
// being their conjugates; and its inverse. By kissfft, in double.
std::vector<std::complex<double>> Transform(const std::vector<double>& values);
std::vector<double> InverseTransform(const std::vector<std::complex<double>>& terms);

// Either transform's error in the Euclidean norm, over the norm of its exact result, is at most
// this: Higham's bound (Accuracy and Stability of Numerical Algorithms, theorem 24.2) with twiddle
// factors of 6 units in the last place, and the passes of real values counted as two stages.
double TransformError(std::size_t size);

}  // namespace cloister::dp
