#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

namespace cloister::trainer {

// Told of each event of a run as it happens: {"event": "step" | "eval" | "done", …}, the objects
// that `cloister train --json` prints.
using EventSink = std::function<void(const nlohmann::ordered_json& event)>;

// The events of a run, shown as they happen and kept for events.jsonl. Not thread-safe.
class EventLog {
 public:
  // `sink` must outlive this.
  EventLog(bool is_private, const EventSink& sink) : private_(is_private), sink_(sink) {}

  // `shown_only` goes to the sink but is not kept where a run is private: times depend on the
  // records that were drawn.
  void Emit(nlohmann::ordered_json event,
            const nlohmann::ordered_json& shown_only = nlohmann::ordered_json::object()) {
    nlohmann::ordered_json kept = event;
    event.update(shown_only);
    if (!private_) kept = event;
    text_ += kept.dump() + "\n";
    sink_(event);
  }

  // Lines of events.jsonl so far.
  const std::string& text() const { return text_; }
  void Restore(std::string text) { text_ = std::move(text); }

 private:
  bool private_;
  const EventSink& sink_;
  std::string text_;
};

}  // namespace cloister::trainer
