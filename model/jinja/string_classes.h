#pragma once

#include <string_view>

namespace cloister::model::jinja {

// Python's str.isalpha() and the like: whether a text has characters and all are of the class.
bool IsAlphaText(std::string_view text);
bool IsDecimalText(std::string_view text);
bool IsDigitText(std::string_view text);
bool IsNumericText(std::string_view text);
bool IsAlnumText(std::string_view text);
bool IsSpaceText(std::string_view text);
// These are true of an empty text too.
bool IsAsciiText(std::string_view text);
bool IsPrintableText(std::string_view text);
// Whether it has letters with case, all of that case.
bool IsLowerText(std::string_view text);
bool IsUpperText(std::string_view text);
// Whether uppercase letters start words and lowercase ones go on.
bool IsTitleText(std::string_view text);
bool IsIdentifierText(std::string_view text);

}  // namespace cloister::model::jinja
