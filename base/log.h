#pragma once

#include <string>

namespace cloister::base {

// `text` with control characters as spaces: what a peer or a file name put into a message can
// neither forge a second line nor speak to the terminal.
std::string OneLine(std::string text);

// Log lines on stderr: "time level message". Thread-safe. Never a per-record value, never a secret.
// Messages go through OneLine.
void LogInfo(const std::string& message);
void LogWarning(const std::string& message);
void LogError(const std::string& message);

}  // namespace cloister::base
