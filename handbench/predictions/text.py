"""Prediction texts: one frame a line, numbers between blanks or commas, with or without names in front and a header.

What circulates differs in blanks, line ends, separators and names; all of that reads the same. What could be a damaged
number is refused: each line must have as many as the others, and the last one must be seen to be whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from handbench.decimals import Indices, parse_decimals, tokens
from handbench.errors import HandbenchError
from handbench.predictions.columns import Columns, is_header, read_columns
from handbench.predictions.model import Floats, RawPoints

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?nan", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_NUMBER_BYTES = b"0123456789+-.eEnNaA \t\n\v\f"  # all that good numbers hold, once line ends are LF and names blanks
_BLOCK = 1 << 22  # bytes at a time: bounds the memory, and fits the cache
_HEAD = 1 << 20  # bytes at the beginning that hold the comments, the header and the first frame
_TAIL = 1 << 16  # bytes at the end that show how many decimals the numbers have
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class _Grammar:
    """How the lines of one text are built, as its first lines show.

    Attributes:
        where: name of the file for messages.
        words: how many words a line has.
        separator: "," or ";"; empty for blanks.
        aside: column of the words that are no numbers of joints, or None.
        first: number of the first line with a frame, from 1.
        columns: what the header says, or None.
    """

    where: str
    words: int
    separator: bytes
    aside: int | None
    first: int
    columns: Columns | None

    @property
    def numbers(self) -> int:
        return self.words - (self.aside is not None)


def parse_uvd_text(data: bytes, joints: int, where: str) -> Floats:
    """Numbers of a uvd text: one frame a line, three a joint, between any blanks.

    Blanks at line ends, CR LF, CR CR LF and a mixture of them are all in circulation and read the same.

    Args:
        data: the bytes of the file.
        joints: J, how many joints a line must have.
        where: name of the file for messages.

    Returns:
        (N, J, 3) float64 as written; NaN where the text says `nan`.

    Raises:
        HandbenchError: naming the first bad line.
    """
    return parse_text(data, where, joints).values


def parse_text(data: bytes, where: str, joints: int | None = None) -> RawPoints:
    """The points of a text of any of the grammars in circulation.

    Args:
        data: the bytes of the file.
        where: name of the file for messages.
        joints: how many joints a line must have, if that is known; otherwise the first line says it.

    Returns:
        layout "csv" (a header), "named" (names in front) or "text".

    Raises:
        HandbenchError: naming the first bad line; or if the text is binary, empty, or ends within a number.
    """
    if b"\0" in data and data[:2] in _UTF16:
        data = _recode(data, where)
    if b"\0" in data:
        raise HandbenchError(f"{where} is a binary file of no known layout; nothing is read from it")
    text = data.removeprefix(b"\xef\xbb\xbf")
    if b"\r" in text:
        text = re.sub(rb"\r+\n?", b"\n", text)
    end = _end_of_words(text)
    if not end:
        wanted = f"{3 * joints} numbers each" if joints else "three numbers a joint"
        raise HandbenchError(f"{where} is empty; expected one frame a line, {wanted}")
    grammar, start = _read_grammar(text[:_HEAD], where, joints)
    if start >= end:
        raise HandbenchError(f"{where} has a header and no frame; expected one frame a line below it")
    parts, names = [], []
    line = grammar.first
    for block in _blocks(text, start, end):
        values, found = _parse_block(block, grammar, line)
        parts.append(values)
        names += found
        line += len(values)
    _require_whole_end(text, grammar)
    return _assemble(np.concatenate(parts), names, grammar)


def _recode(data: bytes, where: str) -> bytes:
    """What a Windows shell writes as UTF-16."""
    try:
        return data.decode("utf-16").encode()
    except UnicodeDecodeError as error:
        raise HandbenchError(f"{where} begins as UTF-16 text and is none; write it as UTF-8") from error


def _end_of_words(text: bytes) -> int:
    """Where the blanks at the end begin; a text of 200 MB is not copied for it."""
    tail = text[-_TAIL:]
    return len(text) - len(tail) + len(tail.rstrip()) if tail.strip() else len(text.rstrip())


def _require_whole_end(text: bytes, grammar: _Grammar) -> None:
    """Refuse a text that may end within a number: 76 of 764.210 is a number, too.

    The last word is whole if a blank or a line end follows, or if it has as many decimals as any other. Nothing after a
    comma is no word, unless commas end each line.
    """
    if not text or text[-1] <= ord(" "):
        return
    words = re.split(rb"[\s,;]+", text[-_TAIL:])
    decimals = [len(word.partition(b".")[2]) for word in words]
    if decimals[-1] == max(decimals) > 0 or (not words[-1] and not grammar.columns):
        return
    last = ascii(words[-1][-40:].decode("utf-8", "backslashreplace"))
    raise HandbenchError(
        f"{grammar.where} ends within its last line, after {last}, which may be cut short; copy the file again, or end "
        "it with a line end if it is whole"
    )


def _read_grammar(text: bytes, where: str, joints: int | None) -> tuple[_Grammar, int]:
    """How the lines are built, and where the first frame begins."""
    first, whole = 1, len(text)
    while text[:1] in (b"#", b"%"):
        _, _, text = text.partition(b"\n")
        first += 1
    line, _, rest = text.partition(b"\n")
    if not line.strip():
        raise HandbenchError(f"{where}, line {first}: an empty line, expected a frame")
    separator = next((mark for mark in (b",", b";") if mark in line), b"")
    words = _split(line, separator)
    if is_header(words):
        columns = read_columns(words, where)
        aside = columns.key if columns.key is not None else columns.number
        if columns.key is not None and columns.number is not None:
            raise HandbenchError(f"{where} has a column of names and one of row numbers; leave the row numbers out")
        return _Grammar(where, len(words), separator, aside, first + 1, columns), whole - len(rest)
    words = [word for word in words if word]
    named = bool(words) and not _NUMBER.fullmatch(words[0].encode())
    numbers = 3 * joints if joints else len(words) - named - ((len(words) - named) % 3 == 1)
    counted = not named and numbers > 0 and len(words) == numbers + 1
    if numbers % 3:
        raise HandbenchError(f"{where}, line {first}: {numbers} numbers are not three a joint")
    return _Grammar(
        where, numbers + (named or counted), separator, 0 if named or counted else None, first, None
    ), whole - len(text)


def _split(line: bytes, separator: bytes) -> list[str]:
    """The words of one line; between separators there may be empty ones."""
    text = line.decode("utf-8", "backslashreplace").replace('"', "")
    if not separator:
        return text.split()
    return [word.strip() for word in text.strip().split(separator.decode())]


def _blocks(text: bytes, start: int, end: int) -> Iterator[bytes]:
    """The text between two places in pieces of whole lines, without the last line end of each."""
    while start < end:
        line_end = text.find(b"\n", min(start + _BLOCK, end), end)
        line_end = end if line_end < 0 else line_end
        yield text[start:line_end]
        start = line_end + 1


def _parse_block(block: bytes, grammar: _Grammar, line: int) -> tuple[Floats, list[str]]:
    """(N, K) numbers of some lines, and what stands aside of them."""
    try:
        return _parse_good_block(block, grammar)
    except ValueError:
        raise _first_bad_line(block, grammar, line) from None


def _parse_good_block(block: bytes, grammar: _Grammar) -> tuple[Floats, list[str]]:
    """The same.

    Raises:
        ValueError: if anything is not as it should be.
    """
    if grammar.separator:
        block = _without_separators(block, grammar)
    starts, ends = tokens(block)
    line_ends = np.append(np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n")), len(block))
    per_line = np.diff(np.searchsorted(starts, line_ends), prepend=0)
    if not np.all(per_line == grammar.words):
        raise ValueError("not as many words a line")
    names: list[str] = []
    if grammar.aside is not None:
        starts, ends = starts.reshape(-1, grammar.words), ends.reshape(-1, grammar.words)
        block, names = _blank_names(block, starts[:, grammar.aside], ends[:, grammar.aside])
        starts, ends = (np.delete(edges, grammar.aside, axis=1).reshape(-1) for edges in (starts, ends))
    if block.translate(None, _NUMBER_BYTES):
        raise ValueError("bytes that are in no number")
    return parse_decimals(block, starts, ends).reshape(-1, grammar.numbers), names


def _without_separators(block: bytes, grammar: _Grammar) -> bytes:
    """Blanks in the place of commas, once each line is seen to have as many as it must.

    Between the separators of a table with a header nothing may stand, which is nan.
    """
    mark = grammar.separator
    counts = {line.count(mark) for line in block.split(b"\n")}
    if not counts <= ({grammar.words - 1} if grammar.columns else {grammar.words - 1, grammar.words}):
        raise ValueError("not as many separators a line")
    if grammar.columns:
        block = block.replace(b'"', b"")
        block = re.sub(rb"(?m)(?:^|(?<=%b))(?=%b|$)" % (mark, mark), b"nan", block)
    return block.replace(mark, b" ")


def _blank_names(block: bytes, starts: Indices, ends: Indices) -> tuple[bytes, list[str]]:
    """The block with blanks in the place of some words, and these.

    Raises:
        ValueError: if they are not UTF-8.
    """
    places = zip(starts.tolist(), ends.tolist(), strict=True)
    if block.isascii():
        text = block.decode()
        names = [text[start:end] for start, end in places]
    else:
        names = [block[start:end].decode() for start, end in places]
    blanked = np.frombuffer(block, np.uint8).copy()
    for place in range(int((ends - starts).max())):
        blanked[np.minimum(starts + place, ends - 1)] = ord(" ")
    return blanked.tobytes(), names


def _assemble(values: Floats, names: list[str], grammar: _Grammar) -> RawPoints:
    """Columns in their places, names where they name."""
    columns = grammar.columns
    named = bool(names) and not _counts_rows(names)
    if names and not named and columns and columns.key is not None and columns.number is None:
        named = False  # a column called frame that counts is an order, not a name
    elif names and not named and columns is None and not _NUMBER.fullmatch(names[0].encode()):
        named = True
    if names and not named and not _counts_rows(names):
        raise HandbenchError(f"{grammar.where}: the column of row numbers does not count from 0 or 1 on")
    space: str = ""
    joints: tuple[str, ...] = ()
    if columns:
        places = [i - (grammar.aside is not None and i > grammar.aside) for i in columns.numbers]
        values, space, joints = values[:, places], columns.space, columns.joints
    layout = "csv" if columns else "named" if named else "text"
    return RawPoints(layout, values.reshape(len(values), -1, 3), space, tuple(names) if named else None, joints)


def _counts_rows(names: list[str]) -> bool:
    """Whether these are 0, 1, 2, ... or 1, 2, 3, ..."""
    first = names[0]
    return first in ("0", "1") and names == [str(i) for i in range(int(first), int(first) + len(names))]


def _first_bad_line(block: bytes, grammar: _Grammar, first: int) -> HandbenchError:
    """The message for a block that the fast way refused; lines count from 1."""
    for number, line in enumerate(block.split(b"\n"), start=first):
        words = line.split(grammar.separator) if grammar.separator else line.split()
        words = [word.strip() for word in words]
        if grammar.separator and words and not words[-1] and not grammar.columns:
            words.pop()
        numbers = [word for i, word in enumerate(words) if i != grammar.aside]
        bad = next((w for w in numbers if not _NUMBER.fullmatch(w) and not (grammar.columns and not w)), None)
        where = f"{grammar.where}, line {number}"
        control = _CONTROL.search(line)
        if control:
            return HandbenchError(f"{where}: the byte {control[0][0]:#04x} belongs in no text; the file is damaged")
        if bad is not None:
            return HandbenchError(f"{where}: {bad.decode('utf-8', 'backslashreplace')!a} is not a number")
        if len(words) != grammar.words:
            count = max(len(numbers), 0)
            found = f"{count} number{'s' * (count != 1)}" if words else "an empty line"
            beside = " beside the name" if grammar.aside is not None else ""
            return HandbenchError(
                f"{where}: {found}, expected {grammar.numbers} ({grammar.numbers // 3} joints x 3){beside}"
            )
        if grammar.aside is not None and not _is_utf8(words[grammar.aside]):
            return HandbenchError(f"{where}: the name {words[grammar.aside]!r} is not UTF-8 text")
    return HandbenchError(f"{grammar.where} is damaged somewhere from line {first} on")


def _is_utf8(word: bytes) -> bool:
    try:
        word.decode()
    except UnicodeDecodeError:
        return False
    return True
