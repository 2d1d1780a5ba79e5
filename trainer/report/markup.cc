#include "trainer/report/markup.h"

#include <algorithm>

#include "model/jinja/unicode.h"

namespace cloister::trainer {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

// Calls `put` with each code point's bytes, in UTF-8 that is valid.
template <typename Put>
void ForCharacters(std::string_view text, bool lines, const Put& put) {
  namespace unicode = model::jinja;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    const char32_t c = unicode::NextCodePoint(text, at);
    const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
    if (control && !(lines && c == '\n')) {
      put(std::string_view(" "));
    } else if (c >= 0xD800 && c < 0xE000) {  // a byte that is no UTF-8, or half a pair
      put(kReplacement);
    } else {
      put(text.substr(start, at - start));
    }
  }
}

bool EndsInWww(std::string_view text) {
  const auto is_w = [](char c) { return c == 'w' || c == 'W'; };
  return text.size() >= 3 && std::all_of(text.end() - 3, text.end(), is_w);
}

}  // namespace

std::string HtmlText(std::string_view text, bool lines) {
  std::string html;
  ForCharacters(text, lines, [&](std::string_view c) {
    if (c == "&") {
      html += "&amp;";
    } else if (c == "<") {
      html += "&lt;";
    } else if (c == ">") {
      html += "&gt;";
    } else if (c == "\"") {
      html += "&quot;";
    } else if (c == "'") {
      html += "&#39;";
    } else {
      html += c;
    }
  });
  return html;
}

std::string MarkdownText(std::string_view text) {
  // What begins or ends markup, HTML and entities; of links that sites make without markup, the
  // second slash, the at sign and the point behind www.
  constexpr std::string_view kMarks = "\\`*_[]#|<>~&$@";
  std::string markdown;
  ForCharacters(text, false, [&](std::string_view c) {
    const bool link = (c == "/" && markdown.ends_with('/')) || (c == "." && EndsInWww(markdown));
    if (link || (c.size() == 1 && kMarks.find(c) != std::string_view::npos)) {
      markdown += "&#" + std::to_string(static_cast<int>(c[0])) + ";";
    } else {
      markdown += c;
    }
  });
  return markdown;
}

std::string MarkdownCode(std::string_view text, std::string_view language) {
  std::size_t longest = 2, run = 0;
  std::string body;
  ForCharacters(text, true, [&](std::string_view c) {
    run = c == "`" ? run + 1 : 0;
    longest = std::max(longest, run);
    body += c;
  });
  const std::string fence(longest + 1, '`');
  if (!body.ends_with('\n')) body += '\n';
  return fence + std::string(language) + "\n" + body + fence + "\n";
}

}  // namespace cloister::trainer
