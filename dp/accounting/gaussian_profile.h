#pragma once

namespace cloister::dp {

// P(Z > x) of a standard normal Z, its logarithm (also where it underflows), and the x > 0 beyond
// which at most `tail` lies, 0 < tail < 1/2.
double NormalUpperTail(double x);
double LogNormalUpperTail(double x);
double NormalUpperQuantile(double tail);

// The exact profile of one Gaussian release whose sensitivity is `mu` standard deviations (Balle,
// Wang 2018): δ(ε) = Φ(μ/2 - ε/μ) - exp(ε) Φ(-μ/2 - ε/μ). Unsampled Gaussian releases of ratios μᵢ
// compose to one of √Σμᵢ². Both are rounded up by far more than their rounding errors.
double LogDeltaOfGaussian(double mu, double epsilon);
double EpsilonOfGaussian(double mu, double log_delta);

// The same of one release on a Poisson sample of `rate`, exactly (Balle, Barthe, Gaboardi 2018),
// when a unit is removed; when one is added, no δ at an ε >= 0 is larger (docs/design, accounting).
double LogDeltaOfOneSampled(double mu, double rate, double epsilon);
double EpsilonOfOneSampled(double mu, double rate, double log_delta);

}  // namespace cloister::dp
