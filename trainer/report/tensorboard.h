#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "trainer/report/run_history.h"

namespace cloister::trainer {

// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
std::uint32_t Crc32c(std::string_view bytes);

// A run's curves as a TensorBoard event file: records of a length, its masked CRC-32C, the bytes,
// theirs (tensorflow/core/lib/io/record_writer.h), each a tensorflow.Event message
// (tensorflow/core/util/event.proto) with one scalar, as its protocol buffer encodes it. Tags are
// those that transformers' trainer uses where it has them: train/loss, train/learning_rate,
// train/tokens_per_second, eval/loss; and privacy/epsilon, privacy/clip_norm,
// evaluation/perplexity, …
// An event's wall time is its step: files say nothing of times, which of a private run no ε covers.
std::string TensorBoardEvents(const RunHistory& history);

// A name that TensorBoard finds.
inline constexpr const char* kTensorBoardFile = "events.out.tfevents.0000000000.cloister";

}  // namespace cloister::trainer
