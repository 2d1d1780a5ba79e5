#include "trainer/checkpoint/background_writer.h"

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <system_error>

#include "base/memory.h"

namespace cloister::trainer {
namespace {

base::Status Write(CheckpointFolder& folder, const CheckpointToWrite& checkpoint) {
  try {
    CheckpointArrays arrays = checkpoint.copied;
    for (const auto& [name, bytes] : checkpoint.kept)
      arrays[name] = std::as_bytes(std::span(bytes));
    return folder.Write(checkpoint.header, arrays, checkpoint.key ? &*checkpoint.key : nullptr);
  } catch (const std::exception& error) {
    return base::Fail(base::Code::kInternal,
                      std::string("it cannot be written (") + error.what() + "): free some memory");
  }
}

std::int64_t BytesOf(const CheckpointArrays& arrays) {
  std::int64_t bytes = 0;
  for (const auto& [name, array] : arrays) bytes += static_cast<std::int64_t>(array.size());
  return bytes;
}

// Whether all that others may change is now its own.
bool Copy(CheckpointToWrite& checkpoint) {
  try {
    for (const auto& [name, bytes] : checkpoint.copied) {
      const auto* const from = reinterpret_cast<const std::uint8_t*>(bytes.data());
      checkpoint.kept[name].assign(from, from + bytes.size());
    }
  } catch (const std::bad_alloc&) {
    for (const auto& item : checkpoint.copied) checkpoint.kept.erase(item.first);
    return false;
  }
  checkpoint.copied.clear();
  return true;
}

}  // namespace

BackgroundWriter::BackgroundWriter() : BackgroundWriter(base::AvailableMemory) {}

std::vector<BackgroundWriter::Written> BackgroundWriter::Start(CheckpointFolder& folder,
                                                               CheckpointToWrite checkpoint) {
  std::vector<Written> done;
  if (std::optional<Written> before = Collect(true)) done.push_back(std::move(*before));
  CheckpointHeader header = checkpoint.header;
  header.events.clear();
  const auto available = available_();
  const bool roomy = !available || 2 * BytesOf(checkpoint.copied) <= *available;
  if (!roomy || !Copy(checkpoint)) {
    done.push_back({std::move(header), Write(folder, checkpoint)});
    return done;
  }
  // Shared, for a thread that cannot be started must not take it away.
  const auto own = std::make_shared<const CheckpointToWrite>(std::move(checkpoint));
  try {
    pending_.emplace(
        header, std::async(std::launch::async, [&folder, own] { return Write(folder, *own); }));
  } catch (const std::system_error&) {
    done.push_back({std::move(header), Write(folder, *own)});
  }
  return done;
}

std::optional<BackgroundWriter::Written> BackgroundWriter::Collect(bool wait) {
  using std::chrono::seconds;
  if (!pending_) return std::nullopt;
  if (!wait && pending_->second.wait_for(seconds(0)) != std::future_status::ready) {
    return std::nullopt;
  }
  Written written{std::move(pending_->first), pending_->second.get()};
  pending_.reset();
  return written;
}

}  // namespace cloister::trainer
