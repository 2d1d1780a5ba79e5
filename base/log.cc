#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace cloister::base {
namespace {

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("cloister",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S%z %l %v");
    return made;
  }();
  return *logger;
}

}  // namespace

std::string OneLine(std::string text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // C0 controls, DEL, and the C1 controls as UTF-8 writes them (U+0080 … U+009F).
    const bool c1 = byte == 0xC2 && i + 1 < text.size() &&
                    (static_cast<unsigned char>(text[i + 1]) & 0xE0) == 0x80;
    if (byte < 0x20 || byte == 0x7F || c1) text[i] = ' ';
    if (c1) text[i + 1] = ' ';
  }
  return text;
}

void LogInfo(const std::string& message) { Logger().info("{}", OneLine(message)); }
void LogWarning(const std::string& message) { Logger().warn("{}", OneLine(message)); }
void LogError(const std::string& message) { Logger().error("{}", OneLine(message)); }

}  // namespace cloister::base
