#pragma once

#include <string>
#include <string_view>

namespace cloister::trainer {

// Text from outside as it stands in a document. Control characters become spaces, bytes that are no
// UTF-8 U+FFFD.

// In HTML, as text or within quotes. Lines are kept where `lines`.
std::string HtmlText(std::string_view text, bool lines = false);

// In Markdown, behind other text of a line: nothing of it is taken for markup, a link or HTML.
std::string MarkdownText(std::string_view text);

// A block of code in Markdown, with a fence that is longer than any in the text.
std::string MarkdownCode(std::string_view text, std::string_view language);

}  // namespace cloister::trainer
