#pragma once

#include <string>

namespace cloister::base {

// Log lines on stderr: "time level message". Thread-safe. Never a per-record value, never a secret.
void LogInfo(const std::string& message);
void LogWarning(const std::string& message);
void LogError(const std::string& message);

}  // namespace cloister::base
