#!/usr/bin/env python3
"""Makes hugging_face.jsonl: small tokenizers of many kinds and what Hugging Face's library does.

    pip install tokenizers==0.23.3
    python tests/data/tokenizer/make_cases.py > tests/data/tokenizer/hugging_face.jsonl

Each line is one tokenizer: its tokenizer.json, and for each text its ids with special tokens read
and as plain text, what those ids decode to, and that without special tokens.
"""
import json

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

CORPUS = [
    "The cloister keeps its records within its walls, and the records keep the cloister.",
    "It's the reader's choice: they've read 12 of 345 pages, we'll read the other 333.",
    "def read(path):\n    with open(path) as file:\n        return file.read()\n\n\n",
    "Der Kreuzgang behält seine Akten; die Äpfel, Öle und Übungen bleiben größer als 3,5 %.",
    "Le cloître garde ses dossiers là où l'été naît — déjà vu, façade, œuvre.",
    "Монастырь хранит свои записи в стенах, и записи хранят монастырь.",
    "修道院把记录留在墙内。記録は壁の中に残る。기록은 벽 안에 남는다.",
    "Tôi đọc những trang sách ở Cửa Việt, đẹp lắm.  Hai   dấu cách.",
    "!!! ??? ... (a) [b] {c} <d> 'e' \"f\" #g @h $i %j ^k &l *m -n +o =p",
]
TEXTS = [
    "", " ", "  ", "\n", "\t\n  x", "The cloister's records", " the records", "  two  spaces ",
    "it'S they'Ve 'tis", "12345 1,234.5 ٣٤٥ ½²", "größer ÄÖÜ façade cafe\u0301 ﬁ ①",
    "записи МОНАСТЫРЬ", "记录留在墙内。記録は壁", "Cửa Việt", "def read(path):\n    return 1\n",
    "👩\u200d👩\u200d👧 😀 🏳️\u200d🌈", "a<s>b</s> c", "<s> the [tool] end</s>", "x[tool]y [tool]",
    "the other<unk>", "▁a ▁▁", "<0x41><0x0A>", "\u00a0\u3000\u2028\x85\x1f\x7f", "don't-stop_now",
    "a" * 56, "zzz qqq \U0001F980\U000E0041",
]
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|"
          r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
sequence = pre_tokenizers.Sequence
byte_level = pre_tokenizers.ByteLevel


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def train(pre_tokenizer, normalizer=None, decoder=None, alphabet=True, size=330, special=(), **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL + list(special), show_progress=False,
        initial_alphabet=byte_level.alphabet() if alphabet else []))
    return tokenizer


def changed(tokenizer, **model):
    content = json.loads(tokenizer.to_str())
    content["model"].update(model)
    # Bytes are ordinary entries of the vocabulary.
    content["added_tokens"] = [token for token in content["added_tokens"]
                               if token["content"] not in BYTES]
    return Tokenizer.from_str(json.dumps(content))


def sentencepiece(pre_tokenizer, normalizer, strips=True, **model):
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if strips:
        steps.append(decoders.Strip(" ", 1, 0))
    return changed(train(pre_tokenizer, normalizer, decoders.Sequence(steps), alphabet=False,
                         size=560, special=BYTES, unk_token="<unk>", byte_fallback=True,
                         fuse_unk=True, **model))


def byte_level_kinds():
    plain = byte_level(add_prefix_space=False)
    last = byte_level(add_prefix_space=False, use_regex=False)
    to_bytes = {"decoder": decoders.ByteLevel()}
    yield "gpt2", train(plain, **to_bytes)
    yield "gpt2 with a prefix space", train(byte_level(add_prefix_space=True), **to_bytes)
    yield "smollm", train(sequence([pre_tokenizers.Digits(True), plain]), **to_bytes)
    yield "llama3", changed(train(sequence([split(LLAMA3), last]), **to_bytes), ignore_merges=True)
    yield "qwen2", train(sequence([split(LLAMA3.replace("{1,3}", "")), last]), normalizers.NFC(),
                         **to_bytes)
    yield "tekken", train(sequence([split(TEKKEN), last]), **to_bytes)
    yield "digits after bytes", train(sequence([
        pre_tokenizers.Punctuation("contiguous"), plain, pre_tokenizers.Digits(False),
        split("[0-9][0-9][0-9]")]), **to_bytes)
    yield "bytes without tokens", train(plain, alphabet=False, size=150, **to_bytes)
    tool = train(plain, normalizers.Lowercase(), **to_bytes)
    tool.add_tokens([AddedToken("[tool]", lstrip=True, rstrip=True),
                     AddedToken("THE", single_word=True, normalized=True),
                     AddedToken("other", normalized=False)])
    tool.add_special_tokens([AddedToken("</s>", rstrip=True), AddedToken("def", normalized=True)])
    yield "added tokens with rules", tool
    framed = train(plain, **to_bytes)
    framed.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B", special_tokens=[("<s>", 1), ("</s>", 2)])
    yield "framed", framed


def sentencepiece_kinds():
    yield "prepend and replace", sentencepiece(None, normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
    metaspace = pre_tokenizers.Metaspace
    yield "metaspace always", sentencepiece(metaspace("▁", "always"), None)
    yield "metaspace first", sentencepiece(metaspace("▁", "first", split=False), None)
    yield "metaspace never", sentencepiece(metaspace("▁", "never"), None, strips=False)


def character_kinds():
    small = {"alphabet": False, "size": 150, "unk_token": "<unk>"}
    yield "characters", train(pre_tokenizers.Whitespace(), decoder=decoders.Fuse(), **small)
    yield "unknown ones fused", train(pre_tokenizers.WhitespaceSplit(), normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]), fuse_unk=True,
        **small)
    yield "compatibility forms", train(pre_tokenizers.Metaspace(), normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]),
        decoders.Metaspace(), **small)
    for behavior in ("removed", "merged_with_previous", "merged_with_next", "contiguous"):
        yield "words " + behavior, train(split(r"[\s\p{P}]", behavior), decoder=decoders.Fuse(),
                                         **small)
    yield "words inverted", train(split(r"[\p{L}&&[^aeiou]]+|\d", "isolated", True),
                                  decoder=decoders.Fuse(), **small)


def main():
    for name, tokenizer in (*byte_level_kinds(), *sentencepiece_kinds(), *character_kinds()):
        cases = []
        for text in TEXTS:
            case = {"text": text}
            for field, plain in (("special", False), ("plain", True)):
                tokenizer.encode_special_tokens = plain
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                case[field] = {"ids": ids,
                               "text": tokenizer.decode(ids, skip_special_tokens=False),
                               "skipped": tokenizer.decode(ids, skip_special_tokens=True)}
            cases.append(case)
        tokenizer.encode_special_tokens = False
        framed = tokenizer.encode("x", add_special_tokens=True).ids
        print(json.dumps({"name": name, "tokenizer": json.loads(tokenizer.to_str()),
                          "framed": framed, "cases": cases}, ensure_ascii=False,
                         separators=(",", ":")))


main()
