#include "model/tokenizer/text_scanner.h"

#include <span>

#include "model/tokenizer/unicode_categories.h"
#include "model/tokenizer/utf8.h"

namespace cloister::model {
namespace {

using Class = CharacterClass;

bool IsBlank(Class c) { return c == Class::kSpace || c == Class::kLineBreak; }

// Reads a text's characters by their classes.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text), classes_(BasicPlaneClasses().data()) {}

  struct Character {
    Class is = Class::kOther;
    std::size_t end = 0;
  };
  bool AtEnd(std::size_t at) const { return at >= text_.size(); }
  char Byte(std::size_t at) const { return text_[at]; }
  std::string_view text() const { return text_; }

  Character At(std::size_t at) const {
    const auto lead = static_cast<unsigned char>(text_[at]);
    if (lead < 0x80) return {classes_[lead], at + 1};
    const Utf8Character next = CharacterAt(text_, at);
    const Class is = next.point < 0x10000 ? classes_[next.point] : ClassOf(next.point);
    return {is, at + next.size};
  }

  // The end of the characters of class `is` from `at` on.
  std::size_t EndOf(Class is, std::size_t at) const {
    while (!AtEnd(at)) {
      const Character next = At(at);
      if (next.is != is) break;
      at = next.end;
    }
    return at;
  }

  struct Blanks {
    std::size_t end = 0;         // of the whole run
    std::size_t last = 0;        // begin of its last character
    std::size_t after_line = 0;  // behind the last CR or LF in it, 0 without
  };
  Blanks BlanksFrom(std::size_t at) const {
    Blanks run = {at, at, 0};
    while (!AtEnd(run.end)) {
      const Character next = At(run.end);
      if (!IsBlank(next.is)) break;
      run.last = run.end;
      run.end = next.end;
      if (next.is == Class::kLineBreak) run.after_line = next.end;
    }
    return run;
  }

