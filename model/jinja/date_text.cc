#include "model/jinja/date_text.h"

#include <chrono>
#include <cstdio>
#include <ctime>

namespace cloister::model::jinja {
namespace {

struct Moment {
  std::tm parts{};
  int microsecond = 0;
};

Moment MomentOf(const std::optional<Date>& date) {
  Moment moment;
  if (!date) {
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    ::localtime_r(&seconds, &moment.parts);
    const auto since =
        std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch());
    moment.microsecond = static_cast<int>(since.count() % 1'000'000);
    return moment;
  }
  const std::chrono::sys_days day = std::chrono::year(date->year) /
                                    static_cast<unsigned>(date->month) /
                                    static_cast<unsigned>(date->day);
  const std::chrono::sys_days first = std::chrono::year(date->year) / 1 / 1;
  moment.parts.tm_year = date->year - 1900;
  moment.parts.tm_mon = date->month - 1;
  moment.parts.tm_mday = date->day;
  moment.parts.tm_wday = static_cast<int>(std::chrono::weekday(day).c_encoding());
  moment.parts.tm_yday = static_cast<int>((day - first).count());
  return moment;
}

// %f is Python's own; %z and %Z are empty, for the time has no zone.
std::string WithPythonParts(const std::string& format, int microsecond) {
  std::string result;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      result += format[i];
      continue;
    }
    const char c = format[++i];
    if (c == 'f') {
      char digits[16];
      std::snprintf(digits, sizeof(digits), "%06d", microsecond % 1'000'000);
      result += digits;
    } else if (c != 'z' && c != 'Z') {
      result += '%';
      result += c;
    }
  }
  return result;
}

}  // namespace

base::Result<std::string> DateText(const std::optional<Date>& date, const std::string& format) {
  const Moment moment = MomentOf(date);
  // What comes first is cut off again: an empty text cannot be told from one that is too long.
  const std::string full = "." + WithPythonParts(format.c_str(), moment.microsecond);
  std::string text(kDateTextBytes, '\0');
  if (full.size() >= kDateTextBytes) return Fault("strftime_now(): the format is too long");
  const std::size_t size = std::strftime(text.data(), text.size(), full.c_str(), &moment.parts);
  if (size == 0) return Fault("strftime_now(): the date's text is too long");
  return text.substr(1, size - 1);
}

base::Result<Date> ParseDate(const std::string& text) {
  Date date{};
  int read = 0;
  const bool shaped =
      text.size() == 10 && text.find_first_not_of("0123456789-") == std::string::npos &&
      std::sscanf(text.c_str(), "%4d-%2d-%2d%n", &date.year, &date.month, &date.day, &read) == 3 &&
      read == 10;
  const std::chrono::year_month_day day(std::chrono::year(date.year),
                                        std::chrono::month(static_cast<unsigned>(date.month)),
                                        std::chrono::day(static_cast<unsigned>(date.day)));
  if (!shaped || date.year < 1 || !day.ok()) {
    return base::Fail(base::Code::kInvalidArgument,
                      "'" + text + "' is no date: write it as 2026-11-23");
  }
  return date;
}

}  // namespace cloister::model::jinja