 private:
  std::string_view text_;
  const Class* classes_;
};

// 's 't 're 've 'm 'll 'd: the end of the one at `at`, or `at`. In any case, ſ (U+017F) is an s.
std::size_t ContractionEnd(const Reader& reader, std::size_t at, bool any_case) {
  const std::string_view rest = reader.text().substr(at + 1, 2);
  const auto letter = [&](std::size_t i) -> char {
    if (i >= rest.size()) return '\0';
    const char c = rest[i];
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  const char a = letter(0), b = letter(1);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
  if ((a == 'r' || a == 'v') && b == 'e') return at + 3;
  if (a == 'l' && b == 'l') return at + 3;
  if (any_case && rest == "\xc5\xbf") return at + 3;
  return at;
}

// What \s+(?!\S)|\s+ takes of blanks from `at` on: all that ends the text, else all but the last.
std::size_t BlanksEnd(const Reader& reader, std::size_t at, const Reader::Blanks& run) {
  return reader.AtEnd(run.end) || run.last == at ? run.end : run.last;
}

std::size_t Gpt2End(const Reader& reader, std::size_t at) {
  if (reader.Byte(at) == '\'') {
    const std::size_t end = ContractionEnd(reader, at, false);
    if (end != at) return end;
  }
  const Reader::Character first = reader.At(at);
  if (!IsBlank(first.is)) return reader.EndOf(first.is, first.end);
  if (reader.Byte(at) == ' ' && !reader.AtEnd(first.end)) {
    const Reader::Character second = reader.At(first.end);
    if (!IsBlank(second.is)) return reader.EndOf(second.is, second.end);
  }
  return BlanksEnd(reader, at, reader.BlanksFrom(at));
}

template <int kMostDigits>
std::size_t Llama3End(const Reader& reader, std::size_t at) {
  if (reader.Byte(at) == '\'') {
    const std::size_t end = ContractionEnd(reader, at, true);
    if (end != at) return end;
  }
  const Reader::Character first = reader.At(at);
  if (first.is == Class::kLetter) return reader.EndOf(Class::kLetter, first.end);
  if (first.is == Class::kNumber) {
    std::size_t end = first.end;
    for (int digits = 1; digits < kMostDigits && !reader.AtEnd(end); ++digits) {
      const Reader::Character next = reader.At(end);
      if (next.is != Class::kNumber) break;
      end = next.end;
    }
    return end;
  }
  if (first.is != Class::kLineBreak && !reader.AtEnd(first.end)) {
    const Reader::Character second = reader.At(first.end);
    if (second.is == Class::kLetter) return reader.EndOf(Class::kLetter, second.end);
  }
  const auto symbols = [&](std::size_t from) {
    return reader.EndOf(Class::kLineBreak, reader.EndOf(Class::kOther, from));
  };
  if (first.is == Class::kOther) return symbols(first.end);
  if (reader.Byte(at) == ' ' && !reader.AtEnd(first.end) &&
      reader.At(first.end).is == Class::kOther) {
    return symbols(first.end);
  }
  const Reader::Blanks run = reader.BlanksFrom(at);
  return run.after_line != 0 ? run.after_line : BlanksEnd(reader, at, run);
}

template <typename End>
void ScanBy(std::string_view text, bool begins, PieceSink& sink, End end_of) {
  const Reader reader(text);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = end_of(reader, at);
    sink.Add(text.substr(at, end - at), begins && at == 0);
    at = end;
  }
}

// \p{N}: each number character alone, what lies between as it is.
void ScanNumbers(std::string_view text, bool begins, PieceSink& sink) {
  const Reader reader(text);
  std::size_t done = 0;
  const auto flush = [&](std::size_t end) {
    if (end > done) sink.Add(text.substr(done, end - done), begins && done == 0);
    done = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    const Reader::Character next = reader.At(at);
    if (next.is == Class::kNumber) {
      flush(at);
      flush(next.end);
    }
    at = next.end;
  }
  flush(text.size());
}

// \s+$: in each run of blanks, all up to the end of the text or to the last LF within it.
void ScanTrailingSpace(std::string_view text, bool begins, PieceSink& sink) {
  const Reader reader(text);
  std::size_t done = 0;
  const auto flush = [&](std::size_t end) {
    if (end > done) sink.Add(text.substr(done, end - done), begins && done == 0);
    done = end;
  };
  for (std::size_t at = 0; at < text.size();) {
    const Reader::Character next = reader.At(at);
    if (!IsBlank(next.is)) {
      at = next.end;
      continue;
    }
    const Reader::Blanks run = reader.BlanksFrom(at);
    std::size_t stop = run.end;
    if (!reader.AtEnd(stop)) {
      const std::size_t line = text.substr(at, run.end - at).rfind('\n');
      stop = line == std::string_view::npos ? at : at + line;
    }
    if (stop > at) {
      flush(at);
      flush(stop);
    }
    at = run.end;
  }
  flush(text.size());
}

}  // namespace

std::string_view Gpt2Pattern() {
  return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
}

std::string_view Llama3Pattern() {
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
         R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

std::string_view Qwen2Pattern() {
  return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
         R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

std::optional<KnownPattern> FindKnownPattern(std::string_view pattern) {
  if (pattern == Gpt2Pattern()) return KnownPattern::kGpt2;
  if (pattern == Llama3Pattern()) return KnownPattern::kLlama3;
  if (pattern == Qwen2Pattern()) return KnownPattern::kQwen2;
  if (pattern == R"(\s+$)") return KnownPattern::kTrailingSpace;
  if (pattern == R"(\p{N})") return KnownPattern::kNumber;
  return std::nullopt;
}

void Scan(KnownPattern pattern, std::string_view text, bool begins, PieceSink& sink) {
  switch (pattern) {
    case KnownPattern::kGpt2:
      return ScanBy(text, begins, sink, Gpt2End);
    case KnownPattern::kLlama3:
      return ScanBy(text, begins, sink, Llama3End<3>);
    case KnownPattern::kQwen2:
      return ScanBy(text, begins, sink, Llama3End<1>);
    case KnownPattern::kTrailingSpace:
      return ScanTrailingSpace(text, begins, sink);
    case KnownPattern::kNumber:
      return ScanNumbers(text, begins, sink);
  }
}

}  // namespace cloister::model
